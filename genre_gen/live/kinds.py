"""Kinds of events while serving: those of ``[events]``, or the usual ones where the log has one kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from genre_gen.data.event_settings import EventSettings
from genre_gen.domain import Domain
from genre_gen.errors import UsageError, quoted

INTERACTION, RATING = "interaction", "rating"
_HAD = EventSettings(history=1.0, measured=True)
USUAL: Mapping[str, EventSettings] = MappingProxyType(
    {
        INTERACTION: _HAD,
        RATING: _HAD,
        "dislike": EventSettings(negative=True),
        "impression": EventSettings(),
        "click": EventSettings(),
        "view": EventSettings(),
    }
)
"""The kinds of a domain without ``[events]``; the last three are stored and change no history."""


class Kinds:
    """What each kind of event means.

    Attributes:
        names: the kinds; an event's number of its kind in columns need not be a place in it.
        default: the kind of an event that names none; None if it must name one.

    Example:
        >>> kinds = Kinds(domain)
        >>> kinds.default, kinds.settings("dislike").negative
        ('interaction', True)
    """

    def __init__(self, domain: Domain) -> None:
        """Take the kinds of a domain."""
        self._settings: Mapping[str, EventSettings] = domain.events or USUAL
        self.names = tuple(self._settings)
        history = [name for name, settings in self._settings.items() if settings.history]
        alone = history[0] if len(history) == 1 else None
        self.default: str | None = alone if domain.events else INTERACTION
        self._rated = frozenset() if domain.events else frozenset({RATING})

    def settings(self, kind: str) -> EventSettings:
        """Return what a kind means; raises UsageError with the kinds that there are."""
        try:
            return self._settings[kind]
        except (KeyError, TypeError):
            known = ", ".join(self.names)
            raise UsageError(f"no kind of event {quoted(kind)}; give one of {known}") from None

    def needs_rating(self, kind: str) -> bool:
        """Tell whether an event of a kind must have a rating."""
        return kind in self._rated
