"""``[events]`` of ``domain.toml``: what each kind of event in a log means for histories, lists and evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self, TypeAlias

from pydantic import Field, model_validator

from genre_gen.settings import Settings, Share

USUAL_COLUMNS = ("event", "event_type", "feedback_type", "behavior_type", "behavior", "action", "type")
"""Usual names of the column of kinds, which is read only with ``[events]``."""


class EventSettings(Settings):
    """One kind of event, such as ``view`` or ``transaction``; a kind without any key is left out.

    Attributes:
        history: its weight in counts, up to 1; with 0, the kind is in no history.
        measured: whether evaluations ask for it. If no kind has this, all kinds of the histories are measured.
        hides: whether its item is not recommended to the user again, also where items repeat.
        negative: whether the user turned the item down: it hides the item and takes it out of the history.
    """

    history: Share = 0.0
    measured: bool = False
    hides: bool = False
    negative: bool = False

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.negative and (self.history or self.measured):
            raise ValueError("a negative kind is in no history, and is not measured: remove negative, or the others")
        if self.measured and not self.history:
            raise ValueError("measured needs a weight in the history: add history = 1.0, or remove measured")
        return self


Events: TypeAlias = Annotated[dict[str, EventSettings], Field(max_length=100)]
"""Kind of event, as the log writes it -> its settings; empty where a log has one kind."""


def check_events(events: Mapping[str, EventSettings], is_named: bool) -> None:
    """Raise ValueError unless a kind makes histories; ``is_named`` says whether ``data.columns`` has a column."""
    if is_named and not events:
        raise ValueError(
            'data.columns.event needs [events], such as "[events.view]" with "history = 1.0"; add it, or remove the key'
        )
    if events and not any(event.history for event in events.values()):
        raise ValueError("events: no kind is in the histories; give one of them history = 1.0")
