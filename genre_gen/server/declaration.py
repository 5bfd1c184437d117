"""Operation: what a route declares of itself, for the server and for the documentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from genre_gen.server.auth import Role


@dataclass(frozen=True)
class Operation:
    """How a route is declared.

    Attributes:
        role: that the key must have; None where no key is needed.
        answer: model of the answer, for the documentation.
        body: model of the body; None without one.
        parsed: False leaves the body to the handler.
        query: model of the parameters; None without any.
        example: of the body.
        parameters: examples of parts of the path and of parameters.
        status: of the answer.
        slow: whether a call takes the deadline of explanations.
        watched: is given up when the client leaves or the deadline passes; not for what writes.
        repeatable: a client may send an ``Idempotency-Key``.
        media: type of the answer's content, if it is not JSON.
        errors: statuses in addition to those that every operation may have.
    """

    role: Role | None
    answer: type[BaseModel] | None
    body: type[BaseModel] | None = None
    parsed: bool = True
    query: type[BaseModel] | None = None
    example: Any = None
    parameters: dict[str, Any] | None = None
    status: int = 200
    slow: bool | Callable[[Any], bool] = False
    watched: bool = False
    repeatable: bool = False
    media: str | None = None
    errors: tuple[int, ...] = ()
