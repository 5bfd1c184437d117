"""Item embeddings from interactions: items that co-occur closely in time get similar vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from genre_gen.data.interactions import Interactions

MANY = 30_000
"""Above this many items the decomposition is a randomised one, of at most RANK_OF_MANY dimensions."""
RANK_OF_MANY = 128
OVERSAMPLED = 16
"""Dimensions that are computed beyond those wanted, for accuracy."""
SMOOTHING = 0.75  # exponent of context counts, which limits the weight of rare contexts (Levy et al. 2015)


def cooccurrence_embeddings(interactions: Interactions, dimensions: int = 256, lags: int = 5) -> NDArray[np.float32]:
    """Factor the positive pointwise mutual information of items that follow each other within a few steps.

    This is the closed form of word2vec, for items in histories instead of words in sentences: truncated SVD of the PPMI
    matrix, with vectors scaled by the square root of the singular values (Levy and Goldberg 2014). An item's vectors as
    word and as context are added, so that items that occur together are near each other, and not only those that occur
    with the same others. Two items co-occur if they are at most ``lags`` steps apart, with weight 1 / steps.

    Returns:
        float32 ``[n_items, dimensions]``; zeros for a cold item, in columns beyond the size of the catalog, and in
        those beyond RANK_OF_MANY where the catalog has more than MANY items.
    """
    counts = _cooccurrences(interactions, lags)
    rows = np.asarray(counts.sum(axis=1)).ravel()
    contexts = rows**SMOOTHING
    cells = counts.tocoo()
    ratio = cells.data * contexts.sum() / (rows[cells.row] * contexts[cells.col])
    information = sparse.csr_array((np.log(np.maximum(ratio, 1.0)), (cells.row, cells.col)), shape=counts.shape)
    limit = dimensions if interactions.n_items <= MANY else RANK_OF_MANY
    rank = min(dimensions, interactions.n_items - 1, limit)
    if rank < 1 or information.count_nonzero() == 0:
        return np.zeros((interactions.n_items, dimensions), np.float32)
    left, values, right = _largest(information, rank)
    vectors = np.zeros((interactions.n_items, dimensions), np.float32)
    vectors[:, :rank] = (left + right.T) * np.sqrt(values)
    return vectors


def _largest(
    matrix: sparse.csr_array, rank: int
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Return the truncated singular value decomposition: ``[n, rank]``, ``[rank]``, ``[rank, n]``.

    Lanczos iterations are exact, and take minutes from some ten thousand items on. Above MANY items the randomised
    method (Halko, Martinsson and Tropp, 2011) is used, in single precision: a few products with the matrix, so that
    time is linear in its entries, and memory in items.
    """
    if matrix.shape[0] <= MANY:
        left, values, right = svds(matrix, k=rank, random_state=0)
        return left, values, right
    from sklearn.utils.extmath import randomized_svd

    left, values, right = randomized_svd(
        matrix.astype(np.float32), rank, n_oversamples=OVERSAMPLED, n_iter=2, power_iteration_normalizer="LU",
        flip_sign=False, random_state=0,
    )  # fmt: skip
    return left, values, right


def _cooccurrences(interactions: Interactions, lags: int) -> sparse.csr_array:
    """Return symmetric weighted counts ``[n_items, n_items]`` of items within ``lags`` steps of each other."""
    owner, weights = interactions.owners, interactions.weights
    shape = (interactions.n_items, interactions.n_items)
    total = sparse.csr_array(shape, dtype=np.float64)
    for lag in range(1, lags + 1):
        same = owner[:-lag] == owner[lag:]
        first, second = interactions.rows[:-lag][same], interactions.rows[lag:][same]
        counts = np.full(len(first), 1 / lag)
        if weights is not None:
            counts *= weights[:-lag][same] * weights[lag:][same]
        total += sparse.csr_array((counts, (first, second)), shape=shape)
    return sparse.csr_array(total + total.T)
