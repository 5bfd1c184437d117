"""``domain.toml`` of a new domain, every line with a comment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from genre_gen.domain import USUAL_COLUMNS, FieldSettings
from genre_gen.new_domain.column_types import Role, liked_from
from genre_gen.new_domain.schema_inference import Proposal
from genre_gen.new_domain.tables import Tables
from genre_gen.prompting.nouns import with_article

_REPEATS = 0.2  # share of the interactions that name an item again, from which items may be recommended again
_SMALL, _LARGE, _HUGE = 5_000, 200_000, 50_000  # interactions; interactions; items
_EASE = 20_000  # items that EASE takes at most


def described_settings(name: str, noun: str, tables: Tables, proposal: Proposal, home: str | None) -> str:
    """Return the settings that describe the data; ``sized_settings`` are the others.

    Args:
        name: of the domain.
        noun: what an item is called.
        tables: for the files' names, encoding and delimiter.
        proposal: what their columns are.
        home: the folder of the files, as ``data.path`` shall name it; None where they are in memory.
    """
    parts = [
        f"# The {name} domain, proposed by `genre-gen domains new`. Change what is wrong; keys that are not given\n"
        "# have the defaults that catalogs/README.md lists. A misspelt key or a value that does not fit is refused.\n",
        _top(name, proposal, noun),
        _data(tables, home, proposal),
        _fields(proposal.fields),
        _tasks(proposal, noun),
    ]
    return "\n".join(parts)


def _top(name: str, proposal: Proposal, noun: str) -> str:
    lines = [
        _line("name", name, "also the folder of the prompts: prompts/" + name),
        _line("noun", noun, "what an item is called in prompts"),
        _line(
            "repeat",
            proposal.repeats > _REPEATS,
            f"may {with_article(noun)} be recommended that the user has had already",
        ),
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


def _data(tables: Tables, home: str | None, proposal: Proposal) -> str:
    lines = ["[data]\n"]
    interactions, items = tables.paths
    if interactions is None:
        lines = ["[data]                   # the tables are in memory\n"]
    else:
        lines += [_line("path", home, "where the tables lie, relative to this folder")]
        lines += [_line("reader", "table", "CSV, TSV or Parquet with a line of names")]
        if items is not None:
            lines += [_line("items", relative(items.resolve(), interactions.resolve().parent), "one item a line")]
        lines += [_line("interactions", interactions.name, "one interaction a line")]
    if tables.encoding != "utf-8":
        lines += [_line("encoding", tables.encoding, "the files are not UTF-8")]
    if tables.delimiter is not None:
        lines += [_line("delimiter", tables.delimiter, "between values")]
    if proposal.time_unit != "s":
        lines += [_line("time_unit", proposal.time_unit, "what times count, since 1970")]
    lines += ["\n[data.columns]           # which column holds what\n"]
    columns = proposal.columns
    lines += [_line("user", columns["user"], "who")]
    ids = list(dict.fromkeys([columns["item"], columns.get("item_id", columns["item"])]))
    lines += [_line("item", ids if len(ids) > 1 else ids[0], "which item, in both files")]
    optional: tuple[tuple[Role, str], ...] = (
        ("title", "what it is called"),
        ("text", "a longer description"),
        ("rating", "empty: not rated"),
        ("time", "when"),
    )
    for role, comment in optional:
        column = columns.get(role)
        table = tables.items if role in ("title", "text") else tables.interactions
        if column is not None:
            lines += [_line(role, column, comment)]
        elif table is not None and {*USUAL_COLUMNS.get(role, ())} & {*table.frame.columns}:
            lines += [_line(role, [], "none, whatever the columns are called")]
    return "".join([*lines, _policies(proposal)])


def _policies(proposal: Proposal) -> str:
    drop = "drop: counted and told | error: refused"
    lines = ["\n[data.policies]          # what to do with invalid records\n"]
    kept = "keep" if proposal.repeats > _REPEATS else "keep_last"
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
    lines = ["# What is known of an item, in the order in which it is shown. Names are what prompts and filters use.\n"]
    first = next((name for name, settings in fields.items() if settings.type == "list"), None)
    for name, settings in fields.items():
        comment = (
            "its labels are what the tasks intent, alike and explanation are about"
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
        exit_depth["alike"] = (0.05, "are two of them alike")
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


def sized_settings(n_items: int, n_interactions: int, proposal: Proposal) -> str:
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
            _line("collaborative", 1.0, "a code starts from its item's text, plus this much of what co-occurs with it"),
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
            "\n[blend]                  # collaborative models; those that do not help get no weight\n",
            f"members = {json.dumps([member for member in members if member])}\n",
        ]
    )


def _line(key: str, value: object, comment: str) -> str:
    """Return one setting with its comment; JSON's texts, numbers and lists are TOML's too."""
    shown = f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")  # which TOML has escaped
    return f"{shown:<24} # {comment}\n"


def _plain(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def relative(path: Path, to: Path) -> str:
    """Return a path as seen from a folder; absolute where there is no way between them (two drives of Windows)."""
    try:
        return Path(os.path.relpath(path, to)).as_posix()
    except ValueError:
        return path.as_posix()
