"""Routes of push: streams of lists, and the tokens that open them for clients that send no headers."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from genre_gen.server.auth import Role, check_role
from genre_gen.server.context import iso, user_id
from genre_gen.server.declaration import Operation
from genre_gen.server.errors import ApiError
from genre_gen.server.operation import Call, operation
from genre_gen.server.push import PushHub, StreamResponse
from genre_gen.server.schemas import Body, Id
from genre_gen.server.service import unknown_domain
from genre_gen.server.stream_tokens import MOST_MINUTES, StreamTokens

router = APIRouter()
MOST_ITEMS = 100
"""Items of a list that is pushed."""


class StreamQuery(BaseModel):
    """Whose lists are pushed."""

    model_config = ConfigDict(extra="forbid")

    user: Id
    n: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 10
    token: Annotated[str, Field(max_length=2_000)] | None = Field(
        None, description="of POST stream-tokens, for clients that cannot send a key"
    )
    lists: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="the stream ends after so many lists; by default it does not end"
    )


class StreamTokenBody(Body):
    """For whom a token is, and for how long."""

    user: Id
    minutes: Annotated[float, Field(ge=0.05, le=MOST_MINUTES)] = 60.0


class StreamTokenAnswer(BaseModel):
    """A token, which opens the stream of this user only."""

    token: str
    expires: str


@operation(
    router,
    "GET",
    "/v1/{domain}/stream",
    Operation(None, None, query=StreamQuery, media="text/event-stream", errors=(401, 403, 404)),
)
async def stream(call: Call) -> StreamResponse:
    """Push a user's lists. As server-sent events: the present list, and the newest one after each change.

    The changes are an event of the user, a withdrawn item that the list holds, a merge, and a new model. The id of an
    event names the list's version; with Last-Event-ID, the present list is sent only if it is another one.
    """
    domain, query, user = call.path("domain"), call.query, user_id(call.query.user)
    until = _until(call, domain, user)
    hub: PushHub = call.request.app.state.push
    seen = call.request.headers.get("last-event-id")
    return StreamResponse(
        hub.open(domain, user, query.n, last_event_id=seen, until=until, lists=query.lists or inf),
    )


def _until(call: Call, domain: str, user: str) -> float:
    """Return when the permission of a caller ends, in seconds since 1970; raises ApiError without permission."""
    tokens: StreamTokens = call.request.app.state.tokens
    if call.query.token is None:
        caller = call.service.keys.caller(call.request)
        if domain not in call.service.domains or not caller.opens(domain):
            raise unknown_domain(domain)
        check_role(caller, Role.READ)
        return inf
    until = tokens.valid_until(call.query.token, domain, user)
    if until is None:
        raise ApiError(
            401, "token", "the token is forged, over, or for another user; ask for another by POST stream-tokens"
        )
    if domain not in call.service.domains:
        raise unknown_domain(domain)
    return until


@operation(
    router,
    "POST",
    "/v1/{domain}/stream-tokens",
    Operation(Role.READ, StreamTokenAnswer, StreamTokenBody, example={"user": "17", "minutes": 60}, status=201),
)
async def create_stream_token(call: Call) -> dict[str, Any]:
    """Create a token for one user's stream. For a page of that user, whose EventSource cannot send a key."""
    tokens: StreamTokens = call.request.app.state.tokens
    domain, user = call.path("domain"), user_id(call.body.user)
    token = tokens.issue(domain, user, call.body.minutes)
    return {"token": token, "expires": iso(tokens.valid_until(token, domain, user))}
