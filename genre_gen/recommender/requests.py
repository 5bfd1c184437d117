"""Requests and answers: histories, options, and picks with notes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypedDict

import numpy as np

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.filters import rows_of
from genre_gen.data.frames import Frame, Library, in_library, is_frame
from genre_gen.data.history import History
from genre_gen.data.html_table import html_block, html_table, html_text
from genre_gen.data.ids import other_form
from genre_gen.data.interactions import Interactions
from genre_gen.data.moments import to_moment, to_time
from genre_gen.data.printable import about
from genre_gen.errors import UnknownUserError, UsageError, quoted

if TYPE_CHECKING:
    import polars as pl

    from genre_gen.domain import Domain
    from genre_gen.explain.explainer import Explanation
    from genre_gen.query.parsed import ParsedQuery
    from genre_gen.recommender.state import RecommenderState
    from genre_gen.rules.settings import Rules

Event: TypeAlias = str | tuple[str, float | None] | tuple[str, float | None, Any]
"""One interaction given by hand: a title or id; with a rating; with a rating (or None) and a moment."""

Who: TypeAlias = str | int | float | Sequence[Event] | History | Frame | None
"""Who asks: a user id of the data, or a history, oldest first, also as a data frame; None is an unknown user."""

Moment: TypeAlias = int | float | str | datetime
"""A moment: seconds since 1970, a datetime, or ISO text such as ``2024-05-01T12:00``."""

BOOST = "boost"
"""The part of a score that rules added."""

_ID = (str, int, float, np.integer, np.floating)
STRANGER = "no history: ranked as for an unknown user"
NO_HISTORIES = "this recommender came without histories of users: give a history of titles to get picks for it"


class RequestOptions(TypedDict, total=False):
    """The options of :meth:`genre_gen.Recommender.recommend`, for type checkers."""

    query: str | None
    where: str | None
    exclude: Sequence[str]
    include: Sequence[str] | None
    at: Moment | None
    explain: bool
    rules: Rules | None


@dataclass(frozen=True)
class Request:
    """One request of ``answer_many``; its parts are the arguments of :meth:`genre_gen.Recommender.recommend`.

    Example:
        >>> Request("17", n=5, where="year >= 1980", explain=True)
        Request(who='17', n=5, …)
    """

    who: Who = None
    n: int = 10
    query: str | None = None
    where: str | None = None
    exclude: Sequence[str] = ()
    include: Sequence[str] | None = None
    at: Moment | None = None
    explain: bool = False
    rules: Rules | None = None


@dataclass(frozen=True)
class Recommendation:
    """One pick.

    Attributes:
        rank: 1 for the best.
        item: the recommended item.
        score: the blend's score, in standard deviations above the user's mean over the allowed items; re-ranking does
            not change it.
        parts: each blend member's share of the score; they sum to it. For a cold item, ``expected`` replaces the
            members without a score for it; ``boost`` is the amount added by rules.
        explanation: the reason, if requested.
        pinned: whether a rule put it at this rank; its score does not include the pin.

    Example:
        >>> pick = recommender.recommend("17", n=1)[0]
        >>> pick.rank, pick.item.title, abs(sum(pick.parts.values()) - pick.score) < 1e-4
        (1, '…', True)
    """

    rank: int
    item: Item
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    explanation: Explanation | None = None
    pinned: bool = False

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        return html_block(_picks_table([self]))


class Recommendations(tuple[Recommendation, ...]):
    """The picks of one request, best first, with notes.

    Attributes:
        notes: why there are fewer than asked for, or that a part failed and others replaced it.
        parsed_query: the meaning of a request in free text, if any.

    Example:
        >>> picks = recommender.recommend("17", n=100)
        >>> len(picks), picks.notes
        (31, ('31 of 100 …',))
    """

    notes: tuple[str, ...]
    parsed_query: ParsedQuery | None

    def __new__(
        cls, picks: Iterable[Recommendation], notes: Sequence[str] = (), parsed_query: ParsedQuery | None = None
    ) -> Recommendations:
        """Hold picks, notes and the query."""
        self = super().__new__(cls, picks)
        self.notes, self.parsed_query = tuple(notes), parsed_query
        return self

    def to_frame(self, library: Library = "polars") -> Any:
        """Return a data frame with one row per pick.

        Columns: ``item_id``, ``rank``, ``score``, ``title``, ``pinned``, ``part.NAME`` for each part of the score, and
        ``explanation``, null without one.

        Example:
            >>> recommender.recommend("17", n=5).to_frame().columns[:4]
            ['item_id', 'rank', 'score', 'title']

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        return in_library(_frame(self), library)

    def _repr_html_(self) -> str:
        """Return the picks as a notebook shows them."""
        said = [] if self.parsed_query is None else [html_text(f"understood: {self.parsed_query}")]
        notes = [html_text(f"note: {note}", small=True) for note in self.notes]
        return html_block(*said, _picks_table(self), *notes)


