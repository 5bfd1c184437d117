"""Semantic codes: residual k-means over item embeddings, so that similar items share a prefix of their codes.

After TIGER (Rajput et al., 2023), with k-means instead of the RQ-VAE and without an extra token for collisions: the
last level assigns the items of a cluster to distinct tokens, with the least sum of squared distances to centroids.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from genre_gen.codes.base import Codes
from genre_gen.errors import DataError, UsageError

_MATCHED = 2048  # largest cluster that is matched optimally, since matching takes cubic time
_SAMPLE = 100_000  # above this number of items, k-means uses mini-batches


def semantic(embeddings: NDArray[np.floating], length: int = 3, width: int = 256, seed: int = 0) -> Codes:
    """Give each item ``length`` tokens, from the coarsest cluster to the finest.

    Args:
        embeddings: ``[n_items, dimensions]``, finite; they are centred and scaled to length 1.
        length: tokens per code.
        width: clusters per level, at most one per item. Each level has tokens of its own, called
            ``<a_0>, <a_1> .. <b_0> ..``. The last level gets more than ``width`` when one cluster holds more items.
        seed: of the k-means.

    Returns:
        Unique codes of equal length; the same for the same arguments.

    Raises:
        DataError: the embeddings are not finite numbers, one row per item.
        UsageError: ``length`` is below 1 or ``width`` below 2.
    """
    if length < 1 or width < 2:  # noqa: PLR2004 - one token distinguishes nothing
        raise UsageError(f"semantic codes of length {length} and width {width}; length >= 1 and width >= 2 are needed")
    if embeddings.ndim != 2 or not len(embeddings) or not np.isfinite(embeddings).all():  # noqa: PLR2004
        raise DataError(
            f"item embeddings {embeddings.shape} must be finite numbers, one row per item; compute them again"
        )
    residual = _directions(embeddings)
    prefix = np.zeros(len(residual), dtype=np.int64)  # number of the item's prefix of clusters so far
    levels: list[NDArray[np.int64]] = []
    for level in range(length):
        nearest, centroids = _cluster(residual, width, seed + level)
        if level == length - 1:
            nearest = _spread(residual, centroids, prefix)
        else:
            residual = residual - centroids[nearest]
            prefix = np.unique(prefix * width + nearest, return_inverse=True)[1]
        levels.append(nearest)
    sizes = [int(tokens.max()) + 1 for tokens in levels]
    offsets = np.cumsum([0, *sizes[:-1]])
    names = tuple(f"<{chr(ord('a') + level)}_{k}>" for level, size in enumerate(sizes) for k in range(size))
    return Codes("semantic", np.stack(levels, axis=1) + offsets, names)


def _directions(embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    """Centre the embeddings and scale each to length 1: text embeddings differ in direction, not in size."""
    centred = embeddings.astype(np.float32) - embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(norms > 0, norms, 1.0)


def _cluster(points: NDArray[np.float32], width: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the cluster of each point and the centroids ``[at most width, dimensions]``."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    width = min(width, len(points))
    if len(points) < _SAMPLE:
        means = KMeans(width, random_state=seed, n_init=1, max_iter=50)
    else:
        means = MiniBatchKMeans(width, random_state=seed, n_init=1, batch_size=16 * 1024)
    with warnings.catch_warnings():  # with fewer distinct items than clusters, some clusters stay empty
        warnings.simplefilter("ignore", ConvergenceWarning)
        nearest = means.fit_predict(points).astype(np.int64)
    return nearest, means.cluster_centers_.astype(np.float32)


def _spread(
    residual: NDArray[np.float32], centroids: NDArray[np.float32], prefix: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give the items of each prefix distinct last tokens with the least sum of squared distances to their centroids."""
    from scipy.optimize import linear_sum_assignment

    tokens = np.empty(len(residual), dtype=np.int64)
    order = np.argsort(prefix, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(prefix[order])) + 1):
        if len(members) > _MATCHED:
            tokens[members] = np.arange(len(members))
            continue
        # |x - c|^2 without |x|^2, which is equal for all tokens of an item.
        costs = (centroids**2).sum(axis=1) - 2 * residual[members] @ centroids.T
        # Tokens beyond the centroids have no direction; they are a last resort when all others are taken.
        spare = max(0, len(members) - len(centroids))
        costs = np.pad(costs, ((0, 0), (0, spare)), constant_values=costs.max() + 1.0)
        tokens[members] = linear_sum_assignment(costs)[1]
    return tokens
