"""LoadReport: the problems of the data: how often each occurs, where first, and what was done about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from genre_gen.data.order import OrderShares
from genre_gen.data.readers.files import Problem, Table
from genre_gen.errors import DataError

logger = logging.getLogger("genre_gen.data.readers")

_ACTIONS = {"keep": "kept", "unknown": "taken as unknown", "hide": "kept out of histories", "fold": "folded"}
_INSTEAD = {
    "repeated_items": "keep_first", "attributes": "unknown", "duplicates": "keep_last", "ratings": "unknown",
}  # fmt: skip  # else "drop"


@dataclass
class LoadReport:
    """The problems found while loading, in the order of the checks, and remarks on the data as a whole.

    ``order`` has the shares of the steps of histories by direction, once they are loaded.
    """

    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    order: OrderShares | None = None

    def __iter__(self) -> Iterator[Problem]:
        """Iterate over the problems."""
        return iter(self.problems)

    def __len__(self) -> int:
        """Return the number of kinds of problems."""
        return len(self.problems)

    def lines(self) -> list[str]:
        """Return each problem and remark as one line."""
        return [*map(str, self.problems), *self.remarks]

    def log(self) -> None:
        """Log each problem and remark as one warning."""
        for line in self.lines():
            logger.warning("%s", line)

    def why_none(self, table: Table) -> str:
        """Return what was dropped from a table, kind by kind; "" if nothing was."""
        kinds = [
            f"{problem.count:,} {problem.action}: {problem.kind} (the first in {problem.location}: {problem.value})"
            for problem in self.problems
            if problem.file == table.file and problem.action in {"dropped", _ACTIONS["hide"]}
        ]
        return f"left of {len(table.frame):,}; {'; '.join(kinds)}" if kinds else ""

    def check(self, table: Table, records: pl.Series, values: pl.Series, kind: str, key: str, policy: str) -> None:
        """Note the records with a problem; raises DataError if the policy rejects them.

        Args:
            table: the table of the records.
            records: numbers of the records concerned, in file order.
            values: their values.
            kind: what is wrong.
            key: the setting under ``data.policies`` that decides what to do.
            policy: the value of that setting.
        """
        count = len(records)
        if not count:
            return
        location, value = table.locate(int(records[0])), repr(values[0])
        if policy == "error":
            more = f" (the first of {count})" if count > 1 else ""
            raise DataError(
                f"{table.file}, {location}: {kind}: {value}{more}; "
                f'correct the file, or set data.policies.{key} = "{_INSTEAD.get(key, "drop")}" in domain.toml'
            )
        self.problems.append(Problem(table.file, kind, count, location, value, _ACTIONS.get(policy, "dropped")))
