"""Routes of items."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from genre_gen.server.answer_schemas import ItemAnswer, ItemsAnswer
from genre_gen.server.auth import Role
from genre_gen.server.operation import Call, Operation, operation
from genre_gen.server.schemas import ItemBody, ItemPatch, ItemsBody, NamedItem

router = APIRouter()
_ITEM = {"title": "A Night at the Harbour (1999)", "fields": {"genre": ["Drama"], "year": 1999}}
_NEW = {"item": "new-1"}


@operation(
    router,
    "POST",
    "/v1/{domain}/items",
    Operation(Role.MANAGE, ItemsAnswer, ItemsBody, example={"items": [{"item": "new-2", **_ITEM}]}, repeatable=True),
)
async def put_items(call: Call) -> dict[str, Any]:
    """Add or replace several items. All of them or none; they are recommended when this has answered."""
    return await call.domain.items.put(call.body.items)


@operation(
    router,
    "PUT",
    "/v1/{domain}/items/{item:path}",
    Operation(Role.MANAGE, ItemAnswer, ItemBody, example=_ITEM, parameters=_NEW),
)
async def put_item(call: Call) -> dict[str, Any]:
    """Add or replace an item. It is recommended when this has answered."""
    item = NamedItem.model_validate({"item": call.path("item"), **call.body.model_dump()})
    return (await call.domain.items.put([item]))["items"][0]  # type: ignore[no-any-return]


@operation(
    router,
    "PATCH",
    "/v1/{domain}/items/{item:path}",
    Operation(Role.MANAGE, ItemAnswer, ItemPatch, example={"available": True}),
)
async def patch_item(call: Call) -> dict[str, Any]:
    """Change parts of an item. With available=false, no list that begins afterwards has it."""
    return await call.domain.items.patch(call.path("item"), call.body)


@operation(router, "DELETE", "/v1/{domain}/items/{item:path}", Operation(Role.MANAGE, ItemAnswer))
async def withdraw_item(call: Call) -> dict[str, Any]:
    """Withdraw an item. No list that begins afterwards has it; histories keep it, and PUT brings it back."""
    return await call.domain.items.withdraw(call.path("item"))


@operation(router, "GET", "/v1/{domain}/items/{item:path}", Operation(Role.MANAGE, ItemAnswer))
async def read_item(call: Call) -> dict[str, Any]:
    """Read an item."""
    return call.domain.items.get(call.path("item"))
