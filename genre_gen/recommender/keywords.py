"""The domain of an untrained recommender: keywords are short names of settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genre_gen.data.arguments import check_keys
from genre_gen.domain import Domain


def domain_with(
    domain: str | Path | Domain,
    max_minutes: float | None,
    seed: int | None,
    llm: str | None,
    quantization: str | None,
    settings: Mapping[str, Any],
) -> Domain:
    """Return a domain with the settings that the arguments of :class:`genre_gen.Recommender` replace."""
    loaded = domain if isinstance(domain, Domain) else Domain.load(domain)
    keywords = {
        "training.max_minutes": max_minutes,
        "training.seed": seed,
        "model.llm": llm,
        "model.quantization": quantization,
        "model.adapter": None if quantization in (None, "none") else "lora",
    }
    check_keys(settings, "settings", 'settings by their keys, such as {"training.epochs": 3}')
    changes = {key: value for key, value in keywords.items() if value is not None} | dict(settings)
    return loaded.changed(changes) if changes else loaded
