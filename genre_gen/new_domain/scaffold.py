"""Starting a domain: from a proposal to ``catalogs/<name>/domain.toml`` and ``prompts/<name>/``, which work at once."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genre_gen.data.printable import printable
from genre_gen.data.readers import Data, load_data
from genre_gen.domain import FILE, Domain, FieldSettings, tomllib
from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import ConfigError, UsageError
from genre_gen.new_domain.column_types import Role, liked_from
from genre_gen.new_domain.schema_inference import Proposal, propose
from genre_gen.prompting.nouns import plural, with_article

FACTS = "facts.jinja"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_NOUN = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*")
_VAGUE = ("items", "data", "catalog", "table", "tables", "meta", "objects", "lists")  # file names that name nothing
_SMALL, _LARGE, _HUGE = 5_000, 200_000, 50_000  # interactions; interactions; items
_EASE = 20_000  # items that EASE takes at most


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
    given: Mapping[Role, str] | None = None,
    noun: str | None = None,
) -> Started:
    """Write a new domain for two tables; the tables stay where they are.

    Args:
        name: of the domain.
        interactions: see :func:`genre_gen.new_domain.schema_inference.propose`.
        items: the same.
        folder: gets ``catalogs/<name>`` and ``prompts/<name>``.
        given: columns that the user has named.
        noun: what an item is called, such as ``book``; by default after the item file, else "item".

    Raises:
        ConfigError: a name that is taken.
        UsageError: a name that cannot be used, a noun that is no word, or a column that does not exist.
        DataError: what cannot be read or told. Nothing has been written then.
    """
    catalog_folder, prompts_folder = folder / "catalogs" / name, folder / "prompts" / name
    _check_name(name, catalog_folder, prompts_folder)
    if noun is not None and not _NOUN.fullmatch(noun):
        raise UsageError(f"--noun {noun!r}: give a word or two in letters, such as book")
    proposal = propose(interactions, items, given)
    noun = noun or (None if items is None else _noun_of(items.stem)) or "item"
    settings = _toml(name, interactions, items, catalog_folder, proposal, noun)
    domain = Domain.from_settings(tomllib.loads(settings), where=f"the proposal for {name}")
    data = load_data(domain, interactions.resolve().parent)
    settings = settings.replace(_SIZED, _sized(len(data.catalog), len(data.interactions), proposal))
    catalog_folder.mkdir(parents=True)
    (catalog_folder / FILE).write_text(settings, encoding="utf-8")
    _write_prompts(prompts_folder, proposal.fields)
    return Started(name, catalog_folder, prompts_folder, proposal, data)


def _check_name(name: str, *folders: Path) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a domain; use letters, digits, - and _")
    for folder in folders:
        if folder.exists():
            raise ConfigError(f"{folder} is there already; give another name, or delete it first")
    if (assets_folder() / "catalogs" / name).is_dir() or (assets_folder() / "prompts" / name).is_dir():
        raise ConfigError(f"{name!r} is the name of a domain that is shipped; give another, such as my-{name}")


# Prompts


def _write_prompts(folder: Path, fields: Mapping[str, FieldSettings]) -> None:
    """Write what is known of an item, field by field; all other templates are the generic ones."""
    folder.mkdir(parents=True)
    (folder / FACTS).write_text(_facts(fields), encoding="utf-8")


def _noun_of(stem: str) -> str | None:
    """Return the word for one item that a file's name gives away: ``books`` is of books; None where it gives none."""
    if not re.fullmatch(r"[A-Za-z]{3,}s", stem) or stem.lower() in _VAGUE or stem.lower().endswith(("ss", "us")):
        return None
    word = stem.lower()
    return next((one for one in (word[:-1], word[:-2], word[:-3] + "y") if plural(one) == word), None)


def _facts(fields: Mapping[str, FieldSettings]) -> str:
    lines = ["{# What is known of {{ a_noun }}, field by field. #}", "{% macro facts(it) %}"]
    for name, settings in fields.items():
        known = f"it.{name} is not none" if settings.type == "number" else f"it.{name}"
        value = f"it.{name}|join(', ')" if settings.type == "list" else f"it.{name}"
        lines += [f"{{% if {known} %}}", f"{name.replace('_', ' ').strip()}: {{{{ {value} }}}}.", "{% endif %}"]
    return "\n".join([*lines, "{% endmacro %}", ""])


