"""Ingest: a log file as events, sent to a server in batches or written into its store; it can be repeated.

Each record has an event id that is made of its own content, so a log that was sent in part is sent again as a whole:
the server counts what it has as duplicates.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from genre_gen.cli.api_client import Api
from genre_gen.data.readers import load_log
from genre_gen.domain import Domain

if TYPE_CHECKING:
    import polars as pl

BATCH = 500
"""Events of one request: as many as the server takes."""
_LONGEST_ID = 500  # characters of an id
_UNITS = (1, 1e3, 1e6, 1e9)  # of a second, in which a log may give exact times
_SHOWN = 5  # reasons that are shown

Event = dict[str, Any]
"""An event as ``POST /v1/{domain}/events`` takes it."""
Progress = Callable[[int], None]
"""Called with the number of records of each batch that is done."""


@dataclass
class Ingested:
    """What became of a log: counts of its records, and the reasons for which some were rejected."""

    records: int = 0
    accepted: int = 0
    duplicates: int = 0
    updated: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Add the answer to a batch."""
        self.accepted += answer["accepted"]
        self.duplicates += answer["duplicates"]
        self.updated += answer.get("updated", 0)
        for event in answer["rejected"]:
            self.reject(event["error"])

    def reject(self, reason: str) -> None:
        """Count a record that was not stored."""
        self.rejected += 1
        if reason in self.reasons or len(self.reasons) < 10 * _SHOWN:
            self.reasons[reason] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        counts = {name: value for name, value in vars(self).items() if name != "reasons"}
        return counts | {"reasons": dict(self.reasons.most_common(_SHOWN))}

    def table(self) -> str:
        """Return it as text."""
        counts = f"{self.accepted:,} accepted, {self.duplicates:,} were there, {self.rejected:,} rejected"
        if self.updated:
            counts += f", {self.updated:,} updated"
        reasons = [f"  {count:,} times: {reason}" for reason, count in self.reasons.most_common(_SHOWN)]
        return "\n".join([f"{self.records:,} records: {counts}", *reasons])


def read_events(domain: Domain, path: Path, ingested: Ingested) -> Iterator[Event]:
    """Read a log by the reader and the columns of a domain, and yield its events in file order.

    Records are counted at once, and rejected as they are read if they cannot be events.

    Raises:
        DataError: the file is missing or unreadable, or lacks a column that the domain names.
    """
    frame = load_log(domain, path)
    ingested.records = len(frame)
    columns = _columns(domain, frame)
    # Without times, equal records of two files are two events.
    name = "" if "at" in columns else path.name
    return _events(domain, columns, name, ingested)


def _events(domain: Domain, columns: Mapping[str, list[Any]], name: str, ingested: Ingested) -> Iterator[Event]:
    seen: Counter[bytes] = Counter()
    for values in zip(*columns.values(), strict=True):
        event = {key: value for key, value in zip(columns, values, strict=True) if value is not None}
        if problem := _problem(event, domain):
            ingested.reject(problem)
            continue
        content = hashlib.blake2b(repr((name, values)).encode("utf-8", "backslashreplace"), digest_size=15)
        seen[content.digest()] += 1
        again = seen[content.digest()]
        event["event_id"] = f"log-{content.hexdigest()}" + (f"-{again}" if again > 1 else "")
        yield event


def _columns(domain: Domain, frame: pl.DataFrame) -> dict[str, list[Any]]:
    """Return the values of each key of an event, in file order."""
    columns = {"user": frame["user"].to_list(), "item": frame["item"].to_list()}
    if "event" in frame.columns:
        columns["type"] = frame["event"].to_list()
    if "time" in frame.columns:
        columns["at"] = _moments(frame)
    if "rating" in frame.columns:
        ratings = frame["rating"].fill_nan(None).to_list()
        columns["rating"] = [None if rating in domain.data.not_rated else rating for rating in ratings]
    return columns


def _moments(frame: pl.DataFrame) -> list[float | None]:
    """Return seconds since 1970 with their fractions; None where a time cannot be read."""
    seconds = frame["time"]
    if "exact_time" not in frame.columns:
        return seconds.cast(float).to_list()
    exact = frame["exact_time"]
    for unit in _UNITS:
        moments = exact / unit
        if (moments.floor() - seconds).abs().max() in {0, None}:
            return moments.to_list()
    return seconds.cast(float).to_list()


def _problem(event: Event, domain: Domain) -> str | None:
    """Return why a record cannot be an event."""
    for part in ("user", "item"):
        text = event.get(part, "")
        if not text or text in domain.data.missing:
            return f"no {part}"
        if len(text) > _LONGEST_ID:
            return f"the {part} has more than {_LONGEST_ID} characters"
    rating = event.get("rating")
    return "the rating is not finite" if rating is not None and not math.isfinite(rating) else None


def batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Yield the events in batches."""
    rest = iter(events)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch


def send(api: Api, domain: str, events: Iterable[Event], ingested: Ingested, progress: Progress) -> None:
    """Send events to a server, which is given the time that it asks for.

    Raises:
        NoServerError, RefusedError: the server is gone, or refuses the key or the domain.
    """
    for batch in batches(events):
        ingested.add(api.ask("POST", f"/v1/{quote(domain, safe='')}/events", {"events": batch}, patient=True))
        progress(len(batch))
