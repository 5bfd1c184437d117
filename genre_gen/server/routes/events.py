"""Routes of events."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from genre_gen.server.answer_schemas import EventsAnswer, EventsOfUser
from genre_gen.server.auth import Role
from genre_gen.server.events import read_events
from genre_gen.server.operation import Call, Operation, operation
from genre_gen.server.schemas import EventsBody, EventsQuery

router = APIRouter()
_EVENTS = {
    "events": [
        {"event_id": "c1-0007", "user": "17", "item": "12"},
        {"event_id": "c1-0008", "user": "17", "item": "5", "type": "rating", "rating": 4,
         "at": "2026-01-15T10:15:02.120Z", "session": "s-81"},
        {"event_id": "c1-0009", "user": "visitor-81", "item": "7", "type": "view", "value": 48.5},
        {"event_id": "c1-0010", "user": "visitor-81", "item": "8", "at": 1768471200},
    ]
}  # fmt: skip


@operation(
    router,
    "POST",
    "/v1/{domain}/events",
    Operation(Role.INGEST, EventsAnswer, EventsBody, parsed=False, example=_EVENTS),
)
async def add_events(call: Call) -> dict[str, Any]:
    """Report events. The answer means that they are on disk and in the next list; send again what got no answer."""
    domain = call.domain
    answer = await domain.events.add(*read_events(call.raw))
    call.request.app.state.metrics.events(
        domain.name,
        accepted=answer["accepted"],
        duplicate=answer["duplicates"],
        updated=answer["updated"],
        rejected=len(answer["rejected"]),
    )
    return answer


@operation(router, "GET", "/v1/{domain}/events", Operation(Role.INGEST, EventsOfUser, query=EventsQuery))
async def events_of_user(call: Call) -> dict[str, Any]:
    """Read the events of a user. The newest first."""
    return await call.domain.events.of_user(call.query.user, call.query.n, call.query.before)
