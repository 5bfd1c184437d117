"""A recommender without histories: what it still answers, what it says of what it cannot, and what it holds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import altered
from safetensors.numpy import load_file

from genre_gen import Dataset, Recommender, Request
from genre_gen.collaborative import Ease, ease
from genre_gen.errors import UnknownUserError, UsageError
from genre_gen.explain.counts import MIN_USERS, InteractionCounts
from genre_gen.explain.shared_counts import SharedCounts
from genre_gen.recommender.batch import write_picks

BY_HAND = (
    ["Toy Story (1995)", ("Alien (1979)", 4), ("Heat (1995)", 2)],
    [("Matrix, The (1999)", 5), ("Alien (1979)", 5), ("Aliens (1986)", 4)],
    ["Up"],
    [],
)


def timeless(explanation):
    return explanation and replace(explanation, seconds=0.0)


def answers(recommender, history, **options):
    picks = recommender.recommend(history, **options)
    return [replace(pick, explanation=timeless(pick.explanation)) for pick in picks], picks.notes


@pytest.fixture
def shared(mixed, tmp_path):
    """Return that recommender, saved and loaded without histories."""
    mixed.save_pretrained(tmp_path / "shared", histories=False)
    return Recommender.from_pretrained(tmp_path / "shared")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"where": "year >= 1990"},
        {"query": "a comedy from the 90s"},
        {"explain": True, "n": 30},
        {"exclude": ["Up"]},
    ],
)
def test_histories_by_hand_are_answered_as_before(mixed, shared, options):
    for history in BY_HAND:
        assert answers(shared, history, **options) == answers(mixed, history, **options)


def test_weights_by_users_are_not_shared(mixed, tmp_path, monkeypatch):
    monkeypatch.setattr(ease, "DENSE_ITEMS", 0)
    state = mixed.state
    by_users = Ease().fit(state.trained_on)
    mine = Recommender.from_state(replace(state, members={**state.members, "ease": by_users}))
    mine.save_pretrained(tmp_path / "shared", histories=False)
    files = {file.name: load_file(file) for file in (tmp_path / "shared" / "members").iterdir()}
    assert by_users.arrays().keys() == {"seen.indices", "seen.indptr", "kernel", "explained"}
    assert files["ease.safetensors"].keys() == {"weights.data", "weights.indices", "weights.indptr"}
    assert len(Recommender.from_pretrained(tmp_path / "shared").recommend(BY_HAND[0], n=3)) == 3
    mine.save_pretrained(tmp_path / "own")
    assert answers(Recommender.from_pretrained(tmp_path / "own"), BY_HAND[0]) == answers(mine, BY_HAND[0])


def test_histories_of_the_data_given_by_hand_get_the_same_explanations(mixed, shared):
    for history in mixed.state.histories.histories():
        given = replace(history, user=None)
        assert answers(shared, given, explain=True) == answers(mixed, given, explain=True)


def test_every_other_verb_answers_as_before(mixed, shared):
    history = BY_HAND[0]
    for ask in (
        lambda recommender: recommender.predict(history, "9"),
        lambda recommender: recommender.similar("9"),
        lambda recommender: recommender.profile(history),
        lambda recommender: recommender.fits(history, "9"),
        lambda recommender: recommender.intent(history),
        lambda recommender: timeless(recommender.explain(history, "9")),
        lambda recommender: recommender.attribute(history, "9"),
        lambda recommender: recommender.compare(history, "9", "12").text,
        lambda recommender: recommender.state.cold_items.tolist(),
    ):
        assert ask(shared) == ask(mixed)


def test_the_free_style_is_checked_against_the_counts(mixed, shared):
    free, expected = (altered(each, {"explain.style": "free"}) for each in (shared, mixed))
    assert answers(free, BY_HAND[1], explain=True, n=3) == answers(expected, BY_HAND[1], explain=True, n=3)


def test_a_user_id_is_answered_as_a_stranger_with_a_note(mixed, shared):
    picks = shared.recommend("17")
    assert list(picks) == list(mixed.recommend(None))
    assert "this recommender came without histories of users: give a history of titles" in picks.notes[0]
    with pytest.raises(UnknownUserError, match="came without histories; give one of titles"):
        shared.explain("17", "9")
    assert shared.explain(BY_HAND[0], "9")


def test_files_of_picks_need_histories(shared, tmp_path):
    with pytest.raises(UsageError, match="no users to recommend to: this recommender came without histories"):
        write_picks(shared.state, None, Request(), tmp_path / "picks.jsonl", progress=False)


def test_it_is_evaluated_on_the_data_that_it_learned_from(mixed, shared, dataset):
    split = dataset.leave_one_out()
    expected = mixed.evaluate(split, baselines=False)
    assert shared.evaluate(split, baselines=False).summary() == expected.summary()
    other = Dataset(dataset.domain, dataset.catalog, dataset.interactions.keep(dataset.interactions.owners > 0))
    with pytest.raises(UsageError, match="not of the data that it learned from; to evaluate it, load that data"):
        shared.evaluate(other.leave_one_out())


def test_its_tuned_settings_train_on_new_data(shared, tiny_domain, dataset):
    domain = tiny_domain.changed({"training.epochs": 1})
    newer = Recommender(domain).fit(dataset.hold_out_last(), tuned=shared.state.tuned)
    assert newer.state.blend == shared.state.blend
    assert newer.recommend("17")


def test_saved_again_it_is_the_same(shared, tmp_path):
    shared.save_pretrained(tmp_path / "again")
    for file in (tmp_path / "shared").rglob("*"):
        again = tmp_path / "again" / file.relative_to(tmp_path / "shared")
        if file.name == "recommender.json":  # in which 1 may stand for 1.0
            assert json.loads(again.read_text()) == json.loads(file.read_text())
        elif file.is_file() and file.name != "manifest.json":
            assert again.read_bytes() == file.read_bytes(), file


def test_no_array_is_by_user(mixed, shared, tmp_path):
    """User ids and lists are nowhere, and nothing has an entry for each user, whose number no other array shares."""
    users = len(mixed.state.histories.users)
    assert users == 30
    assert len(mixed.state.catalog) == 40
    svd = {name: array.shape for name, array in load_file(tmp_path / "shared" / "members" / "svd.safetensors").items()}
    assert svd["user_bias"] == (0,)
    assert svd["user_factors"][0] == 0
    for file in (tmp_path / "shared").rglob("*.safetensors"):
        assert not [name for name, array in load_file(file).items() if array.shape[:1] == (users,)], file
    settings = json.loads((tmp_path / "shared" / "recommender.json").read_text())
    assert settings["shared"]["data"] == {
        "users": 30, "interactions": 335, "ratings": 335, "since": "2023-12-18", "until": "2024-11-15",
    }  # fmt: skip


def test_no_path_of_this_machine_is_kept(mixed, tmp_path):
    paths = {"data.path": "/home/me/secret", "data.items": "../secret.csv", "knowledge.triples": "~/secret.csv"}
    altered(mixed, paths).save_pretrained(tmp_path / "x", histories=False)
    for file in (tmp_path / "x").rglob("*"):
        assert file.is_dir() or b"secret" not in file.read_bytes(), file
    assert Recommender.from_pretrained(tmp_path / "x").domain.data.path is None


def test_counts_below_the_threshold_are_left_out(dataset):
    counts = SharedCounts.of(dataset.interactions, 4.0)
    arrays = counts.arrays()
    for pairs in ("followers", "liked_too"):
        assert len(arrays[f"{pairs}.counts"])
        assert arrays[f"{pairs}.counts"].min() >= MIN_USERS
    assert not (np.isin(arrays["rating_counts"], range(1, MIN_USERS))).any()
    assert (arrays["rating_figures"][arrays["rating_counts"] == 0] == 0).all()


@pytest.mark.parametrize("liked_from", [4.0, 0.0, None])
def test_counts_say_what_the_interactions_say(dataset, liked_from):
    counts = InteractionCounts(dataset.interactions, liked_from)
    shared = SharedCounts(SharedCounts.of(dataset.interactions, liked_from).arrays())
    assert (shared.n_users, shared.mean_rating) == (counts.n_users, counts.mean_rating)
    for row in range(len(dataset.catalog)):
        assert shared.ratings(row) == counts.ratings(row)
        others = [other for other in range(len(dataset.catalog)) if other != row]
        np.testing.assert_array_equal(shared.followers(row)[others], counts.followers(row)[others])
        for anchor in others:
            assert shared.liked_too(anchor, row) == counts.liked_too(anchor, row)


def test_counts_of_data_without_ratings_or_times(dataset):
    data = dataset.interactions
    bare = type(data)(data.users, data.offsets, data.rows, data.n_items)
    shared = SharedCounts.of(bare, None)
    assert shared.ratings(0) is None
    assert shared.followers(0).max() == InteractionCounts(bare).followers(0).max()
