"""LateTexts: a fitted TextKNN in a catalog that has got more items since."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.item_knn import strongest
from genre_gen.collaborative.text_knn import TextKNN, TextVectors


class LateTexts(TextKNN):
    """Scores the items that a ``TextKNN`` was fitted on as that does, and late items behind them by the same measure.

    A row keeps its similarities. In addition it has those to late items that would have been among its ``neighbours``,
    so that the scores of a history without late items stay as they were, and the order in which items came is without
    effect. These are computed when a history asks for them: of each item of the history, one product of its words.

    Attributes:
        trained: the fitted model.
        late: vectors of the texts of late items, float32 ``[n_late, n_words]``, sparse.
        near: the trained items that are most similar to each late one, float32 ``[n_late, trained items]``, sparse.
    """

    def __init__(self, trained: TextKNN, texts: TextVectors, late: sparse.csr_matrix, near: sparse.csr_matrix) -> None:
        """Hold a fitted model, the vectors of the texts that it was fitted on, and what is known of late items."""
        super().__init__((), trained.neighbours, trained.recency)
        self.trained, self.similar, self._texts, self.late, self.near = trained, trained.similar, texts, late, near

    @property
    def n_items(self) -> int:
        """Return the number of items, late ones included."""
        return self._known + int(self.late.shape[0])

    @property
    def _known(self) -> int:
        return int(self.similar.shape[0])

    @cached_property
    def _late_by_word(self) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.late.T)

    def weights_of(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return the similarities of some items, sparse ``[len(rows), n_items]``."""
        ones = sparse.csr_matrix((np.ones(len(rows), np.float32), rows, np.arange(len(rows) + 1)))
        ones.resize(len(rows), self.n_items)
        return sparse.csr_matrix(self.weighted(ones))

    def weighted(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return weighted histories times all similarities."""
        scores = np.zeros(histories.shape, np.float32)
        known, late = histories[:, : self._known], histories[:, self._known :]
        scores[:, : self._known] = (known @ self.similar).toarray()
        rows = np.unique(known.indices)
        scores[:, self._known :] = (
            known[:, rows] @ self._to_late(self._texts.vectors[rows], self.similar[rows])
        ).toarray()
        if late.nnz:
            rows = np.unique(late.indices)
            scores[:, : self._known] += (late @ self.near).toarray()
            similar = self._to_late(self.late[rows], self.near[rows], rows)
            scores[:, self._known :] += (late[:, rows] @ similar).toarray()
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the learned arrays of the fitted model; late items follow from the catalog."""
        return self.trained.arrays()

    def _to_late(
        self, vectors: sparse.csr_matrix, kept: sparse.csr_matrix, own: NDArray[np.integer] | None = None
    ) -> sparse.csr_matrix:
        """Return the similarities of some items to late ones, ``[items, n_late]``, that are not below those kept.

        ``own`` are the items' own places among the late ones, if they are late themselves.
        """
        block = sparse.csr_matrix(vectors @ self._late_by_word)
        row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        block.data[block.data < self._least(kept)[row]] = 0.0
        if own is not None:
            block.data[block.indices == own[row]] = 0.0
        return strongest(block, self.neighbours)

    def _least(self, kept: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return the least similarity in each row, 0 for rows that have room for more."""
        least = np.zeros(kept.shape[0], np.float32)
        full = np.flatnonzero(np.diff(kept.indptr) >= self.neighbours)
        rows = kept[full]
        least[full] = np.minimum.reduceat(rows.data, rows.indptr[:-1]) if len(full) else 0.0
        return least
