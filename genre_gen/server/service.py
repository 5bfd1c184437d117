"""Service: the served domains, with the engine, the store and the keys that they share; no HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from genre_gen.errors import ConfigError, GenreGenError, quoted
from genre_gen.live.engine import Engine
from genre_gen.live.histories import LiveHistories
from genre_gen.live.kinds import Kinds
from genre_gen.live.view import View
from genre_gen.recommender.state import RecommenderState
from genre_gen.server.auth import Keyring
from genre_gen.server.context import DomainContext, Listener, iso
from genre_gen.server.events import Events
from genre_gen.server.items import Items
from genre_gen.server.lists import DAY, Lists
from genre_gen.server.once import Once
from genre_gen.server.questions import Questions
from genre_gen.server.refusals import NotFoundError
from genre_gen.server.settings import ServerSettings
from genre_gen.server.stored_lists import StoredLists
from genre_gen.server.users import Users
from genre_gen.store.database import Database
from genre_gen.store.events import EventLog
from genre_gen.store.items import ItemTable
from genre_gen.store.keys import KeyRow, KeyTable
from genre_gen.store.users import UserTable

log = logging.getLogger(__name__)
RESERVED = {"domains", "keys"}
"""Names that no domain can have, since paths have them in its place."""
HOUSEKEEPING = 60.0
"""Seconds between two deletions of what is kept no longer."""


class DomainService:
    """One served domain.

    Attributes:
        context: name, view, histories, kinds of events.
        lists: recommendations, next pages, served lists.
        events: added and read.
        items: added, changed, withdrawn.
        users: read, labelled, merged, deleted.
        questions: similar, explain, compare, predict.
    """

    def __init__(self, context: DomainContext) -> None:
        """Set up the parts; nothing is served yet."""
        self.context, database, name = context, context.database, context.name
        self.stored_lists = StoredLists(database, name)
        self.event_log = EventLog(database, name)
        self.lists = Lists(context, self.stored_lists)
        self.events = Events(context, self.event_log)
        self.items = Items(context, ItemTable(database, name))
        self.users = Users(context, UserTable(database, name))
        self.questions = Questions(context)
        self.once = Once(database, name)

    @property
    def name(self) -> str:
        """Return the name of the domain."""
        return self.context.name

    def open(self, state: RecommenderState) -> None:
        """Serve a trained state with the items and events of the store."""
        view = self.items.restored(View.of(state, domain=self.name))
        histories = LiveHistories(view.state, self.context.kinds)
        histories.load(self.event_log.columns())
        for user in self.users.deleted():
            histories.forget(user)
        self.context.engine.open(view, histories)

    async def swap(self, state: RecommenderState) -> View:
        """Serve another trained state from the next batch on, with the same items and events; return its view."""

        def change() -> View:
            view = self.items.restored(View.of(state, domain=self.name))
            view = replace(view, number=self.context.view.number + 1)
            self.context.engine.swap(view)
            return view

        view = await self.items.in_turn(change)
        for listener in self.context.listeners:
            listener.renewed(self.name)
        return view

    def about(self) -> dict[str, Any]:
        """Return the values of ``DomainAnswer``."""
        view = self.context.view
        total = len(view.state.catalog)
        return {
            "domain": self.name,
            "generation": view.generation,
            "view": view.number,
            "items": total,
            "available": total if view.available is None else int(view.available.sum()),
            "events": list(self.context.kinds.names),
            "fields": list(view.state.catalog.fields),
        }


class Service:
    """All served domains.

    Attributes:
        engine, database, settings: shared by all.
        keys: in memory.
        listeners: hear of changes in any domain.
        domains: by name.
        starting: what a server is doing that is not ready yet; None afterwards.
    """

    def __init__(self, engine: Engine, database: Database, settings: ServerSettings) -> None:
        """Serve nothing yet."""
        self.engine, self.database, self.settings = engine, database, settings
        self.listeners: list[Listener] = []
        self.domains: dict[str, DomainService] = {}
        self._key_table = KeyTable(database)
        self._once = Once(database, "keys")
        self.keys = Keyring(self._key_table.list(), settings)
        self.starting: str | None = None
        self._stopping = False

    @classmethod
    def start(cls, states: Mapping[str, RecommenderState], settings: ServerSettings) -> Service:
        """Open the store of the settings, start the model's thread, and serve states by the names of their domains.

        Raises:
            StoreError: the store cannot be opened, or another process has it.
            ConfigError: a domain cannot have its name.
        """
        database = Database.open(settings.store)
        engine = Engine(
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            threads=settings.threads,
            overload=settings.overload,
        )
        try:
            service = cls(engine, database, settings)
            for name, state in states.items():
                service.add(state, name)
        except GenreGenError:
            engine.close()
            database.close()
            raise
        return service

    def add(self, state: RecommenderState, name: str | None = None) -> DomainService:
        """Serve a state under a name, by default its domain's; what the store has of it is read first."""
        name = name or state.domain.name
        if name in RESERVED or name in self.domains or "/" in name:
            raise ConfigError(f"a domain cannot be served as {quoted(name)}; give it another name")
        context = DomainContext(name, Kinds(state.domain), self.engine, self.database, self.settings, self.listeners)
        domain = DomainService(context)
        domain.open(state)
        self.domains[name] = domain
        return domain

    def domain(self, name: str) -> DomainService:
        """Return a domain; raises NotFoundError, the same for those that the caller must not know of."""
        try:
            return self.domains[name]
        except KeyError:
            raise unknown_domain(name) from None

    def once(self, domain: str | None) -> Once:
        """Return the requests of a domain that are answered once; None for those that belong to no domain."""
        return self._once if domain is None else self.domain(domain).once

    def problems(self) -> list[str]:
        """Return why the server is not ready; nothing if it is."""
        found = [] if self.starting is None else [f"the server starts: {self.starting}"]
        if self._stopping:
            found.append("the server stops")
        if not self.engine.healthy:
            found.append("the model's thread has ended")
        if not self.database.writer.healthy:
            found.append("the store cannot be written")
        return found

    async def create_key(self, values: Mapping[str, Any]) -> tuple[str, KeyRow]:
        """Create a key; return its secret, which is stored nowhere, and the rest."""
        days = values.get("days")
        expires = None if days is None else time.time() + days * DAY
        write = partial(
            self._key_table.create,
            role=values["role"], domains=values.get("domains"), expires=expires, rate=values.get("rate"),
            burst=values.get("burst"), label=values.get("label", ""),
        )  # fmt: skip
        writing = self.database.writer.submit(write, lambda made: self.keys.put(made[1]))
        return await asyncio.wrap_future(writing)

    async def revoke_key(self, prefix: str) -> dict[str, Any]:
        """Revoke a key, which opens nothing any more when this returns; raises NotFoundError."""
        if await asyncio.to_thread(self._key_table.find, prefix) is None:
            raise NotFoundError(f"no key {quoted(prefix)}; GET /v1/keys lists them")

        def applied(row: KeyRow) -> None:
            self.keys.put(row)

        return key_values(await asyncio.wrap_future(
            self.database.writer.submit(partial(self._key_table.revoke, prefix=prefix), applied)
        ))  # fmt: skip

    async def list_keys(self) -> list[dict[str, Any]]:
        """Return all keys without their secrets."""
        return [key_values(row) for row in await asyncio.to_thread(self._key_table.list)]

    async def keep_house(self) -> None:
        """Delete lists that are kept no longer and note when keys were used, until cancelled."""
        while True:
            await asyncio.sleep(HOUSEKEEPING)
            with suppress(GenreGenError):
                self.tidy()

    def tidy(self) -> None:
        """Have the store delete lists that are kept no longer, and note when keys were used."""
        used, self.keys.used = self.keys.used, {}
        if used:
            self.database.writer.submit(partial(self._key_table.touch, used=used))
        self._once.delete_expired()
        for domain in self.domains.values():
            domain.once.delete_expired()
            domain.stored_lists.delete_before(time.time() - self.settings.list_days * DAY)

    def stop(self) -> None:
        """Not be ready any more, so that a balancer sends nothing new."""
        self._stopping = True

    async def close(self) -> None:
        """Write what is to be written, and end all threads."""
        self.stop()
        for domain in self.domains.values():
            await domain.lists.close()
            domain.items.close()
        await asyncio.to_thread(self.engine.close)
        await asyncio.to_thread(self.database.close)


def unknown_domain(name: str) -> NotFoundError:
    """Return the error for a domain that does not exist, or that the caller must not know of."""
    return NotFoundError(f"no domain {quoted(name)}; GET /v1/domains lists those that the key opens")


def key_values(row: KeyRow) -> dict[str, Any]:
    """Return the values of ``KeyAnswer``."""
    return {
        "prefix": row.prefix,
        "role": row.role,
        "domains": None if row.domains is None else sorted(row.domains),
        "label": row.label,
        "created": iso(row.created),
        "expires": iso(row.expires),
        "revoked": iso(row.revoked),
        "last_used": iso(row.last_used),
        "rate": row.rate,
        "burst": row.burst,
    }
