"""Scaffold of a new domain: ``catalogs/<name>/domain.toml`` and ``prompts/<name>/``, ready to train."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from genre_gen.data.order import OrderShares
from genre_gen.data.printable import padded, printable, width_of
from genre_gen.data.readers import Data
from genre_gen.data.readers.encodings import AUTO
from genre_gen.data.readers.files import on_disk
from genre_gen.data.settings import FieldSettings
from genre_gen.downloads.domains import FILE
from genre_gen.errors import ConfigError
from genre_gen.folders.output import writing
from genre_gen.languages.language import Language
from genre_gen.languages.settings import ENGLISH
from genre_gen.new_domain.decisions import role_key
from genre_gen.new_domain.domain_toml import relative
from genre_gen.new_domain.inference import check_name, infer_from
from genre_gen.new_domain.schema_inference import Proposal
from genre_gen.new_domain.tables import read_tables
from genre_gen.prompting.templates import in_language

FACTS = "facts.jinja"


@dataclass(frozen=True)
class Started:
    """A new domain."""

    name: str  # of the domain
    catalog_folder: Path  # the folder of its ``domain.toml``
    prompts_folder: Path  # the folder of its templates that are not generic
    proposal: Proposal  # the roles of the columns
    data: Data  # the loaded data

    @property
    def called(self) -> str:
        """Return the argument for commands in the working directory: the domain's name, else its folder."""
        here = self.catalog_folder.resolve() == (Path.cwd() / "catalogs" / self.name).resolve()
        return self.name if here else shlex.quote(str(self.catalog_folder))

    def text(self) -> str:
        """Return the decisions with reasons, the files written, and the next commands."""
        choices, data = self.proposal.choices, self.data
        rows = [(choice.role, choice.column, choice.why) for choice in choices]
        rows += [("-", choice.column, f"not used: {choice.why}") for choice in self.proposal.left_out]
        role, name = (max(width_of(getattr(choice, part)) for choice in choices) for part in ("role", "column"))
        lines = [f"{padded(taken_for, role)}  {padded(column, name)}  {why}" for taken_for, column, why in rows]
        if "title" not in self.proposal.columns:
            lines += [f"note: no column of titles, so items are called by their ids; {role_key('title')} names one"]
        if "time" not in self.proposal.columns:
            shares = OrderShares.of(data.interactions, data.catalog).text(timed=False)
            lines += [f"note: no column of times, so the file's order is taken as the order in time: {shares}"]
        lines += [f"note: {line}" for line in data.report.lines()]
        lines += [
            "{items:,} items, {interactions:,} interactions of {users:,} users".format_map(self._counts()),
            f"wrote {self.catalog_folder / FILE} and {self.prompts_folder / FACTS}",
            f"next: genre-gen domains check {self.called} && genre-gen train {self.called}",
        ]
        return "\n".join(map(printable, lines))

    def to_json(self) -> str:
        """Return the same as JSON."""
        choices = [asdict(choice) for choice in (*self.proposal.choices, *self.proposal.left_out)]
        written = {"catalog": str(self.catalog_folder), "prompts": str(self.prompts_folder)}
        content = {"name": self.name, "choices": choices, **self._counts(), **written}
        return json.dumps(content, ensure_ascii=False, indent=2)

    def _counts(self) -> dict[str, int]:
        interactions = self.data.interactions
        return {"items": len(self.data.catalog), "interactions": len(interactions), "users": len(interactions.users)}


def start_domain(
    name: str,
    interactions: Path,
    items: Path | None,
    folder: Path,
    columns: Mapping[str, str | None] | None = None,
    noun: str | None = None,
    language: str = ENGLISH,
    encoding: str = AUTO,
    items_encoding: str | None = None,
) -> Started:
    """Write a new domain for two tables, which are not moved.

    ``folder`` gets ``catalogs/<name>`` and ``prompts/<name>``, and ``language`` is that of the prompts; see
    :func:`genre_gen.new_domain.inference.infer_domain` for the other arguments.

    Raises:
        ConfigError: the name is taken, or there is no such language.
        UsageError: an invalid name or noun, or a column that does not exist.
        DataError: a table cannot be read, or a column cannot be inferred. No files are written then.
    """
    catalog_folder, prompts_folder = folder / "catalogs" / name, folder / "prompts" / name
    check_name(name)
    tables = Language.load(language)
    if taken := [str(path) for path in (catalog_folder, prompts_folder) if path.exists()]:
        raise ConfigError(f"{' and '.join(taken)} exists already; give another name, or delete it first")
    home = relative(on_disk(interactions.resolve())[0], catalog_folder.resolve())
    inferred = infer_from(read_tables(interactions, items, encoding, items_encoding), name, noun, columns, home)
    templates, toml = in_language(prompts_folder, language), inferred.toml
    if language != ENGLISH:
        toml = toml.replace("\nnoun =", f'\nlanguage = "{language}"{" " * 10}# of the prompts\nnoun =', 1)
    for path, content in (
        (catalog_folder / FILE, toml),
        (templates / FACTS, _facts(inferred.proposal.fields, tables)),
    ):
        with writing(path):
            path.parent.mkdir(parents=True)
            path.write_text(content, encoding="utf-8")
    return Started(name, catalog_folder, templates, inferred.proposal, inferred.data)


def _facts(fields: Mapping[str, FieldSettings], language: Language) -> str:
    """Return the template of an item's attributes, field by field; all other templates are the generic ones."""
    colon, comma, stop = language.facts.colon, language.facts.list, language.explain.stop
    lines = ["{# The attributes of {{ a_noun }}, field by field. #}", "{% macro facts(it) %}"]
    for name, settings in fields.items():
        known = f"it.{name} is not none" if settings.type == "number" else f"it.{name}"
        value = f"it.{name}|join('{comma}')" if settings.type == "list" else f"it.{name}"
        lines += [
            f"{{% if {known} %}}",
            f"{name.replace('_', ' ').strip()}{colon}{{{{ {value} }}}}{stop}",
            "{% endif %}",
        ]
    return "\n".join([*lines, "{% endmacro %}", ""])
