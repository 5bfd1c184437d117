"""Lists: recommendations, their next pages, and lists that were served earlier."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from genre_gen.data.history import History
from genre_gen.errors import BusyError, StoreError, UsageError
from genre_gen.live.engine import Answer, Ask, Lane
from genre_gen.live.view import View
from genre_gen.recommender.answering import data_of
from genre_gen.recommender.requests import Moment, Recommendation, Request, history_of
from genre_gen.rules.settings import Rules
from genre_gen.server import answers
from genre_gen.server.context import DomainContext, check_names, is_available, iso, new_id, time_of_id, user_id
from genre_gen.server.refusals import ConflictError, GoneError, NotFoundError
from genre_gen.server.schemas import MAX_LIST, HistoryEntry, RecommendBody, seconds_of
from genre_gen.server.stored_lists import KeptList, StoredLists

log = logging.getLogger(__name__)

RECENT = 2_000
"""Lists that are held in memory, so that the next page of one needs no store."""
PAUSE = 0.05
"""Seconds for which served lists are gathered before they are written together."""
DAY = 86_400.0


@dataclass(frozen=True)
class Served:
    """An answer with a list.

    Attributes:
        content: JSON values, as ``ListAnswer`` has them.
        answer: of the engine.
        kept: what is logged.
    """

    content: dict[str, Any]
    answer: Answer
    kept: KeptList


class Lists:
    """Makes lists, and keeps what was served; lists are written behind, so that no answer waits for the disk."""

    def __init__(self, context: DomainContext, stored: StoredLists) -> None:
        """Serve one domain; ``stored`` stores lists."""
        self._context, self._store = context, stored
        self._recent: OrderedDict[str, KeptList] = OrderedDict()
        self._pending: dict[str, KeptList] = {}
        self._writing: asyncio.TimerHandle | None = None
        self._last_write: Future[None] | None = None
        self.unlogged = 0

    async def recommend(self, body: RecommendBody, *, lane: Lane | None = None, deadline: float = math.inf) -> Served:
        """Return a list.

        Args:
            body: the request.
            lane: of the engine; by default the fast one, and the slow one for explanations.
            deadline: by ``time.monotonic()``.

        Raises:
            UsageError, UnknownItemError, FilterError: an invalid request.
            BusyError: the server has too much to do.
        """
        begun = time.perf_counter()
        request = self._request(body)
        answer = await self._answer(body, request, lane, deadline)
        return self._serve(body, answer, answer.picks, (), begun)

    async def next_page(self, list_id: str, n: int, *, deadline: float = math.inf) -> Served:
        """Return the items that follow a list's, on the history that it was made from, with its own request.

        Raises:
            NotFoundError, GoneError: no such list, or no longer.
            ConflictError: an item of the list or of a page before it was withdrawn, so the ranks have changed.
            UsageError: more than the longest list with all pages.
        """
        begun = time.perf_counter()
        kept = await self.find(list_id)
        shown = (*kept.shown, *kept.items)
        if len(shown) + n > MAX_LIST:
            raise UsageError(f"n = {n} after {len(shown)} items; a list with all its pages has {MAX_LIST} at most")
        self._check_available(shown)
        request = self._request(kept.body, len(shown) + n, explain=kept.body.explain is True)
        answer = await self._answer(kept.body, request, None, deadline, kept.history_seq)
        left_out = set(shown)
        picks = [pick for pick in answer.picks if pick.item.id not in left_out][:n]
        notes = self._other_model(kept, answer.view)
        return self._serve(kept.body, answer, picks, shown, begun, notes)

    def _check_available(self, shown: Sequence[str]) -> None:
        view = self._context.view
        for item in shown:
            if item not in view.state.catalog or not is_available(view, view.state.catalog.row(item)):
                raise ConflictError(
                    f"item {item!r} of this list was withdrawn, so its next page is not defined; ask for a new list, "
                    "and exclude the items that were shown"
                )

    @staticmethod
    def _other_model(kept: KeptList, view: View) -> list[str]:
        if kept.generation == view.generation:
            return []
        return [f"ranked by {view.generation}; the pages before it by {kept.generation}"]

    async def read(self, list_id: str, *, explain: bool = False, deadline: float = math.inf) -> dict[str, Any]:
        """Return a list that was served, as it was; with ``explain``, with reasons from the history that it had.

        Raises:
            NotFoundError, GoneError: no such list, or no longer.
        """
        kept = await self.find(list_id)
        catalog = self._context.catalog
        first = len(kept.shown) + 1
        items: list[dict[str, Any]] = [
            {"rank": rank, "item": item, "title": catalog[catalog.row(item)].title if item in catalog else item,
             "score": answers.number(score)}
            for rank, (item, score) in enumerate(zip(kept.items, kept.scores, strict=True), first)
        ]  # fmt: skip
        content = {
            **_head(kept), "user": kept.body.user, "at": iso(kept.at), "items": items, "notes": list(kept.notes),
            "micros": kept.micros,
        }  # fmt: skip
        if explain:
            await self._add_reasons(kept, content, deadline)
        return content

    async def _add_reasons(self, kept: KeptList, content: dict[str, Any], deadline: float) -> None:
        request = self._request(kept.body, len(kept.shown) + len(kept.items), explain=True)
        answer = await self._answer(kept.body, request, Lane.SLOW, deadline, kept.history_seq)
        catalog = answer.view.state.catalog
        found = {pick.item.id: pick.explanation for pick in answer.picks}
        for item in content["items"]:
            if (explanation := found.get(item["item"])) is not None:
                item["explanation"] = answers.reasons(explanation, catalog)
        missing = [item["item"] for item in content["items"] if "explanation" not in item]
        content["notes"] += self._other_model(kept, answer.view)
        if missing:
            content["notes"].append(f"no reasons for {', '.join(missing)}: not in the list as it would be today")

    async def find(self, list_id: str) -> KeptList:
        """Return a list from memory or from the store; raises NotFoundError or GoneError."""
        kept = self._recent.get(list_id) or self._pending.get(list_id)
        if kept is None:
            kept = await asyncio.to_thread(self._store.get, list_id)
        if kept is not None:
            return kept
        days, made = self._context.settings.list_days, time_of_id(list_id)
        if made is not None and made < time.time() - days * DAY:
            raise GoneError(f"list {list_id[:64]!r} was deleted after {days:g} days; ask for a new list")
        raise NotFoundError(f"no list {list_id[:64]!r} in this domain; give the id of a list that was served")

    def _request(self, body: RecommendBody, n: int | None = None, *, explain: bool | None = None) -> Request:
        """Return the library's request; raises UsageError or UnknownItemError."""
        if body.user is not None and body.history is not None:
            raise UsageError("both user and history are given; give one of them")
        catalog = self._context.catalog
        check_names(catalog, (*body.exclude, *(body.include or ())))
        at = None if body.at is None else seconds_of(body.at)
        rules = None if body.rules is None else Rules(**body.rules.model_dump())
        return Request(
            None,
            body.n if n is None else n,
            body.query,
            body.where,
            tuple(body.exclude),
            None if body.include is None else tuple(body.include),
            at,
            body.explain is True if explain is None else explain,
            rules,
        )

    async def _answer(
        self, body: RecommendBody, request: Request, lane: Lane | None, deadline: float, until_seq: int | None = None
    ) -> Answer:
        """Ask the engine; a history is read with the items of the view that answers."""
        context = self._context
        lane = (Lane.SLOW if request.explain else Lane.FAST) if lane is None else lane
        view = context.view
        while True:
            who = user_id(body.user) if body.user is not None else history_from(body.history, view, request.at)
            ask = Ask(context.name, who, request, lane, deadline, until_seq if body.user is not None else None)
            answer = await asyncio.wrap_future(context.engine.ask(ask))
            if not isinstance(who, History) or answer.view.generation == view.generation:
                return answer
            view = answer.view  # a new model, which may have other rows

    def _serve(
        self,
        body: RecommendBody,
        answer: Answer,
        picks: Sequence[Recommendation],
        shown: tuple[str, ...],
        begun: float,
        notes: Sequence[str] = (),
    ) -> Served:
        view, catalog = answer.view, answer.view.state.catalog
        at = time.time()
        kept = KeptList(
            new_id(at),
            body,
            shown,
            tuple(pick.item.id for pick in picks),
            tuple(pick.score for pick in picks),
            at,
            view.generation,
            view.number,
            answer.history_seq,
            (*notes, *answer.picks.notes),
            int((time.perf_counter() - begun) * 1e6),
        )
        content = _head(kept)
        content["items"] = answers.picks(picks, catalog, len(shown) + 1)
        if answer.picks.parsed_query is not None:
            content["understood"] = answers.understood(answer.picks.parsed_query)
        content["notes"], content["micros"] = list(kept.notes), kept.micros
        if body.log:
            self._keep(kept)
        return Served(content, answer, kept)

    def _keep(self, kept: KeptList) -> None:
        """Hold a list in memory, and write it with the next ones."""
        self._recent[kept.id] = self._pending[kept.id] = kept
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().call_later(PAUSE, self.flush)

    def flush(self) -> None:
        """Have the lists written that were served since the last time; what the store refuses is counted."""
        self._writing = None
        kept = list(self._pending.values())
        if not kept:
            return
        try:
            writing = self._store.add(kept)
        except (BusyError, StoreError) as problem:
            self._forget(kept, problem)
            return
        self._last_write = writing
        writing.add_done_callback(lambda done: self._forget(kept, done.exception()))

    async def close(self) -> None:
        """Write what is not written yet."""
        self.flush()
        if self._last_write is not None:
            await asyncio.wait([asyncio.wrap_future(self._last_write)])

    def _forget(self, kept: Sequence[KeptList], problem: BaseException | None) -> None:
        for each in kept:
            self._pending.pop(each.id, None)
        if problem is not None:
            self.unlogged += len(kept)
            log.warning("%d lists were not logged: %s", len(kept), problem)


def history_from(entries: Sequence[str | HistoryEntry] | None, view: View, at: Moment | None) -> History | None:
    """Return the history that a request gives; None for an unknown user.

    Raises:
        UsageError, UnknownItemError: an entry that is invalid.
    """
    if entries is None:
        return None
    check_names(view.state.catalog, (each if isinstance(each, str) else each.item for each in entries))
    return history_of([*_events(entries)], *data_of(view.state, at))[0]


def _events(entries: Sequence[str | HistoryEntry]) -> Iterator[Any]:
    for each in entries:
        if isinstance(each, str):
            yield each
        else:
            yield each.item, each.rating, None if each.at is None else seconds_of(each.at)


def _head(kept: KeptList) -> dict[str, Any]:
    return {
        "id": kept.id,
        "generation": kept.generation,
        "view": kept.view,
        "history_seq": kept.history_seq,
        "scenario": kept.body.scenario,
        "policy": "greedy",
    }
