"""The route of metrics."""

from __future__ import annotations

import hmac

from fastapi import APIRouter
from starlette.responses import Response

from genre_gen.server.auth import Role, check_role
from genre_gen.server.declaration import Operation
from genre_gen.server.errors import ApiError
from genre_gen.server.metrics import CONTENT_TYPE, Metrics
from genre_gen.server.operation import Call, operation

router = APIRouter()


@operation(router, "GET", "/metrics", Operation(None, None, media="text/plain", errors=(401, 403)))
async def show_metrics(call: Call) -> Response:
    """Show the metrics. In the text format of Prometheus; with a key for all domains, or the scrape key."""
    _check(call)
    metrics: Metrics = call.request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE)


def _check(call: Call) -> None:
    scrape = call.service.settings.scrape_key
    given = call.request.headers.get("authorization", "").partition(" ")[2].strip()
    if scrape and hmac.compare_digest(given.encode(), scrape.encode()):
        return
    caller = call.service.keys.caller(call.request)
    check_role(caller, Role.READ)
    if caller.domains is not None:
        raise ApiError(403, "domains", "metrics are those of all domains; give a key for all, or the scrape key")
