"""A served sample for the tests of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Site, serve

from genre_gen import Recommender


@pytest.fixture(scope="module")
def site(tiny_recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a served sample that the tests of a file share."""
    with serve(tiny_recommender, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def fresh(tiny_recommender: Recommender, tmp_path: Path) -> Iterator[Site]:
    """Return a served sample of one test's own."""
    with serve(tiny_recommender, tmp_path) as site:
        yield site
