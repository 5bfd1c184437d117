"""Events for tests of the store."""

from genre_gen.live.events import LiveEvent


def event(event_id="e1", user="17", item="181", kind="interaction", **values):
    """Return an event."""
    return LiveEvent(event_id, user, item, kind, **{"happened": 1_700_000_000.5, "received": 1_700_000_001.0, **values})
