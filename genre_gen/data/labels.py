"""Labels: the items' labels in one field, such as genres, as a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.catalog import Catalog
from genre_gen.domain import Domain
from genre_gen.errors import UsageError


@dataclass(frozen=True)
class Labels:
    """The items' labels in one field of lists."""

    field: str  # its name, such as ``genre``
    names: tuple[str, ...]  # the labels, sorted; a label's position is its column
    matrix: sparse.csr_array  # float64 ``[n_items, n_labels]``, 1 if the item has the label. An item may have none

    @classmethod
    def of(cls, catalog: Catalog, field: str) -> Self:
        """Read the labels of a catalog's items in a list field; raises UsageError if no item has any."""
        values = [item.attributes.get(field) for item in catalog]
        labels = [sorted(set(value)) if isinstance(value, tuple) else [] for value in values]
        names = tuple(sorted({name for each in labels for name in each}))
        if not names:
            raise UsageError(
                f"no item of {catalog.name} has labels in {field!r}; use a list field among {', '.join(catalog.fields)}"
            )
        column = {name: position for position, name in enumerate(names)}
        columns = np.array([column[name] for each in labels for name in each], np.int64)
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in labels])]).astype(np.int64)
        return cls(
            field, names, sparse.csr_array((np.ones(len(columns)), columns, offsets), shape=(len(catalog), len(names)))
        )

    @classmethod
    def of_domain(cls, catalog: Catalog, domain: Domain) -> Self | None:
        """Read the domain's first list field in which items have labels; None if there is none."""
        for name, settings in domain.fields.items():
            if settings.type == "list" and any(item.attributes.get(name) for item in catalog):
                return cls.of(catalog, name)
        return None

    @cached_property
    def shares(self) -> sparse.csr_array:
        """Return each item's label distribution, all zeros without labels: float64 ``[n_items, n_labels]``."""
        sizes = np.diff(self.matrix.indptr)
        return sparse.csr_array(
            (1.0 / np.repeat(sizes, sizes), self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape
        )

    def similarity(self, rows: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the Jaccard similarity of items' label sets: float64 ``[n, n]`` for ``n`` catalog rows.

        Two items without labels have similarity 1, so that items without a description do not count as diverse.
        """
        chosen = self.matrix[rows]
        common = (chosen @ chosen.T).toarray()
        sizes = np.diff(chosen.indptr)
        union = sizes[:, None] + sizes[None, :] - common
        return np.where(union > 0, common / np.maximum(union, 1.0), 1.0)
