"""Every prompt and every way to say a reason in Chinese, as files to read."""

import os
from pathlib import Path

import numpy as np
import pytest

from genre_gen.data.history import History
from genre_gen.domain import Domain
from genre_gen.explain.wording import Sentences
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import show
from genre_gen.tasks import TASKS, TaskData
from tests.explain.test_evidence import ALIENS
from tests.explain.test_wording import HAD, SEEN, TRUE
from tests.languages.chinese import book_of, evidence
from tests.tasks.test_tasks import make_data

GOLDEN = Path(__file__).parent / "golden"


def same_as_golden(file: Path, shown: str) -> bool:
    """Set UPDATE_GOLDEN=1 to write the files again after a change that is meant."""
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown, encoding="utf-8")
    return shown == file.read_text(encoding="utf-8")


def chinese_data(name: str) -> TaskData:
    data = make_data(language="zh")
    if name == "movies":
        return data
    settings = {**data.domain.settings(), "name": "things", "noun": "物品", "languages": {}}
    return TaskData(data.catalog, data.interactions, Domain.from_settings(settings))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["movies", "generic"])
def test_prompts_read_as_in_their_golden_files(name, task):
    data = chinese_data(name)
    folder = {"prompts_folder": Path(name)} if name == "generic" else {}
    book = PromptBook.load(data.domain.model_copy(update=folder))
    shown = []
    for open in (False, True):
        examples = TASKS[task].examples(data, book, np.random.default_rng(0), open=open)
        richest = max(examples, key=lambda example: len(f"{show(example.prompt)}{example.answer}"))
        shown.append(f"{show(richest.prompt)}\n=== answer: {richest.answer!r}\n")
    assert same_as_golden(GOLDEN / name / f"{task}.txt", "\n".join(shown))


@pytest.mark.parametrize("name", ["movies", "generic"])
def test_reasons_read_as_in_their_golden_files(name):
    book, lines = book_of(name), []
    for reason in TRUE:
        row = reason.facts[0].subject if reason.kind == "popular" else ALIENS
        seen = History(SEEN.rows) if HAD in reason.facts else SEEN
        said = Sentences(book, evidence(), seen, row, [reason])
        lines += [f"--- {reason.kind}", *said.first[0], *said.later[0]]
    shown = show(Sentences(book, evidence(), SEEN, ALIENS, TRUE[:1]).prompt)
    assert same_as_golden(GOLDEN / name / "explain.txt", "\n".join([*lines, "", shown, ""]))
