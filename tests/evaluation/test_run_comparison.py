"""Comparing trained recommenders: what differs is said, what cannot be compared is refused with the reason."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import altered

from genre_gen.blending.blend import Blend
from genre_gen.errors import CheckpointError, SourceError, UnknownItemError, UnknownUserError, UsageError
from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.report import Report, Result
from genre_gen.evaluation.run_comparison import compare_runs
from genre_gen.evaluation.significance import paired_test
from tests.data.test_html_table import Page

USERS = tuple(map(str, range(40)))
SPLIT = "leave-one-out, test"


@pytest.fixture(scope="module")
def by_ease(saved, tmp_path_factory):
    """Return a run whose lists are EASE's."""
    return run_of(saved, tmp_path_factory.mktemp("runs") / "ease", "ease")


@pytest.fixture(scope="module")
def by_popularity(saved, tmp_path_factory):
    """Return the same by popularity, with another setting."""
    return run_of(saved, tmp_path_factory.mktemp("runs") / "popular", "popularity", {"rerank.weight": 0.75})


def run_of(saved, folder, member, settings=None):
    from genre_gen import Recommender

    blend = Blend({"llm": 0.0, "ease": 0.0, "popularity": 0.0, member: 1.0})
    altered(Recommender.from_pretrained(saved), settings, {"blend": blend}).save_pretrained(folder)
    return folder


@pytest.fixture
def runs(by_ease, by_popularity, tmp_path):
    """Return copies of both."""
    return [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in (by_ease, by_popularity)]


def evaluated(folder, ranks, users=USERS, targets=None, name=GENRE, **changes):
    targets = np.zeros(len(users), np.int64) if targets is None else np.asarray(targets)
    report = Report((Result(name, np.asarray(ranks, float)),), (5, 10), 40, tuple(users), targets, "movies", SPLIT)
    (folder / "evaluation.json").write_text(replace(report, **changes).to_json())


def test_equal_runs_differ_in_nothing(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "copy")
    found = compare_runs([saved, copy])
    assert found.runs == ("movies", "copy")
    assert found["settings"].rows == {}
    for section in found.sections:
        assert all(first == second for first, second in section.rows.values())
    (lists,) = found.lists
    assert (lists.users, lists.overlap, lists.rank_biased_overlap, lists.other_top_pick) == (30, 1, 1, 0)
    assert lists.examples == ()
    assert "settings: no difference" in found.text()


def test_what_differs_is_said(runs, tiny_recommender):
    found = compare_runs(runs)
    state = tiny_recommender.state
    assert found["data"].rows["items"] == (40, 40)
    assert found["data"].rows["users"] == (30, 30)
    assert found["data"].rows["interactions"] == (len(state.trained_on),) * 2
    assert found["settings"].rows == {"rerank.weight": (state.domain.rerank.weight, 0.75)}
    assert found["members"].rows["weight ease"] == (1.0, 0.0)
    best = max(entry["ndcg@10"] for entry in state.training_log if entry["epoch"] > 0)
    assert found["training"].rows["best NDCG@10"] == (best, best)
    text = found.text()
    for part in ("rerank.weight", "weight popularity", "seconds llm", "lists of popular against ease, 30 users"):
        assert part in text
    assert json.loads(json.dumps(found.to_dict()))["settings"]["rerank.weight"][1] == 0.75
    page = Page(found._repr_html_())
    assert "rerank.weight" in page.text


def test_lists_are_those_that_the_runs_give(runs):
    from genre_gen import Recommender

    (lists,) = compare_runs(runs, users=["17", "4"], n=5).lists
    recommenders = [Recommender.from_pretrained(folder) for folder in runs]
    picks = {
        user: [[pick.item.title for pick in recommender.recommend(user, n=5)] for recommender in recommenders]
        for user in ("17", "4")
    }
    assert lists.users == 2
    assert lists.overlap == np.mean([len({*first} & {*second}) / 5 for first, second in picks.values()])
    assert lists.other_top_pick == np.mean([first[0] != second[0] for first, second in picks.values()])
    for example in lists.examples:
        assert [list(example.first), list(example.second)] == picks[example.user]


def test_without_histories_of_users_some_can_be_given(saved, tmp_path):
    from genre_gen import Interactions, Recommender

    recommender = Recommender.from_pretrained(saved)
    nobody = Interactions([], np.zeros(1, np.int64), np.zeros(0, np.int64), len(recommender.state.catalog))
    altered(recommender, histories=nobody).save_pretrained(tmp_path / "bare")
    found = compare_runs([saved, tmp_path / "bare"])
    assert found.lists == ()
    assert found.notes == ("lists are not compared: bare has no histories of users; give some",)
    found = compare_runs([saved, tmp_path / "bare"], histories=[["Toy Story (1995)"], ["Heat", ("Alien", 5)]], n=3)
    assert (found.lists[0].users, found.lists[0].overlap, found.notes) == (2, 1, ())
    assert compare_runs([saved, tmp_path / "bare"], users=0).notes == ()


