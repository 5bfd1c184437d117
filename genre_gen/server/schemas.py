"""What requests hold: one model for each body and for the parameters of a path, also for the documentation.

Values are taken strictly: a number in quotation marks is not a number, and an unknown key is an error.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from genre_gen.live.events import LAST_SECOND

MAX_LIST = 1_000
"""Items of a list, all its pages together."""
MAX_EVENTS = 500
"""Events of one request."""
MAX_ITEMS = 200
"""Items of one request that adds or changes them."""
MAX_HISTORY = 2_000
"""Entries of a history in a request."""
MAX_WHERE, MAX_QUERY = 2_000, 500
"""Characters of an expression, and of a request in free text."""

_PLAIN = r"^[^\x00-\x1f\x7f]+$"
Id: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_PLAIN)]
Short: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)]
Moment: TypeAlias = datetime | Annotated[float, Field(ge=-LAST_SECOND, le=LAST_SECOND)]
"""ISO text such as ``2026-12-01T10:15:00Z`` (UTC if it names no zone), or seconds since 1970."""
FieldValue: TypeAlias = (
    Annotated[str, Field(max_length=2_000)]
    | Annotated[int, Field(ge=-(2**53), le=2**53)]
    | Annotated[float, Field(allow_inf_nan=False)]
    | Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=200)]
    | None
)
Count: TypeAlias = Annotated[int, Field(ge=1, le=MAX_LIST)]
Expression: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_WHERE)]


class Body(BaseModel):
    """Base of what a request holds."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def seconds_of(moment: datetime | float) -> float:
    """Return a moment as seconds since 1970."""
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    return float(moment)


class HistoryEntry(Body):
    """One interaction of a history in a request: a title or id, perhaps with a rating and a moment."""

    item: Id
    rating: float | None = None
    at: Moment | None = None


class RulesBody(Body):
    """Boosts, pins and quotas, as in ``[rules]`` of ``domain.toml``; an empty object takes no rules at all."""

    boosts: Annotated[dict[Expression, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=100)] = Field(
        default_factory=dict, description="expression -> amount added to the scores of its items"
    )
    pins: Annotated[dict[Id, Count], Field(max_length=100)] = Field(
        default_factory=dict, description="title or id -> its rank"
    )
    at_most: Annotated[dict[Expression, Count], Field(max_length=100)] = Field(
        default_factory=dict, description="field or expression -> maximum number of items in the list"
    )
    at_least: Annotated[dict[Expression, Count], Field(max_length=100)] = Field(
        default_factory=dict, description="expression -> minimum number of items in the list"
    )


class RecommendBody(Body):
    """A request for a list: for a user, for a history, or for an unknown user if both are missing."""

    user: Id | None = None
    history: Annotated[list[Id | HistoryEntry], Field(max_length=MAX_HISTORY)] | None = Field(
        None, description="titles or ids, oldest first, instead of a user"
    )
    n: Count = 10
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)] | None = Field(
        None, description="a request in free text"
    )
    where: Expression | None = Field(None, description="a condition on fields, such as: year >= 1980")
    exclude: Annotated[list[Id], Field(max_length=1_000)] = Field([], description="titles or ids to leave out")
    include: Annotated[list[Id], Field(max_length=5_000)] | None = Field(
        None, description="the only titles or ids that may appear"
    )
    at: Moment | None = Field(None, description="the moment of the request: later interactions are not seen")
    rules: RulesBody | None = Field(None, description="instead of the rules of the domain")
    explain: bool | Literal["later"] = Field(
        False, description="true: with reasons; later: the list now, its reasons by GET lists/{list}?explain=true"
    )
    scenario: Short | None = Field(None, description="where the list is shown, for the log")
    session: Short | None = None
    log: bool = Field(True, description="keep the list; only kept lists have next pages and can be read by id")


class RecommendQuery(BaseModel):
    """The same for simple requests, as parameters."""

    model_config = ConfigDict(extra="forbid")

    user: Id | None = None
    n: Count = 10
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)] | None = None
    where: Expression | None = None
    explain: bool = False
    scenario: Short | None = None
    session: Short | None = None


