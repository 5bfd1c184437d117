"""TF-IDF vectors of documents, as scikit-learn has them; importing scikit-learn takes longer than making them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy import sparse


def counted(documents: Iterable[Iterable[Hashable]]) -> tuple[dict[Any, int], sparse.csr_matrix]:
    """Return the sorted terms with their columns, and how often each document has each: ``[documents, terms]``."""
    counts = [Counter(document) for document in documents]
    columns = {term: column for column, term in enumerate(sorted(set().union(*counts)))}  # type: ignore[type-var]
    indices = np.array([columns[term] for count in counts for term in count], np.int32)
    data = np.array([number for count in counts for number in count.values()], np.float64)
    ends = np.cumsum([0, *map(len, counts)])
    return columns, sparse.csr_matrix((data, indices, ends), (len(counts), len(columns))).sorted_indices()


def tf_idf(documents: Iterable[Iterable[Hashable]]) -> tuple[dict[Any, int], sparse.csr_matrix]:
    """Return the sorted terms with their columns, and unit vectors ``[documents, terms]``; zeros without any term.

    A term that a document has ``n`` times weighs ``1 + log(n)`` there, times ``1 + log((1 + documents) / (1 + its
    documents))``.
    """
    terms = TfIdf(documents)
    return terms.columns, terms.vectors


class TfIdf:
    """The terms of some documents and how rare each is, by which other documents become vectors too.

    Attributes:
        columns: term -> its column, in sorted order.
        rarity: float64 ``[terms]``.
        vectors: those of the documents, see :func:`tf_idf`.

    Example:
        >>> terms = TfIdf([["red", "car"], ["red", "boat"]])
        >>> terms.vectors_of([["boat", "plane"]]).toarray().tolist()
        [[1.0, 0.0, 0.0]]
    """

    def __init__(self, documents: Iterable[Iterable[Hashable]]) -> None:
        """Count the terms of the documents."""
        self._set(*counted(documents))

    def _set(self, columns: dict[Any, int], counts: sparse.csr_matrix) -> None:
        self.columns, self._counts = columns, counts
        self.rarity = np.log((1 + counts.shape[0]) / (1 + np.bincount(counts.indices, minlength=counts.shape[1]))) + 1.0
        self.vectors = self._weighed(counts.copy())

    def changed(self, documents: Mapping[int, Iterable[Hashable]]) -> TfIdf:
        """Return what the constructor gives for the documents with some others in their places, or behind the last.

        Counting terms takes longest, and only those of the others are counted.
        """
        size = self._counts.shape[0]
        new_columns, new = counted(documents[row] for row in sorted(documents))
        kept = self._counts[np.setdiff1d(np.arange(size), list(documents))]
        used = np.bincount(kept.indices, minlength=len(self.columns)) > 0
        terms = sorted({*(term for term, column in self.columns.items() if used[column]), *new_columns})
        columns = {term: column for column, term in enumerate(terms)}
        parts = []
        for part, own in ((kept, self.columns), (new, new_columns)):
            moved = np.array([columns.get(term, -1) for term in own], np.int32)[part.indices]
            parts.append(sparse.csr_matrix((part.data, moved, part.indptr), (part.shape[0], len(columns))))
        places = np.argsort([*(row for row in range(size) if row not in documents), *sorted(documents)])
        other = copy.copy(self)
        other._set(columns, sparse.csr_matrix(sparse.vstack(parts))[places].sorted_indices())
        return other

    def vectors_of(self, documents: Iterable[Iterable[Hashable]]) -> sparse.csr_matrix:
        """Return the unit vectors of other documents ``[documents, terms]``; terms that are not known are left out."""
        columns = self.columns
        counts = [Counter(columns[term] for term in document if term in columns) for document in documents]
        indices = np.array([column for count in counts for column in count], np.int32)
        data = np.array([number for count in counts for number in count.values()], np.float64)
        ends = np.cumsum([0, *map(len, counts)])
        return self._weighed(sparse.csr_matrix((data, indices, ends), (len(counts), len(columns))).sorted_indices())

    def _weighed(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return unit vectors of how often documents have terms, which are changed in place."""
        counts.data = (1.0 + np.log(counts.data)) * self.rarity[counts.indices]
        return unit_rows(counts)


def unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return a sparse matrix whose rows have the length 1, or 0 where they are empty."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), np.float64)).ravel()
    matrix = sparse.csr_matrix(matrix, copy=True)
    matrix.data /= np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(matrix.indptr))
    return matrix
