"""Validation of a domain before training: settings, data, templates, and each prompt with its length."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from genre_gen.codes import atomic
from genre_gen.data.history import allowed_items
from genre_gen.data.order import OrderShares
from genre_gen.data.printable import padded, width_of
from genre_gen.data.readers import Data, load_data
from genre_gen.data.readers.to_interactions import REPEATED
from genre_gen.domain import Domain
from genre_gen.downloads.models import find_model
from genre_gen.errors import GenreGenError
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.wording import template
from genre_gen.languages.gaps import gaps
from genre_gen.llm.encode import Encoder
from genre_gen.llm.load import load_light_tokenizer
from genre_gen.new_domain.worth import DataWorth, data_worth
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import show
from genre_gen.rules.compiled import compile_rules
from genre_gen.tasks import TASKS, Example, TaskData

EXAMPLES = 200  # examples of each task, enough to include missing values
EXPLAINED = 20  # number of users for whom explanations are made
LONG = 1024  # training leaves out longer examples (in tokens) of text tasks


@dataclass(frozen=True)
class TaskCheck:
    """The prompts of a task: the number of examples checked, and one of them with its answer.

    ``tokens`` is the length of that example and ``longest`` that of the longest; None without the model's tokenizer.
    """

    task: str
    examples: int
    prompt: str
    tokens: int | None
    longest: int | None
    answer: str


@dataclass
class DomainCheck:
    """The result of a check."""

    name: str  # of the domain
    counts: dict[str, str] = field(default_factory=dict)  # numbers of items, users and so forth, by name
    problems: list[str] = field(default_factory=list)  # problems to fix before training
    notes: list[str] = field(default_factory=list)  # further findings
    tasks: list[TaskCheck] = field(default_factory=list)  # a prompt of each task
    worth: DataWorth | None = None  # what the data is worth; None if it could not be read
    explanation: str = ""  # an explanation without a language model; empty if the domain has no words for it

    def text(self, color: bool = False) -> str:
        """Return the findings as text: prompts, counts, notes, then problems."""
        lines = [line for task in self.tasks for line in [*_task_lines(task), ""]]
        if self.explanation:
            lines += ["=== an explanation", self.explanation, ""]
        width = max(map(width_of, self.counts), default=0)
        lines += [f"{padded(name, width)}  {value}" for name, value in self.counts.items()]
        lines += [] if self.worth is None else self.worth.lines()
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(
            [*lines, "" if self.problems else f"{self.name} can be trained: genre-gen train {shlex.quote(self.name)}"]
        ).rstrip()

    def to_json(self) -> str:
        """Return the findings as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Turn an error into a problem, so that a failed check does not hide the others."""
        try:
            yield
        except GenreGenError as problem:
            self.problems.append(str(problem))


def check(name: str | Path, path: Path | None = None, llm: str | None = None) -> DomainCheck:
    """Check a domain by name or folder; raises ConfigError if there is none.

    Args:
        name: the domain's name or folder.
        path: the location of its data; it replaces the one that the domain names.
        llm: the model whose tokenizer counts tokens; by default the domain's. It is not fetched.
    """
    domain = Domain.load(name)
    result = DomainCheck(str(name))
    book, data = None, None
    with result.noting():
        book = PromptBook.load(domain)
    with result.noting():
        data = load_data(domain, path)
        _count(result, domain, data)
        dropped = sum(
            problem.count for problem in data.report if problem.kind == REPEATED and problem.action == "dropped"
        )
        decided = data.report.order is not None and not data.report.order.undecided
        result.worth = data_worth(data.catalog, data.interactions, dropped, decided=decided)
        compile_rules(domain.rules, data.catalog)
        result.notes += gaps(domain, data.catalog)
    for task in domain.tasks:
        with result.noting():
            if task not in TASKS:
                result.problems.append(f"tasks: no task {task}; there are: {', '.join(TASKS)}")
            elif book is not None:
                book.fingerprint(task)  # fails if a file is missing
    if book is not None and data is not None:
        _ask(result, domain, book, data, _encoder(result, domain, data, llm))
        _explain(result, domain, book, data)
    return result


def _count(result: DomainCheck, domain: Domain, data: Data) -> None:
    catalog, interactions = data.catalog, data.interactions
    lengths = np.diff(interactions.offsets)
    had = np.bincount(interactions.rows, minlength=len(catalog))
    result.counts |= {
        "items": f"{len(catalog):,}, {int((had == 0).sum()):,} of them without interactions",
        "users": f"{len(lengths):,}, {int((lengths < 2).sum()):,} of them with less than two items",  # noqa: PLR2004
        "interactions": f"{len(interactions):,}, {np.median(lengths):g} a user (median), {lengths.max()} at most",
        "times": "none: the file's order is used" if interactions.times is None else _span(interactions.times),
        "order": (data.report.order or OrderShares.of(interactions, catalog)).text(interactions.times is not None),
    }
    if interactions.ratings is not None:
        given = interactions.ratings[~np.isnan(interactions.ratings)]
        result.counts["ratings"] = f"{len(given):,}, {given.mean():.2f} on average"
    if (kinds := interactions.counts_by_kind()) is not None:
        hidden = 0 if interactions.hidden is None else len(interactions.hidden)
        result.counts["events"] = ", ".join(f"{name} {count:,}" for name, count in kinds.items())
        result.counts["hidden"] = f"{hidden:,} items of users, by events"
        measured = int(interactions.measured.sum())
        result.counts["measured"] = f"{measured:,} of the interactions: evaluations ask for these only"
    for name in domain.fields:
        present = sum(item.attributes[name] not in (None, ()) for item in catalog)
        result.counts[f"field {name}"] = f"known of {present / len(catalog):.0%}"
    if described := sum(bool(item.text) for item in catalog):
        result.counts["descriptions"] = f"known of {described / len(catalog):.0%}"
    result.notes += data.report.lines()
    if not (lengths > 1).any():
        result.problems.append("no user has two items, so there is no next item to learn; is the user column right?")
    elif not (lengths > 2).any():  # noqa: PLR2004 - one each to learn from, to validate and to test
        result.notes.append("no user has three items, so there are none to evaluate on; train without a split")


def _span(times: np.ndarray) -> str:
    days = times.astype("datetime64[s]").astype("datetime64[D]")
    return f"{days.min()} to {days.max()}"


def _encoder(result: DomainCheck, domain: Domain, data: Data, llm: str | None) -> Encoder | None:
    """Return an encoder whose item codes are one token each; None if the model has not been fetched."""
    with result.noting():
        folder = find_model(llm or domain.model.llm)
        if folder is None:
            name = shlex.quote(result.name)
            result.notes.append(f"tokens are not counted without the model: genre-gen fetch {name}")
            return None
        if domain.codes.scheme != "atomic":
            result.notes.append(f"item codes are counted as one token each; {domain.codes.scheme} codes are longer")
        return Encoder(load_light_tokenizer(folder), atomic(len(data.catalog)))
    return None


def _ask(result: DomainCheck, domain: Domain, book: PromptBook, data: Data, encoder: Encoder | None) -> None:
    """Render examples of each task."""
    asked = TaskData(data.catalog, data.interactions, domain)
    for name in filter(TASKS.__contains__, domain.tasks):
        with result.noting():
            examples = list(islice(TASKS[name].examples(asked, book, np.random.default_rng(0)), EXAMPLES))
            if not examples:
                result.notes.append(f"the task {name} has no examples in this data; leave it out of [tasks]")
                continue
            tokens = [_tokens(encoder, example) for example in examples] if encoder else None
            sizes = tokens or [len(example.prompt.messages[-1].spans) for example in examples]
            middle = int(np.argsort(sizes, kind="stable")[len(sizes) // 2])
            prompt = examples[middle].prompt
            shown, answer = show(prompt, atomic(len(data.catalog))), prompt.messages[-1].text
            count, longest = (tokens[middle], max(tokens)) if tokens else (None, None)
            result.tasks.append(TaskCheck(name, len(examples), shown, count, longest, answer))
            long = sum(size > LONG for size in tokens or ()) if domain.tasks[name].depth == "full" else 0
            if long:
                result.notes.append(
                    f"{long} of {len(examples)} examples of {name} are longer than {LONG} tokens: left out"
                )


def _tokens(encoder: Encoder, example: Example) -> int:
    return len(encoder.encode(example.prompt, example.targets, example.first_target))


def _explain(result: DomainCheck, domain: Domain, book: PromptBook, data: Data) -> None:
    """Make explanations for some users, to find templates that fail."""
    explainer = Explainer(Evidence(data.catalog, data.interactions, domain), book)
    popular = np.argsort(-np.bincount(data.interactions.rows, minlength=len(data.catalog)), kind="stable")
    with result.noting():
        for history in islice(data.interactions.histories(), EXPLAINED):
            allowed = allowed_items([history], len(data.catalog), domain.repeat)[0]
            row = next((int(row) for row in popular if allowed[row]), None)
            if row is not None:
                sentences = explainer.sentences(history, row)
                _ = sentences.first, sentences.later  # render every wording, to find failures
                result.explanation = template([sentences])[0]


def _task_lines(task: TaskCheck) -> list[str]:
    size = "" if task.tokens is None else f", {task.tokens} tokens (the longest of {task.examples}: {task.longest})"
    return [f"=== {task.task}{size}", task.prompt]
