"""The lists that are pushed: those that the service makes, in the push lane of the engine."""

from __future__ import annotations

import time

from genre_gen.live.engine import Lane
from genre_gen.server.push import NewList, Version
from genre_gen.server.schemas import RecommendBody
from genre_gen.server.service import Service

SCENARIO = "stream"
PATIENCE = 30.0
"""Seconds that a pushed list may wait for the model, after the requests of the fast lane."""


class LiveLists:
    """Makes the newest list of a user, and tells which version it would have."""

    def __init__(self, service: Service) -> None:
        """Take the domains of a service."""
        self._service = service

    async def newest(self, domain: str, user: str, n: int) -> NewList:
        """Return the list of a user as of now; it is logged as other lists are.

        Raises:
            BusyError: the engine has too much to do.
        """
        body = RecommendBody.model_validate({"user": user, "n": n, "scenario": SCENARIO})
        lists = self._service.domain(domain).lists
        served = await lists.recommend(body, lane=Lane.PUSH, deadline=time.monotonic() + PATIENCE)
        view = served.answer.view
        version = Version(view.generation, view.number, served.answer.history_seq)
        return NewList(version, served.content, frozenset(served.kept.items))

    def version(self, domain: str, user: str) -> Version:
        """Return the version that a list would have now; raises NotFoundError for a domain that is not served."""
        context = self._service.domain(domain).context
        view = context.view
        return Version(view.generation, view.number, context.histories.user_seq(user))
