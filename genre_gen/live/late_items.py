"""LateItems: what is computed of the items that came after training, by parts of the training alone.

What is known of a late item depends on its own description, on the trained items, and, where codes share tokens, on the
late items before it. So items that are added one by one give the same as all of them at once.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.codes.base import Codes
from genre_gen.codes.late import LateCodes, late_codes, no_codes
from genre_gen.collaborative.item_knn import strongest
from genre_gen.collaborative.text_knn import TextKNN
from genre_gen.data.catalog import Catalog, Item
from genre_gen.decoding.base import CatalogTrie
from genre_gen.decoding.live import LiveTrie
from genre_gen.decoding.trie import Trie
from genre_gen.llm.placement import Placement
from genre_gen.recommender.state import RecommenderState
from genre_gen.tasks.base import SIMILAR_TEXTS

ROOM = 64
"""The least number of rows that a :class:`GrowingRows` makes room for."""


@dataclass(frozen=True, eq=False)
class LateItems:
    """The items behind the trained ones; one object for each state of the catalog.

    Attributes:
        trained: the recommender as it was trained.
        vectors: their texts, in the words of the trained ones: float32 ``[n_late, n_words]``, sparse.
        near: the trained items with the most similar texts, as many as ``text_knn`` keeps, float32, sparse, in the form
            ``[n_late, trained items]``.
        placed: squared similarities of those whose codes they are placed by: items with interactions.
        own: their codes, and the tokens that are new in these.
        table: the vectors of the new tokens.
        codes: the codes of all items.
        trie: of these codes.
        placement: places new tokens next to trained ones.
    """

    trained: RecommenderState
    vectors: sparse.csr_matrix
    near: sparse.csr_matrix
    placed: sparse.csr_matrix
    own: LateCodes
    table: GrowingRows
    codes: Codes
    trie: CatalogTrie
    placement: Placement

    @classmethod
    def none(cls, trained: RecommenderState) -> LateItems:
        """Return that there are none."""
        items, codes = len(trained.catalog), trained.llm.codes
        vectors = sparse.csr_matrix((0, trained.text_vectors.vectors.shape[1]), dtype=np.float32)
        nothing = sparse.csr_matrix((0, items), dtype=np.float32)
        table = GrowingRows.none(trained.llm.code_embedding.shape[1])
        own, placement = no_codes(codes), Placement(trained.llm)
        return cls(trained, vectors, nothing, nothing, own, table, codes, trained.generator.trie, placement)

    def __len__(self) -> int:
        """Return how many they are."""
        return int(self.near.shape[0])

    def extended(self, catalog: Catalog, changed: Collection[int] = ()) -> LateItems:
        """Return those of a larger catalog, whose items up to here are the same apart from those in ``changed`` rows.

        Raises:
            ConfigError: codes of a scheme that has none for further items.
        """
        begin = len(self.trained.catalog)
        items = [described(catalog, row) for row in range(begin, len(catalog))]
        fresh = sorted({*(row - begin for row in changed), *range(len(self), len(items))})
        if not fresh:
            return self
        vectors = self.trained.text_vectors.of([items[place].describe() for place in fresh])
        near, met = self._nearest(vectors)
        placed = _replaced(self.placed, met, fresh)
        before = no_codes(self.trained.llm.codes) if changed else self.own
        own = late_codes(self.trained.llm.codes, items, placed, before)
        codes = _joined(self.trained.llm.codes, own)
        table = GrowingRows.none(self.trained.llm.code_embedding.shape[1]) if changed else self.table
        return replace(
            self,
            vectors=_replaced(self.vectors, vectors, fresh),
            near=_replaced(self.near, near, fresh),
            placed=placed,
            own=own,
            table=table.pushed(self._placed(own, len(before.tokens))),
            codes=codes,
            trie=self._trie(codes, own),
        )

    def _nearest(self, vectors: sparse.csr_matrix) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Return the trained items with the most similar texts, and those with interactions, by squared similarity."""
        near, met = ([sparse.csr_matrix((0, len(self.trained.catalog)), dtype=np.float32)] for _ in range(2))
        has_users = self.trained.item_counts > 0
        for cosines in self.trained.text_vectors.similar(vectors):
            near.append(strongest(cosines, self._neighbours))
            met.append(strongest(cosines, SIMILAR_TEXTS, cosines.data * has_users[cosines.indices]))
            met[-1].data **= 2
        with_users = sparse.csr_matrix(sparse.vstack(met))
        if self.trained.domain.codes.text == 0:  # then codes have nothing of texts
            with_users = sparse.csr_matrix(with_users.shape, dtype=np.float32)
        return sparse.csr_matrix(sparse.vstack(near)), with_users

    @property
    def _neighbours(self) -> int:
        models = (model for model in self.trained.members.values() if isinstance(model, TextKNN))
        return next((model.neighbours for model in models), SIMILAR_TEXTS)

    def _placed(self, own: LateCodes, begin: int) -> NDArray[np.float32]:
        """Return the vectors of new tokens from one on, each computed for itself."""
        llm, tokens = self.trained.llm, own.tokens[begin:]
        rows = np.tile(self.placement.average, (len(tokens), 1))
        known = [place for place, token in enumerate(tokens) if len(token.like)]
        if known:
            parts = [tokens[place] for place in known]
            ends = np.cumsum([0, *(len(token.like) for token in parts)])
            like, weights = (np.concatenate(part) for part in zip(*((t.like, t.weights) for t in parts), strict=True))
            matrix = sparse.csr_matrix((weights, like, ends), (len(parts), llm.codes.vocabulary))
            rows[known] = self.placement.vectors(matrix, self.trained.domain.codes.cold_start_scale or 1.0)
        return rows

    def _trie(self, codes: Codes, own: LateCodes) -> CatalogTrie:
        if codes.codes.shape[1] == 1:
            return Trie.build(codes.codes, codes.vocabulary)
        base = self.trained.generator.trie
        assert isinstance(base, Trie)  # noqa: S101 - that of a trained recommender
        return LiveTrie.of(base).insert(own.codes, vocabulary=codes.vocabulary)


