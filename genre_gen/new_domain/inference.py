"""Infer a domain and its data from two unknown tables, without writing files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genre_gen.data.arguments import check_keys
from genre_gen.data.readers import READERS, Data, build_data
from genre_gen.data.readers.encodings import AUTO
from genre_gen.data.readers.files import on_disk
from genre_gen.data.readers.to_interactions import UNKNOWN_ITEM
from genre_gen.domain import Domain
from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import ConfigError, DataError, UsageError, quoted
from genre_gen.new_domain.decisions import role_key
from genre_gen.new_domain.domain_toml import described_settings, sized_settings
from genre_gen.new_domain.schema_inference import Proposal, propose
from genre_gen.new_domain.tables import Tables, read_tables
from genre_gen.prompting.nouns import DEFAULT, PATTERN, plural
from genre_gen.prompting.templates import GENERIC

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VAGUE = ("items", "data", "catalog", "table", "tables", "meta", "objects", "lists")  # names without information


@dataclass(frozen=True)
class InferredDomain:
    """The domain that was inferred from two tables."""

    domain: Domain  # settings that fit the tables; its prompts are the generic ones
    data: Data  # catalog and interactions, and the problems of the tables
    proposal: Proposal  # the role of each column, with the reason
    toml: str  # the settings as a commented ``domain.toml``


def infer_domain(
    interactions: Any,
    items: Any = None,
    *,
    name: str | None = None,
    noun: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    encoding: str = AUTO,
    items_encoding: str | None = None,
) -> InferredDomain:
    """Infer a domain from two tables, in files or in memory, without writing files.

    Args:
        interactions: one interaction a row, with a user, an item and optionally a rating and a time: the path of a
            file with a header (delimited text, JSON or Parquet), or a data frame of polars or pandas (an index of ids
            is a column).
        items: one item a row, also a path or a data frame. Without them, titles and attributes are those in the
            lines of the interactions, if any.
        name: name of the domain; by default that of the item file, or ``dataset`` for data frames.
        noun: word for an item in prompts, such as ``book``; by default derived from the name of the file or domain.
        columns: role (``user``, ``item``, ``rating``, ``time``, ``event``, ``item_id``, ``title``, ``text``) -> column,
            for roles that would be inferred wrongly; None for "there is no such column".
        encoding: the encoding of text files, by default found out for each file.
        items_encoding: that of the items, if it is another.

    Raises:
        DataError: a table cannot be read, or a column cannot be inferred.
        UsageError: an invalid name or noun, or a role or column that does not exist.
        ConfigError: the name is that of a shipped domain.
    """
    tables = read_tables(interactions, None if items is interactions else items, encoding, items_encoding)
    home = None if tables.paths[0] is None else on_disk(tables.paths[0].resolve())[0].as_posix()
    name = _usual_name(tables) if name is None else check_name(name)
    return infer_from(tables, name, noun, columns, home)


def infer_from(
    tables: Tables, name: str, noun: str | None, columns: Mapping[str, str | None] | None, home: str | None
) -> InferredDomain:
    """Infer a domain from tables in memory; see ``infer_domain``. ``home`` is the value of ``data.path``."""
    if columns is not None:
        check_keys(columns, "columns", 'columns by their roles, such as {"user": "reader"}')
    if noun is not None and not re.fullmatch(PATTERN, str(noun)):
        raise UsageError(f"noun {quoted(noun)}: give one or two words of letters, such as book")
    tables, items = _one_of_two(tables), tables.paths[1]
    proposal = propose(tables.interactions, tables.items, columns)
    noun = noun or (None if items is None else _noun_of(items.name.partition(".")[0])) or _noun_of(name) or DEFAULT
    described = described_settings(name, noun, tables, proposal, home)
    source = tables.interactions if proposal.items_in_log else tables.items
    separator = READERS[tables.reader].separator
    data = build_data(_dropping(_domain(name, described)), tables.interactions, source, separator)
    _check_loaded(tables, proposal, data)
    toml = f"{described}\n{sized_settings(len(data.catalog), len(data.interactions), proposal)}"
    return InferredDomain(_domain(name, toml), data, proposal, toml)


def _one_of_two(tables: Tables) -> Tables:
    """Return one table instead of two, if both are the same file."""
    log, items = tables.paths
    same = log is not None and items is not None and log.resolve() == items.resolve()
    return replace(tables, items=None, paths=(log, None)) if same else tables


def _dropping(domain: Domain) -> Domain:
    """Return the domain with dropped interactions with unknown items, whose number is then compared."""
    policies = domain.data.policies.model_copy(update={"unknown_items": "drop"})
    return domain.model_copy(update={"data": domain.data.model_copy(update={"policies": policies})})


def _check_loaded(tables: Tables, proposal: Proposal, data: Data) -> None:
    """Raise DataError if loading finds fewer of the items that the interactions name than the proposal counted."""
    lost = sum(problem.count for problem in data.report if problem.kind == UNKNOWN_ITEM)
    if lost > proposal.unknown_items:
        raise DataError(
            f"{tables.interactions.file}: loading finds no item for {lost:,} lines, but the columns were chosen as if "
            f"only {proposal.unknown_items:,} lacked one; name them as {role_key('item')} and {role_key('item_id')}"
        )


def check_name(name: str) -> str:
    """Return the name of a new domain; raises UsageError for invalid characters, ConfigError for a shipped name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{quoted(name)} cannot name a domain; use letters, digits, - and _")
    if _is_shipped(name):
        raise ConfigError(f"{name!r} is the name of a shipped domain; give another, such as my-{name}")
    return name


def _is_shipped(name: str) -> bool:
    """Tell whether a name is taken; in a clone, domains of the user lie next to the shipped ones, without an origin."""
    assets = assets_folder()
    own = Path.cwd().resolve() == assets.resolve() and not (assets / "catalogs" / name / "SOURCE.md").is_file()
    return any((assets / kind / name).is_dir() for kind in ("catalogs", "prompts")) and not (own and name != GENERIC)


def _domain(name: str, toml: str) -> Domain:
    domain = Domain.from_settings(tomllib.loads(toml), where=f"the proposal for {name}")
    return domain.model_copy(update={"prompts_folder": assets_folder() / "prompts" / GENERIC})


def _usual_name(tables: Tables) -> str:
    """Return a default name for a domain: that of the item file, else of the other file."""
    path = next((path for path in reversed(tables.paths) if path is not None), Path("dataset"))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.partition(".")[0]).strip("-_") or "dataset"
    return f"my-{name}" if _is_shipped(name) else name


def _noun_of(name: str) -> str | None:
    """Return the word for an item that a name implies, such as book for ``books``, or None."""
    if not re.fullmatch(r"[A-Za-z]{3,}s", name) or name.lower() in _VAGUE or name.lower().endswith(("ss", "us")):
        return None
    word = name.lower()
    return next((noun for noun in (word[:-1], word[:-2], word[:-3] + "y") if plural(noun) == word), None)
