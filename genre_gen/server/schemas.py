"""What requests and answers hold: one model for each body, from which the documentation is made too.

Values are taken strictly: a number in quotation marks is not a number, and an unknown key is an error. Answers of the
busiest routes are built as plain dictionaries; their models serve the documentation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

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


class Triple(BaseModel):
    """One fact of a reason, which can be checked in the data; a subject of null is the user."""

    subject: str | None
    relation: str
    object: str | None
    field: str
    values: list[str]
    numbers: list[float]


class Reasons(BaseModel):
    """Why an item is in a list."""

    text: str
    method: str
    reasons: list[Triple]
    notes: list[str]


class Pick(BaseModel):
    """One item of a list."""

    rank: int
    item: str
    title: str
    score: float | None = Field(description="in standard deviations above the user's mean over the allowed items")
    parts: dict[str, float | None] | None = Field(None, description="each model's share of the score")
    pinned: bool | None = None
    explanation: Reasons | None = None


class Understood(BaseModel):
    """How a request in free text was understood."""

    where: str | None
    text: str


class ListAnswer(BaseModel):
    """A list of recommendations."""

    id: str
    generation: str = Field(description="the trained model that made it")
    view: int = Field(description="grows with each change of the items or of the model")
    history_seq: int = Field(description="place in the log of the user's last event that it has; 0 without events")
    scenario: str | None = None
    policy: str = "greedy"
    items: list[Pick]
    understood: Understood | None = None
    notes: list[str] = Field(description="why there are fewer items than asked for, and what else is to be known")
    micros: int = Field(description="microseconds from the request to the answer, as the server sees it")


class StoredList(ListAnswer):
    """A list that was served earlier."""

    user: str | None
    at: str


class SimilarQuery(BaseModel):
    """How many similar items are wanted."""

    model_config = ConfigDict(extra="forbid")

    n: Count = 10


class SimilarAnswer(BaseModel):
    """Items that are similar to one."""

    item: str
    title: str
    items: list[Pick]
    notes: list[str]


class AboutItem(Body):
    """A question about a user (or a history) and an item."""

    user: Id | None = None
    history: Annotated[list[Id | HistoryEntry], Field(max_length=MAX_HISTORY)] | None = None
    item: Id = Field(description="a title or id")
    at: Moment | None = None


class CompareBody(AboutItem):
    """Why one item rather than another."""

    other: Id = Field(description="a title or id")


class ExplainAnswer(Reasons):
    """Why an item would be recommended."""

    item: str
    title: str


class CompareAnswer(BaseModel):
    """Why one item is recommended rather than another: by model, and by item of the history."""

    item: dict[str, str]
    other: dict[str, str]
    scores: list[float | None]
    parts: dict[str, list[float | None]]
    items: list[dict[str, Any]]
    text: str


class PredictAnswer(BaseModel):
    """A predicted rating, on the scale of the data."""

    item: str
    title: str
    rating: float
    parts: dict[str, float | None]
    reason: str


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


class Rejected(BaseModel):
    """An event that was not stored."""

    index: int
    error: str


class EventsAnswer(BaseModel):
    """What became of the events: they are on disk, and each request that begins afterwards sees them."""

    accepted: int
    duplicates: int
    updated: int
    rejected: list[Rejected]
    seq: int = Field(description="place in the log of the last of them; 0 if none was stored")


class EventsQuery(BaseModel):
    """Which events are read."""

    model_config = ConfigDict(extra="forbid")

    user: Id
    n: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = 100
    before: Annotated[int, Field(ge=1, le=2**62)] | None = Field(None, description="only events before this seq")


class EventAnswer(BaseModel):
    """One stored event."""

    seq: int
    event_id: str
    user: str
    item: str
    type: str
    at: str
    received: str
    rating: float | None
    value: float | None
    list: str | None
    position: int | None
    session: str | None


class EventsOfUser(BaseModel):
    """Events of a user, the newest first; ``next`` is the ``before`` of older ones."""

    events: list[EventAnswer]
    next: int | None


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


class ItemAnswer(BaseModel):
    """An item."""

    item: str
    title: str
    fields: dict[str, Any]
    text: str
    available: bool
    version: int = Field(description="0: as it was in training")


class ItemsAnswer(BaseModel):
    """What became of the items, in their order."""

    items: list[ItemAnswer]
    created: int
    view: int


class LabelsBody(Body):
    """What a user is labelled with; replaces earlier labels."""

    labels: Annotated[dict[Short, Annotated[str, Field(max_length=500)]], Field(max_length=50)]


class HistoryItem(BaseModel):
    """One interaction of a user."""

    item: str
    title: str
    rating: float | None
    at: str | None


class UserQuery(BaseModel):
    """How much of a user's history is read."""

    model_config = ConfigDict(extra="forbid")

    n: Annotated[int, Field(ge=0, le=5_000)] = Field(100, description="interactions, the newest first")


class UserAnswer(BaseModel):
    """A user."""

    user: str
    labels: dict[str, str]
    history: list[HistoryItem]
    interactions: int
    history_seq: int


class MergeBody(Body):
    """Into which user another is merged."""

    into: Id


class MergeAnswer(BaseModel):
    """A merge: the events of ``user`` are now those of ``into``."""

    user: str
    into: str
    events: int


class ForgetAnswer(BaseModel):
    """A user whose events, lists and history were deleted."""

    user: str
    notes: list[str]


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


class KeyAnswer(BaseModel):
    """A key without its secret."""

    prefix: str
    role: str
    domains: list[str] | None
    label: str
    created: str | None
    expires: str | None
    revoked: str | None
    last_used: str | None
    rate: float | None
    burst: int | None


class NewKeyAnswer(KeyAnswer):
    """A new key; its secret is shown this once."""

    key: str | None


class KeysAnswer(BaseModel):
    """All keys."""

    keys: list[KeyAnswer]


class DomainAnswer(BaseModel):
    """A domain that is served."""

    domain: str
    generation: str
    view: int
    items: int
    available: int
    events: list[str] = Field(description="kinds of events")
    fields: list[str]


class DomainsAnswer(BaseModel):
    """The domains that the key opens."""

    domains: list[DomainAnswer]


class HealthAnswer(BaseModel):
    """Whether the server works."""

    status: str
