"""Events in requests: what they hide is never recommended, and the kinds of a data frame mean what the domain says."""

import numpy as np
import polars as pl
import pytest
from fakes import altered, rows_of

from genre_gen import Dataset, Recommender, Rules
from genre_gen.data.events import Hidden, HiddenItems
from genre_gen.data.interactions import Interactions
from genre_gen.errors import UsageError
from genre_gen.evaluation.guarantees import check_guarantees

EVENTS = {"view": {"history": 0.5}, "buy": {"history": 1.0, "hides": True}, "dislike": {"negative": True}}


def hiding(recommender, rows, user="17", **settings):
    """Return the recommender with items hidden from a user."""
    log = recommender.state.histories
    places = np.full(len(rows), len(log.history(user)) if user in log.users else 0)
    hidden = HiddenItems([user], np.array([0, len(rows)]), Hidden(np.array(rows), places))
    histories = Interactions(log.users, log.offsets, log.rows, log.n_items, log.ratings, log.times, hidden=hidden)
    return altered(recommender, settings, histories=histories)


@pytest.mark.parametrize("repeat", [False, True])
def test_hidden_items_are_not_recommended(mixed, repeat):
    mixed = altered(mixed, {"repeat": repeat})
    best = rows_of(mixed, mixed.recommend("17", n=3))
    hidden = hiding(mixed, best)
    picks = hidden.recommend("17", n=40)
    assert not set(best) & set(rows_of(hidden, picks))
    assert "3 hidden by events" in picks.notes[-1]
    assert rows_of(hidden, hidden.recommend("4", n=5)) == rows_of(mixed, mixed.recommend("4", n=5))
    title = mixed.state.catalog[best[0]].title
    assert hidden.explain("17", title).notes == (f"{title} was hidden by an event, and would not be recommended again",)
    pinned = hidden.recommend("17", n=3, rules=Rules(pins={title: 1}))
    assert best[0] not in rows_of(hidden, pinned)
    assert check_guarantees(hidden, [5], histories=[hidden.state.histories.history("17")]).kept


def test_a_user_without_history_keeps_what_was_hidden(mixed):
    best = rows_of(mixed, mixed.recommend(None, n=3))
    hidden = hiding(mixed, best, user="new")
    assert not set(best) & set(rows_of(hidden, hidden.recommend("new", n=10)))
    assert rows_of(hidden, hidden.recommend(None, n=3)) == best


def test_what_is_hidden_is_saved(mixed, tmp_path):
    best = rows_of(mixed, mixed.recommend("17", n=2))
    hiding(mixed, best).save_pretrained(tmp_path / "run")
    loaded = Recommender.from_pretrained(tmp_path / "run")
    assert loaded.state.histories.hidden_from("17").rows.tolist() == best
    assert not set(best) & set(rows_of(loaded, loaded.recommend("17", n=10)))


def frame(*events):
    return pl.DataFrame(events, schema=["item_id", "event", "timestamp"], orient="row")


def test_the_kinds_of_a_data_frame_mean_what_the_domain_says(mixed):
    ids = [item.id for item in mixed.state.catalog]
    log = frame(
        (ids[3], "view", 40),
        (ids[1], "view", 10),
        (ids[2], "dislike", 20),
        (ids[1], "dislike", 30),
        (ids[4], "buy", 50),
    )
    everything = mixed._history(log, None)
    assert everything.rows.tolist() == [1, 2, 1, 3, 4]  # without [events], a row is an interaction
    shop = altered(mixed, {"events": EVENTS, "repeat": True})
    history = shop._history(log, None)
    assert (history.rows.tolist(), history.times.tolist()) == ([3, 4], [40, 50])
    assert sorted(history.hidden.rows.tolist()) == [1, 2, 4]
    assert not {1, 2, 4} & set(rows_of(shop, shop.recommend(log, n=40)))
    assert shop._history(log, 25).hidden.rows.tolist() == [2]
    assert shop._history(log.drop("event"), None).hidden is None
    with pytest.raises(UsageError, match=r"the history has the event 'gaze', which \[events\] of the domain lacks"):
        shop.recommend(frame((ids[1], "gaze", 10)))


def test_a_log_of_events_is_learned_evaluated_and_exported(tiny_settings, tmp_path):
    rng = np.random.default_rng(0)
    kinds = rng.choice(["view", "buy", "dislike"], 600, p=[0.6, 0.3, 0.1])
    columns = {"user_id": rng.integers(0, 25, 600), "item_id": rng.integers(0, 40, 600), "event": kinds}
    log = pl.DataFrame({**columns, "timestamp": np.arange(600) + 1_600_000_000})
    data = Dataset.from_frames(pl.DataFrame({"item_id": np.arange(40), "title": [f"Item {n}" for n in range(40)]}), log)
    domain = data.domain.changed(
        {name: value for name, value in tiny_settings.items() if name.partition(".")[0] in ("model", "training")}
        | {
            "blend.members": ["popularity", "ease", "sequential_rules"],
            "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}},
        }
    )
    data = Dataset(domain, data.catalog, data.interactions)
    split = data.leave_one_out()
    assert {split.histories.kind_of[place] for place in split.targets("test")} == {
        data.interactions.kinds.names.index("buy")
    }
    recommender = Recommender(domain).fit(split)
    report = recommender.evaluate(split, k=5)
    assert len(report.users) == len(split.test)
    for user in data.interactions.hidden.users[:5]:
        hidden = set(data.interactions.hidden_from(user).rows.tolist())
        assert not hidden & set(rows_of(recommender, recommender.recommend(user, n=40)))
    recbole = split.to_recbole(tmp_path / "shop")
    test = pl.read_csv(next(file for file in recbole if file.name.endswith(".test.inter")), separator="\t")
    assert test["event:token"].unique().to_list() == ["buy"]
    files = split.to_lenskit(tmp_path / "lenskit")
    assert "event" in pl.read_parquet(next(file for file in files if file.name == "interaction.parquet")).columns
