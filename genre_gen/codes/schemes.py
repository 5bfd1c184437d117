"""Code schemes by name: functions from a domain's ``codes`` settings and catalog to codes."""

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
"""Makes the codes of a catalog: unique, and none a prefix of another."""

END = "<end>"
_PIECES = re.compile(r" ?\w+|\W")


def atomic(n_items: int) -> Codes:
    """Give the item in row ``k`` the single token ``k``. One forward pass scores all items of this scheme."""
    return Codes("atomic", np.arange(n_items, dtype=np.int64)[:, None], tuple(f"<item_{k}>" for k in range(n_items)))


def title(titles: Sequence[str]) -> Codes:
    """Split titles into lower-case words and punctuation, closed by ``<end>`` so that no code is a prefix of another.

    The codes are readable (GENRE of De Cao et al., 2021). Each distinct word is one code token, so each title has
    exactly one token sequence; with text tokens it would have many.

    Args:
        titles: unique even in lower case, as a ``Catalog`` guarantees. The codes are unique too, since joining their
            tokens gives the title.
    """
    pieces = [[*pieces_of(text), END] for text in titles]
    tokens = {piece: token for token, piece in enumerate(sorted({piece for line in pieces for piece in line}))}
    codes = np.full((len(pieces), max(map(len, pieces))), -1, dtype=np.int64)
    for row, line in enumerate(pieces):
        codes[row, : len(line)] = [tokens[piece] for piece in line]
    return Codes("title", codes, tuple(piece if piece == END else f"<word_{piece}>" for piece in tokens))


def pieces_of(title: str) -> list[str]:
    """Return the lower-case words and punctuation of a title, without the end."""
    return _PIECES.findall(title.casefold())


def atomic_codes(settings: CodeSettings, catalog: Catalog, embed: Embed) -> Codes:
    """Return one token for each item."""
    return atomic(len(catalog))


def semantic_codes(settings: CodeSettings, catalog: Catalog, embed: Embed) -> Codes:
    """Return codes made of clusters of item embeddings; raises ConfigError for embeddings of another catalog."""
    embeddings = embed()
    if len(embeddings) != len(catalog):
        raise ConfigError(f"{len(embeddings)} item embeddings for {len(catalog)} items; compute them from this catalog")
    return semantic(embeddings, settings.length, settings.width)


def title_codes(settings: CodeSettings, catalog: Catalog, embed: Embed) -> Codes:
    """Return codes made of the words of the titles."""
    return title([item.title for item in catalog])


def make_codes(settings: CodeSettings, catalog: Catalog, embeddings: NDArray[Any] | Embed | None = None) -> Codes:
    """Make item codes as a domain's settings say.

    Item embeddings are ``[n_items, dimensions]``, or a function that computes them when the scheme needs them.

    Raises:
        ConfigError: an unknown scheme; embeddings that are missing or of another catalog; a scheme that makes no code
            for some items.
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