class NextBody(Body):
    """A request for the next page of a list."""

    n: Count = 10


class ListQuery(BaseModel):
    """How a list is read."""

    model_config = ConfigDict(extra="forbid")

    explain: bool = Field(False, description="give the reasons of the list's items, of its own history")


class SimilarQuery(BaseModel):
    """How many similar items are wanted."""

    model_config = ConfigDict(extra="forbid")

    n: Count = 10


class AboutItem(Body):
    """A question about a user (or a history) and an item."""

    user: Id | None = None
    history: Annotated[list[Id | HistoryEntry], Field(max_length=MAX_HISTORY)] | None = None
    item: Id = Field(description="a title or id")
    at: Moment | None = None


class CompareBody(AboutItem):
    """Why one item rather than another."""

    other: Id = Field(description="a title or id")


class EventBody(Body):
    """One event. The same ``event_id`` is stored once; sent again with a larger ``value``, the value is replaced."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    user: Id
    item: Id = Field(description="an item's id")
    event_id: Short | None = Field(None, description="without one, an event that is sent twice is stored twice")
    type: Short | None = Field(None, description="a kind of event of the domain; by default its interaction")
    at: Moment | None = Field(None, description="when it happened; by default when it arrives")
    rating: float | None = None
    value: float | None = Field(None, description="seconds of reading, or an amount")
    list_id: Annotated[str, StringConstraints(max_length=64, pattern=_PLAIN)] | None = Field(None, alias="list")
    position: Annotated[int, Field(ge=1, le=100_000)] | None = None
    session: Short | None = None


class EventsBody(Body):
    """Events of one request; each is checked alone."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=MAX_EVENTS)]


class EventsQuery(BaseModel):
    """Which events are read."""

    model_config = ConfigDict(extra="forbid")

    user: Id
    n: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = 100
    before: Annotated[int, Field(ge=1, le=2**62)] | None = Field(None, description="only events before this seq")


class ItemBody(Body):
    """An item: its title, fields and text replace those that it has."""

    title: Annotated[str, Field(min_length=1, max_length=500)]
    fields: Annotated[dict[Short, FieldValue], Field(max_length=100)] = Field(
        default_factory=dict, description="values by the names of the domain's fields; a missing one is unknown"
    )
    text: Annotated[str, Field(max_length=20_000)] = ""
    available: bool = True


class ItemPatch(Body):
    """Changes of an item; what is missing stays."""

    title: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    fields: Annotated[dict[Short, FieldValue], Field(max_length=100)] | None = None
    text: Annotated[str, Field(max_length=20_000)] | None = None
    available: bool | None = Field(None, description="false: in no list from the next batch on")


class NamedItem(ItemBody):
    """An item with its id."""

    item: Id


class ItemsBody(Body):
    """Items of one request: all are added or changed, or none."""

    items: Annotated[list[NamedItem], Field(min_length=1, max_length=MAX_ITEMS)]


class LabelsBody(Body):
    """What a user is labelled with; replaces earlier labels."""

    labels: Annotated[dict[Short, Annotated[str, Field(max_length=500)]], Field(max_length=50)]


class UserQuery(BaseModel):
    """How much of a user's history is read."""

    model_config = ConfigDict(extra="forbid")

    n: Annotated[int, Field(ge=0, le=5_000)] = Field(100, description="interactions, the newest first")


class MergeBody(Body):
    """Into which user another is merged."""

    into: Id


class KeyBody(Body):
    """A new key. Roles include those before: read, ingest, manage, admin."""

    role: Literal["read", "ingest", "manage", "admin"]
    domains: Annotated[list[Short], Field(min_length=1, max_length=100)] | None = Field(
        None, description="domains that it opens; null for all"
    )
    label: Annotated[str, Field(max_length=200)] = ""
    days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(None, description="it expires after so many days")
    rate: Annotated[float, Field(gt=0, le=1e6)] | None = Field(None, description="requests a second")
    burst: Annotated[int, Field(ge=1, le=10**6)] | None = None
