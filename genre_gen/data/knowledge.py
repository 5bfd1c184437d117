"""Knowledge: triples about items (such as a film's director) that explanations may cite.

Triples (head, relation, tail) come from any table with three such columns: RecBole's ``.kg``, CSV, TSV or Parquet.
A head is an item's id or title, or an entity that a second table, RecBole's ``.link``, links to an item.
Only the relations that ``[knowledge]`` of ``domain.toml`` names are kept. Links to the wrong items would make every
explanation false, so they are tested against the catalog's own labels, see :meth:`Knowledge.agrees`.
"""

from __future__ import annotations

import copy
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.tf_idf import counted, unit_rows
from genre_gen.domain import Domain, KnowledgeSettings
from genre_gen.folders.arrays import count_in, expect, json_in, texts

log = logging.getLogger(__name__)

SHUFFLES = 99  # random permutations of the links, which the given links must beat
MIN_PAIRS = 100  # pairs of items that share an entity; with fewer, the test has too little power


@dataclass(frozen=True)
class Knowledge:
    """The triples of a knowledge graph about the items of a catalog."""

    n_items: int  # of the catalog
    relations: tuple[str, ...]  # names, as ``[knowledge.relations]`` has them
    to_items: tuple[bool, ...]  # for each relation, whether its tails are items
    entities: tuple[str, ...]  # ids of the other tails
    # int64 ``[n, 3]``, each once: catalog row, index of the relation, and index of the entity or row of the
    # other item
    triples: NDArray[np.int64]

    @classmethod
    def of_domain(cls, domain: Domain, catalog: Catalog) -> Knowledge | None:
        """Read the files that ``[knowledge]`` names; None if it names none, or if they do not fit the catalog.

        Files are looked up next to ``domain.toml``, then among the data. A warning says why a graph is not used.

        Raises:
            DataError: a file cannot be read, or lacks a column.
        """
        settings = domain.knowledge
        if settings.triples is None:
            return None
        from genre_gen.data.readers import find_near, load_catalog

        names = [name for name in (settings.triples, settings.links, settings.items) if name]
        files = {name: file for name in names if (file := find_near(domain, name)) is not None}
        if missing := ", ".join(name for name in names if name not in files):
            log.warning("knowledge is not used: %s was found neither next to domain.toml nor among the data", missing)
            return None
        others = None if settings.items is None else load_catalog(domain, files[settings.items])[0]
        knowledge = cls.read(settings, catalog, files, others)
        if not len(knowledge.triples):
            problem = f"no triple of {settings.triples} is about an item of this catalog"
        elif not knowledge.agrees(catalog):
            problem = (
                "random links agree with the catalog's labels as well as the given ones, so knowledge.links "
                f"({settings.links or 'the ids of its heads'}) links {settings.triples} to the wrong items"
            )
        else:
            return knowledge
        log.warning("knowledge is not used: %s", problem)
        return None

    @classmethod
    def read(
        cls, settings: KnowledgeSettings, catalog: Catalog, files: Mapping[str, Path], others: Catalog | None = None
    ) -> Knowledge:
        """Read triples and links from ``files`` (name in the settings -> file); raises DataError.

        ``others`` are the items whose ids the links use, if those are not the catalog's ids; they are matched by title.
        """
        row_of = _row_finder(settings, catalog, files, others)
        key_of = {name: key for key, relation in settings.relations.items() for name in relation.relation}
        index_of = {key: index for index, key in enumerate(settings.relations)}
        entities: dict[str, int] = {}
        kept = set()
        for head, name, tail in _records(files[settings.triples or ""], settings, "head", "relation", "tail"):
            key, row = key_of.get(name), row_of(head)
            if key is None or row is None:
                continue
            if not settings.relations[key].items:
                kept.add((row, index_of[key], entities.setdefault(tail, len(entities))))
            elif (other := row_of(tail)) is not None and other != row:
                kept.add((row, index_of[key], other))
        triples = np.array(sorted(kept), np.int64).reshape(-1, 3)
        to_items = tuple(relation.items for relation in settings.relations.values())
        return cls(len(catalog), tuple(settings.relations), to_items, tuple(entities), triples)

    def with_items(self, n_items: int) -> Knowledge:
        """Return the same graph for a catalog of ``n_items``; it has no triples about the further ones."""
        other = copy.copy(self)  # with what it has grouped already
        object.__setattr__(other, "n_items", n_items)
        return other

    def agrees(self, catalog: Catalog) -> bool:
        """Tell whether items that share entities have more similar labels than under shuffled links.

        This is a permutation test. The links pass if their similarity is higher than under each of ``SHUFFLES``
        permutations of the graph's items, and also if there are no labels or fewer than ``MIN_PAIRS`` pairs to test.
        """
        pairs, given, shuffled = self.likeness(catalog)
        return pairs < MIN_PAIRS or not given or max(shuffled) < given

    def likeness(self, catalog: Catalog) -> tuple[int, float, list[float]]:
        """Return the statistics of :meth:`agrees`.

        Returns:
            The number of pairs of items that share an entity; the mean cosine similarity of their labels, with entities
            weighted by number of items (by pairs, the commonest entity would decide); the same under each shuffle.
        """
        labels = _label_matrix(catalog)
        rows, incidence = self._incidence
        sizes = np.asarray(incidence.sum(axis=1)).ravel()
        pairs = int((sizes * (sizes - 1)).sum()) // 2
        if labels is None or not pairs:
            return pairs, 0.0, [0.0]
        rng, vectors = np.random.default_rng(0), labels[rows]

        def likeness(order: NDArray[np.int64]) -> float:
            dealt = vectors[order]
            # The square of a sum contains each pair's product twice and each vector's own square, which is subtracted.
            summed, squares = incidence @ dealt, incidence @ dealt.multiply(dealt)
            cosines = np.asarray(summed.multiply(summed).sum(axis=1) - squares.sum(axis=1)).ravel() / (sizes - 1)
            return float(cosines.sum() / sizes.sum())

        shuffled = [likeness(rng.permutation(len(rows))) for _ in range(SHUFFLES)]
        return pairs, likeness(np.arange(len(rows))), shuffled

    def tails(self, row: int, relation: int) -> NDArray[np.int64]:
        """Return the tails of an item in a relation: indices of entities, or rows of items."""
        return self._by_row.get((row, relation), np.zeros(0, np.int64))

    def shared(self, row: int, relation: int) -> NDArray[np.int64]:
        """Return how many entities of a relation each item shares with the item in ``row``: int64 ``[n_items]``."""
        rows = [self._by_entity[relation, entity] for entity in self.tails(row, relation).tolist()]
        return np.bincount(np.concatenate(rows or [np.zeros(0, np.int64)]), minlength=self.n_items)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, ready for safetensors; ``from_arrays`` restores it."""
        names = {"relations": self.relations, "to_items": self.to_items, "entities": self.entities}
        text = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
        return {"names": text, "triples": self.triples, "n_items": np.array([self.n_items])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Knowledge:
        """Build knowledge from the output of ``arrays``; raises ValueError where it cannot be that."""
        names, n_items = json_in(arrays, "names"), count_in(arrays, "n_items")
        relations, entities = (texts(names[key], key) for key in ("relations", "entities"))
        to_items = tuple(names["to_items"])
        if len(to_items) != len(relations) or not all(isinstance(flag, bool) for flag in to_items):
            raise ValueError("to_items does not say of each relation whether it leads to items")
        triples = expect(arrays, "triples", "i", (None, 3), (0, 2**31)).astype(np.int64)
        heads, kinds, tails = triples.T
        if len(triples) and (heads.max() >= n_items or kinds.max() >= len(relations)):
            raise ValueError("triples name items or relations that are not there")
        if (tails >= np.where(np.array([*to_items, False])[kinds], n_items, len(entities))).any():
            raise ValueError("triples name entities that are not there")
        return cls(n_items, relations, to_items, entities, triples)

    @cached_property
    def _by_row(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        return _grouped((row, relation, tail) for row, relation, tail in self.triples.tolist())

    @cached_property
    def _by_entity(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        return _grouped((relation, tail, row) for row, relation, tail in self.triples.tolist())

    @property
    def _incidence(self) -> tuple[NDArray[np.int64], Any]:
        """Return the rows that share an entity, and the incidence matrix: float64 ``[entities, rows]``."""
        groups = [
            [tail, *np.atleast_1d(rows)] if self.to_items[relation] else [*rows]
            for (relation, tail), rows in self._by_entity.items()
        ]
        groups = [sorted(set(group)) for group in groups if len(set(group)) > 1]
        members = np.array([row for group in groups for row in group], np.int64)
        rows, columns = np.unique(members, return_inverse=True)
        owners = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        shape = (len(groups), len(rows))
        return rows, sparse.csr_matrix((np.ones(len(members)), (owners, columns.ravel())), shape=shape)


def _grouped(triples: Iterable[tuple[int, int, int]]) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Return the third values by the pair of the first two."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for first, second, third in triples:
        groups[first, second].append(third)
    return {key: np.array(values, np.int64) for key, values in groups.items()}


def _row_finder(
    settings: KnowledgeSettings, catalog: Catalog, files: Mapping[str, Path], others: Catalog | None
) -> Callable[[str], int | None]:
    """Return a function from a name in the triples to its catalog row, or to None."""

    @cache
    def row_of(name: str) -> int | None:
        """Return the row of an id or title; an id of the other items is translated to its title first."""
        if others is not None:
            if name not in others:
                return None
            name = others[others.row(name)].title
        elif name in catalog:
            return catalog.row(name)
        rows = catalog.named(name)
        return rows[0] if len(rows) == 1 else None

    if settings.links is None:
        return row_of
    return {entity: row_of(item) for item, entity in _records(files[settings.links], settings, "item", "entity")}.get


def _records(file: Path, settings: KnowledgeSettings, *roles: str) -> Iterator[tuple[str, ...]]:
    """Yield each record's values in the columns of some roles, as the settings name them; raises DataError."""
    from genre_gen.data.readers.recbole import read_atomic
    from genre_gen.data.readers.table import read_table

    table = read_atomic(file) if file.name.endswith((".kg", ".link")) else read_table(file)
    names = [table.column(getattr(settings, role), role, f"knowledge.{role}") for role in roles]
    return iter(zip(*(table.frame[name].cast(str).to_list() for name in names), strict=True))


def _label_matrix(catalog: Catalog) -> Any:
    """Return the items' labels as unit vectors; None if no item has any.

    A label is divided by the square root of its number of items, since rare labels are more informative.
    """
    columns, matrix = counted({*_labels(item)} for item in catalog)
    if not columns:
        return None
    return unit_rows(matrix @ sparse.diags(1 / np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())))


def _labels(item: Item) -> Iterator[tuple[str, str]]:
    for field, value in item.attributes.items():
        for label in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
            yield field, label
