"""MIND, Microsoft's news data: ``behaviors.tsv`` (impressions and clicks) and ``news.tsv``.

Format: https://github.com/msnews/msnews.github.io/blob/master/assets/doc/introduction.md

A user's record has two kinds of clicks. The *history* lists the articles clicked before the log began, oldest first and
without times; an *impression* lists the articles shown at one moment, the clicked ones marked ``-1``. Interactions are
the history first, then the clicks in time order. Impressions without a click are counted and left out.

- A user's lines repeat the same history. It is taken once, from the user's first impression: a later one could only
  add clicks that the impressions in between have too.
- Clicks of the history get the earliest time in the file. They are not later, so a split by time leaves them in the
  training part. Ties keep the history's order.
- Several clicks of one impression share a time and keep the file's order; MIND does not define one.
"""

from __future__ import annotations

import json
from typing import ClassVar

import polars as pl

from genre_gen.data.readers.files import Folder, LeftOut, Table, named, read_delimited, whole
from genre_gen.domain import DataSettings
from genre_gen.errors import DataError

BEHAVIORS, NEWS = "behaviors.tsv", "news.tsv"
_BEHAVIORS = ("impression_id", "user_id", "time", "history", "impressions")
_NEWS = (
    "item_id", "category", "subcategory", "title", "description", "url", "title_entities", "abstract_entities",
)  # fmt: skip
_TIME = "%m/%d/%Y %I:%M:%S %p"  # 11/15/2019 8:55:22 AM
_ISO = "%Y-%m-%dT%H:%M:%S"


class Mind:
    """Reads the columns user_id, item_id and timestamp; of articles their columns and ``entities``, a list of names."""

    name: ClassVar[str] = "mind"
    suffixes: ClassVar[tuple[str, ...]] = (BEHAVIORS,)
    separator: ClassVar[str] = "|"

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is a ``behaviors.tsv``."""
        return (folder / BEHAVIORS).is_file()

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the articles; the abstract is called description. None where there is no ``news.tsv``."""
        name = settings.items or NEWS
        if settings.items is None and not (folder / NEWS).is_file():
            return None
        table = _headless(named(folder, name), settings, _NEWS)
        columns = ("title_entities", "abstract_entities")
        labels = [
            list(dict.fromkeys(label for column in columns for label in _entities(table, column, record)))
            for record in range(len(table.frame))
        ]
        entities = pl.Series("entities", labels, pl.List(pl.String))
        return table.with_frame(table.frame.drop(columns).with_columns(entities))

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return one record per click: all histories, then the clicks of the impressions in file order."""
        table = _headless(named(folder, settings.interactions or BEHAVIORS), settings, _BEHAVIORS)
        when = pl.col("time").str.strip_chars().str.to_datetime(_TIME, strict=False)
        # A time that cannot be read stays as it is written, for the check of times to find.
        log = table.frame.with_row_index("line").with_columns(when=when)
        log = log.with_columns(timestamp=pl.coalesce(pl.col("when").dt.strftime(_ISO), "time"))
        shown = _Shown(table)
        clicks = log.with_columns(item_id=shown.clicked).explode("item_id").drop_nulls("item_id")
        first = log.sort("when", nulls_last=True, maintain_order=True).unique(
            "user_id", keep="first", maintain_order=True
        )
        begin = log["when"].min()
        earliest = pl.lit(begin).dt.strftime(_ISO) if begin is not None else pl.col("timestamp")
        history = (
            first.sort("line")
            .with_columns(timestamp=earliest, item_id=pl.col("history").str.extract_all(r"\S+"))
            .explode("item_id")
            .drop_nulls("item_id")
        )
        columns = ["line", "user_id", "item_id", "timestamp"]
        records = pl.concat([history.select(columns), clicks.select(columns)])
        lines = records["line"].to_list()
        return Table(records.drop("line"), table.file, lambda record: table.locate(lines[record]), shown.left_out())


class _Shown:
    """The impressions of a log: words that each read ``article-1`` (clicked) or ``article-0``."""

    def __init__(self, table: Table) -> None:
        """Check the words; raises DataError for the first line that has another kind of word."""
        self._table, column = table, table.frame["impressions"]
        self.clicked = column.str.extract_all(r"\S+-1(?:\s|$)").list.eval(
            pl.element().str.strip_chars().str.strip_suffix("-1")
        )
        self._others = column.str.count_matches(r"\S-0(?:\s|$)")
        wrong = column.str.count_matches(r"\S+") != self._others + self.clicked.list.len()
        for record in wrong.arg_true():
            raise DataError(
                f"{table.file}, {table.locate(record)}: impressions {column[record]!r:.60} should read like N1-0 N2-1; "
                "MIND's test part has no clicks; use the part for training or validation"
            )

    def left_out(self) -> tuple[LeftOut, ...]:
        """Return the articles that were shown and not clicked."""
        count = int(self._others.sum())
        if not count:
            return ()
        record = int((self._others > 0).arg_true()[0])
        word = next(word for word in self._table.frame["impressions"][record].split() if word.endswith("-0"))
        return (LeftOut("shown and not clicked", count, self._table.locate(record), word),)


def _headless(file: Folder, settings: DataSettings, columns: tuple[str, ...]) -> Table:
    return read_delimited(file, settings.encoding, "\t", quote=None, columns=columns)


def _entities(table: Table, column: str, record: int) -> list[str]:
    """Return the names of the entities that were found in a title or abstract."""
    written = table.frame[column][record]
    if not written.strip():
        return []
    try:
        return [str(entity["Label"]) for entity in whole(json.loads(written), written)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DataError(
            f"{table.file}, {table.locate(record)}: {column} {written!r:.60} is no list of entities with a Label; "
            "correct the line, or leave the value empty"
        ) from None
