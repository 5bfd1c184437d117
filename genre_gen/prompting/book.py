"""PromptBook: a domain's templates, rendered to spans that are each trusted or not.

A prompt is never one string: the template's own words and item codes are trusted, every value that a template prints
is not (see :mod:`genre_gen.prompting.sandbox`). Training and serving render through the same book.
"""

from __future__ import annotations

import copy
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from jinja2 import TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.environment import Template

from genre_gen.codes.base import CodeScheme
from genre_gen.data.catalog import Catalog, Value
from genre_gen.data.interactions import History
from genre_gen.domain import Domain
from genre_gen.errors import PromptError
from genre_gen.prompting.sandbox import (
    MAX_SOURCE,
    Budget,
    Code,
    TemplateEnvironment,
    Words,
    closest,
    included,
    refused,
    spending,
)
from genre_gen.registry import TASKS

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")

VARIABLES: dict[str, str] = {
    "domain": "the domain's name, such as movies",
    "history": "the user's items, oldest first; each an entry (see below) with .rating and .liked",
    "item": "the item the question is about: an entry; None where there is none",
    "other": "a second item, to compare with `item`: an entry",
    "answer": "what the model should say; None when the model is asked",
    "scale": "(lowest, highest) possible rating, or None where the data has no ratings",
    "review": "what the user wrote of `item`, empty where the data has no more than a headline",
    "evidence": "what speaks for `item`: liked items of the history, each with .item (an entry) and .labels (such as "
    "genres) that both have",
    "reason": "one reason why `item` is recommended; its fields stand in `ReasonView` (for `explain_measured` in "
    "`MeasuredView`) of genre_gen/explain/wording.py",
    "facts": "sentences that are so, of which the model may make use",
    "first": "whether the sentence opens the explanation",
}
"""Every variable a template may use, and what it means."""

FIRST = 1
"""The phrasing that stands in files without a number, and that serving and evaluation use."""

_NAME = re.compile(r"(?P<task>.+?)\.(?P<role>\w+)(?:\.(?P<number>\d+))?\.jinja")

ENTRY_FIELDS: dict[str, str] = {
    "code": "the item's code, the token(s) that name it to the model; print it on its own",
    "title": "the item's title",
    "text": "the item's description, empty where there is none",
    "attributes": "field name -> value; `entry.year` is short for `entry.attributes.year`",
    "rating": "the user's rating, None where there is none",
    "liked": "whether the user liked it: rated at least the domain's liked_from, or not rated at all",
}
"""What `history`, `item` and `other` hold."""

TASK_VARIABLES: dict[str, tuple[str, ...]] = {
    "next_item": ("domain", "history"),
    "rating": ("domain", "history", "item", "scale"),
    "fits": ("domain", "history", "item", "answer"),
    "similar": ("domain", "item", "other", "answer"),
    "intent": ("domain", "history", "answer"),
    "title": ("domain", "item", "answer"),
    "description": ("domain", "item", "answer"),
    "code": ("domain", "item", "answer"),
    "catalog_text": ("domain", "answer"),
    "explanation": ("domain", "history", "item", "evidence", "answer"),
    "review": ("domain", "history", "item", "review", "answer"),
    "explain": ("domain", "history", "item", "scale", "reason", "first"),
    "explain_measured": ("domain", "item", "other", "reason", "first"),
    "explain_free": ("domain", "history", "item", "facts"),
}
"""Task -> the variables its templates are given."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a message.

    Attributes:
        kind: ``text`` for the template's own words (trusted), ``data`` for a value that it printed (untrusted),
            ``code`` for an item's code.
        text: the words; for a code, a stand-in for display.
        row: catalog row of a code, otherwise -1.
    """

    kind: Literal["text", "data", "code"]
    text: str
    row: int = -1


@dataclass(frozen=True, slots=True)
class Message:
    """What one role says."""

    role: Role
    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        """Return the spans as one text, for people and for comparing answers, never for a model."""
        return "".join(span.text for span in self.spans)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        task: whose templates were rendered.
        messages: system (unless it says nothing), user, assistant.
        open: the assistant's message is unfinished, the model continues it.
    """

    task: str
    messages: tuple[Message, ...]
    open: bool


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An item as templates see it; ``ENTRY_FIELDS`` documents the fields."""

    code: Code
    title: str
    text: str
    attributes: Mapping[str, Value]
    rating: float | None = None
    liked: bool = True

    def __getitem__(self, name: str) -> Value:
        """Return an attribute, so that templates can write ``entry.year``."""
        return self.attributes[name]


def entry(catalog: Catalog, row: int, rating: float | None = None, liked_from: float | None = None) -> Entry:
    """Return the item in a catalog row as templates see it; a NaN rating is none."""
    item = catalog[row]
    if rating is None or math.isnan(rating):
        return Entry(Code(row), item.title, item.text, item.attributes)
    liked = liked_from is None or rating >= liked_from
    return Entry(Code(row), item.title, item.text, item.attributes, round(float(rating), 3), liked)


