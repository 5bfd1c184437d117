"""Routes of lists: recommendations, next pages, and lists that were served."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from genre_gen.server.answer_schemas import ListAnswer, StoredList
from genre_gen.server.auth import Role
from genre_gen.server.operation import Call, Operation, operation
from genre_gen.server.schemas import ListQuery, NextBody, RecommendBody, RecommendQuery

router = APIRouter()
_ASKED = {"user": "17", "n": 5, "where": "year >= 1980", "query": "something light about space", "scenario": "home"}


def _explains(call: Call) -> bool:
    return (call.body or call.query).explain is True


@operation(
    router,
    "POST",
    "/v1/{domain}/recommend",
    Operation(Role.READ, ListAnswer, RecommendBody, example=_ASKED, watched=True, slow=_explains),
)
async def recommend(call: Call) -> dict[str, Any]:
    """Recommend items. For a user, for a history, or for an unknown user; the list has all acknowledged events."""
    return (await call.domain.lists.recommend(call.body, deadline=call.deadline)).content


@operation(
    router,
    "GET",
    "/v1/{domain}/recommend",
    Operation(Role.READ, ListAnswer, query=RecommendQuery, watched=True, slow=_explains),
)
async def recommend_simply(call: Call) -> dict[str, Any]:
    """Recommend items to a user. The same as POST, for requests without lists of items."""
    body = RecommendBody(**call.query.model_dump())
    return (await call.domain.lists.recommend(body, deadline=call.deadline)).content


@operation(
    router,
    "POST",
    "/v1/{domain}/lists/{list}/next",
    Operation(Role.READ, ListAnswer, NextBody, example={"n": 5}, watched=True, errors=(409, 410)),
)
async def next_page(call: Call) -> dict[str, Any]:
    """Continue a list. The next items on the same history and with the same request, without those shown before."""
    return (await call.domain.lists.next_page(call.path("list"), call.body.n, deadline=call.deadline)).content


@operation(
    router,
    "GET",
    "/v1/{domain}/lists/{list}",
    Operation(Role.READ, StoredList, query=ListQuery, watched=True, slow=True, errors=(410,)),
)
async def read_list(call: Call) -> dict[str, Any]:
    """Read a list that was served. As it was; with explain=true, with reasons from the history that it had."""
    return await call.domain.lists.read(call.path("list"), explain=call.query.explain, deadline=call.deadline)
