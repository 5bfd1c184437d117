"""Code schemes by name: what a domain's ``codes`` settings make of its catalog."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.codes.base import Codes
from genre_gen.codes.semantic import semantic
from genre_gen.data.catalog import Catalog
from genre_gen.domain import CodeSettings
from genre_gen.errors import ConfigError
from genre_gen.registry import CODE_SCHEMES

Embed: TypeAlias = Callable[[], NDArray[np.floating]]
"""Computes the item embeddings ``[n_items, dimensions]``; called only by a scheme that needs them."""

SchemeFunction: TypeAlias = Callable[[CodeSettings, Catalog, Embed], Codes]
"""Makes the codes of a catalog: unique, and none the beginning of another."""

END = "<end>"
_PIECES = re.compile(r" ?\w+|\W")


def atomic(n_items: int) -> Codes:
    """Give the item in row ``k`` the one code token ``k``: the only scheme that one forward pass decodes exactly."""
    return Codes("atomic", np.arange(n_items, dtype=np.int64)[:, None], tuple(f"<item_{k}>" for k in range(n_items)))


def title(titles: Sequence[str]) -> Codes:
    """Split each title into words and signs, in lower case, and close it with ``<end>`` so that no code begins another.

    The code can be read (GENRE of De Cao et al., 2021). Each distinct word is a code token of its own, which admits
    exactly one token sequence per title; text tokens would admit many.

    Args:
        titles: unique even in lower case, as a ``Catalog`` guarantees; so are the codes, since their pieces joined are
            the title.
    """
    pieces = [[*_PIECES.findall(text.casefold()), END] for text in titles]
    tokens = {piece: token for token, piece in enumerate(sorted({piece for line in pieces for piece in line}))}
    codes = np.full((len(pieces), max(map(len, pieces))), -1, dtype=np.int64)
    for row, line in enumerate(pieces):
        codes[row, : len(line)] = [tokens[piece] for piece in line]
    return Codes("title", codes, tuple(piece if piece == END else f"<word_{piece}>" for piece in tokens))


def atomic_codes(settings: CodeSettings, catalog: Catalog, embed: Embed) -> Codes:
    """Return one token for each item."""
    return atomic(len(catalog))


def semantic_codes(settings: CodeSettings, catalog: Catalog, embed: Embed) -> Codes:
    """Return codes by clusters of the item embeddings; raises ConfigError for those of another catalog."""
    embeddings = embed()
    if len(embeddings) != len(catalog):
        raise ConfigError(f"{len(embeddings)} item embeddings for {len(catalog)} items; compute them from this catalog")
    return semantic(embeddings, settings.length, settings.width)


def title_codes(settings: CodeSettings, catalog: Catalog, embed: Embed) -> Codes:
    """Return the words of the titles."""
    return title([item.title for item in catalog])


def make_codes(settings: CodeSettings, catalog: Catalog, embeddings: NDArray[Any] | Embed | None = None) -> Codes:
    """Make the item codes that a domain asks for.

    Item embeddings are ``[n_items, dimensions]``, or a function that computes them when the scheme needs them.

    Raises:
        ConfigError: an unknown scheme; embeddings that are needed and missing, or of another catalog; a scheme that
            makes no code for some items.
    """

    def embed() -> NDArray[np.floating]:
        if embeddings is None:
            raise ConfigError(f"{settings.scheme} codes need item embeddings; pass embeddings= to make_codes")
        return embeddings() if callable(embeddings) else embeddings

    made = CODE_SCHEMES[settings.scheme](settings, catalog, embed)
    if len(made.codes) != len(catalog):
        raise ConfigError(
            f"codes.scheme: {settings.scheme!r} makes {len(made.codes)} codes for {len(catalog)} items; choose another"
        )
    return made
