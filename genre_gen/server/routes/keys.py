"""Routes of keys, for administrators of all domains."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from genre_gen.server.answer_schemas import KeyAnswer, KeysAnswer, NewKeyAnswer
from genre_gen.server.auth import Role
from genre_gen.server.errors import ApiError
from genre_gen.server.operation import Call, Operation, operation
from genre_gen.server.schemas import KeyBody
from genre_gen.server.service import Service, key_values

router = APIRouter()
_KEY = {"role": "read", "domains": ["movies"], "label": "shop window", "days": 365}


def _service(call: Call) -> Service:
    """Return the service; raises ApiError for a key that is for some domains only."""
    if call.caller.domains is not None:
        raise ApiError(403, "role", "this needs a key of role admin for all domains; this key is for some of them")
    return call.service


@operation(
    router,
    "POST",
    "/v1/keys",
    Operation(Role.ADMIN, NewKeyAnswer, KeyBody, example=_KEY, status=201, repeatable=True),
)
async def create_key(call: Call) -> dict[str, Any]:
    """Create a key. Its secret is in this answer only; the store has a hash of it."""
    secret, row = await _service(call).create_key(call.body.model_dump())
    return {**key_values(row), "key": secret}


@operation(router, "GET", "/v1/keys", Operation(Role.ADMIN, KeysAnswer))
async def list_keys(call: Call) -> dict[str, Any]:
    """List the keys. Without their secrets."""
    return {"keys": await _service(call).list_keys()}


@operation(router, "DELETE", "/v1/keys/{prefix}", Operation(Role.ADMIN, KeyAnswer))
async def revoke_key(call: Call) -> dict[str, Any]:
    """Revoke a key. It opens nothing any more when this has answered."""
    return await _service(call).revoke_key(call.path("prefix"))
