"""Kinds of events of an unknown log: the column that holds them, and what each kind is taken for by its word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from genre_gen.data.event_settings import EventSettings
from genre_gen.data.readers.values import text
from genre_gen.errors import DataError
from genre_gen.new_domain.column_types import is_numeric
from genre_gen.new_domain.decisions import NONE, Choice, Decisions, flat, role_key, why_given
from genre_gen.new_domain.names import named

_MOST = 20  # a column of more kinds is taken for something else, unless it is named
_MOST_NAMED = 100
_RECOGNISED = 0.5  # share of the lines whose kind must be known by its word
_SHARE, _ENOUGH = 0.1, 1000  # users with a measured event: at least this share of all, or this number

_WORDS: tuple[tuple[EventSettings, str], ...] = (
    (
        EventSettings(negative=True),
        "dislike disliked thumbsdown thumbdown downvote hate skip skipped dismiss dismissed notinterested "
        "reject rejected block blocked mute ban unlike unlove unfollow unsubscribe uninstall return returned "
        "refund refunded bounce negative complain",
    ),
    (EventSettings(hides=True), "hide hidden owned own have alreadyseen"),
    (
        EventSettings(),
        "impression impressions show shown showed exposure exposed display displayed served serve recommend "
        "recommended remove removed delete deleted removefromcart removecart search hover scroll login "
        "logout error",
    ),
    (
        EventSettings(history=1.0),
        "transaction purchase purchased buy bought order ordered checkout payment paid pay sale sold convert "
        "conversion book booked booking reserve reserved reservation rent rented rental borrow borrowed loan "
        "subscribe subscribed subscription kauf",
    ),
    (
        EventSettings(history=1.0),
        "download downloaded install installed complete completed finish finished enroll enrolled donate apply "
        "applied like liked love loved thumbsup thumbup upvote positive rate rated rating review reviewed",
    ),
    (
        EventSettings(history=0.6),
        "addtocart addcart cart basket addtobasket wishlist wish save saved bookmark bookmarked fav favorite "
        "favourite favorited collect collected star starred follow followed share shared repost comment "
        "commented addtoplaylist addtolist",
    ),
    (
        EventSettings(history=0.3),
        "view viewed views pageview pv detail details browse browsed click clicked clicks open opened visit "
        "visited play played listen listened watch watched stream streamed read impressionclick tap preview "
        "see seen",
    ),
)
_MEANING = {word: settings for settings, words in _WORDS for word in words.split()}


@dataclass(frozen=True)
class ProposedEvents:
    """What the kinds of events of a log are taken for."""

    kinds: Mapping[str, EventSettings]  # kind, as the log writes it -> its settings
    counts: Mapping[str, int]  # kind -> its lines

    def is_measured(self, name: str) -> bool:
        """Tell whether evaluations ask for a kind: those marked, or all of the histories if none is."""
        settings = self.kinds.get(name, EventSettings())
        return settings.measured or (settings.history > 0 and not any(one.measured for one in self.kinds.values()))


def find_events(known: Decisions) -> ProposedEvents | None:
    """Decide which column holds kinds of events, and what each kind is; None if there is no such column.

    Raises:
        DataError: the given column has too many values, or one only.
    """
    given = known.given.get("event")
    if given == NONE:
        return None
    column = given or _column(known)
    if column is None:
        return None
    values = text(known.log.frame[column])
    counts = {str(name): int(count) for name, count in values.value_counts(sort=True).iter_rows() if name != ""}
    if not 1 < len(counts) <= _MOST_NAMED:
        raise DataError(
            f"{known.log.file}: {role_key('event', column)}: {len(counts):,} different values, and kinds of events are "
            f"2 to {_MOST_NAMED}; name another column, or go without: {role_key('event', NONE)}"
        )
    users = text(known.of("user")) if "user" in known.columns else values
    kinds = _measured(_kinds(counts), values, users)
    proposed = ProposedEvents(kinds, counts)
    known.take("event", column, f"{why_given('event', known.given)}, {len(counts)} kinds of events")
    for name, settings in kinds.items():
        unknown = "" if _meaning(name) is not None else "; its word is not known, so check this"
        known.choices.append(Choice(f"event {name}", column, f"{lines(counts[name])}: {describe(settings)}{unknown}"))
    return proposed


def lines(count: int) -> str:
    """Return a number of lines, in words."""
    return f"{count:,} line{'s' * (count != 1)}"


def describe(settings: EventSettings) -> str:
    """Return what a kind of event is taken for, in words."""
    if settings.negative:
        return "negative, hides its item and takes it out of the history"
    parts = [f"in histories, weight {settings.history:g}"] if settings.history else []
    parts += ["measured"] * settings.measured + ["hides its item"] * settings.hides
    return ", ".join(parts) or "left out"


def seem_events(values: pl.Series) -> bool:
    """Tell whether a column has a few values, most of them words for kinds of events."""
    values = text(values)
    names = values.unique().to_list()
    if is_numeric(values) or not 1 < len([name for name in names if name]) <= _MOST:
        return False
    recognised = [name for name in names if name and _meaning(name) is not None]
    return int(values.is_in(recognised).sum()) >= _RECOGNISED * len(values)


def _column(known: Decisions) -> str | None:
    """Return the column whose name and values are those of kinds of events; say why one by name is not taken."""
    taken = {*known.columns.values(), *known.given_of_log()}
    scores = {name: named(name, "event") for name in flat(known.log) if name not in taken}
    for name in sorted((name for name in scores if scores[name]), key=lambda name: -scores[name]):
        values = known.log.frame[name]
        if seem_events(values):
            return name
        if scores[name] == 1 and 1 < text(values).n_unique() <= _MOST:
            why = f"may be kinds of events, but its values are not words for them; {role_key('event', name)} reads them"
            known.leave_out(name, why)
    return None


def _meaning(name: str) -> EventSettings | None:
    """Return what a kind is by its word; of several words, the first group that has one decides."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    whole = _MEANING.get("".join(words))
    if whole is not None:
        return whole
    parts = {word for word in words if word in _MEANING}
    return next((settings for settings, known in _WORDS if parts.intersection(known.split())), None)


def _kinds(counts: Mapping[str, int]) -> dict[str, EventSettings]:
    """Return the settings of each kind; the strongest has the weight 1, and an unknown word that of the weakest."""
    meanings = {name: _meaning(name) for name in counts}
    weights = [each.history for each in meanings.values() if each is not None and each.history]
    top = max(weights, default=1.0)
    unknown = EventSettings(history=min(weights, default=1.0))
    if not weights and all(each is not None for each in meanings.values()):
        meanings = dict.fromkeys(meanings)  # no kind would be in the histories
    scaled = {name: unknown if each is None else each for name, each in meanings.items()}
    return {
        name: each.model_copy(update={"history": round(each.history / top, 1)}) if each.history else each
        for name, each in scaled.items()
    }


def _measured(kinds: dict[str, EventSettings], values: pl.Series, users: pl.Series) -> dict[str, EventSettings]:
    """Measure the strongest kinds; weaker ones too where few users have one of them, and none if that would be all."""
    levels = sorted({each.history for each in kinds.values() if each.history}, reverse=True)
    wanted = min(_ENOUGH, _SHARE * users.n_unique())
    for level in levels[:-1]:
        chosen = [name for name, each in kinds.items() if each.history >= level]
        if users.filter(values.is_in(chosen)).n_unique() >= wanted:
            return {name: each.model_copy(update={"measured": name in chosen}) for name, each in kinds.items()}
    return kinds
