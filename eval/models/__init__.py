"""Peers of the leaderboard that the package itself does not ship."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre_gen.metrics import ndcg_at


def mean_ndcg(ranks: NDArray[np.float64], k: int = 10) -> float:
    """Return the mean NDCG of ranks."""
    return float(ndcg_at(ranks, k).mean())
