"""Triples: tables of (head, relation, tail), and tables that tie items to heads, for explanations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.recbole import read_atomic
from genre_gen.data.readers.table import read_table
from genre_gen.domain import DataSettings, KnowledgeSettings

ATOMIC = (".kg", ".link")
_USUAL = DataSettings(path=".")


def read_triples(file: Path, settings: KnowledgeSettings) -> Iterator[tuple[str, ...]]:
    """Return (head, relation, tail) of each record; raises DataError."""
    return _columns(file, (settings.head, "head"), (settings.relation, "relation"), (settings.tail, "tail"))


def read_links(file: Path, settings: KnowledgeSettings) -> Iterator[tuple[str, ...]]:
    """Return (item, entity) of each record; raises DataError."""
    return _columns(file, (settings.item, "item"), (settings.entity, "entity"))


def _columns(file: Path, *wanted: tuple[Iterable[str], str]) -> Iterator[tuple[str, ...]]:
    table: Table = read_atomic(file) if file.name.endswith(ATOMIC) else read_table(file, _USUAL)
    names = [table.column(names, key, f"knowledge.{key}") for names, key in wanted]
    return iter(zip(*(table.frame[name].cast(str).to_list() for name in names), strict=True))
