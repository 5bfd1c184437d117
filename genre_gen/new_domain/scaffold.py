"""Scaffold of a new domain: ``catalogs/<name>/domain.toml`` and ``prompts/<name>/``, ready to train."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genre_gen.data.printable import printable
from genre_gen.data.readers import Data
from genre_gen.domain import FILE, FieldSettings
from genre_gen.errors import ConfigError
from genre_gen.new_domain.domain_toml import relative
from genre_gen.new_domain.inference import check_name, infer_from
from genre_gen.new_domain.schema_inference import Proposal
from genre_gen.new_domain.tables import read_tables

FACTS = "facts.jinja"


@dataclass(frozen=True)
class Started:
    """A new domain.

    Attributes:
        name: of the domain.
        catalog_folder: holds its ``domain.toml``.
        prompts_folder: holds those of its templates that are not generic.
        proposal: what the columns were taken for.
        data: what was loaded by it.
    """

    name: str
    catalog_folder: Path
    prompts_folder: Path
    proposal: Proposal
    data: Data

    @property
    def called(self) -> str:
        """Return what commands call it from here: its name, or its folder where that lies elsewhere."""
        here = self.catalog_folder.resolve() == (Path.cwd() / "catalogs" / self.name).resolve()
        return self.name if here else shlex.quote(str(self.catalog_folder))

    def text(self) -> str:
        """Return what was decided and why, what was written, and what comes next."""
        width = max(len(choice.role) for choice in self.proposal.choices)
        columns = max(len(choice.column) for choice in self.proposal.choices)
        data = self.data
        lines = [f"{choice.role:{width}}  {choice.column:{columns}}  {choice.why}" for choice in self.proposal.choices]
        lines += [
            f"{'-':{width}}  {choice.column:{columns}}  not used: {choice.why}" for choice in self.proposal.left_out
        ]
        if "time" not in self.proposal.columns:
            lines += ["note: no column of times, so the file's order counts as the order in time"]
        lines += [f"note: {problem}" for problem in data.report]
        users = len(data.interactions.users)
        lines += [
            f"{len(data.catalog):,} items, {len(data.interactions):,} interactions of {users:,} users",
            f"wrote {self.catalog_folder / FILE} and {self.prompts_folder / FACTS}",
            f"next: genre-gen domains check {self.called} && genre-gen train {self.called}",
        ]
        return "\n".join(map(printable, lines))

    def to_json(self) -> str:
        """Return the same as JSON."""
        choices = [
            {"role": choice.role, "column": choice.column, "why": choice.why}
            for choice in (*self.proposal.choices, *self.proposal.left_out)
        ]
        counts = {
            "items": len(self.data.catalog),
            "interactions": len(self.data.interactions),
            "users": len(self.data.interactions.users),
        }
        written = {"catalog": str(self.catalog_folder), "prompts": str(self.prompts_folder)}
        return json.dumps({"name": self.name, "choices": choices, **counts, **written}, ensure_ascii=False, indent=2)


def start_domain(
    name: str,
    interactions: Path,
    items: Path | None,
    folder: Path,
    columns: Mapping[str, str | None] | None = None,
    noun: str | None = None,
) -> Started:
    """Write a new domain for two tables; the tables stay where they are.

    Args:
        name: of the domain.
        interactions: see :func:`genre_gen.new_domain.inference.infer_domain`.
        items: the same.
        folder: gets ``catalogs/<name>`` and ``prompts/<name>``.
        columns: role -> column, where a guess would be wrong.
        noun: what an item is called, such as ``book``; by default told from the item file's name, else "item".

    Raises:
        ConfigError: a name that is taken.
        UsageError: a name that cannot be used, a noun that is no word, or a column that does not exist.
        DataError: what cannot be read or told. Nothing has been written then.
    """
    catalog_folder, prompts_folder = folder / "catalogs" / name, folder / "prompts" / name
    check_name(name)
    for taken in (catalog_folder, prompts_folder):
        if taken.exists():
            raise ConfigError(f"{taken} is there already; give another name, or delete it first")
    home = relative(interactions.resolve().parent, catalog_folder.resolve())
    inferred = infer_from(read_tables(interactions, items), name, noun, columns, home)
    catalog_folder.mkdir(parents=True)
    (catalog_folder / FILE).write_text(inferred.toml, encoding="utf-8")
    _write_prompts(prompts_folder, inferred.proposal.fields)
    return Started(name, catalog_folder, prompts_folder, inferred.proposal, inferred.data)


# Prompts


def _write_prompts(folder: Path, fields: Mapping[str, FieldSettings]) -> None:
    """Write what is known of an item, field by field; all other templates are the generic ones."""
    folder.mkdir(parents=True)
    (folder / FACTS).write_text(_facts(fields), encoding="utf-8")


def _facts(fields: Mapping[str, FieldSettings]) -> str:
    lines = ["{# What is known of {{ a_noun }}, field by field. #}", "{% macro facts(it) %}"]
    for name, settings in fields.items():
        known = f"it.{name} is not none" if settings.type == "number" else f"it.{name}"
        value = f"it.{name}|join(', ')" if settings.type == "list" else f"it.{name}"
        lines += [f"{{% if {known} %}}", f"{name.replace('_', ' ').strip()}: {{{{ {value} }}}}.", "{% endif %}"]
    return "\n".join([*lines, "{% endmacro %}", ""])
