"""The shipped sample domains: each loads, is asked in words of its own, explains what is true, and can be learned."""

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from genre_gen.collaborative.popularity import Popularity
from genre_gen.collaborative.sequential_rules import SequentialRules
from genre_gen.data.catalog import Catalog
from genre_gen.data.history import allowed_items
from genre_gen.data.readers import Data, load_data
from genre_gen.data.splits import leave_one_out
from genre_gen.domain import Domain
from genre_gen.explain.check import Checker
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.wording import Sentences, vocabulary
from genre_gen.metrics import case_ranks, recall_at
from genre_gen.new_domain.validate import check
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import show
from genre_gen.tasks import TASKS, Task, TaskData

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "tasks" / "golden" / "prompts"
SAMPLES = ("ads", "ecommerce", "news", "travel")
EXPLAINED = 25  # users


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request) -> tuple[Domain, Data]:
    domain = Domain.load(ROOT / "catalogs" / request.param)
    return domain, load_data(domain)


def test_it_is_whole_and_of_a_size_to_try_things(sample):
    domain, data = sample
    assert domain.catalog_folder.name == domain.name
    assert len(data.report) == 0
    assert 50 <= len(data.catalog) <= 120
    assert 80 <= len(data.interactions.users) <= 150
    assert (data.interactions.ratings is not None) == (domain.rating_scale is not None) == ("rating" in domain.tasks)
    assert all(value not in (None, ()) for item in data.catalog for value in item.attributes.values())
    source = (domain.catalog_folder / "SOURCE.md").read_text(encoding="utf-8")
    assert "Apache-2.0" in source
    assert "written for this project" in " ".join(source.split())


def test_the_check_finds_nothing_wrong(sample, tiny_model):
    domain, _ = sample
    found = check(domain.catalog_folder, llm=str(tiny_model))
    assert found.problems == []
    assert found.notes == []
    assert {task.task for task in found.tasks} == set(domain.tasks)
    assert all(task.tokens for task in found.tasks)
    assert found.explanation


@pytest.mark.parametrize("name", SAMPLES)
def test_prompts_read_as_in_their_golden_files(name):
    """Set UPDATE_GOLDEN=1 to write the files again after a change that is meant."""
    domain = Domain.load(ROOT / "catalogs" / name)
    data = load_data(domain)
    book, asked = PromptBook.load(domain), TaskData(data.catalog, data.interactions, domain)
    for task in (*domain.tasks, "explain"):
        shown = _explained(domain, data, book) if task == "explain" else _asked(TASKS[task], asked, book)
        file = GOLDEN / name / f"{task}.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(shown, encoding="utf-8")
        assert shown == file.read_text(encoding="utf-8")
    assert {file.stem for file in (GOLDEN / name).iterdir()} == {*domain.tasks, "explain"}


def _asked(task: Task, data: TaskData, book: PromptBook) -> str:
    """Return one example of a task, and the question that it is when served."""
    examples = (next(iter(task.examples(data, book, np.random.default_rng(0), open=open))) for open in (False, True))
    return "\n\n".join(show(example.prompt) for example in examples) + "\n"


def _explained(domain: Domain, data: Data, book: PromptBook) -> str:
    """Return every way to say the reasons for three picks of the user with the longest history."""
    evidence = Evidence(data.catalog, data.interactions, domain)
    history = max(data.interactions.histories(), key=len)
    rows = np.flatnonzero(allowed_items([history], len(data.catalog))[0])[:3].tolist()
    predicted = None if history.ratings is None else 4.7
    said = [Sentences(book, evidence, history, row, evidence.reasons(history, row, predicted, None)) for row in rows]
    ways = [way for one in said for group in (*one.first, *one.later) for way in group]
    return "\n".join([show(said[0].prompt), *dict.fromkeys(ways), ""])


def test_the_words_are_the_trades_own():
    said = {}
    for name in (*SAMPLES, "movies"):
        book = PromptBook.load(Domain.load(ROOT / "catalogs" / name))
        said[name] = book.render("next_item", history=(), domain=name).messages[-2].text
        assert "movie" not in said[name] or name == "movies"
    assert len(set(said.values())) == len(said)


def test_every_sentence_of_an_explanation_is_true(sample):
    domain, data = sample
    book = PromptBook.load(domain)
    explainer = Explainer(Evidence(data.catalog, data.interactions, domain), book)
    checker = Checker(data.catalog, data.interactions, domain, vocabulary(book))
    rng = np.random.default_rng(0)
    checked = 0
    for history in islice(data.interactions.histories(), EXPLAINED):
        allowed = np.flatnonzero(allowed_items([history], len(data.catalog))[0])
        rows = rng.choice(allowed, 8, replace=False).tolist()
        predicted = [4.7] * len(rows) if history.ratings is not None else None
        for row, explanation in zip(rows, explainer.explain_many(history, rows, None, predicted), strict=True):
            report = checker.check(explanation.text, history, row, 4.7 if predicted else None)
            assert report.ok, (explanation.text, report.problems)
            checked += 1
    assert checked == EXPLAINED * 8


def test_what_follows_what_can_be_learned(sample):
    """Counting which item follows which finds the next one far more often than popularity does."""
    _, data = sample
    split = leave_one_out(data.interactions, data.catalog)
    found = {}
    for model in (SequentialRules(), Popularity()):
        model.fit(split.train_and_validation)
        ranks = case_ranks(model.score, split.test, len(data.catalog), False)
        found[type(model).__name__] = float(recall_at(ranks, 10).mean())
    assert found["SequentialRules"] > 1.5 * found["Popularity"]


@pytest.mark.parametrize("name", ["movies", *SAMPLES])
def test_templates_do_for_a_catalog_that_lacks_their_fields(name):
    """Whose products have no prices keeps the words of the trade."""
    domain = Domain.load(ROOT / "catalogs" / name)
    data = load_data(domain, ROOT / "catalogs" / name)
    bare = Catalog([replace(item, attributes={}) for item in data.catalog])
    asked, book = TaskData(bare, data.interactions, domain), PromptBook.load(domain)
    for task in domain.tasks:
        assert all(example.prompt for example in TASKS[task].examples(asked, book, np.random.default_rng(0)))


def test_generic_templates_cover_every_task():
    book = PromptBook(ROOT / "prompts" / "generic")
    assert all(book.fingerprint(task) for task in (*TASKS, "explain"))
