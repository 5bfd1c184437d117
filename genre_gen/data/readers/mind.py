"""MIND, Microsoft's news data: ``behaviors.tsv`` (impressions and clicks) and ``news.tsv``.

Format: https://github.com/msnews/msnews.github.io/blob/master/assets/doc/introduction.md

A user's record has two kinds of clicks. The *history* lists the articles clicked before the log began, oldest first and
without times; an *impression* lists the articles shown at one moment, the clicked ones marked ``-1``. Interactions are
the history first, then the clicks in time order. Impressions without a click are counted and left out.

- A user's lines repeat the same history. It is read once, from the user's first impression: later lines could only
  add clicks that the impressions already contain.
- Clicks of the history get the earliest time in the file, so a split by time leaves them in the training part. Ties
  keep the history's order.
- Several clicks of one impression share a time and keep the file's order; MIND does not define one.
"""

from __future__ import annotations

import json
from types import MappingProxyType

import polars as pl

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.delimited import fixed, read_delimited
from genre_gen.data.readers.files import SHOWN, Folder, Problem, Table, named
from genre_gen.data.readers.json_tables import whole
from genre_gen.data.settings import DataSettings
from genre_gen.errors import DataError

BEHAVIORS, NEWS = "behaviors.tsv", "news.tsv"
_BEHAVIORS = ("impression_id", "user_id", "time", "history", "impressions")
_NEWS = (
    "item_id", "category", "subcategory", "title", "description", "url", "title_entities", "abstract_entities",
)  # fmt: skip
_TITLED = 4  # columns up to the title; those behind it may be missing
_TIME = "%m/%d/%Y %I:%M:%S %p"  # 11/15/2019 8:55:22 AM
_ISO = "%Y-%m-%dT%H:%M:%S"


class Mind(Reader):
    """Reads the columns user_id, item_id and timestamp; of articles their columns and ``entities``, a list of names."""

    name = "mind"
    suffixes = (BEHAVIORS,)
    headless = MappingProxyType({BEHAVIORS: NEWS})

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is a ``behaviors.tsv``."""
        return (folder / BEHAVIORS).is_file()

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the articles, the abstract as column ``description``; None if there is no ``news.tsv``."""
        if settings.items is None and not (folder / NEWS).is_file():
            return None
        form = fixed(settings.format_of("items"), "\t")
        table = read_delimited(named(folder, settings.items or NEWS), form, columns=_NEWS, least=_TITLED)
        columns = ("title_entities", "abstract_entities")
        labels = [
            list(dict.fromkeys(label for column in columns for label in _entities(table, column, record)))
            for record in range(len(table.frame))
        ]
        entities = pl.Series("entities", labels, pl.List(pl.String))
        return table.with_frame(table.frame.drop(columns).with_columns(entities))

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return one record per click: all histories, then the clicks of the impressions in file order."""
        form = fixed(settings.format_of("interactions"), "\t")
        table = read_delimited(named(folder, settings.interactions or BEHAVIORS), form, columns=_BEHAVIORS)
        when = pl.col("time").str.strip_chars().str.to_datetime(_TIME, strict=False)
        # A time that cannot be parsed stays as text; the later check of times reports it.
        log = table.frame.with_row_index("line").with_columns(when=when)
        log = log.with_columns(timestamp=pl.coalesce(pl.col("when").dt.strftime(_ISO), "time"))
        clicked, left_out = _impressions(table)
        clicks = log.with_columns(item_id=clicked)
        first = log.sort("when", nulls_last=True, maintain_order=True).unique(
            "user_id", keep="first", maintain_order=True
        )
        begin = log["when"].min()
        earliest = pl.lit(begin).dt.strftime(_ISO) if begin is not None else pl.col("timestamp")
        history = first.sort("line").with_columns(timestamp=earliest, item_id=pl.col("history").str.extract_all(r"\S+"))
        parts = [part.select("line", "user_id", "item_id", "timestamp") for part in (history, clicks)]
        records = pl.concat(parts).explode("item_id").drop_nulls("item_id")
        lines = records["line"].to_list()
        return Table(
            records.drop("line"), table.file, lambda record: table.locate(lines[record]), (*table.notes, *left_out)
        )


def _impressions(table: Table) -> tuple[pl.Series, tuple[Problem, ...]]:
    """Return the clicked articles of each line, and the problem that counts those shown and not clicked.

    Each word of the impressions is ``article-1`` (clicked) or ``article-0``; raises DataError for any other.
    """
    column = table.frame["impressions"]
    clicked = column.str.extract_all(r"\S+-1(?:\s|$)").list.eval(pl.element().str.strip_chars().str.strip_suffix("-1"))
    others = column.str.count_matches(r"\S-0(?:\s|$)")
    for record in (column.str.count_matches(r"\S+") != others + clicked.list.len()).arg_true():
        raise DataError(
            f"{table.file}, {table.locate(record)}: impressions {column[record]!r:.60} should look like N1-0 N2-1; "
            "MIND's test part has no clicks; use the part for training or validation"
        )
    for record in (others > 0).arg_true():
        word = next(word for word in column[record].split() if word.endswith("-0"))
        location = table.locate(record)
        return clicked, (Problem(table.file, SHOWN, int(others.sum()), location, repr(word), "left out"),)
    return clicked, ()


def _entities(table: Table, column: str, record: int) -> list[str]:
    """Return the names of the entities in a title or abstract."""
    written = table.frame[column][record]
    if not written.strip():
        return []
    try:
        return [str(entity["Label"]) for entity in whole(json.loads(written), written)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DataError(
            f"{table.file}, {table.locate(record)}: {column} {written!r:.60} is not a list of entities with a Label; "
            "correct the line, or leave the value empty"
        ) from None
