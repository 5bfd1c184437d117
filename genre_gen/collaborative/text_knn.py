"""TextKNN: items whose descriptions share words.

It is content-based, not collaborative: the baseline for recommenders that read texts, and it ranks cold items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import RECENCY, ModelContext
from genre_gen.collaborative.item_knn import ItemKNN, parts, strongest
from genre_gen.data.interactions import Interactions
from genre_gen.data.tf_idf import TfIdf, tf_idf
from genre_gen.errors import UsageError

ALL_UP_TO = 50_000
"""The largest number of texts among which the most similar are found exactly."""

POSTINGS = 1000
"""The number of texts that a word leads to among more texts."""

WORD = re.compile(r"\b\w\w+\b")
"""Words have two letters or more."""

SECONDS_PER_ITEM = 1e-3
"""What comparing one item with the others takes, generously."""


class TextKNN(ItemKNN):
    """Score an item by the similarity of its text to the texts of the history's items.

    Similarity is the cosine of TF-IDF vectors of words (sublinear counts); each item keeps its ``neighbours`` largest.

    Args:
        texts: one per catalog row, such as title and attributes; () for a model to be restored.
        neighbours: kept per item, >= 1.
        recency: how fast the weight of a history's items falls with their age, >= 0.
    """

    name: ClassVar[str] = "text_knn"
    hyperparameters = ("neighbours", "recency")
    content_based = True
    reads_interactions = False
    relations = ()
    grid = ({"recency": RECENCY},)

    def __init__(self, texts: Sequence[str] = (), neighbours: int = 200, recency: float = 1.0) -> None:
        """Set texts and hyper-parameters; raises ConfigError if one is out of range."""
        super().__init__(neighbours, 0.0, recency)
        self.texts = texts

    @classmethod
    def for_data(cls, context: ModelContext, **options: Any) -> Self:
        """Return an untrained model of the catalog's texts; ``options`` are hyper-parameters."""
        return cls([item.describe() for item in context.catalog], **options)

    def fit_seconds(self, interactions: Interactions) -> float:
        """Return about how many seconds ``fit`` takes: it compares items, whatever the users did."""
        return 2.0 + SECONDS_PER_ITEM * interactions.n_items

    def fit(self, interactions: Interactions) -> Self:
        """Compare the texts; the interactions are not read.

        Raises:
            UsageError: the number of texts is not the number of items.
        """
        if len(self.texts) != interactions.n_items:
            raise UsageError(f"text_knn: {len(self.texts)} texts for {interactions.n_items} items; give one for each")
        rows = np.arange(len(self.texts))
        self.similar = similar_texts(self.texts, self.neighbours, rows, rows)
        return self


class TextVectors:
    """The texts of a catalog as TF-IDF vectors of words, and how similar other texts are to them.

    The words and how rare they are stay those of the catalog's texts, so that a text's vector depends on no other text
    that comes later.

    Attributes:
        vectors: float32 ``[n_items, n_words]``, sparse, of length 1.

    Example:
        >>> texts = TextVectors(["red car", "red boat"])
        >>> [part.toarray().round(2).tolist() for part in texts.similar(texts.of(["a boat"]))]
        [[[0.0, 0.81]]]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Count the words of the texts."""
        self._terms = TfIdf(WORD.findall(text.lower()) for text in texts)
        self.vectors = self._terms.vectors.astype(np.float32)

    @cached_property
    def _by_word(self) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.vectors.T)

    def of(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return the vectors of other texts: float32 ``[len(texts), n_words]``, sparse."""
        return self._terms.vectors_of(WORD.findall(text.lower()) for text in texts).astype(np.float32)

    def similar(self, vectors: sparse.csr_matrix) -> Iterator[sparse.csr_matrix]:
        """Yield the cosines of vectors, some after others, with all texts: float32 ``[some, n_items]``, sparse."""
        for part in parts(vectors, self._by_word):
            yield sparse.csr_matrix(vectors[part] @ self._by_word)


def similar_texts(texts: Sequence[str], n: int, rows: NDArray[np.int64], among: NDArray[np.int64]) -> sparse.csr_matrix:
    """Return the most similar texts of some texts: cosines, sparse ``[len(rows), len(texts)]``.

    Args:
        texts: all texts; the rarity of a word is counted over all of them.
        n: number of texts kept for each of ``rows``.
        rows: the texts whose neighbours are returned.
        among: the texts that they are compared with, ascending; a text is not compared with itself. Of more than
            ALL_UP_TO texts, a word leads to a random sample of POSTINGS of those that have it, the same ones for words
            that occur together, so that the work is linear in the number of texts.
    """
    vectors = tf_idf(WORD.findall(text.lower()) for text in texts)[1].astype(np.float32)
    wanted, others = vectors[rows], _shortened(sparse.csr_matrix(vectors[among].T))
    blocks = [sparse.csr_matrix((0, len(among)), dtype=np.float32)]
    for part in parts(wanted, others):
        block = sparse.csr_matrix(wanted[part] @ others)
        block.data[np.repeat(rows[part], np.diff(block.indptr)) == among[block.indices]] = 0.0
        blocks.append(strongest(block, n))
    nearest = sparse.csr_matrix(sparse.vstack(blocks))
    cells = (nearest.data, among[nearest.indices], nearest.indptr)
    return sparse.csr_matrix(cells, (len(rows), len(texts)), dtype=np.float32)


def _shortened(words: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ``words [n_words, n_texts]`` with at most POSTINGS texts of each word, if there are many texts."""
    frequencies = np.diff(words.indptr)
    if words.shape[1] <= ALL_UP_TO or frequencies.max(initial=0) <= POSTINGS:
        return words
    # Each word keeps the texts that come first in one random order, so the same texts are left of common words.
    place = np.random.default_rng(0).permutation(words.shape[1])[words.indices]
    word = np.repeat(np.arange(len(frequencies)), frequencies)
    order = np.lexsort((place, word))
    kept = np.sort(order[np.arange(len(order)) - words.indptr[word] < POSTINGS])
    indptr = np.concatenate([[0], np.cumsum(np.minimum(frequencies, POSTINGS))])
    return sparse.csr_matrix((words.data[kept], words.indices[kept], indptr), words.shape)
