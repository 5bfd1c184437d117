"""EventLog: the events of a domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from genre_gen.live.events import EventColumns, LiveEvent
from genre_gen.store.backend import driver
from genre_gen.store.database import Database
from genre_gen.store.schema import event, name, subject
from genre_gen.store.texts import are_texts, check_text


@dataclass
class Added:
    """What became of events.

    Attributes:
        stored: the new ones, with their ``seq``, in its order.
        duplicates: how many were there before, or twice among them.
        updated: how many of the duplicates had a larger ``value``, which replaced the stored one.
    """

    stored: list[LiveEvent]
    duplicates: int = 0
    updated: int = 0


@dataclass(slots=True)
class _Known:
    """What duplicates are compared with."""

    item: str
    kind: str
    value: float | None

    def takes(self, again: LiveEvent) -> bool:
        """Take the value of a duplicate if it is larger; tell whether it was."""
        larger = again.value is not None and (self.value is None or again.value > self.value)
        if not larger or (again.item, again.kind) != (self.item, self.kind):
            return False
        self.value = again.value
        return True


class EventLog:
    """The events of a domain, in the order in which they were committed.

    Example:
        >>> log = EventLog(database, "movies")
        >>> event = LiveEvent("c1-7", "17", "181", "interaction", 1_700_000_000.5, 1_700_000_001.0)
        >>> added = database.writer.submit(lambda connection: log.add(connection, [event, event])).result()
        >>> added.stored[0].seq, added.duplicates
        (1, 1)
    """

    def __init__(self, database: Database, domain: str) -> None:
        """Take the events of a domain, which is created if necessary."""
        self._database, self._backend = database, database.backend
        self._domain = database.domain(domain)
        sql = self._backend.sql
        self._find = sql(
            "SELECT event_id, seq, i.text, k.text, value FROM event JOIN name AS i ON i.id = event.item "
            "JOIN name AS k ON k.id = event.kind WHERE event.domain = ? AND event_id IN MANY(?)"
        )
        self._update = sql("UPDATE event SET value = ? WHERE seq = ?")

    def add(self, connection: Connection, events: Sequence[LiveEvent]) -> Added:
        """Store events; one whose id the domain has is not stored again.

        If a duplicate is of the same kind and item, and its ``value`` is larger, the stored value becomes that.

        Raises:
            UsageError: a text that cannot be stored; none of the events is.
        """
        check_texts(events)
        groups: dict[str, list[LiveEvent]] = {}
        for each in events:
            groups.setdefault(each.event_id, []).append(each)
        merged = [_merged(group) for group in groups.values()]
        seqs = self._insert(connection, [each for each, _ in merged])
        added, known = Added([]), list[list[LiveEvent]]()
        for (each, taken), group, seq in zip(merged, groups.values(), seqs, strict=True):
            if seq:
                added.stored.append(with_seq(each, seq))
                added.duplicates += len(group) - 1
                added.updated += taken
            else:
                known.append(group)
        if known:
            self._compare(driver(connection).cursor(), known, added)
        return added

    def _insert(self, connection: Connection, events: Sequence[LiveEvent]) -> list[int]:
        names, subjects, domain = self._database.names, self._database.subjects, self._domain
        number = names.of(connection, domain, dict.fromkeys(text for each in events for text in (each.item, each.kind)))
        user = subjects.of(connection, domain, dict.fromkeys(each.user for each in events))
        rows = [
            (domain, each.event_id, user[each.user], number[each.item], number[each.kind], float(each.happened),
             float(each.received), _float(each.rating), _float(each.value), each.list_id, each.position, each.session)
            for each in events
        ]  # fmt: skip
        return self._backend.insert_events(driver(connection).cursor(), rows) if rows else []

    def _compare(self, cursor: Any, groups: Sequence[Sequence[LiveEvent]], added: Added) -> None:
        """Count events whose ids are stored, and store their larger values."""
        cursor.execute(self._find, (self._domain, self._backend.many([group[0].event_id for group in groups])))
        stored = {found: (seq, _Known(item, kind, value)) for found, seq, item, kind, value in cursor.fetchall()}
        changed = []
        for group in groups:
            seq, known = stored[group[0].event_id]
            taken = sum([known.takes(each) for each in group])
            added.duplicates += len(group)
            added.updated += taken
            if taken:
                changed.append((known.value, seq))
        if changed:
            cursor.executemany(self._update, changed)

    def columns(self, after_seq: int = 0) -> EventColumns:
        """Return all events after one, in the order of ``seq``."""
        with self._database.read() as connection:
            rows = self._backend.events(connection, self._domain, after_seq)
            users = _texts(connection, subject.c.id, subject.c.user_id, subject.c.domain == self._domain)
            names = _texts(connection, name.c.id, name.c.text, name.c.domain == self._domain)
        user_codes, user_names = _coded(rows["subject"], users)
        item_codes, item_names = _coded(rows["item"], names)
        kind_codes, kind_names = _coded(rows["kind"], names)
        return EventColumns(
            np.ascontiguousarray(rows["seq"]),
            user_codes, user_names,
            item_codes, item_names,
            kind_codes.astype(np.uint8), kind_names,
            np.ascontiguousarray(rows["happened"]),
            np.ascontiguousarray(rows["rating"]),
        )  # fmt: skip

    def of_user(self, user: str, n: int = 100, before_seq: int | None = None) -> list[LiveEvent]:
        """Return the newest ``n`` events of a user, the newest first; only those before ``before_seq``, if given."""
        item, kind, log = name.alias("item_name"), name.alias("kind_name"), event.c
        finding = (
            select(
                log.event_id, subject.c.user_id, item.c.text, kind.c.text, log.happened, log.received, log.rating,
                log.value, log.list_id, log.position, log.session, log.seq,
            )
            .join(subject, log.subject == subject.c.id)
            .join(item, log.item == item.c.id)
            .join(kind, log.kind == kind.c.id)
            .where(subject.c.domain == self._domain, subject.c.user_id == user)
            .order_by(log.seq.desc())
            .limit(n)
        )  # fmt: skip
        if before_seq is not None:
            finding = finding.where(log.seq < before_seq)
        with self._database.read() as connection:
            return [LiveEvent(*row) for row in connection.execute(finding)]

    def count(self) -> int:
        """Return the number of events."""
        return self._one(select(func.count()).select_from(event).where(event.c.domain == self._domain))

    def last_seq(self) -> int:
        """Return the ``seq`` of the last event, 0 without events."""
        return self._one(select(func.max(event.c.seq)).where(event.c.domain == self._domain))

    def _one(self, finding: Any) -> int:
        with self._database.read() as connection:
            return int(connection.execute(finding).scalar() or 0)


def with_seq(event: LiveEvent, seq: int) -> LiveEvent:
    """Return an event with its place in the log."""
    return LiveEvent(
        event.event_id, event.user, event.item, event.kind, event.happened, event.received, event.rating, event.value,
        event.list_id, event.position, event.session, seq,
    )  # fmt: skip


def check_texts(events: Sequence[LiveEvent]) -> None:
    """Raise UsageError for a text that is empty where it must not be, too long, or cannot be stored."""
    needed = [text for each in events for text in (each.event_id, each.user, each.item, each.kind)]
    optional = [text for each in events for text in (each.list_id, each.session) if text is not None]
    if are_texts(needed) and are_texts(optional):  # quickly, all at once
        return
    for each in events:
        for what, text in (
            ("id", each.event_id), ("user", each.user), ("item", each.item), ("kind", each.kind),
            ("list", each.list_id), ("session", each.session),
        ):  # fmt: skip
            if text is not None:
                check_text(text, "event", what)


def _merged(group: Sequence[LiveEvent]) -> tuple[LiveEvent, int]:
    """Return the event to store of those with one id, and how often its value was replaced."""
    first = group[0]
    if len(group) == 1:
        return first, 0
    known = _Known(first.item, first.kind, first.value)
    taken = sum([known.takes(each) for each in group[1:]])
    return replace(first, value=known.value), taken


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _texts(connection: Connection, number: Any, text: Any, where: Any) -> dict[int, str]:
    return {each: written for each, written in connection.execute(select(number, text).where(where))}


def _coded(numbers: NDArray[np.int32], texts: dict[int, str]) -> tuple[NDArray[np.int32], Sequence[str]]:
    """Return codes from 0, and their texts."""
    different, codes = np.unique(numbers, return_inverse=True)
    found: Iterable[str] = (texts[number] for number in different.tolist())
    return codes.astype(np.int32), tuple(found)
