"""Picks as data frames, and a data frame as a history."""

import numpy as np
import polars as pl
import pytest
from fakes import assert_alike

from genre_gen.errors import UnknownItemError, UsageError
from genre_gen.recommender.requests import history_of

COLUMNS = ["item_id", "rank", "score", "title", "pinned"]


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_frame_of_picks_says_what_the_picks_say(mixed, library):
    picks = mixed.recommend("17", n=5, explain=True)
    frame = picks.to_frame(library)
    parts = [f"part.{name}" for name in picks[0].parts]
    assert list(frame.columns) == [*COLUMNS, *parts, "explanation"]
    assert list(frame["item_id"]) == [pick.item.id for pick in picks]
    assert list(frame["rank"]) == [1, 2, 3, 4, 5]
    assert list(frame["explanation"]) == [pick.explanation.text for pick in picks]
    np.testing.assert_allclose(frame[parts].to_numpy().sum(axis=1), frame["score"].to_numpy(), atol=1e-5)


def test_many_users_make_one_frame(mixed):
    users = ["17", 4, mixed.state.histories.history("20"), ["Alien (1979)"], None]
    frame = mixed.recommend(users=users, n=3).to_frame()
    assert frame.columns[:6] == ["user_id", *COLUMNS]
    assert frame["user_id"].unique(maintain_order=True).to_list() == ["17", "4", "20", "history 4", "history 5"]
    for user in ("17", "4", "20"):
        rows = frame.filter(pl.col("user_id") == user).drop("user_id")
        assert rows["item_id"].to_list() == mixed.recommend(user, n=3).to_frame()["item_id"].to_list()
    assert frame["explanation"].null_count() == len(frame) == 15


def test_no_users_and_no_picks_are_frames_without_rows(mixed):
    nothing = mixed.recommend("17", include=[mixed.state.catalog[int(mixed.state.histories.history("17").rows[0])].id])
    assert nothing.notes
    frames = [nothing.to_frame(), mixed.recommend(users=[]).to_frame().drop("user_id"), nothing.to_frame("pandas")]
    for frame in frames:
        assert list(frame.columns) == [*COLUMNS, "explanation"]
        assert len(frame) == 0


def test_what_was_taken_from_the_answers_is_not_in_the_frame(mixed):
    answers = mixed.recommend(users=["17", "4"], n=1)
    user, picks = next(answers)
    assert (user, len(picks)) == ("17", 1)
    assert answers.to_frame()["user_id"].to_list() == ["4"]
    assert list(answers) == []


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_the_order_within_a_second_and_the_unit_of_a_frame_of_history(mixed, scale):
    times = (
        [1600000000.3, 1600000000.1, 1600000000.2] if scale == 1 else [1600000000 * scale + late for late in (3, 1, 2)]
    )
    frame = pl.DataFrame({"item_id": ["1", "2", "4"], "timestamp": times})
    state = mixed.state
    history, _ = history_of(frame, state.histories, state.catalog, None)
    assert [state.catalog[row].id for row in history.rows] == ["2", "4", "1"]
    assert history.times.tolist() == [1600000000] * 3


@pytest.mark.parametrize("library", ["polars", "lazy", "pandas"])
@pytest.mark.parametrize("columns", [["item_id", "title"], ["item_id"], ["title"]])
def test_a_history_comes_as_a_frame(mixed, library, columns):
    history = mixed.state.histories.history("17")
    frame = history.to_frame(mixed.state.catalog, "pandas" if library == "pandas" else "polars")
    frame = frame[[*columns, "rating", "timestamp"]]
    frame = frame.lazy() if library == "lazy" else frame.iloc[::-1] if library == "pandas" else frame.reverse()
    assert_alike(mixed.recommend(frame, n=5), mixed.recommend("17", n=5))
    assert mixed.predict(frame, "Alien (1979)") == mixed.predict("17", "Alien (1979)")


def test_users_may_be_the_frames_of_a_partition(mixed):
    log = mixed.state.histories.to_frame(mixed.state.catalog).filter(pl.col("user_id").is_in(["17", "4"]))
    frame = mixed.recommend(users=log.partition_by("user_id", maintain_order=True), n=4).to_frame()
    users = log["user_id"].unique(maintain_order=True).to_list()
    expected = mixed.recommend(users=users, n=4).to_frame()
    assert frame.drop(pl.selectors.float()).equals(expected.drop(pl.selectors.float()))


def test_a_frame_without_times_or_ratings_is_in_its_order(mixed):
    titles = ["Alien (1979)", "Up (2009)"]
    assert_alike(mixed.recommend(pl.DataFrame({"title": titles}), n=5), mixed.recommend(titles, n=5))
    rated = pl.DataFrame({"title": titles, "rating": [4, None]})
    assert_alike(mixed.recommend(rated), mixed.recommend([("Alien (1979)", 4), "Up (2009)"]))
    assert mixed.recommend(rated.clear()).notes == mixed.recommend([]).notes


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        ({"film": ["Up"]}, UsageError, "the history has columns film; name one of them item_id or title"),
        ({"item_id": ["Up (2009)"]}, UnknownItemError, r"no item with id 'Up \(2009\)'"),
        ({"title": ["Down"]}, UnknownItemError, "no item 'Down'"),
        ({"item_id": ["1", "2"], "user_id": ["a", "b"]}, UsageError, "2 users; filter it to the rows of one"),
        ({"item_id": ["1"], "rating": [7]}, UsageError, "rating 7; ratings must be numbers from 1 to 5"),
        ({"item_id": ["1"], "rating": ["good"]}, UsageError, "rating 'good'; ratings must be numbers"),
        ({"item_id": ["1", "2"], "timestamp": [5, None]}, UsageError, "times that are missing or cannot be read"),
    ],
)
def test_an_invalid_history_is_refused(mixed, frame, error, message):
    with pytest.raises(error, match=message):
        mixed.recommend(pl.DataFrame(frame))
