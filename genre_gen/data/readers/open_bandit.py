"""Open Bandit Dataset: the items that a policy showed on a shop's page, with propensities and clicks.

Each policy, ``random`` and ``bts``, has a folder with a log (``men.csv``) and the features of its items
(``item_context.csv``). A folder of one policy can be read, or the folder above, where the logs of all are joined.
Format: https://research.zozo.com/data.html and the repository st-tech/zr-obp

- *Only clicks are interactions.* Impressions reflect the policy's choices, not the user's. They are counted and left
  out; :func:`read_log` returns all of them, with propensities, for off-policy evaluation.
- *Users are groups.* The log has no user ids, only four hashed features of the person. People who share all four count
  as one user. Their clicks are one history, in which an item may occur several times: set ``repeat = true`` and
  ``data.policies.duplicates = "keep"``.
- *Items have no text.* Their titles are their numbers. Three of four features are hashes, which only show that items
  share a value. The hashes differ between policies, so those of the first folder are used for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.delimited import read_delimited
from genre_gen.data.readers.files import SHOWN, Folder, Problem, Table, ending, named
from genre_gen.data.settings import DataSettings, TextFormat
from genre_gen.errors import DataError

ITEMS = "item_context.csv"
_PERSON = tuple(f"user_feature_{number}" for number in range(4))
_LOG = ("timestamp", "item_id", "position", "click", "propensity_score", *_PERSON)
_USER = pl.concat_str(_PERSON, separator=" ").alias("user_id")


class OpenBandit(Reader):
    """Reads clicks into the columns user_id, item_id, timestamp, position and propensity_score."""

    name = "open_bandit"

    def recognises(self, folder: Folder) -> bool:
        """Tell whether the folder, or one directly below, has an ``item_context.csv``."""
        return bool(_policies(folder))

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the items' features, with empty titles."""
        policies = _policies(folder)
        if settings.items is None and not policies:
            return None
        file = named(folder, settings.items) if settings.items else policies[0] / ITEMS
        table = _read(file, settings.format_of("items"), ("item_id",))
        features = [column for column in table.frame.columns if column.startswith("item_feature_")]
        return table.with_frame(table.frame.select("item_id", pl.lit("").alias("title"), *features))

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return one record per click, log after log."""
        logs = _logs(folder, settings)
        frame = pl.concat([log.frame.select(*_LOG) for log in logs])
        ends = pl.Series([len(log.frame) for log in logs]).cum_sum()

        def locate(record: int) -> str:
            number = int((ends <= record).sum())
            where = logs[number].locate(record - (int(ends[number - 1]) if number else 0))
            return where if len(logs) == 1 else f"{logs[number].file}, {where}"

        file = logs[0].file if len(logs) == 1 else str(folder)
        click = frame["click"].str.strip_chars()
        for record in (~click.is_in(["0", "1"])).arg_true():
            raise DataError(f"{file}, {locate(record)}: click {click[record]!r} is neither 0 nor 1; correct the file")
        shown, clicked = (click == "0").arg_true(), (click == "1").arg_true()
        left_out = tuple(
            Problem(file, SHOWN, len(shown), locate(record), repr(frame["item_id"][record]), "left out")
            for record in shown[:1]
        )
        notes = [note for log in logs for note in log.notes]
        frame = frame[clicked].select(_USER, "item_id", "timestamp", "position", "propensity_score")
        return Table(frame, file, lambda record: locate(int(clicked[record])), (*notes, *left_out))


def read_log(folder: Path) -> pl.DataFrame:
    """Read all impressions, clicked or not, for off-policy evaluation.

    Returns:
        user_id and item_id as text; timestamp as a UTC time; position int64 (1 to 3); click int64 (0 or 1);
        propensity_score float64, the probability with which the policy showed this item in this position.

    Raises:
        DataError: there is no log, or a value is not a number.
    """
    settings = DataSettings(path=str(folder))
    types = {"position": pl.Int64, "click": pl.Int64, "propensity_score": pl.Float64}
    logs = []
    for log in _logs(folder, settings):
        frame = log.frame.select(
            _USER,
            "item_id",
            pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC", strict=False),
            *(pl.col(name).cast(kind, strict=False) for name, kind in types.items()),
        )
        for name in (*types, "timestamp"):
            for record in frame[name].is_null().arg_true():
                written = log.frame[name][record]
                raise DataError(
                    f"{log.file}, {log.locate(record)}: {name} {written!r} cannot be read; correct the file"
                )
        logs.append(frame)
    return pl.concat(logs)


def _policies(folder: Folder) -> list[Folder]:
    """Return the folders with a policy's log: this one, or those directly below, by name."""
    if (folder / ITEMS).is_file():
        return [folder]
    below = [entry for entry in folder.iterdir() if entry.is_dir() and (entry / ITEMS).is_file()]
    return sorted(below, key=lambda entry: entry.name)


def _logs(folder: Folder, settings: DataSettings) -> Sequence[Table]:
    """Return the log that the settings name, or the log of each policy."""
    if settings.interactions is not None:
        return [_read(named(folder, settings.interactions), settings.format_of("interactions"), _LOG)]
    logs = []
    for policy in _policies(folder):
        names = [name for name in ending(policy, ".csv") if name != ITEMS]
        if len(names) != 1:
            present = ", ".join(names) or "none"
            raise DataError(f"{policy}: expected one log next to {ITEMS}, not {present}; name it as data.interactions")
        logs.append(_read(policy / names[0], settings.format_of("interactions"), _LOG))
    if not logs:
        raise DataError(f"{folder}: no {ITEMS} here or in a folder below; correct data.path")
    return logs


def _read(file: Folder, form: TextFormat, columns: Sequence[str]) -> Table:
    return read_delimited(file, form, required=columns)
