"""Knowledge: triples about items, such as who directed a film, that explanations may cite.

Triples (head, relation, tail) come from any table with three such columns: RecBole's ``.kg``, CSV, TSV or Parquet.
Their heads are items by id or title, or entities of a graph that another table, RecBole's ``.link``, ties to items.
What is kept are the relations that ``[knowledge]`` of ``domain.toml`` names. The entities' own names need not be known,
so two items are only said to *share* one.

A graph that is tied to the wrong items makes every sentence about it false, and no check against the graph can notice.
So the links are tried against what the catalog itself says, see :meth:`Knowledge.agrees`.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.catalog import Catalog
from genre_gen.domain import Domain, KnowledgeSettings

log = logging.getLogger(__name__)

SHUFFLES = 99  # ways to deal the links at random that the true one must beat
ENOUGH = 100  # pairs of items that share an entity, fewer cannot tell whether links are right


@dataclass(frozen=True)
class Knowledge:
    """What a graph says of the items of a catalog.

    Attributes:
        n_items: of the catalog.
        relations: names, as ``[knowledge.relations]`` has them.
        to_items: of each relation, whether its tails are items.
        entities: ids of the other tails.
        triples: int64 ``[n, 3]``, each once: catalog row, place of the relation, and place of the entity or row of the
            other item.
    """

    n_items: int
    relations: tuple[str, ...]
    to_items: tuple[bool, ...]
    entities: tuple[str, ...]
    triples: NDArray[np.int64]

    @classmethod
    def of_domain(cls, domain: Domain, catalog: Catalog) -> Knowledge | None:
        """Read what ``[knowledge]`` names; None where it names nothing, or where that does not fit the catalog.

        Files are looked for beside ``domain.toml`` and then among the data. What is not used is logged as a warning.

        Raises:
            DataError: a file that cannot be read, or that lacks a column.
        """
        from genre_gen.data.readers import find_beside, load_catalog

        settings = domain.knowledge
        if settings.triples is None:
            return None
        files = {name: find_beside(domain, name) for name in (settings.triples, settings.links, settings.items) if name}
        if missing := [name for name, file in files.items() if file is None]:
            log.warning("knowledge is left out: there is no %s beside the domain or its data", ", ".join(missing))
            return None
        known = {name: file for name, file in files.items() if file is not None}
        others = None if settings.items is None else load_catalog(domain, known[settings.items])[0]
        found = cls.read(settings, catalog, known, others)
        if not len(found.triples):
            log.warning("knowledge is left out: %s says nothing about items of this catalog", settings.triples)
            return None
        if not found.agrees(catalog):
            log.warning(
                "knowledge is left out: tied to the items at random, %s would agree as well with what the catalog says "
                "of them, so knowledge.links (%s) ties it to the wrong ones",
                settings.triples,
                settings.links or "the ids of its heads",
            )
            return None
        return found

    @classmethod
    def read(
        cls, settings: KnowledgeSettings, catalog: Catalog, files: Mapping[str, Path], others: Catalog | None = None
    ) -> Knowledge:
        """Read triples and links.

        Args:
            settings: which files, columns and relations.
            catalog: the items.
            files: of each name that the settings have, where it lies.
            others: items under the ids that the links have, where those are not the catalog's; titles tell which is
                which.

        Raises:
            DataError: a file that cannot be read, or that lacks a column.
        """
        from genre_gen.data.readers import read_triples

        rows = _Rows(settings, catalog, files, others)
        meant = {name: key for key, one in settings.relations.items() for name in one.relation}
        places = {key: place for place, key in enumerate(settings.relations)}
        entities: dict[str, int] = {}
        kept = set()
        for head, name, tail in read_triples(files[settings.triples or ""], settings):
            key, row = meant.get(name), rows(head)
            if key is None or row is None:
                continue
            if not settings.relations[key].items:
                kept.add((row, places[key], entities.setdefault(tail, len(entities))))
            elif (other := rows(tail)) is not None and other != row:
                kept.add((row, places[key], other))
        triples = np.array(sorted(kept), np.int64).reshape(-1, 3)
        to_items = tuple(one.items for one in settings.relations.values())
        return cls(len(catalog), tuple(settings.relations), to_items, tuple(entities), triples)

    def agrees(self, catalog: Catalog) -> bool:
        """Tell whether items that share entities are more alike by the catalog's labels than under shuffled links.

        Dealing the graph's items anew ``SHUFFLES`` times must never make them as alike as they are. Where too few share
        anything, or the catalog has no labels, nothing can be told and the links are believed.
        """
        pairs, given, dealt = self.likeness(catalog)
        return pairs < ENOUGH or not given or max(dealt) < given

    def likeness(self, catalog: Catalog) -> tuple[int, float, list[float]]:
        """Return what :meth:`agrees` goes by.

        Returns:
            How many pairs of items share an entity; the mean cosine of their labels, an entity counting by its items
            and not by its pairs, which are mostly those of the commonest; and the same under each shuffle.
        """
        labels = _label_matrix(catalog)
        rows, incidence = self._incidence
        sizes = np.asarray(incidence.sum(axis=1)).ravel()
        pairs = int((sizes * (sizes - 1)).sum()) // 2
        if labels is None or not pairs:
            return pairs, 0.0, [0.0]
        rng, own = np.random.default_rng(0), labels[rows]

        def alike(order: NDArray[np.int64]) -> float:
            there = own[order]
            summed, alone = incidence @ there, incidence @ there.multiply(there)  # a sum's square, less each one's own
            cosines = np.asarray(summed.multiply(summed).sum(axis=1) - alone.sum(axis=1)).ravel() / (sizes - 1)
            return float(cosines.sum() / sizes.sum())

        return pairs, alike(np.arange(len(rows))), [alike(rng.permutation(len(rows))) for _ in range(SHUFFLES)]

    def tails(self, row: int, relation: int) -> NDArray[np.int64]:
        """Return an item's entities, or the items it leads to, in a relation."""
        return self._by_row.get((row, relation), np.zeros(0, np.int64))

    def shared(self, row: int, relation: int) -> NDArray[np.int64]:
        """Return how many entities of a relation each item shares with the one in ``row``: int64 ``[n_items]``."""
        having = [self._by_entity[relation, entity] for entity in self.tails(row, relation).tolist()]
        return (
            np.bincount(np.concatenate(having), minlength=self.n_items) if having else np.zeros(self.n_items, np.int64)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, ready for safetensors; ``from_arrays`` restores it."""
        names = {"relations": self.relations, "to_items": self.to_items, "entities": self.entities}
        text = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
        return {"names": text, "triples": self.triples, "n_items": np.array([self.n_items])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Knowledge:
        """Restore what ``arrays`` returned."""
        names = json.loads(np.asarray(arrays["names"]).tobytes())
        relations, to_items, entities = (tuple(names[key]) for key in ("relations", "to_items", "entities"))
        triples = np.asarray(arrays["triples"], np.int64)
        return cls(int(arrays["n_items"][0]), relations, to_items, entities, triples)

    @cached_property
    def _by_row(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        found = defaultdict(list)
        for row, relation, tail in self.triples.tolist():
            found[row, relation].append(tail)
        return {key: np.array(tails, np.int64) for key, tails in found.items()}

    @cached_property
    def _by_entity(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        found = defaultdict(list)
        for row, relation, tail in self.triples.tolist():
            found[relation, tail].append(row)
        return {key: np.array(rows, np.int64) for key, rows in found.items()}

    @property
    def _incidence(self) -> tuple[NDArray[np.int64], Any]:
        """Return the rows that share anything, and which entity has which of them: ``[entities, these rows]``."""
        groups = [
            [tail, *np.atleast_1d(rows)] if self.to_items[relation] else [*rows]
            for (relation, tail), rows in self._by_entity.items()
        ]
        groups = [sorted(set(group)) for group in groups if len(set(group)) > 1]
        places = np.array([row for group in groups for row in group], np.int64)
        rows, columns = np.unique(places, return_inverse=True)
        numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        shape = (len(groups), len(rows))
        return rows, sparse.csr_matrix((np.ones(len(places)), (numbers, columns.ravel())), shape=shape)


class _Rows:
    """Finds the catalog row that a name in the triples stands for; None where it stands for none."""

    def __init__(
        self, settings: KnowledgeSettings, catalog: Catalog, files: Mapping[str, Path], others: Catalog | None
    ) -> None:
        """Read the links, where there are any; see :meth:`Knowledge.read`."""
        from genre_gen.data.readers import read_links

        self._catalog, self._others = catalog, others
        self._known: dict[str, int | None] = {}
        self._linked = settings.links is not None
        for item, entity in read_links(files[settings.links], settings) if settings.links else ():
            self._known[entity] = self._row(item)

    def __call__(self, name: str) -> int | None:
        """Return the row."""
        if name not in self._known and not self._linked:
            self._known[name] = self._row(name)
        return self._known.get(name)

    def _row(self, name: str) -> int | None:
        """Return the row of an id or title; of an id of the other items, that of the title which it has there."""
        if self._others is not None:
            if name not in self._others:
                return None
            name = self._others[self._others.row(name)].title
        elif name in self._catalog:
            return self._catalog.row(name)
        found = self._catalog.named(name)
        return found[0] if len(found) == 1 else None


def _label_matrix(catalog: Catalog) -> Any:
    """Return what words items are labelled with, each item's of length 1; None where there are none.

    Rare labels say more: each is divided by the root of how many items have it.
    """
    names: dict[tuple[str, str], int] = {}
    rows, columns = [], []
    for row, (field, value) in _labels(catalog):
        rows.append(row)
        columns.append(names.setdefault((field, value), len(names)))
    if not names:
        return None
    counts = np.bincount(columns)
    values = 1 / np.sqrt(counts[columns])
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(len(catalog), len(names)))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.diags(1 / np.where(length > 0, length, 1)) @ matrix


def _labels(catalog: Catalog) -> Iterator[tuple[int, tuple[str, str]]]:
    for row, item in enumerate(catalog):
        for field, value in item.attributes.items():
            for label in {value} if isinstance(value, str) else set(value) if isinstance(value, tuple) else ():
                yield row, (field, label)
