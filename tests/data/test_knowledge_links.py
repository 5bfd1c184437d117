"""Is a graph tied to the right items? Then items that share an entity share more labels than under wrong links."""

from dataclasses import replace

import numpy as np
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.readers import find_near, load_catalog
from genre_gen.domain import Domain
from genre_gen.errors import GenreGenError


def read(domain, catalog):
    files = {name: find_near(domain, name) for name in (domain.knowledge.triples, domain.knowledge.links) if name}
    return Knowledge.read(domain.knowledge, catalog, files)


def shifted(graph):
    """Return the graph with each link moved to the next item: every link is wrong."""
    triples = graph.triples.copy()
    triples[:, 0] = (triples[:, 0] + 1) % graph.n_items
    return replace(graph, triples=triples)


def check(graph, catalog):
    _, right, shuffled = graph.likeness(catalog)
    assert graph.agrees(catalog)
    assert right > max(shuffled)
    assert shifted(graph).likeness(catalog)[1] < right


def test_right_links_are_told_from_wrong_ones(tmp_path):
    kinds = np.random.default_rng(0).integers(3, size=40)
    items = [Item(str(n), f"Film {n}", {"genre": (("Horror", "Comedy", "Drama")[kinds[n]],)}) for n in range(40)]
    rows = [f"Film {n},directed_by,{('Poe', 'Wit', 'Sigh')[kinds[n]]} {n // 20}" for n in range(40)]
    (tmp_path / "graph.csv").write_text("\n".join(["head,relation,tail", *rows]), encoding="utf-8")
    settings = {"triples": "graph.csv", "relations": {"director": {"relation": "directed_by"}}}
    domain = Domain.load("movies").changed({"knowledge": settings})
    domain, catalog = domain.model_copy(update={"catalog_folder": tmp_path}), Catalog(items)
    graph = read(domain, catalog)
    assert graph.likeness(catalog)[1] == 1.0  # films of one director are of one genre
    check(graph, catalog)
    assert not shifted(graph).agrees(catalog)


@pytest.mark.slow
def test_the_links_of_the_films_are_right():
    domain = Domain.load("movies")
    try:
        catalog = load_catalog(domain)[0]
    except GenreGenError as problem:
        pytest.skip(str(problem))
    check(read(domain, catalog), catalog)
