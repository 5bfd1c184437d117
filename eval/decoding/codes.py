"""Item codes for ``eval.decoding.speed``: codes of films, and random codes for catalogs of any size."""

from __future__ import annotations

import numpy as np

from eval.decoding.stores import Codes
from genre_gen.data.readers import load_catalog
from genre_gen.domain import Domain

REAL = 1682  # films of MovieLens-100K
LENGTH, WIDTH = 4, 256  # of codes


def make_codes(size: int, domain: Domain) -> Codes:
    """Return codes int32 ``[size, LENGTH]``: those of the films if ``size`` is their number, otherwise random."""
    if size == REAL:
        return film_codes(domain)
    random = np.random.default_rng(size)
    numbers = np.unique(random.integers(WIDTH**LENGTH, size=size + size // 16 + 16))
    numbers = random.permutation(numbers)[:size]
    levels = np.arange(LENGTH - 1, -1, -1)
    digits = numbers[:, None] // WIDTH**levels % WIDTH
    return (digits + np.arange(LENGTH) * WIDTH).astype(np.int32)


def film_codes(domain: Domain) -> Codes:
    """Return semantic codes of the films, from TF-IDF of their texts."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    from genre_gen.codes.semantic import semantic

    texts = [item.describe() for item in load_catalog(domain)[0]]
    vectors = TruncatedSVD(64, random_state=0).fit_transform(TfidfVectorizer().fit_transform(texts))
    return semantic(vectors, LENGTH, WIDTH // 4).codes.astype(np.int32)
