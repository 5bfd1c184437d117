"""Operations: how a route is declared, so that each has its role, its limits, its deadline and its documentation.

A route declared by :func:`operation` authenticates the caller, then finds the domain, then reads the body: a request
without a key costs nothing more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from genre_gen.errors import BusyError
from genre_gen.server import openapi
from genre_gen.server.auth import ANYONE, Caller, check_role
from genre_gen.server.declaration import Operation
from genre_gen.server.errors import ApiError, late, of_validation
from genre_gen.server.limits import check_content, read_body, timeout_of
from genre_gen.server.service import DomainService, Service, unknown_domain

JSON = "application/json"
ID = re.compile(r"[^\x00-\x1f\x7f]{1,500}")
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
BODIES: list[type[BaseModel]] = []
"""The models of all bodies, for the documentation."""


@dataclass(slots=True)
class Call:
    """One admitted request.

    Attributes:
        request: of the framework.
        service: all domains.
        caller: who sends it; a caller without a key where none is needed.
        seconds: that it may take.
        deadline: by ``time.monotonic()``.
        raw: the body as sent.
        body: the body as the operation's model.
        query: the parameters as the operation's model.
    """

    request: Request
    service: Service
    caller: Caller
    seconds: float = 0.0
    deadline: float = 0.0
    raw: bytes = b""
    body: Any = None
    query: Any = None

    @property
    def domain(self) -> DomainService:
        """Return the domain of the path."""
        return self.service.domain(self.request.path_params["domain"])

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])


Handler: TypeAlias = Callable[[Call], Awaitable[Any]]


class _Route(APIRoute):
    """A route whose endpoint takes the request as it is: nothing is injected or converted."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        return self.endpoint


def operation(router: APIRouter, method: str, path: str, declared: Operation) -> Callable[[Handler], Handler]:
    """Declare a route; the docstring of its handler is its documentation."""
    if declared.body is not None and declared.body not in BODIES:
        BODIES.append(declared.body)

    def declare(handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            call = await _admitted(request, declared)
            if declared.watched:
                content = await _unless_gone(call, handler)
            elif declared.repeatable and (name := request.headers.get("idempotency-key")) is not None:
                return await _once(call, handler, declared, name)
            else:
                content = await handler(call)
            return content if isinstance(content, Response) else json_response(content, declared.status)

        router.add_api_route(
            path,
            endpoint,
            methods=[method],
            name=handler.__name__,
            operation_id=handler.__name__,
            route_class_override=_Route,
            response_model=declared.answer,
            status_code=declared.status,
            **openapi.about(method, path, declared, handler.__doc__ or ""),
        )
        return handler

    return declare


def json_response(content: Any, status: int = 200) -> Response:
    """Return values as JSON in ASCII."""
    return Response(_ENCODER.encode(content).encode(), status, media_type=JSON)


async def _admitted(request: Request, declared: Operation) -> Call:
    """Return a request that is allowed; its body is read last.

    Raises:
        ApiError, NotFoundError: it may not.
    """
    service: Service = request.app.state.service
    settings = service.settings
    caller = ANYONE
    if declared.role is not None:
        caller = service.keys.caller(request)
        domain = request.path_params.get("domain")
        if domain is not None and (domain not in service.domains or not caller.opens(domain)):
            if service.starting is not None and caller.opens(domain):
                raise BusyError(f"the server starts: {service.starting}; try again later", retry_after=2.0)
            raise unknown_domain(domain)
        check_role(caller, declared.role)
        _check_path(request)
    call = Call(request, service, caller)
    if declared.query is not None:
        call.query = _query(request, declared.query)
    if declared.body is not None:
        check_content(request)
        call.raw = await read_body(request, settings.max_body)
        if declared.parsed:
            try:
                call.body = declared.body.model_validate_json(call.raw)
            except ValidationError as problem:
                raise of_validation(problem) from None
    slow = declared.slow if isinstance(declared.slow, bool) else declared.slow(call)
    usual = settings.explain_timeout_ms if slow else settings.timeout_ms
    call.seconds = timeout_of(request, usual, settings.max_timeout_ms)
    call.deadline = time.monotonic() + call.seconds
    return call


def _check_path(request: Request) -> None:
    """Raise ApiError 422 for an id in the path that none can be."""
    for name, value in request.path_params.items():
        if ID.fullmatch(value) is None:
            told = f"{name}: an id in the path must have 1 to 500 characters, none of them a control character"
            raise ApiError(422, "invalid", f"{told}; give another", errors=[{"field": name, "problem": told}])


def _query(request: Request, model: type[BaseModel]) -> BaseModel:
    """Return the parameters of a request; raises ApiError for those that are invalid or there twice."""
    pairs = request.query_params.multi_items()
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ApiError(422, "invalid", "a parameter is there twice; send each once")
    try:
        return model.model_validate_strings(values)
    except ValidationError as problem:
        raise of_validation(problem) from None


async def _unless_gone(call: Call, handler: Handler) -> Any:
    """Return a handler's answer; give it up when the client leaves, or when the deadline passes.

    Raises:
        ApiError: the deadline has passed.
        asyncio.CancelledError: the client has left.
    """
    work = asyncio.ensure_future(handler(call))
    leaving = asyncio.ensure_future(_disconnected(call.request))
    try:
        left = max(0.0, call.deadline - time.monotonic())
        await asyncio.wait((work, leaving), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        if leaving.done():
            return Response(status_code=499)
        raise late(call.seconds)
    finally:
        leaving.cancel()
        if not work.done():
            work.cancel()


async def _disconnected(request: Request) -> None:
    """Return when the client has left; what else it sends is not for this request."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _once(call: Call, handler: Handler, declared: Operation, name: str) -> Response:
    """Answer a request that may be sent again with the answer of the first time.

    Raises:
        ApiError: the same name was used for another request (422), or the first one is not done (409).
    """
    if not 1 <= len(name) <= 200 or not name.isprintable():  # noqa: PLR2004
        raise ApiError(422, "invalid", "Idempotency-Key must have 1 to 200 printable characters")
    caller, request = call.caller, call.request
    once = call.service.once(request.path_params.get("domain"))
    whole = f"{request.method} {request.url.path}\n".encode() + call.raw
    key = f"{caller.prefix}/{name}"
    earlier = await once.begin(key, hashlib.sha256(whole).hexdigest())
    if earlier is not None:
        return Response(earlier.answer, earlier.status, {"Idempotency-Replayed": "true"}, media_type=JSON)
    try:
        content = await handler(call)
        response = content if isinstance(content, Response) else json_response(content, declared.status)
        await once.finish(key, response.status_code, _without_secret(content, response))
    except BaseException:
        await asyncio.shield(once.abandon(key))
        raise
    return response


def _without_secret(content: Any, response: Response) -> bytes:
    """Return what is stored of an answer: the secret of a new key is stored nowhere."""
    if isinstance(content, dict) and "key" in content:
        return json_response({**content, "key": None}).body  # type: ignore[return-value]
    return bytes(response.body)
