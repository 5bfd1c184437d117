import json

import numpy as np
import pytest

from genre_gen.collaborative import MEMBERS, EpochModel
from genre_gen.data.interactions import Interactions
from genre_gen.errors import UnknownItemError, UsageError
from genre_gen.evaluation import evaluate
from genre_gen.evaluation.baselines import (
    CUTOFFS,
    GENRE,
    LLM_ALONE,
    WITHOUT_LLM,
    evaluate_recommender,
    rating_errors,
    write_report,
)
from genre_gen.evaluation.picks import evaluate_picks
from genre_gen.evaluation.report import Report
from genre_gen.recommender.recommender import Recommender


@pytest.fixture(scope="module")
def split(sample):
    return sample[1].leave_one_out()


@pytest.fixture(scope="module")
def report(tiny_recommender, split):
    return evaluate_recommender(tiny_recommender, split, "test")


def test_the_table_has_ours_its_parts_and_every_classic_model(report, tiny_recommender, split):
    quick = {name for name, kind in MEMBERS.items() if not issubclass(kind, EpochModel)}
    assert quick == MEMBERS.keys() - {"sasrec"}
    assert {result.name for result in report.results} == {GENRE, LLM_ALONE, WITHOUT_LLM, *quick}
    assert report.k == CUTOFFS
    assert report.n_items == 40
    assert report.users == tuple(case.history.user for case in split.test)
    assert report.notes["blend"] == dict(tiny_recommender.blend.weights)
    assert report.notes["prompt"] == tiny_recommender.book.fingerprint("next_item")
    assert report.caption().startswith("movies, leave-one-out, test, 30 users")
    figures = [result.figure("N@10") for result in report.results]
    assert figures == sorted(figures, reverse=True)


@pytest.mark.parametrize("tuned", [True, False])
def test_peers_have_their_settings_chosen_as_members_have(mixed, split, monkeypatch, tuned):
    asked = []

    def tune(make, interactions, cases, *, repeat):
        model = make({})
        asked.append((model.name, interactions, cases, repeat))
        return model, {"shrink": 7.0} if model.name == "item_knn" else {}

    made = []
    new_member = type(mixed).new_member
    monkeypatch.setattr("genre_gen.evaluation.baselines.tune", tune)
    monkeypatch.setattr(mixed, "domain", mixed.domain.changed({"blend.tune": tuned}))
    monkeypatch.setattr(
        mixed, "new_member", lambda name, **options: made.append((name, options)) or new_member(mixed, name, **options)
    )
    evaluate_recommender(mixed, split, "test")
    assert "item_knn" not in mixed.members
    assert (("item_knn", {"shrink": 7.0}) in made) == tuned
    assert all(one[1:] == (split.train, split.validation, mixed.domain.repeat) for one in asked)
    assert bool(asked) == tuned


def test_ranks_are_the_places_in_what_is_recommended(mixed, split):
    report = evaluate_recommender(mixed, split, "test", peers=False)
    assert set(mixed.members) < {result.name for result in report.results}
    for case, rank in zip(split.test, report[GENRE].ranks, strict=True):
        picks = next(mixed.recommend_many([case.history], 40))
        assert mixed.catalog.row(picks[int(rank) - 1].item.id) == case.target


def test_validation_and_test_are_different_questions(tiny_recommender, split, report):
    validation = evaluate_recommender(tiny_recommender, split, "validation", peers=False)
    assert "validation" in validation.caption()
    assert not np.array_equal(validation.targets, report.targets)


def test_beyond_accuracy(report):
    names = ("coverage", "gini", "novelty", "popularity", "popularity_lift", "diversity", "calibration")
    for result in json.loads(report.to_json())["results"]:
        assert tuple(result["lists"]) == names
    assert 0 < report[GENRE].figure("diversity") < 1
    assert report["popularity"].figure("popularity_lift") > 0
    assert report.table(metrics=["N@10", "diversity", "calibration"]).startswith("| model | N@10 | diversity | calibr")


def test_training_time_is_told_of_all_and_only_once_of_ours(report, tiny_recommender):
    assert report[GENRE].costs["train_seconds"] == pytest.approx(sum(tiny_recommender.seconds.values()))
    assert report[LLM_ALONE].costs["train_seconds"] == tiny_recommender.seconds["llm"]
    assert report["item_knn"].costs["train_seconds"] > 0


