"""The ``domain.toml`` of a new domain, with a comment in every line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from genre_gen.data.readers.delimited import usual_delimiter
from genre_gen.data.readers.files import Table, on_disk
from genre_gen.data.readers.quotes import NONE
from genre_gen.data.readers.table import PlainTable
from genre_gen.new_domain.column_types import liked_from
from genre_gen.new_domain.events import lines
from genre_gen.new_domain.names import Role
from genre_gen.new_domain.schema_inference import Proposal
from genre_gen.new_domain.tables import Tables
from genre_gen.prompting.nouns import with_article

_REPEATS = 0.2  # with at least this share of repeated interactions, items may be recommended again
_SMALL, _LARGE = 5_000, 200_000  # interactions
_HUGE = 100_000  # items up to which one token for each was measured: docs/performance.md, "Large catalogs"
_OPTIONAL: tuple[tuple[Role, str, str], ...] = (
    ("title", "items", "what it is called"),
    ("text", "items", "a longer description"),
    ("rating", "interactions", "empty: not rated"),
    ("time", "interactions", "when"),
    ("event", "interactions", "the kind of event, see [events]"),
)

_OF_EVENTS = {
    "history": "in histories, with this weight in counts",
    "measured": "evaluations ask for it",
    "hides": "its item is not recommended to the user again",
    "negative": "turned down: hides its item, and takes it out of the history",
}


def described_settings(name: str, noun: str, tables: Tables, proposal: Proposal, home: str | None) -> str:
    """Return the settings that describe the data; ``sized_settings`` returns the others.

    ``home`` is the value of ``data.path``; None if the tables are in memory.
    """
    head = (
        f"# The {name} domain, proposed by `genre-gen domains new`. Correct what is wrong; missing keys have\n"
        "# the defaults listed in catalogs/README.md. Unknown keys and invalid values are rejected.\n"
    )
    data = _data(tables, home, proposal) + _columns(tables, proposal) + _policies(proposal) + _events(proposal)
    return "\n".join([head, _top(name, proposal, noun), data, _fields(proposal), _tasks(proposal, noun)])


def _top(name: str, proposal: Proposal, noun: str) -> str:
    repeat, scale = proposal.repeats > _REPEATS, proposal.rating_scale
    return _lines(
        ("name", name, f"also the folder of the prompts: prompts/{name}"),
        ("noun", noun, "the word for an item in prompts"),
        ("repeat", repeat, f"whether {with_article(noun)} may be recommended to a user who already knows it"),
        scale and ("rating_scale", [_plain(end) for end in scale], "lowest and highest rating"),
        scale and ("liked_from", _plain(liked_from(scale)), "from this rating on, an item counts as liked"),
    )


def _data(tables: Tables, home: str | None, proposal: Proposal) -> str:
    log, items = tables.paths
    of_log, of_items = _forms(tables)
    if log is None:
        return "[data]                   # the tables are in memory\n" + _values(proposal)
    return (
        "[data]\n"
        + _lines(
            ("path", home, "the folder of the tables, relative to this one"),
            ("reader", tables.reader, "tables with a header" if tables.reader == PlainTable.name else "of this format"),
            items and ("items", relative(items.resolve(), on_disk(log.resolve())[0]), "one item a line"),
            proposal.items_in_log
            and ("items", on_disk(log.resolve())[1], "the same file: its lines describe the items too"),
            ("interactions", on_disk(log.resolve())[1], "one interaction a line"),
            *_written(of_log),
        )
        + _values(proposal)
        + '# origin = "..."         # for the model card: who made the data\n'
        + '# license = "..."        # its licence: an SPDX id such as CC-BY-4.0, or a few words\n'
        + (
            f"\n[data.items_file]        # how the item file is written\n{_lines(*_written(of_items))}"
            if of_items
            else ""
        )
    )


def _forms(tables: Tables) -> tuple[dict[str, str], dict[str, str]]:
    """Return how the interactions are written, as far as it is unusual, and what differs in the item file."""
    log, items = ({} if table is None else _form(table) for table in (tables.interactions, tables.items))
    if tables.reader != PlainTable.name:  # which knows the rest
        log, items = ({key: form[key] for key in form if key == "encoding"} for form in (log, items))
    of_log = {key: value for key, (value, usual) in log.items() if value != usual}
    of_items = {key: value for key, (value, usual) in items.items() if value != of_log.get(key, usual)}
    return of_log, of_items


def _form(table: Table) -> dict[str, tuple[str, str]]:
    """Return each key of a text file's form with its value and the usual one."""
    form = table.form
    if form is None:
        return {}
    encoding = {"encoding": ((form.encoding or "utf-8").removesuffix("-sig"), "utf-8")}
    if form.delimiter is None:
        return encoding
    delimiter = {"delimiter": (form.delimiter, usual_delimiter(table.file))}
    return {**encoding, **delimiter, "quote": (form.quote or '"', '"'), "escape": (form.escape or NONE, NONE)}