@dataclass(frozen=True, eq=False)
class GrowingRows:
    """Rows of an array that grows behind them; those that are there never change, and are not copied each time.

    Attributes:
        store: the array, and how many of its rows are used.
        count: how many rows these are.
    """

    store: _Store
    count: int

    @classmethod
    def none(cls, columns: int) -> GrowingRows:
        """Return no rows."""
        return cls(_Store(0, columns), 0)

    def pushed(self, rows: NDArray[np.float32]) -> GrowingRows:
        """Return these rows and some behind them; another continuation of the same rows is not touched."""
        store, count = self.store, self.count + len(rows)
        with store.lock:
            if store.used != self.count or count > len(store.array):
                larger = _Store(max(ROOM, 2 * count), store.array.shape[1])
                larger.array[: self.count] = store.array[: self.count]
                store = larger
            store.array[self.count : count] = rows
            store.used = count
        return GrowingRows(store, count)

    @property
    def tensor(self) -> torch.Tensor:
        """Return them as float32 ``[count, columns]``."""
        return torch.from_numpy(self.store.array[: self.count])


class _Store:
    def __init__(self, rows: int, columns: int) -> None:
        # Memory of torch begins at addresses for which its products take the same steps. Writing through numpy leaves
        # the count of changes of the tensors over earlier rows alone.
        self.array: NDArray[np.float32] = torch.zeros(rows, columns).numpy()
        self.used, self.lock = 0, threading.Lock()


def described(catalog: Catalog, row: int) -> Item:
    """Return an item with the title that it came with: it does not depend on the titles of others."""
    item = catalog.given(row)
    return item if item.title.strip() else catalog[row]


def _replaced(matrix: sparse.csr_matrix, rows: sparse.csr_matrix, places: Sequence[int]) -> sparse.csr_matrix:
    """Return a matrix with some rows in their places, of which those behind the last row are new."""
    whole = sparse.csr_matrix(sparse.vstack([matrix, rows]))
    if places[0] >= matrix.shape[0]:
        return whole
    order = np.arange(max(matrix.shape[0], places[-1] + 1))
    order[places] = matrix.shape[0] + np.arange(len(places))
    return whole[order]


def _joined(trained: Codes, own: LateCodes) -> Codes:
    names = (*trained.names, *(token.name for token in own.tokens))
    return Codes(trained.name, np.concatenate([trained.codes, own.codes]), names)
