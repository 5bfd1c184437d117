"""Run: one process that serves, from the store's lock to an end that loses nothing.

The port is taken first and the store second, so that what cannot work is said at once. Then the server answers
``/health``, while another thread loads the recommenders, reads the events and asks each a few times.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from genre_gen.errors import GenreGenError, UsageError
from genre_gen.live.engine import Answer, Ask, Engine, Lane
from genre_gen.recommender.requests import Request
from genre_gen.recommender.state import RecommenderState
from genre_gen.server.app import create_app
from genre_gen.server.push import PushHub
from genre_gen.server.service import DomainService, Service
from genre_gen.server.settings import ServerSettings
from genre_gen.store.database import Database
from genre_gen.store.keys import KeyRow, KeyTable

log = logging.getLogger(__name__)

Loaders = Mapping[str, Callable[[], RecommenderState]]
"""Name of a domain -> what loads its recommender, in another thread than the event loop."""

FIRST_KEY, NEW_KEY = "first key", "genre-gen serve --new-key"
"""Labels of the keys that are made at the start."""
GRACE = 2
"""Seconds that requests and streams have to end when the server stops."""
LAST_RESORT = 4.5
"""Seconds after which the process ends, whatever it waits for; all that was acknowledged is on the disk."""
_BACKLOG = 2048
_CONNECTIONS = 8192
_WARM_UP = 9  # requests of each domain before it is ready: one alone, then together


def serve(loaders: Loaders, settings: ServerSettings, tell: Callable[[str], None], *, new_key: bool = False) -> None:
    """Serve until a signal comes.

    Args:
        loaders: the recommenders.
        settings: of the server.
        tell: prints for the user who starts it: the address, and the first key, which is shown this once.
        new_key: make a key for administrators although there are keys; it replaces the one that this made earlier.

    Raises:
        UsageError: the address cannot be listened on.
        StoreError: the store cannot be opened, or another process has it.
        GenreGenError: a recommender cannot be loaded.
    """
    _allow_many_files()
    listening = listen(settings)
    try:
        database = Database.open(settings.store)
    except GenreGenError:
        listening.close()
        raise
    engine = Engine(
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        threads=settings.threads,
        overload=settings.overload,
    )
    service = Service(engine, database, settings)
    try:
        secret = first_key(service, new_key=new_key)
        if secret is not None:
            tell(f"key for administrators, shown this once: {secret}")
        _Run(service, create_app(service, settings), loaders, listening, tell, secret).run()
    finally:
        listening.close()


def listen(settings: ServerSettings) -> socket.socket:
    """Take the address of the settings; raises UsageError if another process has it, or it is not of this machine."""
    host, port = settings.host, settings.port
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
    except OSError as problem:
        raise UsageError(f"{host}: not an address ({problem.strerror}); give --host 127.0.0.1") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as problem:
        listening.close()
        told = problem.strerror or str(problem)
        raise UsageError(
            f"{host}:{port} cannot be listened on ({told}); give another --port, or stop its owner"
        ) from None
    return listening


def first_key(service: Service, *, new_key: bool = False) -> str | None:
    """Make a key for administrators if the store has none, or if one is asked for; return its secret."""
    writer, table = service.database.writer, KeyTable(service.database)
    rows = [row for row in table.list() if row.revoked is None]
    if rows and not new_key:
        return None
    for row in rows:
        if row.label == NEW_KEY:
            writer.submit(partial(table.revoke, prefix=row.prefix), service.keys.put).result()
    label = NEW_KEY if rows else FIRST_KEY
    making: Future[tuple[str, KeyRow]] = writer.submit(partial(table.create, role="admin", label=label))
    secret, row = making.result()
    service.keys.put(row)
    return secret


class _Server(uvicorn.Server):
    """Ends streams before it waits for connections, and leaves signals to its owner."""

    def __init__(self, config: uvicorn.Config, hub: PushHub) -> None:
        super().__init__(config)
        self._hub = hub

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the process must close its store before one ends it."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the streams, and wait for requests."""
        for server in self.servers:
            server.close()
        await self._hub.close()
        await super().shutdown(sockets)


