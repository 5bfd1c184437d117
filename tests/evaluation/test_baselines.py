import json

import numpy as np
import pytest
from fakes import altered

from genre_gen.blending.blend import Blend
from genre_gen.collaborative import MEMBERS, EpochModel
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import leave_one_out
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM, rating_errors, report_text, write_report
from genre_gen.evaluation.picks import evaluate_picks
from genre_gen.evaluation.report import Report
from genre_gen.recommender.recommender import Recommender
from genre_gen.training.members import new_member


@pytest.fixture(scope="module")
def split(dataset):
    return dataset.leave_one_out()


@pytest.fixture(scope="module")
def report(tiny_recommender, split):
    return tiny_recommender.evaluate(split, (5, 10, 20))


def test_the_table_has_ours_its_parts_and_every_classic_model(report, tiny_recommender, split):
    quick = {name for name, kind in MEMBERS.items() if not issubclass(kind, EpochModel)}
    assert quick == MEMBERS.keys() - {"sasrec"}
    assert {result.name for result in report.results} == {GENRE, LLM_ALONE, WITHOUT_LLM, *quick}
    assert report.k == (5, 10, 20)
    assert report.n_items == 40
    assert report.users == tuple(case.history.user for case in split.test)
    assert report.notes["blend"] == dict(tiny_recommender.state.blend.weights)
    assert report.notes["prompt"] == tiny_recommender.state.book.fingerprint("next_item")
    assert report.caption().startswith("movies, leave-one-out, test, 30 users")
    figures = [result.figure("N@10") for result in report.results]
    assert figures == sorted(figures, reverse=True)


@pytest.mark.parametrize("tuned", [True, False])
def test_baselines_have_their_settings_chosen_as_members_have(mixed, split, monkeypatch, tuned):
    asked, made = [], []

    def tune(make, interactions, cases, *, repeat):
        model = make({})
        asked.append((model.name, interactions, cases, repeat))
        return model, {"shrink": 7.0} if model.name == "item_knn" else {}

    def note(name, *arguments, **options):
        made.append((name, options))
        return new_member(name, *arguments, **options)

    monkeypatch.setattr("genre_gen.evaluation.baselines.tune", tune)
    monkeypatch.setattr("genre_gen.evaluation.baselines.new_member", note)
    altered(mixed, {"blend.tune": tuned}).evaluate(split)
    assert "item_knn" not in mixed.state.members
    assert (("item_knn", {"shrink": 7.0}) in made) == tuned
    assert all(arguments[1:] == (split.train, split.validation, mixed.domain.repeat) for arguments in asked)
    assert bool(asked) == tuned


def test_ranks_are_those_of_the_recommended_lists(mixed, split):
    report = mixed.evaluate(split, baselines=False)
    assert set(mixed.state.members) < {result.name for result in report.results}
    answers = mixed.recommend(users=[case.history for case in split.test], n=40)
    for case, rank, (_, picks) in zip(split.test, report[GENRE].ranks, answers, strict=True):
        assert mixed.state.catalog.row(picks[int(rank) - 1].item.id) == case.target


def test_validation_and_test_are_different_questions(tiny_recommender, split, report):
    validation = tiny_recommender.evaluate(split, 1, part="validation", baselines=False)
    assert "validation" in validation.caption()
    assert validation.k == (1,)
    assert not np.array_equal(validation.targets, report.targets)


def test_beyond_accuracy(report):
    names = ("coverage", "gini", "novelty", "popularity", "popularity_lift", "diversity", "calibration")
    for result in json.loads(report.to_json())["results"]:
        assert tuple(result["lists"]) == names
    assert 0 < report[GENRE].figure("diversity") < 1
    assert report["popularity"].figure("popularity_lift") > 0
    assert report.table(metrics=["N@10", "diversity", "calibration"]).startswith("| model | N@10 | diversity | calibr")


def test_training_time_is_reported_for_all_and_once_for_ours(report, tiny_recommender):
    assert report[GENRE].costs["train_seconds"] == pytest.approx(sum(tiny_recommender.state.seconds.values()))
    assert report[LLM_ALONE].costs["train_seconds"] == tiny_recommender.state.seconds["llm"]
    assert report["item_knn"].costs["train_seconds"] > 0


def trained_on(recommender, interactions):
    return altered(recommender, trained_on=interactions)


def test_a_recommender_that_has_seen_the_answers_is_refused(tiny_recommender, dataset, split):
    for interactions, part, message in (
        (dataset.interactions, "test", "learned from 335 interactions, but the leave-one-out split leaves 305"),
        (split.train_and_validation, "validation", "trained for, on the test part"),
    ):
        with pytest.raises(UsageError, match=message):
            trained_on(tiny_recommender, interactions).evaluate(split, part=part)
    assert trained_on(tiny_recommender, split.train_and_validation).evaluate(split, baselines=False).results
    with pytest.raises(UsageError, match="evaluate with the split that it was trained for"):
        tiny_recommender.evaluate(dataset.global_time())


def test_a_global_time_split_is_evaluated_if_the_model_was_trained_for_it(tiny_recommender, dataset):
    split = dataset.global_time()
    report = trained_on(tiny_recommender, split.train).evaluate(split, baselines=False)
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
    assert report_text(again).splitlines()[-1].startswith("all of these, blended")


