"""DataSummary: how large a log of interactions is, and when it was made; nothing of any user in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

import numpy as np

from genre_gen.data.interactions import Interactions
from genre_gen.errors import quoted

_MOST = 2**48


@dataclass(frozen=True)
class DataSummary:
    """The size and time span of interactions.

    Attributes:
        users: how many.
        interactions: how many.
        ratings: how many of them have one.
        since: day of the first in UTC, as ISO text; None where there are no times.
        until: day of the last.
        events: how many there are of each kind; None without kinds of events.
        hidden: how many pairs of a user and an item events hide.
    """

    users: int
    interactions: int
    ratings: int
    since: str | None = None
    until: str | None = None
    events: Mapping[str, int] | None = None
    hidden: int = 0

    @classmethod
    def of(cls, interactions: Interactions) -> Self:
        """Return the summary of some interactions."""
        ratings, times = interactions.ratings, interactions.times
        rated = 0 if ratings is None else int((~np.isnan(ratings)).sum())
        since, until = None, None
        if times is not None and len(times):
            since, until = _day(int(times.min())), _day(int(times.max()))
        hidden = 0 if interactions.hidden is None else len(interactions.hidden)
        return cls(
            len(interactions.users), len(interactions), rated, since, until, interactions.counts_by_kind(), hidden
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON; ``from_dict`` restores it."""
        content = asdict(self)
        for name in ("events", "hidden"):
            if not content[name]:
                del content[name]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Restore what ``to_dict`` returned; raises ValueError or TypeError for anything else."""
        summary = cls(**content)
        kinds = {} if summary.events is None else summary.events
        if not isinstance(kinds, dict):
            raise ValueError(f"the summary of the data has {quoted(kinds)} as counts of events")
        for count in (summary.users, summary.interactions, summary.ratings, summary.hidden, *kinds.values()):
            if type(count) is not int or not 0 <= count < _MOST:
                raise ValueError(f"the summary of the data counts {quoted(count)}")
        for day in (summary.since, summary.until):
            if day is not None:
                date.fromisoformat(day)
        return summary


def _day(seconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return None