class _Run:
    """One run of a server."""

    def __init__(
        self,
        service: Service,
        app: FastAPI,
        loaders: Loaders,
        listening: socket.socket,
        tell: Callable[[str], None],
        secret: str | None,
    ) -> None:
        self._service, self._loaders, self._listening = service, loaders, listening
        self._tell, self._secret = tell, secret
        self._problem: BaseException | None = None
        self._loads = False
        self._last_resort = threading.Timer(LAST_RESORT, self._give_up)
        self._last_resort.daemon = True
        config = uvicorn.Config(
            app,
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            backlog=_BACKLOG,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=GRACE,
        )
        self._server = _Server(config, app.state.push)

    def run(self) -> None:
        """Serve; raises what the recommenders could not be loaded for."""
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())
        if self._problem is not None:
            raise self._problem
        if self._loads:  # a thread in the middle of a model cannot be waited for
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # another thread than the main one
                loop.add_signal_handler(number, self._stop)
        self._service.starting = "the recommenders are loaded"
        loading = threading.Thread(target=self._load, args=(loop,), name="loading", daemon=True)
        loading.start()
        try:
            await self._server.serve(sockets=[self._listening])
        finally:
            await self._service.close()
            self._last_resort.cancel()
            self._loads = loading.is_alive()

    def _stop(self) -> None:
        """Begin to stop; the second signal does not wait for anything."""
        if self._server.should_exit:
            self._server.force_exit = True
            return
        self._service.stop()
        self._server.should_exit = True
        self._last_resort.start()

    @staticmethod
    def _give_up() -> None:
        log.error(
            "the server did not end in %.1f seconds, so it is ended; what was acknowledged is stored", LAST_RESORT
        )
        logging.shutdown()
        os._exit(1)

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load the recommenders, one after the other, and say when all are ready; in a thread of its own."""
        service = self._service
        try:
            for name, load in self._loaders.items():
                service.starting = f"the recommender of {name} is loaded"
                state = load()
                service.starting = f"the events of {name} are read"
                domain = service.add(state, name)
                service.starting = f"{name} answers its first requests"
                warm_up(domain)
            gc.collect()
            gc.freeze()  # what is loaded stays: collections need not look through it
        except BaseException as problem:
            if not self._server.should_exit:
                self._problem = problem
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._stop)
            return
        service.starting = None
        log.info("ready")
        self._tell(self.welcome())

    def welcome(self) -> str:
        """Return the address, and a command that works."""
        host, port = self._listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        name, domain = next(iter(self._service.domains.items()))
        user = next(iter(domain.context.state.histories.users), "1")
        key = self._secret or "$GENRE_KEY"
        lines = [
            f"serving {', '.join(self._service.domains)} at {address}",
            f'try: curl -H "Authorization: Bearer {key}" "{address}/v1/{name}/recommend?user={quote(user)}&n=5"',
        ]
        if self._service.settings.docs:
            lines.append(f"all operations: {address}/docs")
        return "\n".join(lines)


def warm_up(domain: DomainService) -> None:
    """Ask a domain a few times, alone and together, so that the first users do not wait for caches."""
    users: list[Any] = [None, *domain.context.state.histories.users[: _WARM_UP - 1]]
    engine, name = domain.context.engine, domain.name
    engine.ask(Ask(name, users[-1], Request(n=10))).result()
    together: list[Future[Answer]] = [engine.ask(Ask(name, user, Request(n=10))) for user in users]
    for future in together:
        future.result()
    with suppress(GenreGenError):  # lists are served although explanations fail
        engine.ask(Ask(name, users[-1], Request(n=1, explain=True), Lane.SLOW)).result()


def _allow_many_files() -> None:
    """Raise the limit of open files as far as the system lets us: each stream is one."""
    try:
        import resource
    except ImportError:  # not on this system
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
