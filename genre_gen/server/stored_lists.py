"""StoredLists: served lists in the store, with the requests that they answer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from genre_gen.server.schemas import RecommendBody
from genre_gen.store.database import Database
from genre_gen.store.lists import ListLog, ServedList


@dataclass(frozen=True)
class KeptList:
    """A list as it was served, and what its next page needs.

    Attributes:
        id: UUID of version 7.
        body: the request of its first page.
        shown: ids of the items of the pages before it, in order.
        items: ids of its own, in order.
        scores: of these.
        at: seconds since 1970.
        generation, view, history_seq: what it was made from.
        notes: of the answer.
        micros: microseconds that it took.
    """

    id: str
    body: RecommendBody
    shown: tuple[str, ...]
    items: tuple[str, ...]
    scores: tuple[float, ...]
    at: float
    generation: str
    view: int
    history_seq: int
    notes: tuple[str, ...] = ()
    micros: int = 0


class StoredLists:
    """The lists of a domain in its store."""

    def __init__(self, database: Database, domain: str) -> None:
        """Take the lists of a domain."""
        self._writer, self._log = database.writer, ListLog(database, domain)

    def add(self, lists: Sequence[KeptList]) -> Future[None]:
        """Have lists written; raises BusyError or StoreError if they will not be."""
        rows = [_row(kept) for kept in lists]
        return self._writer.submit(lambda connection: self._log.add(connection, *rows), rows=len(rows))

    def get(self, list_id: str) -> KeptList | None:
        """Return a list, None if it is not stored."""
        row = self._log.get(list_id)
        if row is None:
            return None
        body = RecommendBody.model_validate(row.request, strict=False)
        return KeptList(
            row.list_id, body, row.shown, row.items, row.scores, row.at, row.generation, row.view, row.history_seq,
            row.notes, row.micros,
        )  # fmt: skip

    def delete_before(self, at: float) -> Future[int]:
        """Have lists deleted that were served before a moment (seconds since 1970)."""
        return self._writer.submit(partial(self._log.delete_before, at=at))


def _row(kept: KeptList) -> ServedList:
    request = kept.body.model_dump(mode="json", exclude_defaults=True)
    return ServedList(
        kept.id, kept.at, kept.body.user, request, kept.generation, kept.view, kept.history_seq, kept.items,
        kept.scores, kept.shown, kept.notes, kept.micros,
    )  # fmt: skip
