"""The app: all routes over a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from genre_gen.server import openapi
from genre_gen.server.errors import handle_errors
from genre_gen.server.logs import RequestLog
from genre_gen.server.observers import attach
from genre_gen.server.operation import BODIES
from genre_gen.server.routes import events, items, keys, lists, questions, server, users
from genre_gen.server.service import Service
from genre_gen.server.settings import ServerSettings


def create_app(service: Service, settings: ServerSettings) -> FastAPI:
    """Return the app of a service; it does not start or close the service.

    Example:
        >>> app = create_app(service, ServerSettings())
        >>> uvicorn.run(app, port=8000)
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=_lifespan)
    app.state.service = service
    routers = [events.router, lists.router, questions.router, items.router, users.router, keys.router, server.router]
    if settings.docs:
        routers.append(server.docs)
    for router in routers:
        app.router.routes.extend(router.routes)  # without a prefix, so that each is found in one step
    metrics = attach(app, service)
    handle_errors(app)
    openapi.install(app, BODIES)
    app.add_middleware(RequestLog, observe=metrics.request)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep house while the app runs."""
    service: Service = app.state.service
    house = asyncio.create_task(service.keep_house())
    try:
        yield
    finally:
        house.cancel()
        with suppress(asyncio.CancelledError):
            await house