def _written(form: dict[str, str]) -> list[tuple[str, str, str]]:
    comments = {
        "encoding": "of the text", "delimiter": "between values", "quote": "around values",
        "escape": "before quotes inside values",
    }  # fmt: skip
    return [(key, value, comments[key]) for key, value in form.items()]


def _values(proposal: Proposal) -> str:
    unit, none = proposal.time_unit, [_plain(value) for value in proposal.not_rated]
    return _lines(
        unit != "s" and ("time_unit", unit, "the unit of times since 1970"),
        bool(none) and ("not_rated", none, "ratings that mean: not rated"),
    )


def _columns(tables: Tables, proposal: Proposal) -> str:
    columns = proposal.columns
    item_id = columns.get("item_id", columns["item"])
    described = tables.items is not None or proposal.items_in_log
    rows: list[tuple[Role, object, str]] = [
        (role, columns.get(role, []), comment if role in columns else "none")
        for role, table, comment in _OPTIONAL
        if (table == "interactions" or described) and (role != "event" or role in columns)
    ]
    return "\n[data.columns]           # the columns and their roles\n" + _lines(
        ("user", columns["user"], "who"),
        ("item", columns["item"], "the item" + (", in both files" if item_id == columns["item"] else "")),
        item_id != columns["item"] and ("item_id", item_id, "the same in the item file"),
        *rows,
    )


def _policies(proposal: Proposal) -> str:
    drop, kept = "drop: counted and reported | error: rejected", "keep" if proposal.repeats > _REPEATS else "keep_last"
    unknown = proposal.unknown_items
    return "\n[data.policies]          # what to do with invalid records\n" + _lines(
        ("duplicates", kept, "the same user and item twice: keep_first | keep_last (in time) | keep | error"),
        unknown and ("unknown_items", "drop", f"interactions with items that the item file lacks, {unknown:,} here"),
        proposal.events is not None and ("unknown_events", "drop", "kinds of events that [events] lacks: drop | error"),
        ("missing_ids", "drop", drop),
        "rating" in proposal.columns and ("ratings", "unknown", "unknown: the interaction stays | drop | error"),
        "time" in proposal.columns and ("times", "drop", drop),
        "item_id" in proposal.columns
        and ("repeated_items", "keep_first", "an id twice in the item file: keep_first | error"),
    )


def _events(proposal: Proposal) -> str:
    """Return a section for each kind of event; nothing if the log has one kind."""
    if proposal.events is None:
        return ""
    sections = ["\n# What each kind of event means. One without keys is left out.\n"]
    for name, event in proposal.events.kinds.items():
        key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)
        settings = event.model_dump(exclude_defaults=True).items()
        title = f"{f'[events.{key}]':<24} # {lines(proposal.events.counts[name])}\n"
        sections.append(title + _lines(*((given, value, _OF_EVENTS[given]) for given, value in settings)))
    return "".join(sections)


def _fields(proposal: Proposal) -> str:
    if not proposal.fields:
        return "# [fields.subject]       # the attributes of an item; there are none here\n"
    sections = []
    for name, field in proposal.fields.items():
        labels = name == proposal.labels
        key, columns = name if name.isascii() else json.dumps(name, ensure_ascii=False), field.columns or (name,)
        sections.append(
            f"[fields.{key}]\n"
            + _lines(
                ("type", field.type, "the labels of several tasks" if labels else "text | number | list"),
                columns != (name,) and ("columns", columns[0], "its column"),
                field.separator is not None and ("separator", field.separator, "between labels"),
                bool(field.unknown) and ("unknown", list(field.unknown), "texts that mean an unknown value"),
            )
        )
    comment = "# The attributes of an item, in display order. Prompts and filters use these names.\n"
    return comment + "\n".join(sections)


