"""Events: read from a request, checked one by one, stored, and visible to every request that begins afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pydantic_core
from pydantic import ValidationError

from genre_gen.errors import GenreGenError, UsageError
from genre_gen.live.events import LiveEvent, check_event
from genre_gen.recommender.state import RecommenderState
from genre_gen.server.context import DomainContext, iso, new_id, user_id
from genre_gen.server.errors import ApiError, of_validation
from genre_gen.server.schemas import MAX_EVENTS, EventBody, EventsBody, seconds_of
from genre_gen.store.events import Added, EventLog

Rejection = dict[str, Any]
"""``index`` of the event in its request, and the ``error``."""


def read_events(raw: bytes) -> tuple[list[tuple[int, EventBody]], list[Rejection]]:
    """Return the valid events of a request, each with its index, and the others with what is wrong.

    Raises:
        ApiError: the whole is not ``{"events": [...]}`` with 1 to ``MAX_EVENTS`` entries.
    """
    try:
        return [*enumerate(EventsBody.model_validate_json(raw).events)], []
    except ValidationError as problem:
        if any(error["loc"][:1] != ("events",) or len(error["loc"]) < 2 for error in problem.errors()):  # noqa: PLR2004
            raise of_validation(problem) from None
    try:
        events = pydantic_core.from_json(raw, allow_inf_nan=False)["events"]
    except ValueError as problem:
        raise ApiError(400, "invalid-json", f"the body is not JSON: {problem}; send one JSON object") from None
    valid: list[tuple[int, EventBody]] = []
    rejected: list[Rejection] = []
    for index, event in enumerate(events):
        try:
            valid.append((index, EventBody.model_validate_json(pydantic_core.to_json(event))))
        except ValidationError as problem:
            rejected.append({"index": index, "error": str(of_validation(problem))})
    return valid, rejected


class Events:
    """Takes events in, and reads them back."""

    def __init__(self, context: DomainContext, event_log: EventLog) -> None:
        """Serve one domain, whose events are in a log."""
        self._context, self._log = context, event_log

    async def add(self, bodies: Sequence[tuple[int, EventBody]], rejected: Sequence[Rejection] = ()) -> dict[str, Any]:
        """Store events; when this returns, they are durable, and in the histories that requests read.

        Args:
            bodies: each with its index in the request.
            rejected: what was found invalid before.

        Returns:
            The values of ``EventsAnswer``.

        Raises:
            BusyError, StoreError: none of them was stored.
        """
        now, refused, state = time.time(), list(rejected), self._context.state
        events: list[LiveEvent] = []
        for index, body in bodies:
            try:
                events.append(self._event(body, now, state))
            except GenreGenError as problem:
                refused.append({"index": index, "error": str(problem)})
        answer = {"accepted": 0, "duplicates": 0, "updated": 0, "rejected": refused, "seq": 0}
        if events:
            writer = self._context.database.writer
            writing = writer.submit(partial(self._log.add, events=events), self._applied, rows=len(events))
            added = await asyncio.wrap_future(writing)
            answer["accepted"], answer["duplicates"] = len(added.stored), added.duplicates
            answer["updated"], answer["seq"] = added.updated, max((event.seq for event in added.stored), default=0)
        refused.sort(key=lambda each: each["index"])
        return answer

    def _event(self, body: EventBody, now: float, state: RecommenderState) -> LiveEvent:
        """Return the event to store; raises UsageError, UnknownItemError."""
        context, kind = self._context, body.type or self._context.kinds.default
        if kind is None:
            raise UsageError(f"no type; give one of {', '.join(context.kinds.names)}")
        event = LiveEvent(
            body.event_id or new_id(now),
            user_id(body.user),
            user_id(body.item),
            kind,
            now if body.at is None else seconds_of(body.at),
            now,
            body.rating,
            body.value,
            body.list_id,
            body.position,
            body.session,
        )
        check_event(event, context.kinds, state.domain, now)
        if context.settings.unknown_items == "reject" and event.item not in state.catalog:
            state.catalog.row(event.item)  # raises, and says which catalog
        return event

    def _applied(self, added: Added) -> None:
        """Make stored events visible, in the writer's thread, and tell the listeners."""
        context = self._context
        users = context.histories.apply(added.stored)
        if users and context.listeners:
            because = {event.user: event.event_id for event in added.stored}
            for listener in context.listeners:
                listener.changed(context.name, users, because)

    async def of_user(self, user: str, n: int = MAX_EVENTS, before: int | None = None) -> dict[str, Any]:
        """Return stored events of a user, the newest first: the values of ``EventsOfUser``."""
        events = await asyncio.to_thread(self._log.of_user, user_id(user), n, before)
        values = [
            {
                "seq": event.seq,
                "event_id": event.event_id,
                "user": event.user,
                "item": event.item,
                "type": event.kind,
                "at": iso(event.happened),
                "received": iso(event.received),
                "rating": event.rating,
                "value": event.value,
                "list": event.list_id,
                "position": event.position,
                "session": event.session,
            }
            for event in events
        ]
        return {"events": values, "next": events[-1].seq if len(events) == n else None}