def entries(catalog: Catalog, history: History, liked_from: float | None = None) -> tuple[Entry, ...]:
    """Return a history as templates see it, oldest first."""
    if history.ratings is None:
        return tuple(entry(catalog, row) for row in history.rows.tolist())
    pairs = zip(history.rows.tolist(), history.ratings.tolist(), strict=True)
    return tuple(entry(catalog, row, rating, liked_from) for row, rating in pairs)


class PromptBook:
    """The templates of a domain: ``<task>.<role>.jinja`` for each task and role, and any files they include.

    A task may have several phrasings: ``<task>.<role>.2.jinja`` and so on say the same in other words, for one role or
    for several. Whoever renders gets the first, unless he asks for another or for a book that varies them.

    All files are read and checked once, so a mistake shows before any work is done, and what is rendered is what was
    fingerprinted. See ``prompts/README.md`` for what a template may contain.
    """

    def __init__(self, folder: Path, tasks: Mapping[str, Any] | None = None) -> None:
        """Read and check every ``*.jinja`` file of a folder.

        Args:
            folder: the templates.
            tasks: those of other packages by name, which bring ``variables`` and ``templates``; where the folder has a
                file of the same name, it is taken.

        Raises:
            PromptError: no templates there, or the first mistake in one, with file and line.
        """
        self.folder, self._tasks = Path(folder), dict(tasks or {})
        files = sorted(self.folder.rglob("*.jinja"))
        if not files:
            raise PromptError(f"no templates (*.jinja) in {self.folder}")
        brought = (file for task in self._tasks.values() for file in sorted(Path(task.templates).glob("*.jinja")))
        self._files = {file.name: str(file) for file in brought}
        self._files |= {file.relative_to(self.folder).as_posix(): str(file) for file in files}
        self._sources = {name: _read(Path(file)) for name, file in self._files.items()}
        self._environment = TemplateEnvironment(self._sources, self._files)
        self._trees = {name: self._parse(name) for name in self._sources}
        self._rng: np.random.Generator | None = None
        self._phrasing = FIRST
        for name in self._sources:
            self._check(name)
        self._phrasings = self._count_phrasings()

    @classmethod
    def load(cls, domain: Domain) -> PromptBook:
        """Return the templates of a domain; raises PromptError."""
        return cls(domain.prompts_folder, TASKS.added(domain.tasks))

    def save(self, folder: Path) -> None:
        """Write the templates as they were read, whatever became of their files since."""
        for name, source in self._sources.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8", newline="\n")

    def variables(self, task: str) -> dict[str, str]:
        """Return the variables of a task's templates and what each means; raises PromptError."""
        if task in self._tasks:
            return dict(self._tasks[task].variables)
        try:
            return {name: VARIABLES[name] for name in TASK_VARIABLES[task]}
        except KeyError:
            raise PromptError(
                f"no task {task!r}{closest(task, TASK_VARIABLES)}; there are {', '.join(TASK_VARIABLES)}"
            ) from None

    def phrasings(self, task: str) -> int:
        """Return in how many ways the templates ask for a task."""
        return self._phrasings.get(task, 1)

    @property
    def phrasing(self) -> int | None:
        """Return which phrasing is rendered; None where each rendering takes one at random."""
        return self._phrasing if self._rng is None else None

    def varied(self, rng: np.random.Generator) -> PromptBook:
        """Return this book such that each rendering takes one of the task's phrasings at random."""
        book = copy.copy(self)
        book._rng = rng
        return book

    def phrased(self, number: int) -> PromptBook:
        """Return this book such that each rendering takes this phrasing; a task that lacks it is not rendered."""
        book = copy.copy(self)
        book._phrasing, book._rng = number, None
        return book

    def fingerprint(self, task: str) -> str:
        """Return a SHA-256 over the sources of a task's templates, all phrasings, and of every file they include."""
        digest = hashlib.sha256()
        every = [self._name(task, role, number) for role in ROLES for number in range(1, self.phrasings(task) + 1)]
        for name in sorted({part for one in every for part in self._closure(one)}):
            for part in (name, self._sources[name]):
                digest.update(f"{len(part)}:{part}".encode())
        return digest.hexdigest()

    def render(self, task: str, *, open: bool = False, phrasing: int | None = None, **variables: Any) -> Prompt:
        """Render a task's templates.

        Args:
            task: name of the task.
            open: leave the assistant's message unfinished, for the model to continue.
            phrasing: which one, from 1 on; a role that lacks it says what it says in the first.
            variables: see :meth:`variables`; those left out are None.

        Raises:
            PromptError: a missing file, an unknown variable or field, or a template that exceeds its limits; names the
                file and the line.
        """
        values = self._values(task, variables)
        number = self._chosen(task) if phrasing is None else phrasing
        if not 1 <= number <= self.phrasings(task):
            raise PromptError(f"{task}: no phrasing {number}; {self.folder} has {self.phrasings(task)}")
        with spending(Budget()):
            messages = tuple(Message(role, self._spans(self._name(task, role, number), values)) for role in ROLES)
        return Prompt(task, tuple(m for m in messages if m.spans or m.role != "system"), open)

    def has(self, task: str) -> bool:
        """Tell whether there is a template of what the assistant says in a task."""
        return f"{task}.assistant.jinja" in self._sources

    def mentions(self, task: str) -> frozenset[str]:
        """Return the texts that the template of what the assistant says in a task compares with, or prints."""
        if not self.has(task):
            return frozenset()
        names = self._closure(f"{task}.assistant.jinja")
        found = (one.value for name in names for one in self._trees[name].find_all(nodes.Const))
        return frozenset(value for value in found if isinstance(value, str))

    def say(self, task: str, **variables: Any) -> Message:
        """Render what the assistant says in a task, alone; see :meth:`render`."""
        values = self._values(task, variables)
        with spending(Budget()):
            return Message("assistant", self._spans(self._name(task, "assistant"), values))

    def _values(self, task: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        known = self.variables(task)
        for name in variables:
            if name not in known:
                raise PromptError(f"{task}: no variable {name!r}{closest(name, known)}; there are {', '.join(known)}")
        return {**dict.fromkeys(known), **variables}

    def _chosen(self, task: str) -> int:
        count = self.phrasings(task)
        return self._phrasing if self._rng is None or count == 1 else int(self._rng.integers(1, count + 1))

    def _count_phrasings(self) -> dict[str, int]:
        """Return how many phrasings each task has that has several; raises PromptError for a gap in the numbers."""
        numbers: dict[str, dict[int, str]] = {}
        for name in self._sources:
            match = _NAME.fullmatch(name)
            if match and match["number"]:
                numbers.setdefault(match["task"], {})[int(match["number"])] = name
        for found in numbers.values():
            for place, number in enumerate(sorted(found), FIRST + 1):
                if number != place:
                    raise PromptError(
                        f"{self._files[found[number]]}: phrasing {number} without a phrasing {place}; the first has no "
                        f"number, the others count from {FIRST + 1}"
                    )
        return {task: max(found) for task, found in numbers.items()}

    def _name(self, task: str, role: Role, phrasing: int = FIRST) -> str:
        other = f"{task}.{role}.{phrasing}.jinja"
        if phrasing > FIRST and other in self._sources:
            return other
        name = f"{task}.{role}.jinja"
        if name not in self._sources:
            expected = ", ".join(f"{task}.{role}.jinja" for role in ROLES)
            raise PromptError(f"{self.folder / name}: no such file; the task {task!r} needs {expected}")
        return name

    def _spans(self, name: str, values: Mapping[str, Any]) -> tuple[Span, ...]:
        try:
            return _stripped(tuple(_merged(self._environment.pieces(name, values))))
        except RecursionError:
            raise PromptError(f"{self._files[name]}: macros call each other without end") from None
        except Exception as error:  # whatever a template does wrong surfaces here
            where = _place(error) or self._files[name]
            raise PromptError(f"{where}: {getattr(error, 'message', None) or error}") from error

    def _parse(self, name: str) -> nodes.Template:
        """Parse and compile a file, so that a syntax error shows at once."""
        try:
            tree = self._environment.parse(self._sources[name], name, self._files[name])
            self._environment.get_template(name)
        except TemplateSyntaxError as error:
            raise PromptError(f"{self._files[name]}:{error.lineno}: {error.message}") from None
        except (RecursionError, MemoryError, SyntaxError):
            raise PromptError(f"{self._files[name]}: nested too deeply") from None
        except (TemplateError, ValueError) as error:
            raise PromptError(f"{self._files[name]}: {error}") from None
        return tree

    def _check(self, name: str) -> None:
        """Refuse what prompts do without, unknown includes and undeclared variables."""
        tree, file = self._trees[name], self._files[name]
        for line, reason in refused(tree):
            raise PromptError(f"{file}:{line}: {reason}")
        parts = self._closure(name)
        match = _NAME.fullmatch(name)
        if match is None:
            return  # a file to include: checked with each template that includes it
        task, role = match["task"], match["role"]
        if role not in ROLES:
            raise PromptError(f"{file}: no role {role!r}{closest(role, ROLES)}; there are {', '.join(ROLES)}")
        try:
            known = self.variables(task)
        except PromptError as error:
            raise PromptError(f"{file}: {error}") from None
        for part in parts:
            local = _set_somewhere(self._trees[part])
            if part != name:
                # An included file also sees the loop variables and macros of the ones that include it.
                local = local.union({"loop"}, *(_assigned(self._trees[other]) for other in parts))
            for wanted in sorted(meta.find_undeclared_variables(self._trees[part]) - set(known) - local):
                line = _line_of(self._trees[part], wanted)
                raise PromptError(
                    f"{self._files[part]}:{line}: no variable {wanted!r}{closest(wanted, known)}; "
                    f"the task {task!r} has {', '.join(known)}"
                )

    def _closure(self, name: str) -> list[str]:
        """Return a file and all that it includes, each once."""
        found: list[str] = []
        self._collect(name, (), found)
        return found

    def _collect(self, name: str, above: tuple[str, ...], found: list[str]) -> None:
        for line, part in included(self._trees[name]):
            where = f"{self._files[name]}:{line}"
            if part not in self._sources:
                raise PromptError(f"{where}: no file {part!r} in {self.folder}{closest(part, self._sources)}")
            if part in (name, *above):
                raise PromptError(f"{where}: {part!r} includes itself")
            if part not in found:
                self._collect(part, (*above, name), found)
        found.append(name)


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_SOURCE:
            raise PromptError(f"{file}: larger than {MAX_SOURCE} bytes; a prompt should fit a screen")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(f"{file}: not UTF-8 text ({error})") from None
    except OSError as error:
        raise PromptError(f"{file}: {error.strerror}") from None


def _set_somewhere(tree: nodes.Template) -> set[str]:
    """Return the names that ``{% set %}`` gives a value, on some path at least; on the others rendering fails."""
    return set().union(*(_assigned(node) for node in tree.find_all((nodes.Assign, nodes.AssignBlock))))


def _assigned(tree: nodes.Node) -> set[str]:
    return {node.name for node in tree.find_all(nodes.Name) if node.ctx in ("store", "param")}


def _line_of(tree: nodes.Template, name: str) -> int:
    return next((node.lineno for node in tree.find_all(nodes.Name) if node.name == name), 1)


def _place(error: BaseException) -> str:
    """Return ``file:line`` of the innermost template that an error passed through."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            place = f"{template.filename}:{template.get_corresponding_lineno(traceback.tb_lineno)}"
        traceback = traceback.tb_next
    return place


# Control characters other than newline, and halves of surrogate pairs, which no tokenizer can encode.
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _clean(value: str) -> str:
    if value.isprintable():
        return value
    return _UNPRINTABLE.sub(" ", value.replace("\r\n", "\n"))


def _merged(pieces: Iterable[Words | Code | str]) -> Iterable[Span]:
    """Yield spans; neighbouring words become one, empty ones vanish."""
    words = ""
    for piece in pieces:
        if isinstance(piece, Words):
            words += piece.text
            continue
        if isinstance(piece, str) and not piece:
            continue
        if words:
            yield Span("text", words)
            words = ""
        yield Span("code", f"<item {piece.row}>", piece.row) if isinstance(piece, Code) else Span("data", _clean(piece))
    if words:
        yield Span("text", words)


def _stripped(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Drop the template's white space at both ends, so that an open message ends where its answer will begin."""
    spans = _trim(spans, 0, str.lstrip)
    return _trim(spans, len(spans) - 1, str.rstrip)


def _trim(spans: tuple[Span, ...], place: int, strip: Callable[[str], str]) -> tuple[Span, ...]:
    if not spans or spans[place].kind != "text":
        return spans
    text = strip(spans[place].text)
    return (*spans[:place], *([Span("text", text)] if text else []), *spans[place + 1 :])


def show(prompt: Prompt, codes: CodeScheme | None = None, color: bool = False) -> str:
    """Return a prompt for people: untrusted values in ``⟦ ⟧`` (or yellow), item codes by their names (or cyan).

    Args:
        prompt: what to show.
        codes: names the item codes; without it they read ``<item 12>`` by catalog row.
        color: mark by ANSI colours, for a terminal.
    """
    lines = []
    for message in prompt.messages:
        unfinished = " (the model continues)" if prompt.open and message is prompt.messages[-1] else ""
        lines += [f"--- {message.role}{unfinished}", "".join(_shown(span, codes, color) for span in message.spans)]
    return "\n".join(lines)


def _shown(span: Span, codes: CodeScheme | None, color: bool) -> str:
    if span.kind == "data":
        return f"\x1b[33m{span.text}\x1b[0m" if color else "⟦" + re.sub(r"([\\⟦⟧])", r"\\\1", span.text) + "⟧"
    if span.kind == "code":
        name = (
            span.text if codes is None else "".join(codes.names[token] for token in codes.codes[span.row] if token >= 0)
        )
        return f"\x1b[36m{name}\x1b[0m" if color else name
    return span.text
