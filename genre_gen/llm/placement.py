"""Where the code of an item goes that the model has not been trained on: next to those of items described like it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.llm.model import LLM

BLOCK = 4096
"""Rows whose lengths are computed at a time."""


class Placement:
    """Makes vectors for new code tokens of those that a model has been trained on.

    The vector of one depends on no other new one, also not in its last bits.
    """

    def __init__(self, llm: LLM) -> None:
        """Read the code embedding of a model, whose trained part must not change."""
        self._table: NDArray[np.float32] = llm.code_embedding.detach().float().cpu().numpy()
        projection = llm.code_projection
        self._projection = None if projection is None else projection.detach().float().cpu().numpy()

    def vectors(self, weights: sparse.csr_matrix, scale: float) -> NDArray[np.float32]:
        """Return rows of the code embedding for new tokens: the weighted mean of the rows of tokens that they are like.

        Args:
            weights: how much each new one is like each token, float ``[new ones, code vocabulary]``, sparse, at least
                one in each row.
            scale: the length of a vector, in lengths of those that it is the mean of.
        """
        near, columns = np.unique(weights.indices, return_inverse=True)
        per_row = np.repeat(1 / np.add.reduceat(weights.data, weights.indptr[:-1]), np.diff(weights.indptr))
        cells = weights.data * per_row, columns, weights.indptr
        shares = sparse.csr_matrix(cells, (weights.shape[0], len(near)))
        # The mean of factored embeddings is the mean of their rows, projected.
        mean = shares @ self._table[near]
        lengths = np.concatenate([self._lengths_of(mean[[row]]) for row in range(len(mean))])
        return np.asarray(
            mean * (scale * (shares @ self._lengths[near]) / lengths.clip(min=1e-12))[:, None], np.float32
        )

    @cached_property
    def average(self) -> NDArray[np.float32]:
        """Return the mean of all rows: its logit is the mean of all logits."""
        return self._table.mean(axis=0, dtype=np.float64).astype(np.float32)

    @cached_property
    def _lengths(self) -> NDArray[np.float32]:
        blocks = range(0, len(self._table), BLOCK)
        return np.concatenate([self._lengths_of(self._table[begin : begin + BLOCK]) for begin in blocks])

    def _lengths_of(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the lengths of the embeddings of rows ``[n, columns]`` of the table."""
        return np.linalg.norm(rows if self._projection is None else rows @ self._projection, axis=1)
