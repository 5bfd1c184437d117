"""DomainContext: what the parts of one served domain share."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from genre_gen.data.catalog import Catalog
from genre_gen.data.normal_form import composed
from genre_gen.live.engine import Engine
from genre_gen.live.histories import LiveHistories
from genre_gen.live.kinds import Kinds
from genre_gen.live.view import View
from genre_gen.recommender.state import RecommenderState
from genre_gen.server.settings import ServerSettings
from genre_gen.store.database import Database


class Listener(Protocol):
    """Hears of changes, as the push of lists does. Calls come from any thread, and must return at once."""

    def changed(
        self, domain: str, users: Iterable[str], because: Mapping[str, str] | None = None, *, anyway: bool = False
    ) -> None:
        """Hear of users whose histories changed, and the id of the last event of each."""

    def withdrawn(self, domain: str, items: Collection[str]) -> None:
        """Hear of items that are in no list any more."""

    def renewed(self, domain: str) -> None:
        """Hear of a new model."""


@dataclass(eq=False)
class DomainContext:
    """One served domain: its name, and what its parts work with.

    Attributes:
        name: of the domain.
        kinds: of its events.
        engine: answers.
        database: stores.
        settings: of the server.
        listeners: hear of changes; shared by all domains.
    """

    name: str
    kinds: Kinds
    engine: Engine
    database: Database
    settings: ServerSettings
    listeners: list[Listener] = field(default_factory=list)

    @property
    def view(self) -> View:
        """Return the view of now."""
        return self.engine.view(self.name)

    @property
    def state(self) -> RecommenderState:
        """Return the state of now."""
        return self.view.state

    @property
    def catalog(self) -> Catalog:
        """Return the items of now."""
        return self.view.state.catalog

    @property
    def histories(self) -> LiveHistories:
        """Return the live histories."""
        return self.engine.histories(self.name)


def is_available(view: View, row: int) -> bool:
    """Tell whether an item may be in lists."""
    return view.available is None or bool(view.available[row])


def check_names(catalog: Catalog, names: Iterable[str]) -> None:
    """Raise UnknownItemError for the first name that no item has; looking for similar titles takes time for each."""
    for name in names:
        catalog.find(name)


def user_id(text: str) -> str:
    """Return a user's id in the form that the data has."""
    return composed(text)


def new_id(now: float | None = None) -> str:
    """Return a UUID of version 7, which begins with the time in milliseconds; it is not a secret."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    number = (milliseconds << 80) | random.getrandbits(80)
    number = number & ~(0xF << 76) | (7 << 76)
    return str(uuid.UUID(int=number & ~(0x3 << 62) | (0x2 << 62)))


def time_of_id(text: str) -> float | None:
    """Return the seconds since 1970 at which a UUID of version 7 was made; None for other texts."""
    try:
        ident = uuid.UUID(text)
    except ValueError:
        return None
    return (ident.int >> 80) / 1000 if ident.version == 7 else None  # noqa: PLR2004


def iso(seconds: float | None) -> str | None:
    """Return a moment as ISO text in UTC with milliseconds; None for None."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None  # before the year 1
