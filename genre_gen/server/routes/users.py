"""Routes of users."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from genre_gen.server.answer_schemas import ForgetAnswer, MergeAnswer, UserAnswer
from genre_gen.server.auth import Role
from genre_gen.server.operation import Call, Operation, operation
from genre_gen.server.schemas import LabelsBody, MergeBody, UserQuery

router = APIRouter()
_OTHER = {"user": "visitor-81"}


@operation(
    router,
    "POST",
    "/v1/{domain}/users/{user:path}/merge",
    Operation(Role.MANAGE, MergeAnswer, MergeBody, example={"into": "17"}, parameters=_OTHER, repeatable=True),
)
async def merge_user(call: Call) -> dict[str, Any]:
    """Merge a user into another. After a log-in, the events of a visitor become those of the known user."""
    return await call.domain.users.merge(call.path("user"), call.body.into)


@operation(
    router,
    "PUT",
    "/v1/{domain}/users/{user:path}",
    Operation(
        Role.MANAGE, UserAnswer, LabelsBody, example={"labels": {"plan": "family"}}, parameters={"user": "visitor-82"}
    ),
)
async def put_user(call: Call) -> dict[str, Any]:
    """Label a user. The user is created if necessary; earlier labels are replaced."""
    return await call.domain.users.put(call.path("user"), call.body.labels)


@operation(router, "GET", "/v1/{domain}/users/{user:path}", Operation(Role.MANAGE, UserAnswer, query=UserQuery))
async def read_user(call: Call) -> dict[str, Any]:
    """Read a user. Labels, and the newest interactions of the history that lists are made from."""
    return await call.domain.users.get(call.path("user"), call.query.n)


@operation(
    router,
    "DELETE",
    "/v1/{domain}/users/{user:path}",
    Operation(Role.MANAGE, ForgetAnswer, parameters={"user": "visitor-82"}),
)
async def delete_user(call: Call) -> dict[str, Any]:
    """Delete a user. Events, lists and history; the next list is that of an unknown user."""
    return await call.domain.users.delete(call.path("user"))
