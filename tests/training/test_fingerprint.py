"""A checkpoint is of one training: of one set of data, templates and settings, but of any budget."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from genre_gen.data.interactions import History, Interactions, Reviews
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.fingerprint import identity, start_of
from genre_gen.training.llm_training import build_generator


@pytest.fixture
def identity_of(tiny_domain, sample):
    """Return a function that gives the identity of a training on the sample, with changes."""
    catalog, interactions = sample
    split = interactions.leave_one_out()

    def of(known=split.train, validation=split.validation, **changes):
        domain = tiny_domain.changed({name.replace("__", "."): value for name, value in changes.items()})
        return identity(TaskData(catalog, known, domain), PromptBook.load(domain), validation)

    return of


@pytest.mark.parametrize(
    "changes",
    [{"training__epochs": 99}, {"training__max_minutes": 99.0}, {"training__runs": 3}, {"codes__cold_start_scale": 0}],
)
def test_a_larger_budget_and_what_is_done_after_training_change_nothing(identity_of, changes):
    assert identity_of(**changes) == identity_of()


@pytest.mark.parametrize("changes", [{"training__seed": 99}, {"training__patience": 99}, {"model__max_history": 99}])
def test_settings_count(identity_of, changes):
    assert identity_of(**changes) != identity_of()


def test_validation_cases_count(identity_of, sample):
    cases = sample[1].leave_one_out().validation
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
    found = [identity_of(validation=each) for each in (cases, *others)]
    assert len(set(found)) == len(found)
    assert identity_of(validation=list(cases)) == found[0]


def test_reviews_count_where_they_are_learned_from(identity_of, sample):
    known = sample[1].leave_one_out().train

    def reviewed(headline="Good"):
        reviews = Reviews([headline, ""], ["I liked it", ""])
        of = np.arange(len(known)) % 2
        return Interactions(known.users, known.offsets, known.rows, known.n_items, known.ratings, None, reviews, of)

    task = {"tasks": {"next_item": {"weight": 1.0, "depth": "exit"}, "review": {"weight": 0.1, "depth": "full"}}}
    assert identity_of(reviewed()) == identity_of(reviewed("Bad"))
    assert identity_of(reviewed(), **task) != identity_of(reviewed("Bad"), **task)
    assert identity_of(reviewed(), **task) == identity_of(reviewed(), **task)


def test_what_is_in_the_folder_of_a_pretrained_model_counts(identity_of, tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = identity_of(model__llm=str(folder))
    (folder / "notes.txt").write_text("of no account")
    assert identity_of(model__llm=str(folder)) == before
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert identity_of(model__llm=str(folder)) != before


def test_the_start_of_a_training_is_its_weights(tiny_domain, sample):
    catalog, interactions = sample
    first, second = (
        build_generator(tiny_domain, PromptBook.load(tiny_domain), catalog, interactions).llm for _ in range(2)
    )
    assert start_of(first) == start_of(second)
    with torch.no_grad():
        second.code_embedding[-1, -1] += 1e-3
    assert start_of(first) != start_of(second)
