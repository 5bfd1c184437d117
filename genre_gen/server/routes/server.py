"""Routes of the server itself: domains, health, and the documentation."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from genre_gen.server.answer_schemas import DomainsAnswer, HealthAnswer
from genre_gen.server.auth import Role
from genre_gen.server.docs_page import HEADERS, page
from genre_gen.server.errors import ApiError
from genre_gen.server.operation import Call, Operation, json_response, operation

router = APIRouter()
docs = APIRouter()


@operation(router, "GET", "/v1/domains", Operation(Role.READ, DomainsAnswer))
async def list_domains(call: Call) -> dict[str, Any]:
    """List the domains that the key opens."""
    domains = call.service.domains.values()
    return {"domains": [domain.about() for domain in domains if call.caller.opens(domain.name)]}


@operation(router, "GET", "/health/live", Operation(None, HealthAnswer))
async def is_alive(call: Call) -> dict[str, Any]:
    """Tell whether the process answers."""
    return {"status": "live"}


@operation(router, "GET", "/health/ready", Operation(None, HealthAnswer))
async def is_ready(call: Call) -> dict[str, Any]:
    """Tell whether lists are served and events are stored. 503 with the reasons if not."""
    if problems := call.service.problems():
        raise ApiError(503, "not-ready", "; ".join(problems), headers={"Retry-After": "5"})
    return {"status": "ready"}


@docs.get("/docs", include_in_schema=False)
async def show_docs(request: Request) -> Response:
    """Show the operations on a page that loads nothing."""
    return Response(page(request.app.openapi()), media_type="text/html", headers=HEADERS)


@docs.get("/openapi.json", include_in_schema=False)
async def show_openapi(request: Request) -> Response:
    """Return the documentation for programs."""
    return json_response(request.app.openapi())