def _tasks(proposal: Proposal, noun: str) -> str:
    """Choose tasks with examples in the data. Those at full depth cost most, so they are listed with weight 0."""
    labels, title = proposal.labels, "title" in proposal.columns
    described = proposal.fields or "text" in proposal.columns
    tasks = [
        (True, "next_item", 1.0, f"which {noun} comes next"),
        ("rating" in proposal.columns, "rating", 0.15, "how the user rates it"),
        (True, "fits", 0.05, "does it fit the user"),
        (labels, "similar", 0.05, "are two of them similar"),
        (labels, "intent", 0.05, f"which {labels} the user wants next"),
        (title, "code", 0.05, "from the title to the code"),
        (title, "title", 0, "from the code to the title"),
        (described, "description", 0, "from the code to attributes and text"),
        (labels, "explanation", 0, "why it is recommended"),
    ]
    lines = [
        (f'{task} = {{ weight = {weight}, depth = "{"exit" if weight else "full"}" }}', comment)
        for wanted, task, weight, comment in tasks
        if wanted
    ]
    return (
        "# What the model learns. weight: its share in the loss (0 leaves the task out). depth: the loss is computed\n"
        '# after model.exit_layer ("exit") or after the last layer ("full"), which takes longer.\n[tasks]\n'
    ) + "".join(f"{line:<50} # {comment}\n" for line, comment in lines)


def sized_settings(n_items: int, n_interactions: int, proposal: Proposal) -> str:
    """Return the settings that depend on the amount of data."""
    layers, epochs, tokens, minutes = 3, 4, 1024, 5
    if n_interactions < _SMALL:
        layers, epochs, tokens, minutes = 2, 8, 512, 2
    elif n_interactions > _LARGE:
        epochs, tokens, minutes = 2, 2048, 10
    atomic = n_items <= _HUGE
    worded = any(settings.type != "number" for settings in proposal.fields.values()) or "text" in proposal.columns
    useless = {"text_knn": not worded}
    members = ("sequential_rules", "ease", "item_knn", "text_knn", "popularity")
    scheme = "atomic" if atomic else "semantic"
    codes = _lines(
        ("scheme", scheme, "atomic: one token per item | semantic: several, for large catalogs"),
        ("collaborative", 1.0, "a code starts from its item's text, plus co-occurrence embeddings times this"),
    )
    training = _lines(
        ("epochs", epochs, "more if time is left and validation still rises"),
        ("max_minutes", minutes, "of the whole training, by the clock"),
        ("learning_rate", 1e-3, "of the language model"),
        ("batch_tokens", tokens, "tokens per step"),
        ("distillation", 0.3 if atomic else 0.0, "share of each target that the models below decide"),
    )
    return (
        f"[codes]\n{codes}\n"
        f"[model]\n{_lines(('exit_layer', layers, 'items are ranked after this layer; more are slower'))}\n"
        f"[training]\n{training}\n"
        "[blend]                  # collaborative models; those that do not help get weight 0\n"
        f"members = {json.dumps([member for member in members if not useless.get(member)])}\n\n"
        f"{_rules(proposal)}"
    )


def _rules(proposal: Proposal) -> str:
    """Return a section of rules that are commented out, as an example."""
    field = proposal.labels or next(iter(proposal.fields), "brand")
    key = field if field.isascii() else json.dumps(field, ensure_ascii=False)
    return (
        "# [rules]                # for every list, within its filters; may be changed after training\n"
        f"# at_most = {{ {key} = 2 }}   # maximum number of items in a list with the same {field}\n"
        '# pins = { "a title or id" = 1 }   # item: its rank, if the item is allowed\n'
        "# boosts = { \"id == 'an id'\" = 0.5 }   # filter expression: amount added to scores\n"
        "# at_least = { \"id == 'an id'\" = 1 }   # filter expression: minimum number of items in a list\n"
    )


def _value(value: Any) -> str:
    """Return a value as TOML: JSON's strings, numbers and lists are valid, except for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _lines(*settings: Any) -> str:
    """Return settings (key, value, comment), one a line, without those that are false."""
    lines = ((f"{key} = {_value(value)}", comment) for key, value, comment in filter(None, settings))
    return "".join(f"{line:<24} # {comment}\n" for line, comment in lines)


def _plain(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def relative(path: Path, to: Path) -> str:
    """Return a path relative to a folder; absolute if there is none (two drives of Windows)."""
    try:
        return Path(os.path.relpath(path, to)).as_posix()
    except ValueError:
        return path.as_posix()