# domain.toml

_SIZED = "# what depends on the size\n"


def _toml(
    name: str, interactions: Path, items: Path | None, catalog_folder: Path, proposal: Proposal, noun: str
) -> str:
    """Return ``domain.toml``, every line with a comment; the part that depends on the data's size comes later."""
    parts = [
        f"# The {name} domain, proposed by `genre-gen domains new`. Change what is wrong; keys that are not given\n"
        "# have the defaults that catalogs/README.md lists. A misspelt key or a value that does not fit is refused.\n",
        _top(name, proposal, noun),
        _data(interactions, items, catalog_folder, proposal),
        _fields(proposal.fields),
        _tasks(proposal, noun),
        _SIZED,
    ]
    return "\n".join(parts)


def _top(name: str, proposal: Proposal, noun: str) -> str:
    repeat = proposal.repeats > 0.2  # noqa: PLR2004 - where a fifth comes back, coming back is what people do
    lines = [
        _line("name", name, "also the folder of the prompts: prompts/" + name),
        _line("noun", noun, "what an item is called in prompts"),
        _line("repeat", repeat, f"may {with_article(noun)} be recommended that the user has had already"),
    ]
    if proposal.rating_scale is not None:
        lines += [
            _line("rating_scale", [_plain(end) for end in proposal.rating_scale], "lowest and highest rating"),
            _line(
                "liked_from",
                _plain(liked_from(proposal.rating_scale)),
                f"from this rating on, {with_article(noun)} counts as liked",
            ),
        ]
    return "".join(lines)


def _data(interactions: Path, items: Path | None, catalog_folder: Path, proposal: Proposal) -> str:
    home = interactions.resolve().parent
    lines = [
        "[data]\n",
        _line("path", _relative(home, catalog_folder.resolve()), "where the tables lie, relative to this folder"),
    ]
    lines += [_line("reader", "table", "CSV, TSV or Parquet with a line of names")]
    if items is not None:
        lines += [_line("items", _relative(items.resolve(), home), "one item a line")]
    lines += [_line("interactions", interactions.name, "what users had, one line each")]
    if proposal.encoding != "utf-8":
        lines += [_line("encoding", proposal.encoding, "the files are not UTF-8")]
    if proposal.delimiter is not None:
        lines += [_line("delimiter", proposal.delimiter, "between values")]
    if proposal.time_unit != "s":
        lines += [_line("time_unit", proposal.time_unit, "what times count, since 1970")]
    lines += ["\n[data.columns]           # which column holds what\n"]
    columns = proposal.columns
    lines += [_line("user", columns["user"], "who")]
    ids = list(dict.fromkeys([columns["item"], columns.get("item_id", columns["item"])]))
    lines += [_line("item", ids if len(ids) > 1 else ids[0], "which item, in both files")]
    for role, comment in (
        ("title", "what it is called"),
        ("text", "a longer description"),
        ("rating", "empty: not rated"),
        ("time", "when"),
    ):
        if role in columns:
            lines += [_line(role, columns[role], comment)]  # type: ignore[index]
    return "".join([*lines, _policies(proposal)])


def _policies(proposal: Proposal) -> str:
    drop = "drop: counted and told | error: refused"
    lines = ["\n[data.policies]          # what to do with data that does not hold\n"]
    kept = "keep" if proposal.repeats > 0.2 else "keep_last"  # noqa: PLR2004 - as for repeat
    lines += [
        _line("duplicates", kept, "the same user and item twice: keep_first | keep_last (in time) | keep | error")
    ]
    if proposal.unknown_items:
        lines += [_line("unknown_items", "drop", f"of items that the item file lacks, {proposal.unknown_items:,} here")]
    lines += [_line("missing_ids", "drop", drop)]
    lines += [_line(role + "s", "drop", drop) for role in ("rating", "time") if role in proposal.columns]
    if "item_id" in proposal.columns:
        lines += [_line("repeated_items", "keep_first", "an id twice in the item file: keep_first | error")]
    return "".join(lines)