def test_a_history_by_hand(runs):
    (lists,) = compare_runs(runs, histories=[["Toy Story (1995)"]], n=3).lists
    assert lists.users == 1
    assert lists.examples[0].user == "history 1"


def test_metrics_are_tested_on_the_users_of_both(runs):
    rng = np.random.default_rng(3)
    ranks = rng.integers(1, 20, (2, 40)).astype(float)
    evaluated(runs[0], ranks[0])
    evaluated(runs[1], ranks[1, 10:][::-1], users=USERS[10:][::-1])
    found = compare_runs(runs, users=0)
    (test,) = found.tests
    ndcg = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0)[:, 10:]
    assert (test.run, test.metric, test.users) == ("popular", "N@10", 30)
    assert test.difference == pytest.approx(ndcg[1].mean() - ndcg[0].mean())
    assert test.p == test.corrected == paired_test(ndcg[1], ndcg[0])
    assert found["metrics"].rows["users"] == (40, 30)
    assert set(found["metrics"].rows) == {"users", "R@5", "R@10", "N@5", "N@10"}
    assert "popular: N@10" in found.text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"split": "global-time, test"}, "'leave-one-out, test' and 'global-time, test' are different questions"),
        ({"repeat": True}, "with seen items are different questions"),
        ({"targets": np.arange(40)}, "39 of the 40 users in both have different items to find"),
        ({"users": tuple(f"u{number}" for number in range(40))}, "no user is in both evaluations"),
    ],
)
def test_other_cases_are_not_tested_and_the_reason_is_said(runs, changes, reason):
    evaluated(runs[0], np.ones(40))
    evaluated(runs[1], np.full(40, 7.0), **changes)
    found = compare_runs(runs, users=0)
    assert found.tests == ()
    (note,) = found["metrics"].notes
    assert note.startswith("popular is not tested against ease: ")
    assert reason in note
    assert found["metrics"].rows["N@10"][0] == 1


def test_evaluations_that_are_missing_damaged_or_old_are_named(runs):
    notes = compare_runs(runs, users=0)["metrics"].notes
    assert notes == tuple(f"{name} has no evaluation.json: evaluate it first" for name in ("ease", "popular"))
    (runs[0] / "evaluation.json").write_text("{}")
    evaluated(runs[1], np.ones(40), notes={"blend": {"ease": 1.0}})
    broken, old = compare_runs(runs, users=0)["metrics"].notes
    assert broken.startswith("ease: evaluation.json cannot be compared: this is not a report")
    assert old == "popular: evaluation.json is of a blend with other weights; evaluate it again"
    evaluated(runs[0], np.ones(40), name="picks.parquet")
    assert "no model 'GENRE'" in compare_runs(runs, users=0)["metrics"].notes[0]


def test_three_runs_are_each_compared_with_the_first(runs, saved):
    for number, folder in enumerate(runs):
        evaluated(folder, np.full(40, 1.0 + number))
    third = shutil.copytree(saved, runs[0].parent / "third")
    evaluated(third, np.full(40, 3.0))
    found = compare_runs([*runs, third], users=3)
    assert [lists.run for lists in found.lists] == ["popular", "third"]
    assert [test.corrected for test in found.tests] == [2 * test.p for test in found.tests]
    assert all(len(values) == 3 for section in found.sections for values in section.rows.values())


def test_runs_of_one_name_are_told_apart_and_mistakes_refused(runs, tmp_path):
    again = shutil.copytree(runs[0], tmp_path / "x" / "ease")
    assert compare_runs([runs[0], again], users=0).runs == (runs[0].as_posix(), again.as_posix())
    with pytest.raises(UsageError, match="at least two folders"):
        compare_runs(runs[:1])
    with pytest.raises(CheckpointError, match=r"no manifest"):
        compare_runs([runs[0], tmp_path / "none"])
    with pytest.raises(UnknownUserError, match="no user 'nobody'"):
        compare_runs(runs, users=["nobody"])
    with pytest.raises(UnknownItemError, match="Aliem"):
        compare_runs(runs, histories=[["Aliem"]])


def test_what_cannot_be_loaded_is_compared_without_its_lists(runs, monkeypatch):
    def gone(name):
        raise SourceError(f"{name} is not here")

    monkeypatch.setattr("genre_gen.recommender.loading.ensure_model", gone)
    found = compare_runs(runs)
    assert found["settings"].rows
    assert found.lists == ()
    assert found.notes[0].startswith("lists are not compared: ")
    assert found.notes[0].endswith("is not here")
