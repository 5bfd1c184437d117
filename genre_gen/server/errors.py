"""Problems: every error of the server as ``application/problem+json`` (RFC 9457), with the remedy in ``detail``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from genre_gen.errors import (
    BusyError,
    ConfigError,
    DataError,
    DecodingError,
    GenreGenError,
    StoreError,
    UnknownItemError,
    UnknownUserError,
    UsageError,
)
from genre_gen.server.refusals import ConflictError, GoneError, NotFoundError

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
"""How many wrong fields an answer names."""

CLIENT_LEFT = 499
STORE_PAUSE = 2.0
"""Seconds after which a client may try again when the store failed."""


class FieldError(BaseModel):
    """One wrong value of a request."""

    field: str
    problem: str


class Problem(BaseModel):
    """An error: what was wrong, where, and the remedy."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] | None = None


class ApiError(GenreGenError):
    """A request that is answered with an error of HTTP.

    Attributes:
        status: of HTTP.
        kind: the last part of the problem's ``type``, for programs.
        headers: of the answer.
        errors: field -> problem, for several wrong values.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Hold the answer."""
        super().__init__(message)
        self.status, self.kind, self.headers, self.errors = status, kind, dict(headers or {}), list(errors)


def late(seconds: float) -> ApiError:
    """Return the error for a request whose deadline has passed."""
    return ApiError(
        503,
        "deadline",
        f"no answer within {seconds * 1000:,.0f} ms; try again later, or allow more by the header X-Timeout-Ms",
        headers={"Retry-After": "1"},
    )


def of_validation(problem: ValidationError, where: str = "") -> ApiError:
    """Return the error for values that a model refuses; ``where`` goes before the names of fields."""
    found = problem.errors(include_url=False, include_context=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        told = found[0]["msg"].removeprefix("Invalid JSON: ")
        return ApiError(400, "invalid-json", f"the body is not JSON: {told}; send one JSON object")
    errors = [{"field": _path(each["loc"], where), "problem": _told(each["msg"])} for each in found[:MAX_ERRORS]]
    told = "; ".join(f"{each['field']}: {each['problem']}" for each in errors[:3])
    more = len(found) - 3
    rest = f"; and {more} more" if more > 0 else ""
    return ApiError(422, "invalid", f"{told}{rest}; see /openapi.json for the fields and their values", errors=errors)


def _path(loc: Sequence[Any], where: str) -> str:
    """Return where a value is; names of alternatives of a type, which pydantic adds, are left as they are."""
    return ".".join([where] * bool(where) + [f"{part:.80}" if isinstance(part, str) else str(part) for part in loc])


def _told(message: str) -> str:
    return message.removeprefix("Value error, ")


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the id of a request, which the outermost layer gave it."""
    return str(scope.get("state", {}).get("request_id", ""))


def problem_response(request: Request, error: ApiError) -> Response:
    """Return the answer for an error."""
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = "Error"
    content: dict[str, Any] = {
        "type": f"urn:genre-gen:{error.kind}",
        "title": title,
        "status": error.status,
        "detail": str(error),
        "request_id": request_id_of(request.scope),
    }
    if error.errors:
        content["errors"] = error.errors
    body = json.dumps(content, separators=(",", ":")).encode()
    return Response(body, error.status, error.headers, media_type=MEDIA_TYPE)


_STATUSES: tuple[tuple[type[GenreGenError], int, str], ...] = (  # the first that fits
    (BusyError, 503, "busy"),
    (StoreError, 503, "store"),
    (DecodingError, 503, "model"),
    (NotFoundError, 404, "not-found"),
    (ConflictError, 409, "conflict"),
    (GoneError, 410, "gone"),
    (UnknownItemError, 422, "unknown-item"),
    (UnknownUserError, 422, "unknown-user"),
    (UsageError, 422, "invalid"),
    (DataError, 422, "invalid"),
    (ConfigError, 422, "not-possible"),
)


def api_error(error: Exception) -> ApiError | None:
    """Return the error of HTTP for one of the library; None for one that was not expected."""
    if isinstance(error, ApiError):
        return error
    for cls, status, kind in _STATUSES:
        if isinstance(error, cls):
            pause = error.retry_after if isinstance(error, BusyError) else STORE_PAUSE
            headers = {"Retry-After": str(max(1, math.ceil(pause)))} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
            return ApiError(status, kind, str(error), headers=headers)
    return None


async def _of_library(request: Request, error: Exception) -> Response:
    known = api_error(error)
    if known is None:
        raise error  # the outermost layer logs it, and answers 500
    return problem_response(request, known)


async def _of_framework(request: Request, error: HTTPException) -> Response:
    details = {
        404: ("not-found", "no such path; GET /openapi.json lists the operations"),
        405: ("method", f"{request.method} is not possible here; the header Allow lists what is"),
    }
    kind, detail = details.get(error.status_code, ("refused", str(error.detail)))
    headers = dict(error.headers or {})
    return problem_response(request, ApiError(error.status_code, kind, detail, headers=headers))


async def _of_parameters(request: Request, error: RequestValidationError) -> Response:
    errors = [{"field": _path(each["loc"][1:], ""), "problem": _told(each["msg"])} for each in error.errors()]
    told = "; ".join(f"{each['field']}: {each['problem']}" for each in errors[:3])
    return problem_response(request, ApiError(422, "invalid", told, errors=errors[:MAX_ERRORS]))


async def _of_vanished(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


def handle_errors(app: FastAPI) -> None:
    """Answer every error of an app as a problem; those that were not expected are left to the outermost layer."""
    app.add_exception_handler(GenreGenError, _of_library)
    app.add_exception_handler(HTTPException, _of_framework)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _of_parameters)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, _of_vanished)
