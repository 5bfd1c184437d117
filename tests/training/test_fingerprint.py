"""A checkpoint is of one training: of one set of data, templates and settings, but of any budget."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_training import book_of, tiny_llm

from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions, Reviews
from genre_gen.data.splits import leave_one_out
from genre_gen.llm.fingerprint import weights_fingerprint
from genre_gen.tasks import TaskData
from genre_gen.training.fingerprint import training_fingerprint


@pytest.fixture
def fingerprint_of(tiny_domain, sample):
    """Return a function that gives the fingerprint of a training on the sample, with changes."""
    catalog, interactions = sample
    split = leave_one_out(interactions, catalog)

    def of(known=split.train, validation=split.validation, **changes):
        domain = tiny_domain.changed({name.replace("__", "."): value for name, value in changes.items()})
        return training_fingerprint(TaskData(catalog, known, domain), book_of(domain), validation)

    return of


@pytest.mark.parametrize(
    "changes",
    [
        {"training__epochs": 99},
        {"training__max_minutes": 99.0},
        {"training__tracker": "none"},
        {"codes__cold_start_scale": 0},
    ],
)
def test_budget_and_later_settings_do_not_change_the_fingerprint(fingerprint_of, changes):
    assert fingerprint_of(**changes) == fingerprint_of()


@pytest.mark.parametrize("changes", [{"training__seed": 99}, {"training__patience": 99}, {"model__max_history": 99}])
def test_settings_count(fingerprint_of, changes):
    assert fingerprint_of(**changes) != fingerprint_of()


def test_validation_cases_count(fingerprint_of, sample):
    cases = leave_one_out(sample[1], sample[0]).validation
    first = cases[0]
    rows, ratings = first.history.rows, np.ones(len(first.history), np.float32)
    others = [
        (),
        cases[1:],
        cases[::-1],
        (replace(first, target=first.target + 1), *cases[1:]),
        (replace(first, history=History(rows[::-1], first.history.ratings)), *cases[1:]),
        (replace(first, history=History(rows, ratings)), *cases[1:]),
    ]
    found = [fingerprint_of(validation=each) for each in (cases, *others)]
    assert len(set(found)) == len(found)
    assert fingerprint_of(validation=list(cases)) == found[0]


def test_reviews_are_in_the_fingerprint_if_a_task_uses_them(fingerprint_of, sample):
    known = leave_one_out(sample[1], sample[0]).train

    def reviewed(headline="Good"):
        reviews = Reviews([headline, ""], ["I liked it", ""])
        of = np.arange(len(known)) % 2
        return Interactions(known.users, known.offsets, known.rows, known.n_items, known.ratings, None, reviews, of)

    task = {"tasks": {"next_item": {"weight": 1.0, "depth": "exit"}, "review": {"weight": 0.1, "depth": "full"}}}
    assert fingerprint_of(reviewed()) == fingerprint_of(reviewed("Bad"))
    assert fingerprint_of(reviewed(), **task) != fingerprint_of(reviewed("Bad"), **task)
    assert fingerprint_of(reviewed(), **task) == fingerprint_of(reviewed(), **task)


def test_files_of_a_pretrained_model_are_in_the_fingerprint(fingerprint_of, tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = fingerprint_of(model__llm=str(folder))
    (folder / "notes.txt").write_text("of no account")
    assert fingerprint_of(model__llm=str(folder)) == before
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert fingerprint_of(model__llm=str(folder)) != before


def test_the_start_of_a_training_is_its_weights(tiny_domain, sample):
    catalog, interactions = sample
    first, second = (tiny_llm(tiny_domain, catalog, interactions) for _ in range(2))
    assert weights_fingerprint(first) == weights_fingerprint(second)
    with torch.no_grad():
        second.code_embedding[-1, -1] += 1e-3
    assert weights_fingerprint(first) != weights_fingerprint(second)