def test_a_recommender_that_has_seen_the_answers_is_refused(tiny_domain, sample, tiny_recommender):
    catalog, interactions = sample
    settings = {"training.epochs": 1}
    all_seen = Recommender.from_domain(tiny_domain, settings=settings).fit(catalog, interactions)
    for evaluated in (evaluate_recommender, lambda one, split, part: evaluate(one, split, part=part)):
        with pytest.raises(UsageError, match="learned from 335 interactions, but the leave-one-out split leaves 305"):
            evaluated(all_seen, interactions.leave_one_out(), "test")
    with pytest.raises(UsageError, match="evaluate with the split that it was trained for"):
        evaluate_recommender(tiny_recommender, interactions.global_time(), "test")


def test_a_global_time_split_is_evaluated_where_it_was_trained_for(tiny_domain, sample):
    catalog, interactions = sample
    split = interactions.global_time()
    recommender = Recommender.from_domain(tiny_domain, settings={"training.epochs": 1})
    recommender.fit(catalog, split.train, split.validation, histories=interactions)
    report = evaluate_recommender(recommender, split, "test", peers=False)
    assert report.split == "global-time, test"
    assert len(report.users) == len(split.test)


def test_the_report_is_written_whole_and_drawn(report, tmp_path):
    text, picture = write_report(report, tmp_path / "new" / "folder")
    content = json.loads(text.read_text())
    assert content["data"] == "movies"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 5000
    again = Report.from_json(text.read_text())
    assert str(again) == str(report)


def write_lines(file, lines):
    file.write_text(
        "".join(json.dumps(dict(zip(("user", "rank", "item"), line, strict=True))) + "\n" for line in lines)
    )


def test_picks_of_any_origin_are_evaluated(tiny_recommender, split, tmp_path):
    ids = [item.id for item in tiny_recommender.catalog]
    lines = []
    for number, case in enumerate(split.test):
        others = [row for row in range(40) if row not in case.history.rows and row != case.target]
        chosen = others[:10]
        chosen[number % 10] = case.target  # found at place 1 + number % 10
        lines += [(case.history.user, place, ids[row]) for place, row in enumerate(chosen, start=1)]
    lines.append(("a user without a case", 1, ids[0]))
    write_lines(tmp_path / "a.jsonl", lines)
    report = evaluate_picks(tiny_recommender, split, "test", tmp_path / "a.jsonl")
    assert report.k == (5, 10)
    assert report.results[0].ranks.tolist() == [1 + number % 10 for number in range(30)]
    assert report.results[0].figure("R@5") == 0.5
    assert report.results[0].figure("R@10") == 1.0
    write_report(report, tmp_path)
    write_lines(tmp_path / "b.jsonl", [line for line in lines if line[1] <= 3])
    assert evaluate_picks(tiny_recommender, split, "test", tmp_path / "b.jsonl").k == (3,)


def test_picks_that_break_the_rules_are_refused(tiny_recommender, split, tmp_path):
    case, file = split.test[0], tmp_path / "a.jsonl"
    user, ids = case.history.user, [item.id for item in tiny_recommender.catalog]
    seen, other = ids[int(case.history.rows[0])], ids[case.target]
    for lines, error, message in [
        ([(user, 1, "none such")], UnknownItemError, "no item with id 'none such'"),
        ([(user, 1, other), (user, 2, other)], UsageError, "an item twice"),
        ([(user, 1, seen)], UsageError, "an item of the history"),
        ([(user, 0, other)], UsageError, "places from 1 on"),
        ([(user, 1, other), (user, 1, "7")], UsageError, f"user '{user}' has two picks at rank 1"),
        ([(user, 2_000_000_000, other)], UsageError, "a rank of 2,000,000,000, but the catalog has 40"),
    ]:
        write_lines(file, lines)
        with pytest.raises(error, match=message):
            evaluate_picks(tiny_recommender, split, "test", file)


def test_rating_errors_are_told_of_each_way_to_predict(mixed, split):
    errors = rating_errors(mixed, split, "test")
    assert len(errors) == 4
    truth = np.array([one.rating for one in split.test])
    said = np.array([mixed.members["svd"].predict(one.history, [one.target])[0].rating for one in split.test])
    assert errors["Surprise SVD, folded in"]["rmse"] == pytest.approx(np.sqrt(((said - truth) ** 2).mean()))
    assert all(0 < one["mae"] <= one["rmse"] < 4 for one in errors.values())
    assert list(errors)[-1] == "all of these, blended"
    mixed.raters.blend = None
    assert rating_errors(mixed, split, "test") == {}


