"""Who asks: users, histories by hand, strangers, and moments; what cannot be meant is refused."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from fakes import altered, assert_alike, rows_of, scores_of

from genre_gen import Interactions, Recommender, Request
from genre_gen.blending.blend import Blend
from genre_gen.data.history import History
from genre_gen.errors import FilterError, UnknownItemError, UnknownUserError, UsageError
from genre_gen.recommender.requests import STRANGER, history_of


def read(recommender, who, at=None):
    state = recommender.state
    return history_of(who, state.histories, state.catalog, state.domain.rating_scale, at)[0]


def test_a_history_is_found_by_title_id_and_rating(tiny_recommender):
    history = read(tiny_recommender, ["toy story", "9", ("The Lion King (1994)", 3.5), ("Up", None)])
    assert history.rows[:3].tolist() == [0, 8, 1]
    assert np.isnan(history.ratings[[0, 1, 3]]).all()
    assert history.ratings[2] == 3.5
    for who in (["Alien"], ("Alien",), [("Alien", None)]):
        assert read(tiny_recommender, who).rows.tolist() == [8]
        assert read(tiny_recommender, who).ratings is None


def test_events_with_times_are_put_in_order(tiny_recommender):
    later, earlier = datetime(2024, 5, 2, tzinfo=UTC), "2024-05-01"
    history = read(tiny_recommender, [("Alien", 4, later), ("Toy Story", None, earlier)])
    assert history.rows.tolist() == [0, 8]
    assert history.times.tolist() == [1714521600, 1714608000]
    assert history.ratings[1] == 4


@pytest.mark.parametrize(
    "times",
    [
        [1600000000.3, 1600000000.1, 1600000000.2],
        [f"2020-09-13T12:26:40.{digit}Z" for digit in (3, 1, 2)],
        [datetime(2020, 9, 13, 12, 26, 40, digit, UTC) for digit in (3, 1, 2)],
        np.array(["2020-09-13T12:26:40.000003", "2020-09-13T12:26:40.000001", "2020-09-13T12:26:40.000002"], "M8[us]"),
    ],
)
def test_events_within_a_second_are_put_in_order(tiny_recommender, times):
    titles = ["Alien", "Toy Story", "The Lion King (1994)"]
    history = read(tiny_recommender, [(title, None, time) for title, time in zip(titles, times, strict=True)])
    assert history.rows.tolist() == [0, 1, 8]
    assert history.times.tolist() == [1600000000] * 3


def test_ratings_that_mean_not_rated_are_none(tiny_recommender):
    state = tiny_recommender.state
    for who in ([("Alien", -1), ("Toy Story", 4)], pl.DataFrame({"title": ["Alien", "Toy Story"], "rating": [-1, 4]})):
        with pytest.raises(UsageError, match="-1"):
            history_of(who, state.histories, state.catalog, (1, 5))
        history, _ = history_of(who, state.histories, state.catalog, (1, 5), None, [-1])
        assert np.isnan(history.ratings).tolist() == [True, False]


def test_users_are_named_by_text_or_number(mixed):
    for user in (17, np.int64(17), mixed.state.histories.history("17")):
        assert rows_of(mixed, mixed.recommend(user)) == rows_of(mixed, mixed.recommend("17"))


def test_one_title_is_enough(tiny_recommender):
    picks = tiny_recommender.recommend(["Alien (1979)"], n=5, explain=True)
    assert len(picks) == 5
    assert "Alien (1979)" not in [pick.item.title for pick in picks]
    assert all(str(pick.explanation) for pick in picks)


def test_a_user_who_has_seen_everything_gets_an_empty_list_with_the_reason(mixed):
    picks = mixed.recommend([item.id for item in mixed.state.catalog], n=3, explain=True)
    assert list(picks) == []
    assert picks.notes == ("0 of 3 items: 40 in the catalog, less 40 seen already",)


@pytest.mark.parametrize("who", [None, [], (), History(np.zeros(0, np.int64)), "nobody", 999])
def test_an_unknown_user_gets_recommendations_with_a_note(mixed, who):
    picks, expected = mixed.recommend(who, n=5, explain=True), mixed.recommend(n=5)
    assert rows_of(mixed, picks) == rows_of(mixed, expected)
    assert scores_of(picks) == pytest.approx(scores_of(expected), abs=1e-5)
    assert picks.notes[-1] == STRANGER
    unknown = f"no user '{who}' among 30 users"
    assert picks.notes[:-1] == ((unknown,) if isinstance(who, (str, int)) else ())
    assert all(pick.item.title in pick.explanation.text for pick in picks)
    assert 1 <= mixed.predict(who, "Alien").rating <= 5


def test_a_misspelt_user_gets_a_note_with_the_closest_ids(dataset):
    log = dataset.interactions
    renamed = Interactions([f"reader-{user}" for user in log.users], log.offsets, log.rows, log.n_items)
    _, notes = history_of("raeder-17", renamed, dataset.catalog, None)
    assert "did you mean 'reader-17'" in notes[0]


VERBS = {
    "explain": lambda recommender, who, **at: recommender.explain(who, "Alien", **at).text,
    "attribute": lambda recommender, who, **at: recommender.attribute(who, "Alien", **at).score,
    "compare": lambda recommender, who, **at: recommender.compare(who, "Alien", "Up", **at).scores,
    "what_if": lambda recommender, who, **at: recommender.what_if(who, "Alien", n=40, **at).rank,
}


@pytest.mark.parametrize("verb", VERBS)
def test_explanations_need_a_history(mixed, verb):
    for who in (None, []):
        with pytest.raises(UsageError, match="the history is empty; give a user of the data, or at least one title"):
            VERBS[verb](mixed, who)
    with pytest.raises(UnknownUserError, match="no user 'nobody' among 30 users"):
        VERBS[verb](mixed, "nobody")


# Moments


@pytest.fixture
def moment(mixed):
    """Return the time of the middle of user 17's history, and what the user had until then."""
    history = mixed.state.histories.history("17")
    at = int(history.times[len(history) // 2])
    return at, History(*(values[history.times <= at] for values in (history.rows, history.ratings, history.times)))


def test_interactions_after_the_moment_are_not_seen(mixed, moment):
    at, before = moment
    assert 0 < len(before) < len(mixed.state.histories.history("17"))
    for form in (
        at,
        float(at),
        datetime.fromtimestamp(at, UTC),
        f"{datetime.fromtimestamp(at, UTC)}",
    ):
        assert read(mixed, "17", form).rows.tolist() == before.rows.tolist()
    assert read(mixed, "17", at - 1).rows.tolist() == before.rows[before.times < at].tolist()
    picks, expected = mixed.recommend("17", n=40, at=at), mixed.recommend(before, n=40)
    assert rows_of(mixed, picks) == rows_of(mixed, expected) != rows_of(mixed, mixed.recommend("17", n=40))
    for ask in (
        lambda who, **at: mixed.predict(who, "Alien", **at).parts["llm"],
        lambda who, **at: float(mixed.fits(who, "Alien", **at)),
        lambda who, **at: mixed.intent(who, **at).shares,
    ):
        assert ask("17", at=at) == pytest.approx(ask(before), rel=1e-4) != pytest.approx(ask("17"), rel=1e-4)


@pytest.mark.parametrize("verb", VERBS)
def test_explanations_do_not_see_what_comes_after_the_moment(mixed, moment, verb):
    at, before = moment
    told, expected = VERBS[verb](mixed, "17", at=at), VERBS[verb](mixed, before)
    assert told == (expected if isinstance(expected, str) else pytest.approx(expected, abs=1e-4))


def test_before_the_first_interaction_a_user_is_unknown(mixed):
    picks = mixed.recommend("17", n=5, at=0)
    assert picks.notes == (STRANGER,)
    assert rows_of(mixed, picks) == rows_of(mixed, mixed.recommend(n=5))
    with pytest.raises(UsageError, match="the history is empty"):
        mixed.explain("17", "Alien", at=0)


def test_without_times_a_moment_cuts_nothing(mixed):
    known = mixed.state.histories
    untimed = altered(mixed, histories=Interactions(known.users, known.offsets, known.rows, 40, known.ratings))
    for recommender, who in ((untimed, "17"), (mixed, ["Alien"]), (mixed, None), (mixed, "nobody")):
        assert_alike(recommender.recommend(who, at="2024-05-01"), mixed.recommend(who))
    timed = [("Alien", None, "2024-01-01"), ("Heat", None, "2025-01-01")]
    assert_alike(mixed.recommend(timed, at="2024-06-01"), mixed.recommend(["Alien"]))


# What is refused


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"who": "17", "users": ["17"]}, UsageError, "give either who or users"),
        ({"users": "17"}, UsageError, "users = '17'; give a list"),
        ({"who": ["Alein"]}, UnknownItemError, r"did you mean 'Aliens? \("),
        ({"who": ["Alein", "Toy Stroy"]}, UnknownItemError, "Alein.*; .*Toy Stroy"),
        ({"who": [("Alien", 6)]}, UsageError, "the rating 6 of 'Alien' is off the scale, which runs from 1 to 5"),
        ({"who": [1, 2]}, UsageError, "the history contains 1; give titles or ids as text, or tuples"),
        ({"who": ("Alien", 4)}, UsageError, "the history contains 4; give titles"),
        ({"who": [("Alien", 4, 5, 6)]}, UsageError, r"the history contains \('Alien', 4, 5, 6\); give titles"),
        ({"who": [("Alien", "good")]}, UsageError, "the rating 'good' of 'Alien' is not a number"),
        ({"who": [("Alien", float("inf"))]}, UsageError, "the rating inf of 'Alien' is not finite"),
        ({"who": [("Alien", 4, 5), "Heat"]}, UsageError, "some events of the history have times and some have none"),
        ({"who": [("Alien", 4, "soon")]}, UsageError, "'soon' is not a moment"),
        ({"who": {"Alien": 4}}, UsageError, "or a list of titles"),
        ({"who": 5.5}, UsageError, "the history is 5.5; give a user id, or a list"),
        ({"who": "17", "at": "soon"}, UsageError, "'soon' is not a moment"),
        ({"at": "soon"}, UsageError, "'soon' is not a moment"),
        ({"who": "17", "query": 5}, UsageError, "query = 5; give it as text"),
        ({"who": "17", "query": "x" * 501}, UsageError, "501 characters; at most 500"),
        ({"who": "17", "where": 5}, UsageError, "where = 5"),
        ({"who": "17", "exclude": "12"}, UsageError, "'12' is not a list"),
        ({"who": "17", "include": "12"}, UsageError, "'12' is not a list"),
        ({"who": "17", "exclude": [["12"]]}, UsageError, "name an item by title or id"),
        ({"who": "17", "n": 2.5}, UsageError, "n = 2.5; give a whole number"),
        ({"who": "17", "n": True}, UsageError, "n = True; give a whole number"),
        ({"who": "17", "n": 0}, UsageError, "n = 0"),
        ({"who": "17", "n": -3}, UsageError, "n = -3"),
        ({"who": "17", "where": "yaer > 1990"}, FilterError, "no field yaer.*did you mean year"),
        ({"who": "17", "exclude": ["Alein"]}, UnknownItemError, "no item 'Alein'"),
        ({"who": "17", "include": ["Alein"]}, UnknownItemError, "no item 'Alein'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tiny_recommender, arguments, error, message):
    with pytest.raises(error, match=message):
        tiny_recommender.recommend(**arguments)
    if "users" not in arguments:
        with pytest.raises(error, match=message):
            tiny_recommender.answer_many([Request("17"), Request(**arguments)])


def test_an_untrained_recommender_is_refused(tiny_domain):
    recommender = Recommender(tiny_domain)
    for ask in (
        lambda: recommender.recommend("17"),
        lambda: recommender.recommend(users=["17"]),
        lambda: recommender.answer_many([]),
        lambda: recommender.predict("17", "Alien"),
        lambda: recommender.similar("Alien"),
        lambda: recommender.save_pretrained("x"),
        lambda: recommender.load_knowledge("movies"),
    ):
        with pytest.raises(UsageError, match="not trained; call fit, or load one"):
            ask()


def test_an_unknown_user_gets_popular_items_if_the_members_score_all_equally(tiny_recommender):
    state = tiny_recommender.state
    silent = Recommender.from_state(state.with_blend(Blend({"sequential_rules": 1.0})))
    picks = silent.recommend(None, n=5)
    counts = np.bincount(state.trained_on.rows, minlength=len(state.catalog))
    assert [counts[state.catalog.row(pick.item.id)] for pick in picks] == sorted(counts, reverse=True)[:5]
    assert [set(pick.parts) for pick in picks] == [{"popularity"}] * 5
    assert STRANGER in picks.notes
