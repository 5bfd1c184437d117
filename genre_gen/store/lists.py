"""ListLog: the lists that were served."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from genre_gen.store.database import Database
from genre_gen.store.schema import name, subject
from genre_gen.store.schema import served_list as table
from genre_gen.store.texts import check_text, to_json


@dataclass(frozen=True)
class ServedList:
    """A list as it was served.

    Attributes:
        list_id: unique in the domain.
        at: seconds since 1970.
        user: id of a user, None for a history.
        request: JSON values.
        generation, view, history_seq: what it was made from.
        items: their ids, in order.
        scores: one an item; stored with 32 bits.
        shown: ids of the items of the pages before it.
        notes: of the answer.
        micros: microseconds that it took.
        policy: how it was drawn.
        extra: other JSON values.
    """

    list_id: str
    at: float
    user: str | None
    request: Mapping[str, Any]
    generation: str
    view: int
    history_seq: int
    items: tuple[str, ...]
    scores: tuple[float, ...]
    shown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    micros: int = 0
    policy: str = "greedy"
    extra: Mapping[str, Any] = field(default_factory=dict)


class ListLog:
    """The lists that a domain served. Items are stored by number, so a list of ten takes about 300 bytes.

    Example:
        >>> lists = ListLog(database, "movies")
        >>> served = ServedList("l-1", 1_700_000_000.0, "17", {"n": 2}, "g-1", 1, 0, ("181", "50"), (2.5, 2.0))
        >>> database.writer.submit(lambda connection: lists.add(connection, served)).result()
        >>> lists.get("l-1").items
        ('181', '50')
    """

    def __init__(self, database: Database, domain: str) -> None:
        """Take the lists of a domain, which is created if necessary."""
        self._database, self._domain = database, database.domain(domain)

    def add(self, connection: Connection, *lists: ServedList) -> None:
        """Store lists; one that is there already is left as it is."""
        names, subjects = self._database.names, self._database.subjects
        texts = dict.fromkeys(each for served in lists for each in (*served.items, *served.shown))
        for text in texts:
            check_text(text, "list", "item")
        number = names.of(connection, self._domain, texts)
        users = dict.fromkeys(check_text(served.user, "list", "user") for served in lists if served.user is not None)
        user = subjects.of(connection, self._domain, users)
        rows = [
            {
                "domain": self._domain,
                "list_id": check_text(served.list_id, "list"),
                "at": served.at,
                "subject": None if served.user is None else user[served.user],
                "request": to_json(dict(served.request)),
                "generation": served.generation,
                "view": served.view,
                "history_seq": served.history_seq,
                "policy": served.policy,
                "items": _packed([number[each] for each in served.items]),
                "scores": np.asarray(served.scores, "<f4").tobytes(),
                "shown": _packed([number[each] for each in served.shown]),
                "notes": to_json(list(served.notes)),
                "extra": to_json(dict(served.extra)),
                "micros": served.micros,
            }
            for served in lists
        ]
        if rows:
            connection.execute(self._inserting(connection), rows)

    @staticmethod
    def _inserting(connection: Connection) -> Any:
        if connection.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert

            return insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects.postgresql import insert as insert_there

        return insert_there(table).on_conflict_do_nothing()

    def get(self, list_id: str) -> ServedList | None:
        """Return a list, None if it is not stored."""
        finding = (
            select(table, subject.c.user_id)
            .outerjoin(subject, table.c.subject == subject.c.id)
            .where(table.c.domain == self._domain, table.c.list_id == list_id)
        )
        with self._database.read() as connection:
            row = connection.execute(finding).first()
            if row is None:
                return None
            items, shown = _unpacked(row.items), _unpacked(row.shown)
            naming = select(name.c.id, name.c.text).where(name.c.id.in_({*items, *shown}))
            text = {number: written for number, written in connection.execute(naming)}
        return ServedList(
            row.list_id,
            row.at,
            row.user_id,
            json.loads(row.request),
            row.generation,
            row.view,
            row.history_seq,
            tuple(text[number] for number in items),
            tuple(np.frombuffer(row.scores, "<f4").tolist()),
            tuple(text[number] for number in shown),
            tuple(json.loads(row.notes)),
            row.micros,
            row.policy,
            json.loads(row.extra),
        )

    def delete_before(self, connection: Connection, at: float) -> int:
        """Delete lists that were served before a moment (seconds since 1970); return how many."""
        return connection.execute(table.delete().where(table.c.domain == self._domain, table.c.at < at)).rowcount


def _packed(numbers: Sequence[int]) -> bytes:
    return np.asarray(numbers, "<i4").tobytes()


def _unpacked(packed: bytes) -> list[int]:
    numbers: list[int] = np.frombuffer(packed, "<i4").tolist()
    return numbers