def test_what_has_learned_the_validation_items_answers_for_the_test_part_only(tiny_domain, sample):
    catalog, interactions = sample
    split = interactions.leave_one_out()
    final = Recommender.from_domain(tiny_domain).fit(
        catalog, split.train, split.validation, final=split.train_and_validation
    )
    assert len(final.trained_on) == len(split.train_and_validation)
    assert evaluate_recommender(final, split, "test", peers=False).results
    assert evaluate(final, split).results
    for evaluated in (evaluate_recommender, lambda one, split, part: evaluate(one, split, part=part)):
        with pytest.raises(UsageError, match="trained for, on the test part"):
            evaluated(final, split, "validation")


def test_both_ways_to_evaluate_give_the_same_where_items_repeat(mixed, split):
    mixed.domain = mixed.domain.changed({"repeat": True})
    whole, ours = evaluate_recommender(mixed, split, "test", peers=False), evaluate(mixed, split, k=CUTOFFS)
    assert whole.repeat
    assert ours.repeat
    assert ours[GENRE].ranks.tolist() == whole[GENRE].ranks.tolist()
    assert evaluate(mixed, split, repeat=False)[GENRE].ranks.tolist() != ours[GENRE].ranks.tolist()


def test_without_members_the_language_model_is_all_there_is_to_evaluate(tiny_domain, sample):
    split = sample[1].leave_one_out()
    settings = {"training.epochs": 1, "blend.members": []}
    alone = Recommender.from_domain(tiny_domain, settings=settings).fit(sample[0], split.train, split.validation)
    report = evaluate_recommender(alone, split, "test", peers=False)
    assert {result.name for result in report.results} == {GENRE, LLM_ALONE}
    assert np.array_equal(report[GENRE].ranks, report[LLM_ALONE].ranks)


def rated_as(known, rate, rows=None):
    """Return the same interactions with other ratings, by user and place from the end, and other items if given."""
    lengths = np.diff(known.offsets)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    left = np.repeat(known.offsets[1:], lengths) - np.arange(len(known))  # 1: the user's last
    ratings = np.array([rate(owner, place) for owner, place in zip(owners, left, strict=True)], np.float32)
    return Interactions(
        known.users, known.offsets, known.rows if rows is None else rows, known.n_items, ratings, known.times
    )


NO_SCALE = {"rating_scale": None, "liked_from": None}
ODD_RATINGS = {
    "items again": (lambda known: rated_as(known, lambda _, left: 1 + left % 5, known.rows % 9), {"repeat": True}),
    "held out ones higher": (lambda known: rated_as(known, lambda _, left: 5 if left < 3 else 1 + left % 3), NO_SCALE),
    "held out ones alone": (lambda known: rated_as(known, lambda _, left: 4 if left < 3 else np.nan), {}),
    "the end of a scale": (
        lambda known: rated_as(known, lambda _, left: 4.3 if left % 2 else 0.7),
        {"rating_scale": [0.7, 4.3]},
    ),
    "one user's": (
        lambda known: rated_as(known, lambda owner, _: np.nan if owner else 4),
        {"training.distillation": 0.3},
    ),
}


@pytest.mark.parametrize("members", [["svd"], ["ease"]])
@pytest.mark.parametrize("kind", ODD_RATINGS)
def test_svd_takes_the_ratings_that_raters_take_as_a_member_and_as_a_peer(tiny_domain, sample, kind, members):
    make, changes = ODD_RATINGS[kind]
    one_task = {"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}}
    domain = tiny_domain.changed({**one_task, "ratings.members": ["knn_baseline"], "blend.members": members, **changes})
    known = make(sample[1])
    split = known.leave_one_out()
    recommender = Recommender.from_domain(domain)
    if kind == "held out ones alone" and members == ["svd"]:
        members = []
    recommender.fit(sample[0], split.train, split.validation, histories=known)
    assert list(recommender.members) == members
    report = evaluate_recommender(recommender, split, "test")
    assert ("svd" in {result.name for result in report.results}) == (kind != "held out ones alone")
    assert recommender.recommend(known.users[0], explain=True)
