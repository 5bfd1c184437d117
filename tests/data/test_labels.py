"""Labels: the catalog's own lists as a matrix, and how alike they make items."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.labels import Labels
from genre_gen.errors import UsageError

GENRES = [("War", "Drama"), ("Drama",), (), None, ("Comedy", "Comedy")]
CATALOG = Catalog(Item(str(i), f"film {i}", {"genre": genres, "year": 1990}) for i, genres in enumerate(GENRES))


def test_matrix_and_shares():
    labels = Labels.of(CATALOG, "genre")
    assert (labels.field, labels.names) == ("genre", ("Comedy", "Drama", "War"))
    expected = [[0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    np.testing.assert_array_equal(labels.matrix.toarray(), expected)
    sums = np.maximum(np.sum(expected, axis=1, keepdims=True), 1)
    np.testing.assert_array_equal(labels.shares.toarray(), np.array(expected) / sums)


def test_similarity_is_jaccard():
    similarity = Labels.of(CATALOG, "genre").similarity(np.array([0, 1, 2, 3, 4]))
    expected = np.eye(5)
    expected[0, 1] = expected[1, 0] = 0.5
    expected[2, 3] = expected[3, 2] = 1  # two items of which nothing is known
    np.testing.assert_array_equal(similarity, expected)
    assert Labels.of(CATALOG, "genre").similarity(np.zeros(0, np.int64)).shape == (0, 0)


@pytest.mark.parametrize("field", ["year", "mood"])
def test_a_field_without_labels_is_refused(field):
    with pytest.raises(
        UsageError, match=f"no item of catalog has labels in '{field}'; use a list field among genre, year"
    ):
        Labels.of(CATALOG, field)


def test_a_domain_names_the_field():
    def domain(**types):
        return SimpleNamespace(fields={name: SimpleNamespace(type=kind) for name, kind in types.items()})

    assert Labels.of_domain(CATALOG, domain(year="number", mood="list", genre="list")).field == "genre"
    assert Labels.of_domain(CATALOG, domain(year="number")) is None
