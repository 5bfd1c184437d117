"""The protocol: the same cases for all, seen items out, targets always in, lists and scores measured alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from genre_gen.data.history import History
from genre_gen.data.labels import Labels
from genre_gen.data.splits import Case
from genre_gen.errors import UsageError
from genre_gen.evaluation.protocol import evaluate_lists, evaluate_scorers, lists_from_picks
from genre_gen.ranking import Ranking

ITEMS = 30


def case(seen, target, user="u"):
    return Case(History(np.array(seen, dtype=np.int64), user=user), target)


def constant(scores):
    return lambda histories: np.tile(np.asarray(scores, dtype=np.float32), (len(histories), 1))


def labels_of(matrix):
    return Labels("genre", tuple(f"g{g}" for g in range(matrix.shape[1])), sparse.csr_array(matrix.astype(float)))


def random_cases(n=50, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(ITEMS)[: rng.integers(2, 10)] for _ in range(n)]
    return [case(rows[:-1], int(rows[-1]), f"u{u}") for u, rows in enumerate(drawn)]


def by_hash(histories):
    """Scores that depend on the history alone."""
    return np.stack([np.random.default_rng([*history.rows]).random(ITEMS) for history in histories]).astype(np.float32)


def test_seen_items_are_out_of_the_way():
    scores = [5, 4, 3, 2]
    assert evaluate_scorers({"m": constant(scores)}, [case([0, 1], 3)], 4)["m"].ranks == [2]
    assert evaluate_scorers({"m": constant(scores)}, [case([0, 1], 3)], 4, repeat=True)["m"].ranks == [4]


def test_a_target_seen_before_is_ranked():
    assert evaluate_scorers({"m": constant([5, 4, 3, 2])}, [case([0, 1], 1)], 4)["m"].ranks == [1]


@pytest.mark.parametrize("batch", [1, 7, 50, 1000])
def test_batch_sizes_do_not_change_results(batch):
    cases = random_cases()
    report = evaluate_scorers({"m": by_hash}, cases, ITEMS, batch=batch)
    alone = [evaluate_scorers({"m": by_hash}, [one], ITEMS)["m"].ranks[0] for one in cases]
    np.testing.assert_array_equal(report["m"].ranks, alone)
    assert report.users == tuple(f"u{u}" for u in range(50))


def test_oracle_and_its_opposite():
    cases = random_cases()
    answers = {tuple(one.history.rows): one.target for one in cases}

    def oracle(histories):
        return np.eye(ITEMS, dtype=np.float32)[[answers[tuple(history.rows)] for history in histories]]

    report = evaluate_scorers(
        {"oracle": oracle, "opposite": lambda h: -oracle(h), "none": constant([0] * ITEMS)}, cases, ITEMS
    )
    assert report["oracle"].figure("N@5") == report["oracle"].figure("MRR@5") == 1
    assert report["opposite"].figure("R@20") == 0
    unseen = np.array([ITEMS - len(one.history) for one in cases])
    np.testing.assert_array_equal(report["none"].ranks, (unseen + 1) / 2)


def test_items_that_are_not_scored_are_not_found():
    report = evaluate_scorers({"m": constant([1, np.nan, -np.inf, 0])}, [case([], 1), case([], 2), case([], 3)], 4)
    np.testing.assert_array_equal(report["m"].ranks, [np.inf, np.inf, 2])


def test_mixtures_get_the_scores_and_the_allowed_items():
    seen = []

    def mixture(scores, allowed):
        seen.append((set(scores), allowed.sum(axis=1).tolist()))
        return scores["a"] - scores["b"]

    scorers = {"a": constant([0, 1, 2]), "b": constant([0, 5, 0])}
    report = evaluate_scorers(scorers, [case([0], 1)], 3, mixtures={"mix": mixture})
    assert [result.name for result in report.results] == ["a", "b", "mix"]
    assert seen == [({"a", "b"}, [2])]
    assert report["mix"].ranks == [2]


def test_a_target_seen_before_is_ranked_by_mixtures_too():
    def mixture(scores, allowed):
        return np.where(allowed, scores["m"], -np.inf)

    report = evaluate_scorers({"m": constant([5, 4, 3, 2])}, [case([0, 1], 1)], 4, mixtures={"mix": mixture})
    assert report["mix"].ranks == report["m"].ranks == [1]


def test_figures_of_lists_and_costs():
    counts = np.array([7, 3, 2, 0])
    report = evaluate_scorers(
        {"m": constant([4, 3, 2, 1])}, [case([0], 1), case([1], 0)], 4, k=(1,), counts=counts,
        costs={"m": {"train_seconds": 2.0}},
    )  # fmt: skip
    assert report["m"].lists["coverage"] == 0.5  # items 1 and 0 come first
    assert report["m"].lists["popularity"] == 5
    assert report["m"].costs["train_seconds"] == 2
    assert report["m"].costs["score_seconds"] >= 0


def test_progress_counts_cases():
    done = []
    evaluate_scorers({"m": by_hash}, random_cases(10), ITEMS, batch=4, progress=done.append)
    assert done == [4, 4, 2]


def test_wrong_use():
    with pytest.raises(UsageError, match="no cases"):
        evaluate_scorers({"m": by_hash}, [], ITEMS)
    with pytest.raises(UsageError, match=r"m returned scores of shape \(1, 30\), expected \(1, 31\)"):
        evaluate_scorers({"m": by_hash}, [case([0], 1)], ITEMS + 1)


def lists_of(cases, n=20):
    tops = []
    for one in cases:
        allowed = ~np.isin(np.arange(ITEMS), one.history.rows)
        tops.append(Ranking.from_scores(by_hash([one.history])[0], n, allowed).rows)
    return np.stack(tops)


def test_lists_give_the_figures_of_their_scores():
    cases = random_cases()
    more = {"counts": np.arange(ITEMS), "labels": labels_of(np.arange(ITEMS * 4).reshape(ITEMS, 4) % 3 == 0)}
    by_scores = evaluate_scorers({"m": by_hash}, cases, ITEMS, **more)
    by_lists = evaluate_lists("m", lists_of(cases), cases, ITEMS, **more)
    figures = ("coverage", "gini", "novelty", "popularity", "popularity_lift", "diversity", "calibration")
    assert tuple(by_scores["m"].lists) == figures
    for metric in ("R@5", "R@10", "R@20", "N@5", "N@10", "N@20", "MRR@20", *figures):
        assert by_lists["m"].figure(metric) == pytest.approx(by_scores["m"].figure(metric))


def test_figures_that_are_not_defined_are_left_out():
    cases, empty = [case([0], 3), case([1], 2)], np.full((2, 2), -1)
    report = evaluate_lists("m", empty, cases, 4, k=(2,), counts=np.ones(4, int), labels=labels_of(np.eye(4)[:, :1]))
    # The second user's history has no label; the first user's empty list has none of the label wanted.
    assert report["m"].lists == {"coverage": 0.0, "calibration": pytest.approx(np.log(100))}
    assert "NaN" not in report.to_json()


def test_picks_become_lists():
    cases = random_cases(5)
    lists = lists_of(cases)
    users = np.repeat([one.history.user for one in cases], 20)
    places, rows = np.tile(np.arange(1, 21), 5), lists.ravel()
    shuffled = np.random.default_rng(0).permutation(100)
    np.testing.assert_array_equal(lists_from_picks(users[shuffled], places[shuffled], rows[shuffled], cases), lists)
    fewer = lists_from_picks([*users[:3], "stranger"], np.array([1, 2, 3, 1]), np.array([*rows[:3], 9]), cases[:2])
    np.testing.assert_array_equal(fewer, [rows[:3], [-1, -1, -1]])
    with pytest.raises(UsageError, match="ranks must be 1 or more"):
        lists_from_picks(["u0"], np.array([0]), np.array([0]), cases)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1, 2], [1, 2]], "2, 2.* for 1 cases"),
        ([[1]], "cannot be measured at 2"),
        ([[1, 4]], "outside the catalog"),
        ([[-2, 1]], "outside the catalog"),
        ([[1, 1]], "user 'u' repeats an item"),
        ([[0, 1]], "item of the history"),
    ],
)
def test_lists_that_cheat_or_break(lists, message):
    with pytest.raises(UsageError, match=message):
        evaluate_lists("m", np.array(lists), [case([0], 3)], 4, k=(2,))


def test_lists_may_be_short_and_may_repeat_seen_items_if_the_domain_does():
    assert evaluate_lists("m", np.array([[3, -1, -1]]), [case([0], 3)], 4, k=(3,))["m"].ranks == [1]
    assert evaluate_lists("m", np.array([[0, 3]]), [case([0], 3)], 4, k=(2,), repeat=True)["m"].ranks == [2]