def write_lines(file, lines):
    file.write_text(
        "".join(json.dumps(dict(zip(("user", "rank", "item"), line, strict=True))) + "\n" for line in lines)
    )


def test_picks_of_any_origin_are_evaluated(tiny_recommender, split, tmp_path):
    ids = [item.id for item in tiny_recommender.state.catalog]
    lines = []
    for number, case in enumerate(split.test):
        others = [row for row in range(40) if row not in case.history.rows and row != case.target]
        chosen = others[:10]
        chosen[number % 10] = case.target  # found at place 1 + number % 10
        lines += [(case.history.user, place, ids[row]) for place, row in enumerate(chosen, start=1)]
    lines.append(("a user without a case", 1, ids[0]))
    write_lines(tmp_path / "a.jsonl", lines)
    report = evaluate_picks(tiny_recommender.state, split, "test", tmp_path / "a.jsonl")
    assert report.k == (5, 10)
    assert report.results[0].ranks.tolist() == [1 + number % 10 for number in range(30)]
    assert report.results[0].figure("R@5") == 0.5
    assert report.results[0].figure("R@10") == 1.0
    write_report(report, tmp_path)
    write_lines(tmp_path / "b.jsonl", [line for line in lines if line[1] <= 3])
    assert evaluate_picks(tiny_recommender.state, split, "test", tmp_path / "b.jsonl").k == (3,)


def test_picks_that_break_the_rules_are_refused(tiny_recommender, split, tmp_path):
    case, file = split.test[0], tmp_path / "a.jsonl"
    user, ids = case.history.user, [item.id for item in tiny_recommender.state.catalog]
    seen, other = ids[int(case.history.rows[0])], ids[case.target]
    for lines, error, message in [
        ([(user, 1, "none such")], DataError, r"none of its items \(such as 'none such'\) is in the catalog"),
        ([(user, 1, seen)], UsageError, "items that the user had before"),
        ([(user, 0, other)], UsageError, "ranks must be 1 or more"),
        ([(user, 1, other), (user, 1, "7")], UsageError, f"user '{user}' has two picks with rank 1"),
        ([(user, 2_000_000_000, other)], UsageError, "a rank of 2,000,000,000, but the catalog has 40"),
    ]:
        write_lines(file, lines)
        with pytest.raises(error, match=message):
            evaluate_picks(tiny_recommender.state, split, "test", file)


def test_rating_errors_are_reported_for_each_rater(mixed, split):
    errors = rating_errors(mixed.state, split, "test")
    truth = np.array([case.rating for case in split.test])
    svd = mixed.state.rating_models["svd"]
    predicted = np.array([svd.predict(case.history, [case.target])[0].rating for case in split.test])
    assert len(errors) == 4
    assert errors["Surprise SVD, folded in"]["rmse"] == pytest.approx(np.sqrt(((predicted - truth) ** 2).mean()))
    assert all(0 < error["mae"] <= error["rmse"] < 4 for error in errors.values())
    assert list(errors)[-1] == "all of these, blended"
    assert rating_errors(altered(mixed, tuned={"ratings": None}).state, split, "test") == {}


def test_repeatable_items_of_the_history_are_ranked_too(mixed, split):
    report, repeated = (one.evaluate(split, baselines=False) for one in (mixed, altered(mixed, {"repeat": True})))
    assert (report.repeat, repeated.repeat) == (False, True)
    assert (repeated[GENRE].ranks >= report[GENRE].ranks).all()
    assert repeated[GENRE].ranks.tolist() != report[GENRE].ranks.tolist()


def test_without_members_the_language_model_is_all_there_is_to_evaluate(mixed, split):
    blend = Blend({"llm": 1.0})
    alone = altered(mixed, tuned={"blend": blend, "blend_without_llm": blend}, members={})
    report = alone.evaluate(split, baselines=False)
    assert {result.name for result in report.results} == {GENRE, LLM_ALONE}
    assert np.array_equal(report[GENRE].ranks, report[LLM_ALONE].ranks)


def rated_as(known, rate, rows=None):
    """Return the same interactions with other ratings, by user and place from the end, and other items if given."""
    from_end = known.offsets[1:][known.owners] - np.arange(len(known))  # 1: the user's last
    ratings = np.array([rate(owner, left) for owner, left in zip(known.owners, from_end, strict=True)], np.float32)
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
def test_svd_takes_the_ratings_that_raters_take_as_a_member_and_as_a_baseline(tiny_domain, sample, kind, members):
    make, changes = ODD_RATINGS[kind]
    one_task = {"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}}
    domain = tiny_domain.changed({**one_task, "ratings.members": ["knn_baseline"], "blend.members": members, **changes})
    interactions = make(sample[1])
    split = leave_one_out(interactions, sample[0])
    recommender = Recommender(domain).fit(split)
    if kind == "held out ones alone" and members == ["svd"]:
        members = []
    assert list(recommender.state.members) == members
    report = recommender.evaluate(split)
    assert ("svd" in {result.name for result in report.results}) == (kind != "held out ones alone")
    assert recommender.recommend(interactions.users[0], n=2, explain=True)