def _fields(fields: Mapping[str, FieldSettings]) -> str:
    if not fields:
        return "# [fields.subject]       # what is known of an item; there is nothing here\n"
    lines = [
        "# What is known of an item, in the order in which it is shown. Names are what prompts and `--where` use.\n"
    ]
    first = next((name for name, settings in fields.items() if settings.type == "list"), None)
    for name, settings in fields.items():
        comment = (
            "its labels are what the tasks intent, similar and explanation are about"
            if name == first
            else "text | number | list"
        )
        key = name if name.isascii() else json.dumps(name, ensure_ascii=False)
        lines += [f"[fields.{key}]\n", _line("type", settings.type, comment)]
        if settings.columns != (name,):
            lines += [_line("columns", (settings.columns or (name,))[0], "its column")]
        if settings.separator is not None:
            lines += [_line("separator", settings.separator, "between labels")]
        if settings.unknown:
            lines += [_line("unknown", list(settings.unknown), "how the data says that it is not known")]
        lines += ["\n"]
    return "".join(lines).rstrip("\n") + "\n"


def _tasks(proposal: Proposal, noun: str) -> str:
    """Choose tasks that the data has examples of; those at full depth cost most, and are there to be turned on."""
    exit_depth = {"next_item": (1.0, f"which {noun} comes next")}
    if "rating" in proposal.columns:
        exit_depth["rating"] = (0.15, "how the user rates it")
    exit_depth["fits"] = (0.05, "does it fit the user")
    if proposal.labels is not None:
        exit_depth["similar"] = (0.05, "are two of them alike")
        exit_depth["intent"] = (0.05, f"which {proposal.labels} the user wants next")
    full_depth = {}
    if "title" in proposal.columns:
        exit_depth["code"] = (0.05, "from the title to the code")
        full_depth["title"] = "from the code to the title"
    if proposal.fields or "text" in proposal.columns:
        full_depth["description"] = "from the code to what is known of it"
    if proposal.labels is not None:
        full_depth["explanation"] = "why it is recommended"
    lines = [
        "# What the model learns. weight: its share in the loss (0 leaves the task out). depth: the loss is taken\n"
        '# after model.exit_layer ("exit") or after the last layer ("full"), which takes longer.\n[tasks]\n'
    ]
    shown = [(f'{task} = {{ weight = {weight}, depth = "exit" }}', why) for task, (weight, why) in exit_depth.items()]
    shown += [(f'{task} = {{ weight = 0, depth = "full" }}', why) for task, why in full_depth.items()]
    return "".join(lines + [f"{line:<50} # {why}\n" for line, why in shown])


def _sized(n_items: int, n_interactions: int, proposal: Proposal) -> str:
    """Return the settings that depend on how much there is."""
    layers, epochs, tokens, minutes = 3, 4, 1024, 5
    if n_interactions < _SMALL:
        layers, epochs, tokens, minutes = 2, 8, 512, 2
    elif n_interactions > _LARGE:
        epochs, tokens, minutes = 2, 2048, 10
    atomic = n_items <= _HUGE
    worded = any(settings.type != "number" for settings in proposal.fields.values()) or "text" in proposal.columns
    members = [
        "sequential_rules",
        "ease" if n_items <= _EASE else "",
        "item_knn",
        "text_knn" if worded else "",
        "popularity",
    ]
    return "".join(
        [
            "[codes]\n",
            _line(
                "scheme",
                "atomic" if atomic else "semantic",
                "atomic: one token per item | semantic: several, for large catalogs",
            ),
            _line(
                "collaborative", 1.0, "a code starts from its item's text, plus this much of what people have beside it"
            ),
            "\n[model]\n",
            _line("exit_layer", layers, "items are ranked after this layer; more are slower"),
            "\n[training]\n",
            _line("epochs", epochs, "at most"),
            _line("max_minutes", minutes, "stop after this time"),
            _line("learning_rate", 1e-3, "of the language model"),
            _line("batch_tokens", tokens, "tokens per step"),
            _line(
                "distillation",
                0.3 if atomic else 0.0,
                "share of each target that goes to what the models below expect there",
            ),
            "\n[blend]                  # models beside the language model; those that do not help get no weight\n",
            f"members = {json.dumps([member for member in members if member])}\n",
        ]
    )


def _line(key: str, value: object, comment: str) -> str:
    """Return one setting with its comment; JSON's texts, numbers and lists are TOML's too."""
    shown = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    return f"{shown:<24} # {comment}\n"


def _plain(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _relative(place: Path, to: Path) -> str:
    """Return a path as seen from a folder; absolute where there is no way between them (two drives of Windows)."""
    try:
        return Path(os.path.relpath(place, to)).as_posix()
    except ValueError:
        return place.as_posix()
