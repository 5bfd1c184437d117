"""LiveHistories: trained histories and the events since."""

from __future__ import annotations

from collections.abc import Sequence

from genre_gen.data.history import History
from genre_gen.live.events import EventColumns, LiveEvent
from genre_gen.live.kinds import Kinds
from genre_gen.recommender.state import RecommenderState


class LiveHistories:
    """Trained histories and the events since; all threads may read while one thread applies events.

    A live history is the one that the readers would make of the training log with the events appended.
    """

    def __init__(self, state: RecommenderState, kinds: Kinds) -> None:
        """Begin with the trained histories of a state."""
        self.state, self.kinds = state, kinds

    def load(self, columns: EventColumns) -> None:
        """Add the stored events of a log at the start of a server: a million in seconds."""
        raise NotImplementedError

    def apply(self, events: Sequence[LiveEvent]) -> set[str]:
        """Add stored events, in the order of their ``seq``; return the users whose list may change."""
        raise NotImplementedError

    def history(self, user: str, *, until_seq: int | None = None) -> History:
        """Return a user's history, also as of an event (inclusive); empty for an unknown user."""
        raise NotImplementedError

    def user_seq(self, user: str) -> int:
        """Return the ``seq`` of the user's last event, 0 without events."""
        raise NotImplementedError

    def knows(self, user: str) -> bool:
        """Tell whether a user has a trained history, hidden items or events."""
        raise NotImplementedError

    def merge(self, user: str, into: str) -> None:
        """Give a user's events to another user; what was trained stays where it is."""
        raise NotImplementedError

    def forget(self, user: str) -> None:
        """Drop a user's events and trained history; later events are those of a new user."""
        raise NotImplementedError

    def rebase(self, state: RecommenderState) -> LiveHistories:
        """Return the same events over another state: they are kept by item id, and both share what is applied later."""
        raise NotImplementedError
