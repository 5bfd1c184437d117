"""Item codes: the schemes, each a function of its own file, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.codes.atomic import atomic
from genre_gen.codes.base import Codes, CodeScheme
from genre_gen.codes.semantic import semantic
from genre_gen.codes.title import title
from genre_gen.errors import ConfigError

if TYPE_CHECKING:
    from genre_gen.data.catalog import Catalog
    from genre_gen.domain import CodeSettings

__all__ = ["SCHEMES", "CodeScheme", "Codes", "make_codes"]

Embed: TypeAlias = Callable[[], NDArray[np.floating]]
"""Computes the item embeddings ``[n_items, dimensions]``; called only by a scheme that needs them."""


def _semantic(settings: CodeSettings, catalog: Catalog, embed: Embed) -> Codes:
    embeddings = embed()
    if len(embeddings) != len(catalog):
        raise ConfigError(f"{len(embeddings)} item embeddings for {len(catalog)} items; compute them from this catalog")
    return semantic(embeddings, settings.length, settings.width)


SCHEMES: dict[str, Callable[[CodeSettings, Catalog, Embed], Codes]] = {
    "atomic": lambda settings, catalog, embed: atomic(len(catalog)),
    "semantic": _semantic,
    "title": lambda settings, catalog, embed: title([item.title for item in catalog]),
}


def make_codes(settings: CodeSettings, catalog: Catalog, embeddings: NDArray[Any] | Embed | None = None) -> Codes:
    """Make the item codes that a domain asks for.

    Args:
        settings: the domain's ``codes``: scheme, length and width.
        catalog: the items; their rows index the codes.
        embeddings: ``[n_items, dimensions]``, or a function that computes them when the scheme needs them.

    Raises:
        ConfigError: an unknown scheme, or embeddings that are needed and missing or of another catalog.
    """
    if settings.scheme not in SCHEMES:
        raise ConfigError(f"codes.scheme: no scheme {settings.scheme!r}; there are: {', '.join(sorted(SCHEMES))}")

    def embed() -> NDArray[np.floating]:
        if embeddings is None:
            raise ConfigError(f"{settings.scheme} codes need item embeddings; pass embeddings= to make_codes")
        return embeddings() if callable(embeddings) else embeddings

    return SCHEMES[settings.scheme](settings, catalog, embed)