class Answers(Iterator[tuple[Who, Recommendations]]):
    """Pairs of a user and their picks, computed as they are read.

    Example:
        >>> for user, picks in recommender.recommend(users=["17", "4"], n=3):
        ...     print(user, len(picks))
        17 3
        4 3
    """

    def __init__(self, pairs: Iterable[tuple[Who, Recommendations]]) -> None:
        """Hold the pairs."""
        self._pairs = iter(pairs)

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> tuple[Who, Recommendations]:
        """Return the next user and their picks."""
        return next(self._pairs)

    def to_frame(self, library: Library = "polars") -> Any:
        """Return the remaining picks as one data frame: ``user_id``, then the columns of ``Recommendations.to_frame``.

        A history without a user id is called ``history 3`` if it is the third in this frame. Users without picks have
        no row.

        Example:
            >>> recommender.recommend(users=["17", "4"], n=3).to_frame()["user_id"].to_list()
            ['17', '17', '17', '4', '4', '4']

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        import polars as pl

        pairs = list(self)
        picks = [pick for _, answer in pairs for pick in answer]
        names = [_name(who, place) for place, (who, _) in enumerate(pairs, 1)]
        owners = [name for name, (_, answer) in zip(names, pairs, strict=True) for _ in answer]
        users = pl.Series("user_id", owners, pl.String)
        return in_library(_frame(picks).insert_column(0, users), library)


def _frame(picks: Sequence[Recommendation]) -> pl.DataFrame:
    import polars as pl

    parts = dict.fromkeys(name for pick in picks for name in pick.parts)
    columns = [
        pl.Series("item_id", [pick.item.id for pick in picks], pl.String),
        pl.Series("rank", [pick.rank for pick in picks], pl.Int32),
        pl.Series("score", [pick.score for pick in picks], pl.Float32),
        pl.Series("title", [pick.item.title for pick in picks], pl.String),
        pl.Series("pinned", [pick.pinned for pick in picks], pl.Boolean),
        *(pl.Series(f"part.{name}", [pick.parts.get(name) for pick in picks], pl.Float32) for name in parts),
        pl.Series("explanation", [pick.explanation and pick.explanation.text for pick in picks], pl.String),
    ]
    return pl.DataFrame(columns)


def _name(who: Who, place: int) -> str:
    """Return the name of a user in a data frame."""
    if isinstance(who, _ID):
        return _user_id(who)
    if is_frame(who):
        from genre_gen.recommender.frames import user_of_frame

        user = user_of_frame(who)
    else:
        user = getattr(who, "user", None)
    return user or f"history {place}"


def _picks_table(picks: Sequence[Recommendation]) -> str:
    reasons = any(pick.explanation is not None for pick in picks)
    header = ["", "title", "about", "score", "parts of the score", *(["why"] if reasons else [])]
    rows = [
        [
            pick.rank,
            pick.item.title,
            about(pick.item.attributes),
            f"{pick.score:.2f}",
            ", ".join(f"{name} {share:+.2f}" for name, share in pick.parts.items())
            + (", pinned" if pick.pinned else ""),
            *([pick.explanation or ""] if reasons else []),
        ]
        for pick in picks
    ]
    return html_table(header, rows, numbers=(0, 3))


def data_of(state: RecommenderState, at: Moment | None) -> tuple[Any, ...]:
    """Return what ``history_of`` and ``known_history`` need after ``who``."""
    domain = state.domain
    return state.histories, state.catalog, domain.rating_scale, at, domain.data.not_rated, domain


def history_of(
    who: Who,
    histories: Interactions,
    catalog: Catalog,
    rating_scale: tuple[float, float] | None,
    at: Moment | None = None,
    not_rated: Collection[float] = (),
    domain: Domain | None = None,
) -> tuple[History, tuple[str, ...]]:
    """Return the history of a request, and notes on it; a user without interactions has an empty history.

    Interactions after the moment ``at`` are left out; those without a time are kept. Ratings in ``not_rated`` are none.
    The kinds of events in a data frame mean what ``domain`` says.

    Raises:
        UsageError: an entry that is neither text nor a tuple, a rating off the scale, a moment that cannot be read, or
            a data frame without items or of several users.
        UnknownItemError: an item that the catalog lacks.
    """
    notes: tuple[str, ...] = ()
    if who is None:
        history = History(np.zeros(0, np.int64))
    elif isinstance(who, History):
        history = who
    elif is_frame(who):
        from genre_gen.recommender.frames import history_of_frame

        history = history_of_frame(who, catalog, rating_scale, not_rated, domain)
    elif isinstance(who, _ID):
        user = _user_id(who)
        try:
            history = histories.history(user)
            notes = _read_as("user", [user], [str(history.user)])
        except UnknownUserError:
            history = History(np.zeros(0, np.int64), hidden=histories.hidden_from(user))
            known = histories.unknown(user)
            if catalog.named(user):
                known += "; it is an item: give a list for a history"
            notes = (known if histories.users else NO_HISTORIES,)
    else:
        history, notes = _by_hand(who, catalog, rating_scale, not_rated)
    if at is not None:
        history = history.until(to_moment(at))
    return history, notes if len(history) else (*notes, STRANGER)


def known_history(
    who: Who,
    histories: Interactions,
    catalog: Catalog,
    rating_scale: tuple[float, float] | None,
    at: Moment | None = None,
    not_rated: Collection[float] = (),
    domain: Domain | None = None,
) -> History:
    """Return the history of a request that needs one, such as ``attribute``.

    Raises:
        UsageError: as in ``history_of``, and a history that is empty.
        UnknownUserError: no such user.
    """
    if isinstance(who, _ID):
        user = _user_id(who)
        if not histories.users:
            raise UnknownUserError(
                f"no user {quoted(user)}: this recommender came without histories; give one of titles"
            )
        histories.user_row(user)  # raises
    history, _ = history_of(who, histories, catalog, rating_scale, at, not_rated, domain)
    if not len(history):
        raise UsageError("the history is empty; give a user of the data, or at least one title")
    return history


def _user_id(who: str | int | float | np.integer | np.floating) -> str:
    """Return a user id as text, as in the data; raises UsageError for other types."""
    if isinstance(who, str):
        return who
    if isinstance(who, (float, np.floating)) and not float(who).is_integer():
        raise UsageError(f"the history is {who}; give a user id, or a list of titles or ids")
    if isinstance(who, bool) or not -(2**64) < who < 2**64:
        kind = "a truth value" if isinstance(who, bool) else "too large a number"
        raise UsageError(f"who is {kind}; give a user id, or a list of titles or ids")
    return str(int(who))


def _read_as(kind: str, written: Iterable[str], ids: Iterable[str]) -> tuple[str, ...]:
    """Return a note for each id that is another form of what was written: 196 for 196.0."""
    pairs = zip(written, ids, strict=True)
    return tuple(
        f"{kind} {name!r:.80} is read as {known!r:.80}" for name, known in pairs if other_form(name.strip(), (known,))
    )


def _by_hand(
    events: Any, catalog: Catalog, rating_scale: tuple[float, float] | None, not_rated: Collection[float]
) -> tuple[History, tuple[str, ...]]:
    """Return the history that titles or ids (with ratings, with times) describe, and notes on its ids.

    A set is refused: it has no order.
    """
    if isinstance(events, (Mapping, Set)) or not isinstance(events, Iterable):
        raise UsageError(
            f"the history is {quoted(events, 200)}; give a user id, or a list of titles or ids, each with a rating or "
            "none"
        )
    names: list[str] = []
    ratings: list[float] = []
    times: list[float] = []
    for event in events:
        is_tuple = isinstance(event, (tuple, list)) and len(event) in (2, 3)
        name, rating, time = (*event, None, None)[:3] if is_tuple else (event, None, None)
        if not isinstance(name, str):
            raise UsageError(
                f"the history contains {quoted(event, 200)}; give titles or ids as text, or tuples of one and a rating"
            )
        names.append(name)
        stands_for_none = isinstance(rating, (int, float)) and rating in not_rated
        ratings.append(_rating(None if stands_for_none else rating, name, rating_scale))
        times += [] if time is None else [to_time(time)]
    if len(times) not in {0, len(names)}:
        raise UsageError("some events of the history have times and some have none; give a time to each, or to none")
    rows = rows_of(catalog, names)
    notes = _read_as("item", names, [catalog[row].id for row in rows])
    return History.from_events(rows, ratings, times or None), notes


def _rating(rating: Any, name: str, scale: tuple[float, float] | None) -> float:
    try:
        if isinstance(rating, bool):
            raise TypeError
        number = math.nan if rating is None else float(rating)
    except (TypeError, ValueError):
        raise UsageError(f"the rating {quoted(rating)} of {name!r:.80} is not a number") from None
    except OverflowError:  # so large that Python does not even write it
        raise UsageError(f"the rating of {name!r:.80} is too large a number") from None
    if math.isinf(number):
        raise UsageError(f"the rating {rating!r} of {name!r} is not finite")
    low, high = scale or (-math.inf, math.inf)
    if number < low or number > high:
        raise UsageError(f"the rating {number:g} of {name!r} is off the scale, which runs from {low:g} to {high:g}")
    return number
