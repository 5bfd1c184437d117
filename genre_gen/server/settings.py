"""ServerSettings: what ``genre-gen serve`` can be told, with the limits that every request is held to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genre_gen.settings import Settings

LOOPBACK = "127.0.0.1"
_Milliseconds = Annotated[int, Field(ge=1, le=600_000)]


class ServerSettings(Settings):
    """Settings of a server, all with defaults.

    Attributes:
        host: address to listen on; the default is reachable from this machine only.
        port: TCP port; 0 takes a free one.
        store: URL of the store, ``sqlite:///FILE`` or ``postgresql+psycopg://...``.
        max_batch: lists that the model computes together, at most.
        max_queue: requests that wait for the model; more are refused with 503.
        threads: of the model's arithmetic; None leaves torch's number.
        overload: above that, ``refuse``, or ``degrade`` to the blend without the language model.
        timeout_ms: deadline of a request that names none in ``X-Timeout-Ms``.
        explain_timeout_ms: the same, for explanations, comparisons and predictions.
        max_timeout_ms: the latest deadline that a request may ask for.
        max_body: bytes of a request's body.
        rate: requests a second of a key that has no rate of its own.
        burst: requests that such a key may send at once.
        list_days: days for which served lists are kept.
        unknown_items: what is done with events on items that the catalog lacks: ``reject`` them, or ``keep`` them until
            the item exists.
        docs: serve ``/docs`` and ``/openapi.json``.
        scrape_key: a secret that also opens ``/metrics``, for scrapers without a key of their own.

    Example:
        >>> ServerSettings(port=8080).host
        '127.0.0.1'
    """

    host: str = LOOPBACK
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    store: str = "sqlite:///live/store.db"
    max_batch: Annotated[int, Field(ge=1, le=512)] = 64
    max_queue: Annotated[int, Field(ge=1, le=100_000)] = 512
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    overload: Literal["refuse", "degrade"] = "refuse"
    timeout_ms: _Milliseconds = 1_000
    explain_timeout_ms: _Milliseconds = 10_000
    max_timeout_ms: _Milliseconds = 60_000
    max_body: Annotated[int, Field(ge=1_000, le=100_000_000)] = 1_000_000
    rate: Annotated[float, Field(gt=0)] = 2_000.0
    burst: Annotated[int, Field(ge=1)] = 4_000
    list_days: Annotated[float, Field(gt=0)] = 90.0
    unknown_items: Literal["reject", "keep"] = "reject"
    docs: bool = True
    scrape_key: str | None = None
