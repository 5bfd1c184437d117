"""What answers hold: models from which the documentation is made; answers are built as plain dictionaries."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


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


class SimilarAnswer(BaseModel):
    """Items that are similar to one."""

    item: str
    title: str
    items: list[Pick]
    notes: list[str]


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


class HistoryItem(BaseModel):
    """One interaction of a user."""

    item: str
    title: str
    rating: float | None
    at: str | None


class UserAnswer(BaseModel):
    """A user."""

    user: str
    labels: dict[str, str]
    history: list[HistoryItem]
    interactions: int
    history_seq: int


class MergeAnswer(BaseModel):
    """A merge: the events of ``user`` are now those of ``into``."""

    user: str
    into: str
    events: int


class ForgetAnswer(BaseModel):
    """A user whose events, lists and history were deleted."""

    user: str
    notes: list[str]


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
