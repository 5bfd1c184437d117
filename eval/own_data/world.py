"""A made-up world: items, and users who used them, which every shape writes down in its own way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

KINDS = ("Drama", "Comedy", "Crime", "Travel", "Science", "History")
BEGIN = 1_546_300_800  # 2019-01-01 in seconds
_HOUR = 3600
_FIRST = ("Quiet", "Amber", "Last", "Hidden", "Broken", "Silver", "Northern", "Paper")
_SECOND = ("Harbour", "Garden", "Orchard", "Letters", "Engine", "River", "Mirror", "Bridge")
_NAMES = (
    "Ada Lindt", "Bo Tanner", "Carla Moss", "Dev Anand Rao", "Elin Berg", "Femi Ojo", "Gus Haley", "Hana Sato",
    "Ivo Petrov", "June Okafor",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """An item."""

    number: int  # from 0
    title: str
    kinds: tuple[str, ...]  # one or two
    makers: tuple[str, ...]  # one or two
    year: int
    text: str  # two sentences, with a comma


@dataclass(frozen=True)
class Event:
    """A user uses an item."""

    user: int
    item: int
    rating: int  # 1 to 5
    time: int  # seconds since 1970; each one occurs once


@dataclass(frozen=True)
class World:
    """Items, and events in the order of time."""

    items: tuple[Item, ...]
    events: tuple[Event, ...]

    @property
    def users(self) -> int:
        """Return the number of users; each of them has events."""
        return len({event.user for event in self.events})

    def by_user(self) -> list[Event]:
        """Return the events user by user, each user's in the order of time."""
        return sorted(self.events, key=lambda event: (event.user, event.time))

    def by_item(self) -> list[Event]:
        """Return the events item by item, as logs that were sorted for another purpose."""
        return sorted(self.events, key=lambda event: (event.item, event.user))

    def shuffled(self, seed: int = 1) -> list[Event]:
        """Return the events in an order without meaning."""
        return shuffled(self.events, seed)


def shuffled(events: Sequence[Event], seed: int = 1) -> list[Event]:
    """Return events in an order without meaning."""
    order = list(events)
    random.Random(seed).shuffle(order)
    return order


@lru_cache(maxsize=8)
def world(seed: int = 0, users: int = 120, items: int = 48, repeats: bool = False) -> World:
    """Return a world; the same arguments always give the same.

    A user has 5 to 14 items, mostly of one kind, and mostly the next one of that kind after the last. ``repeats``: a
    user may use an item again, and does so often.
    """
    draw = random.Random(seed)
    catalog = tuple(_item(number, draw) for number in range(items))
    events = [event for user in range(users) for event in _history(user, catalog, draw, repeats)]
    return World(catalog, tuple(sorted(events, key=lambda event: event.time)))


def _item(number: int, draw: random.Random) -> Item:
    title = f"{_FIRST[number % 8]} {_SECOND[(number + number // 8) % 8]}"
    first = KINDS[number % len(KINDS)]
    second = draw.choice([kind for kind in KINDS if kind != first])
    kinds = (first, second) if number % 3 else (first,)
    makers = tuple(draw.sample(_NAMES, 2 if number % 4 == 0 else 1))
    text = (
        f"The {title.lower()} is where it begins, and {makers[0]} tells how it ends. "
        f"A {first.lower()} of {draw.choice(_SECOND).lower()} and {draw.choice(_SECOND).lower()}, for long evenings."
    )
    return Item(number, title, kinds, makers, 1950 + draw.randrange(70), text)


def _history(user: int, catalog: Sequence[Item], draw: random.Random, repeats: bool) -> list[Event]:
    kind = user % len(KINDS)
    own = [item.number for item in catalog if item.number % len(KINDS) == kind]
    others = [item.number for item in catalog if item.number not in own]
    time, place, chosen, events = BEGIN + 60 * user, draw.randrange(len(own)), list[int](), list[Event]()
    for _ in range(draw.randint(5, 14)):
        if repeats and chosen and draw.random() < 0.4:  # an item that was used before
            item = draw.choice(chosen)
        elif draw.random() < 0.75:  # the next one of the kind
            place += 1
            item = own[place % len(own)]
        else:
            item = draw.choice(others)
        if item in chosen and not repeats:
            continue
        chosen.append(item)
        time += _HOUR * draw.randint(1, 200) + draw.randint(1, _HOUR)
        events.append(Event(user, item, min(5, max(1, 4 + (item in own) - draw.choice((0, 0, 0, 1, 2, 3)))), time))
    return events
