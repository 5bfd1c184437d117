"""TextKNN: items described in the same words. No collaborative model, but the peer and partner that each needs.

It is the baseline that a recommender reading texts has to beat, and it ranks items that nobody has had yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from typing_extensions import Self

from genre_gen.collaborative.item_knn import BLOCK, ItemKNN, strongest
from genre_gen.errors import UsageError
from genre_gen.interactions import Interactions


class TextKNN(ItemKNN):
    """Score an item by the likeness of its text to the texts of the history's items.

    Likeness is the cosine of TF-IDF vectors of words (sublinear counts), of each item the ``neighbours`` largest.

    Args:
        texts: one per catalog row, such as title and attributes; () for a model that is going to be restored.
        neighbours: kept per item, >= 1.
        recency: how fast the weight of a history's items falls with their age, >= 0.
    """

    name: ClassVar[str] = "text_knn"
    reads: ClassVar[bool] = True

    def __init__(self, texts: Sequence[str] = (), neighbours: int = 200, recency: float = 1.0) -> None:
        """Set texts and hyper-parameters; raises ConfigError where one is out of range."""
        super().__init__(neighbours, 0.0, recency)
        self.texts = texts

    def fit(self, interactions: Interactions) -> Self:
        """Compare the texts, block by block; the interactions are not read.

        Raises:
            UsageError: not one text for each item.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        if len(self.texts) != interactions.n_items:
            raise UsageError(f"text_knn: {len(self.texts)} texts for {interactions.n_items} items; give one for each")
        try:
            vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(self.texts).astype(np.float32)
        except ValueError:  # no text has a word
            vectors = sparse.csr_matrix((len(self.texts), 1), dtype=np.float32)
        blocks = []
        for begin in range(0, len(self.texts), BLOCK):
            block = sparse.coo_matrix(vectors[begin : begin + BLOCK] @ vectors.T)
            other = begin + block.row != block.col
            cells = (block.data[other], (block.row[other], block.col[other]))
            blocks.append(strongest(sparse.csr_matrix(cells, block.shape), self.neighbours))
        self.similar = sparse.csr_matrix(sparse.vstack(blocks)).astype(np.float32)
        return self

    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters."""
        return {"neighbours": self.neighbours, "recency": self.recency}
