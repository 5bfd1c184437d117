"""What is predicted of one user and one item: ratings with their reasons, fits, intents, and similar items."""

import numpy as np
import pytest
from fakes import altered, rows_of, scores_of

from genre_gen import Interactions
from genre_gen.collaborative import RatingBlend
from genre_gen.errors import UnknownItemError, UsageError

ONE_TASK = {"tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}}


def rated_by(recommender, **weights):
    return altered(recommender, tuned={"ratings": RatingBlend(weights, 0.0, (1, 5))})


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_predicted_ratings_mix_svd_and_the_language_model_on_the_scale(mixed, weight):
    mixed = rated_by(mixed, svd=1 - weight, llm=weight)
    history = mixed.state.histories.history_at(2)
    svd = mixed.state.rating_models["svd"].predict(history, [4])[0].rating
    by_llm = float(mixed.state.generator.rate([history], [4])[0])
    prediction = mixed.predict(history.user, "5")
    assert abs(svd - by_llm) > 1e-3
    assert prediction.rating == float(prediction) == pytest.approx(weight * by_llm + (1 - weight) * svd, abs=1e-5)
    assert prediction.item is mixed.state.catalog[4]
    assert prediction.parts == pytest.approx({"svd": svd} | ({"llm": by_llm} if weight else {}), abs=1e-5)
    for user in ("17", ["Alien (1979)"], None):
        assert all(1 <= mixed.predict(user, item.id).rating <= 5 for item in mixed.state.catalog[::9])


def test_a_prediction_says_what_it_rests_on(mixed):
    mixed = rated_by(mixed, svd=0.75, llm=0.25)
    for who, rated in (("17", True), ([("Alien", 4)], True), (["Alien"], False), (None, False)):
        prediction = mixed.predict(who, "Heat")
        parts = prediction.parts
        said = f"Surprise SVD {parts['svd']:.2f} (weight 0.75); language model {parts['llm']:.2f} (weight 0.25)"
        assert prediction.reason.startswith(said)
        assert ("no rating of this user is known" in prediction.reason) == (not rated)
        assert "cold" not in prediction.reason
    trained_on = mixed.state.trained_on
    row = mixed.state.catalog.find("Heat")
    cold = altered(mixed, trained_on=trained_on.keep(trained_on.rows != row))
    assert cold.predict("17", "Heat").reason.endswith("the item is cold: no interaction with it was learned from")
    assert "language model" not in rated_by(mixed, svd=1.0, llm=0.0).predict("17", "Heat").reason


def test_without_a_rating_model_predict_is_refused(mixed):
    with pytest.raises(UsageError, match="ratings cannot be predicted"):
        altered(mixed, tuned={"ratings": None}).predict("17", "Alien")
    with pytest.raises(UnknownItemError, match="did you mean"):
        mixed.predict("17", "Alein")


# Similar items


def test_similar_items_are_the_neighbours_by_interactions_and_texts(mixed):
    state = mixed.state
    row = state.catalog.find("Alien")
    picks = mixed.similar("Alien", n=39)
    assert sorted([*rows_of(mixed, picks), row]) == list(range(40))
    assert scores_of(picks) == pytest.approx(np.sort(state.neighbours(row))[::-1][:39])
    assert [pick.rank for pick in picks] == list(range(1, 40))
    assert 0 <= min(scores_of(picks)) <= max(scores_of(picks)) <= 1
    for pick in picks:
        assert set(pick.parts) == set(state.neighbour_models)
        assert sum(pick.parts.values()) == pytest.approx(pick.score)
    assert rows_of(mixed, mixed.similar("Alien", n=4)) == rows_of(mixed, picks)[:4]
    assert picks.notes == ()
    assert mixed.similar("Alien", n=100).notes == ("39 of 100 items: 40 in the catalog, less the item itself",)
    for n in (0, -1, 2.5):
        with pytest.raises(UsageError, match=f"n = {n}; "):
            mixed.similar("Alien", n=n)
    with pytest.raises(UnknownItemError):
        mixed.similar("Alein")


def test_items_used_together_are_similar(mixed):
    """Without other models, sequential rules know but what comes next to what."""
    pairs = np.array([0, 1, 2, 3, 4, 5])
    known = Interactions.from_columns(np.repeat(["a", "b", "c"], 2), pairs, 40)
    rules = type(mixed.state.members["sequential_rules"])().fit(known)
    picks = altered(mixed, members={"sequential_rules": rules}).similar(mixed.state.catalog[2].id, n=1)
    assert rows_of(mixed, picks) == [3]
    assert scores_of(picks) == [1.0]


def test_without_models_of_neighbours_codes_tell_what_is_similar(mixed):
    alone = altered(mixed, members={})
    weight = alone.state.llm.code_embedding.data
    tokens = alone.state.llm.codes.codes[:, 0].astype(int).tolist()
    weight[tokens[7]] = 3 * weight[tokens[2]]
    weight[tokens[9]] = -weight[tokens[2]]
    picks = alone.similar(alone.state.catalog[2].id, n=39)
    assert rows_of(alone, picks)[0] == 7
    assert picks[0].score == pytest.approx(1)
    assert min(scores_of(picks)) == 0


# Fits and intents


def test_an_item_fits_by_the_odds_of_yes_and_no(mixed):
    fit = mixed.fits("17", "Alien")
    assert fit.item.title == "Alien (1979)"
    assert 0 < fit.probability == float(fit) < 1
    assert mixed.fits(["Heat"], "Alien").probability != fit.probability
    llm = mixed.state.llm
    llm.answer_heads["fits"].data[:] = 0  # each letter is as likely as any other, and "yes" has one more than "no"
    expected = pytest.approx(1 / (1 + len(llm.answers["fits"])))
    assert float(mixed.fits("17", "Alien")) == float(mixed.fits(None, "Alien")) == expected


def test_an_intent_has_a_share_for_every_label(mixed):
    intent = mixed.intent("17")
    assert intent.field == "genre"
    assert set(intent.labels) == set(mixed.state.labels.names)
    shares = [intent.shares[label] for label in intent.labels]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert intent.shares != mixed.intent(["Alien"]).shares
    assert mixed.intent(None).labels


@pytest.mark.parametrize("task", ["fits", "intent"])
def test_a_task_that_was_not_learned_is_refused(mixed, task):
    other = altered(mixed, ONE_TASK)
    with pytest.raises(UsageError, match=f"was not trained for the task {task}; give it a weight under .tasks."):
        getattr(other, task)("17", *(["Alien"] if task == "fits" else []))


def test_without_labels_there_is_no_kind_to_want(mixed):
    with pytest.raises(UsageError, match="no item has labels"):
        altered(mixed, {"fields": {}, "query.words": {}}).intent("17")


# The profile


def test_a_profile_tells_of_the_history_up_to_the_moment(mixed):
    history = mixed.state.histories.history("17")
    assert mixed.profile("17") == mixed.profile(history)
    at = int(history.times[3])
    assert mixed.profile("17", at=at) == mixed.profile(history.until(at)) != mixed.profile("17")
    assert mixed.profile(None) == mixed.profile("nobody")
