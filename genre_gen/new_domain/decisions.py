"""Decisions about the columns of two unknown tables: what was given, chosen and why, and what is to be asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import polars as pl

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import is_single
from genre_gen.errors import DataError
from genre_gen.new_domain.names import Role, named, word_rank

NONE = "none"  # means "there is no such column"
OF_INTERACTIONS: tuple[Role, ...] = ("user", "item", "rating", "time", "event")
OF_ITEMS: tuple[Role, ...] = ("item_id", "title", "text")
OPTIONAL: tuple[Role, ...] = ("rating", "time", "event", "title", "text")


@dataclass(frozen=True)
class Choice:
    """One decision, for display: the role of a column, and the reason."""

    role: str
    column: str
    why: str


def role_key(role: Role, column: str | None = None) -> str:
    """Return how to name a role's column, for messages: ``columns["user"]`` or ``columns["user"]="reader"``."""
    return f'columns["{role}"]' + (f'="{column}"' if column is not None else "")


@dataclass
class Decisions:
    """The decisions so far."""

    log: Table
    items: Table | None  # the item table, or the one made of the interactions if these are the only table
    given: dict[Role, str]
    columns: dict[Role, str] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    left_out: list[Choice] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Keep an error as a question, so that all questions are asked at once."""
        try:
            yield
        except DataError as problem:
            self.questions.append(str(problem))

    def of(self, role: Role) -> pl.Series:
        """Return the interactions' column of a role."""
        return self.log.frame[self.columns[role]]

    def take(self, role: Role, column: str, why: str) -> None:
        """Decide on the column of a role."""
        self.columns[role] = column
        self.choices.append(Choice(role, column, why))

    def leave_out(self, column: str, why: str) -> None:
        """Decide that a column is not used."""
        self.left_out.append(Choice("", column, why))

    def given_of_log(self) -> list[str]:
        """Return the given columns of the interactions."""
        return [column for role, column in self.given.items() if role in OF_INTERACTIONS and column != NONE]

    def others(self) -> list[str]:
        """Return the columns of the interactions that have no role so far."""
        used = {column for role, column in self.columns.items() if role in OF_INTERACTIONS}
        return [column for column in flat(self.log) if column not in used]

    def by_name(self, table: Table, role: Role, used: Iterable[str]) -> str | None:
        """Return the column whose name indicates a role most clearly, or None."""
        return next(iter(self.named(table, role, used)), None)

    def named(self, table: Table, role: Role, used: Iterable[str]) -> list[str]:
        """Return the columns whose names indicate a role, the clearest first."""
        taken = set(used)
        scores = {name: named(name, role) for name in flat(table) if name not in taken}
        likely = [name for name in scores if scores[name] > 0]
        return sorted(likely, key=lambda name: (-scores[name], word_rank(name, role)))

    def unclear(self, role: Role, table: Table, candidates: Collection[str]) -> DataError:
        """Return the error for a role whose column cannot be inferred."""
        without = f" (or {role_key(role, NONE)})" if role in OPTIONAL else ""
        return DataError(
            f"{table.file}: cannot tell which column is the {role.replace('_', ' ')}; name it as "
            f"{role_key(role)}, one of {', '.join(candidates) or 'none, all are used'}{without}"
        )


def enumerated(problems: Collection[str]) -> str:
    """Return several problems in one line, numbered if there is more than one."""
    if len(problems) == 1:
        return next(iter(problems))
    return f"{len(problems)} questions: " + "; ".join(f"({n}) {problem}" for n, problem in enumerate(problems, 1))


def flat(table: Table) -> list[str]:
    """Return the columns that are neither lists nor bytes."""
    return [column.name for column in table.frame if is_single(column)]


def why_given(role: Role, given: Mapping[Role, str]) -> str:
    """Return why a column was taken that was given, or found by its name."""
    return "as named" if role in given else "by its name"
