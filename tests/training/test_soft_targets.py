"""Soft targets from histories read once are those of every prefix scored alone; an early end can be repeated."""

import numpy as np
import pytest
import torch

from eval.training.soft_targets import score_every_prefix
from genre_gen.collaborative import SVD, Ease, ItemKNN, KNNBaseline, Popularity, SequentialRules
from genre_gen.data.interactions import Interactions
from genre_gen.errors import UsageError
from genre_gen.training.distillation import Teacher

N = 60
MAKERS = {
    "ease": Ease,
    "item_knn": ItemKNN,
    "sequential_rules": SequentialRules,
    "popularity": Popularity,
    "svd": lambda: SVD(factors=4, epochs=2, duplicates="last"),
}
WEIGHTS = {"ease": 0.3, "item_knn": 0.1, "sequential_rules": 0.4, "popularity": 0.1, "svd": 0.1}


def log(seed, lengths, repeats):
    rng = np.random.default_rng(seed)
    taste = rng.integers(0, 3, len(lengths))  # users keep to a third of the items, most of the time
    rows = [
        rng.permutation(np.arange(N) // 3 * 3 + kind)[:n] % N if not repeats else rng.integers(0, N, n)
        for kind, n in zip(taste, lengths, strict=True)
    ]
    if not repeats:
        rows = [np.unique(of_user)[rng.permutation(len(np.unique(of_user)))] for of_user in rows]
    users = np.repeat([f"u{user}" for user in range(len(rows))], [len(of_user) for of_user in rows])
    ratings = rng.integers(1, 6, len(users)).astype(np.float32)
    ratings[rng.random(len(users)) < 0.3] = np.nan
    return Interactions.from_columns(users, np.concatenate(rows), N, ratings)


LOGS = {
    "short": log(0, [1, 2, 3, 4, 5, 9] * 6, repeats=False),
    "long": log(1, [3, 200, 1, 120, 40, 2, 90], repeats=True),
}


def teacher(repeat=False, top=10, **options):
    return Teacher(MAKERS, WEIGHTS, 0.5, repeat, folds=3, top=top, **options)


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("name", LOGS)
def test_they_are_those_of_every_prefix_scored_alone(name, repeat):
    ours, wanted = teacher(repeat)(LOGS[name]), score_every_prefix(teacher(repeat), LOGS[name])
    difference = ours.shares.astype(np.float64) - wanted.shares.astype(np.float64)
    assert np.abs(difference).max() < 2e-3
    clear = np.abs(np.diff(wanted.shares.astype(np.float64), axis=1)) > 2e-3
    clear = np.pad(clear, ((0, 0), (0, 1))) & np.pad(clear, ((0, 0), (1, 0)), constant_values=True)
    assert clear.mean() > 0.2
    assert (ours.rows == wanted.rows)[clear].all()
    assert ours.users == (np.diff(LOGS[name].offsets) > 1).sum()


@pytest.mark.parametrize("batch", [3, 32])
@pytest.mark.parametrize("rounds", [0, 1, 5, 12, 30])
def test_an_early_end_is_repeated_by_the_number_of_users(rounds, batch):
    data, asked = LOGS["short"], []

    def enough():
        asked.append(None)
        return len(asked) > rounds

    first = teacher(batch=batch)(data, enough=enough)
    again = teacher(batch=batch)(data, users=first.users)
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.shares, again.shares)
    assert again.users == first.users
    whole = teacher(batch=batch)(data)
    taught = 0
    for begin, end in zip(data.offsets, data.offsets[1:], strict=False):
        same = (first.shares[begin:end] == whole.shares[begin:end]).all()
        assert same or not first.shares[begin:end].any()
        taught += bool(same and end - begin > 1)
    assert taught >= first.users
    assert first.users < whole.users or rounds >= 12


@pytest.mark.parametrize("users", [0, 1, 7, 1000])
def test_soft_targets_of_a_number_of_users(users):
    made, whole = teacher()(LOGS["short"], users=users), teacher()(LOGS["short"])
    assert made.users == min(users, whole.users)
    with_targets = [
        user for user, (begin, end) in enumerate(zip(LOGS["short"].offsets, LOGS["short"].offsets[1:], strict=False))
        if made.shares[begin:end].any()
    ]  # fmt: skip
    assert len(with_targets) <= made.users
    assert (users == 0) == (not with_targets)


def test_a_number_of_users_below_0_is_refused():
    with pytest.raises(UsageError, match="users is -1"):
        teacher()(LOGS["short"], users=-1)


def test_threads_change_no_bit():
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            made.append(teacher()(LOGS["long"]))
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        np.testing.assert_array_equal(made[0].rows, other.rows)
        np.testing.assert_array_equal(made[0].shares, other.shares)


def test_the_share_rises_from_0_to_1():
    told = []
    teacher()(LOGS["short"], told.append)
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert np.diff(told).min() >= 0


def test_a_model_without_a_scorer_of_prefixes_is_asked_for_each():
    options = {"members": {"knn": lambda: KNNBaseline(duplicates="last")}, "weights": {"knn": 1.0}, "top": 10}
    ours = Teacher(**options)(LOGS["long"])
    wanted = score_every_prefix(Teacher(**options), LOGS["long"])
    np.testing.assert_allclose(ours.shares.astype(float), wanted.shares.astype(float), atol=2e-3)
