"""Kinds of events in a log: which records make histories, what several of one item come to, and what they hide."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import polars as pl

from genre_gen.data.event_settings import Events
from genre_gen.data.events import Hidden, HiddenItems

_NAMED = 10  # unknown kinds that are reported one by one; the others are counted together
_WIDTH = 2**32  # a pair of a user and an item, or of a user and a place in time, as one number


class Records(Protocol):
    """The records of a log that passed the checks so far."""

    records: pl.DataFrame

    def drop(self, wrong: pl.Expr, column: str, kind: str, key: str, policy: str | None = None) -> None:
        """Report some records, and drop them as the policy says."""


def settle_events(frame: Records, events: Events, duplicates: str) -> pl.DataFrame:
    """Keep the events that make histories, one for each step; return those that hide their item.

    An item that a user turned down leaves the history, unless a later event brings it back; where items repeat
    (``duplicates`` is ``keep``) the earlier events stay. Of several events with an item, the strongest kind counts:
    among all of them, or where items repeat among those in a row.

    The columns ``order`` (place in time) and ``pair`` (of user and item) are added to the records.
    """
    names = frame.records["event"].unique(maintain_order=True)
    unknown = names.filter(~names.is_in([*events])).to_list()
    for some in (*([name] for name in unknown[:_NAMED]), unknown[_NAMED:]):
        frame.drop(pl.col("event").is_in(some), "event", "kind of event that [events] lacks", "unknown_events")
    frame.records = _ordered(frame.records)
    hiding = _hiding(frame.records, events)
    if duplicates != "keep":
        turned_down = _last(frame.records, [name for name, event in events.items() if event.negative], "turned_down")
        frame.records = frame.records.join(turned_down, on="pair", how="left", maintain_order="left")
        made = pl.col("event").is_in([name for name, event in events.items() if event.history])
        withdrawn = made & (pl.col("order") < pl.col("turned_down"))
        frame.drop(withdrawn, "event", "event with an item that was turned down later", "duplicates", "hide")
        frame.records = frame.records.drop("turned_down")
    for name, event in events.items():
        if not event.history:
            frame.drop(pl.col("event") == name, "event", f"event {name!r}", "unknown_events", "hide")
    _keep_strongest(frame, events, duplicates)
    return hiding


def _ordered(records: pl.DataFrame) -> pl.DataFrame:
    """Add ``order``, the place in time (ties in file order), and ``pair``."""
    when = next((name for name in ("exact_time", "time") if name in records.columns), None)
    order = records if when is None else records.select("record", when).sort(when, maintain_order=True)
    order = order.select("record").with_row_index("order")
    user = pl.col("user").cast(pl.Categorical).to_physical().cast(pl.Int64)
    records = records.join(order, on="record", how="left", maintain_order="left")
    return records.with_columns(pl.col("order").cast(pl.Int64), pair=user * _WIDTH + pl.col("row"))


def _last(records: pl.DataFrame, kinds: list[str], name: str) -> pl.DataFrame:
    """Return the place in time of the last event of some kinds with each pair."""
    return records.filter(pl.col("event").is_in(kinds)).group_by("pair").agg(pl.col("order").max().alias(name))


def _hiding(records: pl.DataFrame, events: Events) -> pl.DataFrame:
    """Return the first event that hides each pair; one that turns an item down counts if no history event follows."""
    history = _last(records, [name for name, event in events.items() if event.history], "last_had")
    hides, negative = (
        pl.col("event").is_in([name for name, event in events.items() if getattr(event, key)])
        for key in ("hides", "negative")
    )
    final = pl.col("last_had").is_null() | (pl.col("order") > pl.col("last_had"))
    found = records.filter(hides | negative).join(history, on="pair", how="left", maintain_order="left")
    return found.filter(hides | (negative & final)).sort("order").unique("pair", keep="first", maintain_order=True)


def _keep_strongest(frame: Records, events: Events, duplicates: str) -> None:
    """Drop events that are weaker than another with the item; the strongest gets the ratings of all."""
    kinds = {name: (event.history, event.measured) for name, event in events.items() if event.history}
    levels = sorted({*kinds.values()})
    strengths = {name: levels.index(kind) for name, kind in kinds.items()}
    records = frame.records.sort("order") if duplicates != "keep" else frame.records.sort(_user(), "order")
    row = pl.col("pair")
    step = (row != row.shift(fill_value=-1)).cum_sum() if duplicates == "keep" else row
    records = records.with_columns(
        step=step, strength=pl.col("event").replace_strict(strengths, return_dtype=pl.Int32, default=0)
    )
    if "rating" in records.columns:
        known = pl.col("rating").drop_nulls()
        others = (known.first() if duplicates == "keep_first" else known.last()).over("step")
        records = records.with_columns(pl.col("rating").fill_null(others))
    weaker = pl.col("strength") < pl.col("strength").max().over("step")
    frame.records = records.with_columns(weaker=weaker).sort("record").drop("step", "strength")
    frame.drop(pl.col("weaker"), "event", "event weaker than another with the item", "duplicates", "fold")
    frame.records = frame.records.drop("weaker")


def _user() -> pl.Expr:
    return pl.col("pair") // _WIDTH


def hidden_items(hiding: pl.DataFrame, records: pl.DataFrame) -> HiddenItems | None:
    """Return the hidden items, each from its place in the history that some records make; None if there are none."""
    if hiding.is_empty():
        return None
    hiding = hiding.sort(_user(), "order")
    users = hiding.select(_user()).to_series().to_numpy()
    had = np.sort(records.select(_user() * _WIDTH + pl.col("order")).to_series().to_numpy())
    ends = np.searchsorted(had, users * _WIDTH + hiding["order"].to_numpy(), side="right")
    places = ends - np.searchsorted(had, users * _WIDTH)
    firsts = np.flatnonzero(np.diff(users, prepend=-1))
    times = hiding["time"].to_numpy().astype(np.int64) if "time" in hiding.columns else None
    hidden = Hidden(hiding["row"].to_numpy().astype(np.int64), places.astype(np.int64), times)
    return HiddenItems(hiding["user"].gather(firsts).to_list(), np.append(firsts, len(users)), hidden)
