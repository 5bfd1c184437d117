"""Lines of a user and their items (``user item item item``), as many models for sequences are given them."""

from __future__ import annotations

import re

import polars as pl

from genre_gen.data.readers.files import Problem, Table

_NUMBERS = re.compile(r"\d+([ \t,])\d+(?:\1\d+)* *\r?")
_FIRST, _LEAST = 200, 2  # lines that are looked at; lines, and lengths of them, that must be seen


def read_sequences(content: str, file: str) -> Table | None:
    """Return one record per item, in the order of each line; None if the lines are not of this kind.

    Such lines consist of whole numbers, have no header, and differ in length.
    """
    if not content[:1].isdigit():
        return None
    *lines, _ = content[: 1 << 20].split("\n", _FIRST) if content.count("\n", 0, 1 << 20) else ("", "")
    matches = [_NUMBERS.fullmatch(line) for line in lines if line.strip()]
    marks = {match[1] for match in matches if match is not None}
    if len(matches) < _LEAST or None in matches or len(marks) > 1:
        return None
    (mark,) = marks
    if len({line.count(mark) for line in lines if line.strip()}) < _LEAST:
        return None
    words = pl.DataFrame({"words": content.split("\n")}).with_row_index("line", 1)
    words = words.with_columns(pl.col("words").str.strip_chars().str.split(mark)).filter(
        pl.col("words").list.first() != ""
    )
    frame = words.select(
        "line", pl.col("words").list.first().alias("user_id"), pl.col("words").list.slice(1).alias("item_id")
    )
    frame = frame.explode("item_id").drop_nulls()
    places = frame["line"]
    note = Problem(file, "a user and their items in each line", len(words), "line 1", repr(lines[0][:60]), "read so")
    return Table(frame.drop("line"), file, lambda record: f"line {places[record]}", (note,))
