"""Questions about single items: similar ones, explanations, comparisons and predicted ratings."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, TypeVar

from genre_gen.data.history import History
from genre_gen.errors import UsageError
from genre_gen.live.engine import Lane
from genre_gen.live.histories import LiveHistories
from genre_gen.live.view import View
from genre_gen.recommender import explaining, predicting
from genre_gen.server import answers
from genre_gen.server.context import DomainContext, user_id
from genre_gen.server.lists import history_from
from genre_gen.server.schemas import AboutItem, CompareBody, seconds_of

Result = TypeVar("Result")
_RECENT = 10  # items of a history that a comparison leaves out one by one, as Recommender.compare does


class Questions:
    """Answers with the library's methods of these names, on live histories; each runs on the model's thread."""

    def __init__(self, context: DomainContext) -> None:
        """Serve one domain."""
        self._context = context

    async def similar(self, item_id: str, n: int, *, deadline: float = math.inf) -> dict[str, Any]:
        """Return the items closest to one: the values of ``SimilarAnswer``; raises UnknownItemError."""

        def work(view: View, _: LiveHistories) -> dict[str, Any]:
            catalog = view.state.catalog
            row = catalog.row(item_id)
            found = predicting.similar(view.state, row, n, available=view.available)
            return {**_named(view, row), "items": answers.picks(found, catalog), "notes": list(found.notes)}

        return await self._run(work, deadline, Lane.FAST)

    async def explain(self, body: AboutItem, *, deadline: float = math.inf) -> dict[str, Any]:
        """Return why an item would be recommended: the values of ``ExplainAnswer``."""

        def work(view: View, histories: LiveHistories) -> dict[str, Any]:
            row = view.state.catalog.find(body.item)
            history = _known(body, view, histories)
            explanation = explaining.explain(view.state, history, row)
            return {**_named(view, row), **answers.reasons(explanation, view.state.catalog)}

        return await self._run(work, deadline)

    async def compare(self, body: CompareBody, *, deadline: float = math.inf) -> dict[str, Any]:
        """Return why one item is recommended rather than another: the values of ``CompareAnswer``."""

        def work(view: View, histories: LiveHistories) -> dict[str, Any]:
            find = view.state.catalog.find
            row, other = find(body.item), find(body.other)
            comparison = explaining.compare(view.state, _known(body, view, histories), row, other, _RECENT)
            return _plain(comparison.to_dict())

        return await self._run(work, deadline)

    async def predict(self, body: AboutItem, *, deadline: float = math.inf) -> dict[str, Any]:
        """Return the rating that a user would give: the values of ``PredictAnswer``."""

        def work(view: View, histories: LiveHistories) -> dict[str, Any]:
            row = view.state.catalog.find(body.item)
            found = predicting.predict(view.state, _history(body, view, histories), row)
            values = {"rating": answers.number(found.rating), "parts": answers.numbers(found.parts)}
            return {**_named(view, row), **values, "reason": found.reason}

        return await self._run(work, deadline)

    async def _run(
        self, work: Callable[[View, LiveHistories], Result], deadline: float, lane: Lane = Lane.SLOW
    ) -> Result:
        running = self._context.engine.run(self._context.name, work, lane=lane, deadline=deadline)
        return await asyncio.wrap_future(running)


def _history(body: AboutItem, view: View, histories: LiveHistories) -> History:
    """Return the history that a question is about, up to its moment; it may be empty."""
    if body.user is not None and body.history is not None:
        raise UsageError("both user and history are given; give one of them")
    at = None if body.at is None else seconds_of(body.at)
    if body.user is None:
        return history_from(body.history or (), view, at) or History.from_events([])
    history = histories.history(user_id(body.user))
    return history if at is None else history.until(math.floor(at))


def _known(body: AboutItem, view: View, histories: LiveHistories) -> History:
    """Return a history that is not empty; raises UsageError."""
    history = _history(body, view, histories)
    if not len(history):
        raise UsageError("the history is empty; give a user with interactions, or at least one title")
    return history


def _named(view: View, row: int) -> dict[str, str]:
    item = view.state.catalog[row]
    return {"item": item.id, "title": item.title}


def _plain(value: Any) -> Any:
    """Return values as JSON has them: no tuples, and no infinite numbers."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return answers.number(float(value)) if isinstance(value, float) else value
