"""Given columns: whether the named roles and columns exist, and which ones were meant instead."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import is_single
from genre_gen.errors import UsageError
from genre_gen.new_domain.decisions import NONE, OF_INTERACTIONS, OF_ITEMS, OPTIONAL, Decisions, enumerated, role_key
from genre_gen.new_domain.names import Role

_TOGETHER: tuple[set[Role], ...] = ({"item", "item_id"}, {"item", "title"}, {"item_id", "title"})
"""Roles that one column may have together: ids that are titles."""


def roles_of(given: Mapping[str, str | None]) -> dict[Role, str]:
    """Return named columns by role; raises UsageError for a role that does not exist."""
    roles: dict[str, Role] = {role: role for role in (*OF_INTERACTIONS, *OF_ITEMS)}
    for name in given:
        if name not in roles:
            raise UsageError(f"columns: no role {name!r}; {_close(name, roles) or 'there are ' + ', '.join(roles)}")
    return {roles[name]: NONE if column is None else column for name, column in given.items()}


def check_given(known: Decisions) -> None:
    """Raise UsageError for given columns that do not exist or do not fit, all in one message."""
    for role in OPTIONAL:
        column = known.given.get(role, "")
        if column.lower() == NONE and column not in _table(known, role).frame.columns:
            known.given[role] = NONE
    problems = [_problem(known, role, column) for role, column in known.given.items()]
    problems += [_twice(known, role, column) for role, column in known.given.items()]
    if problems := [problem for problem in dict.fromkeys(problems) if problem]:
        raise UsageError(enumerated(problems))


def _table(known: Decisions, role: Role) -> Table:
    return known.log if role in OF_INTERACTIONS or known.items is None else known.items


def _problem(known: Decisions, role: Role, column: str) -> str:
    """Return what is wrong with a given column, or ""."""
    table, key = _table(known, role), role_key(role, column)
    columns = table.frame.columns
    if column == NONE:
        needed = f"{key}: there is no {role.replace('_', ' ')} then; name one of {', '.join(columns)}"
        return "" if role in OPTIONAL else needed
    if role == "item_id" and known.items is None and known.given.get("item", column) != column:
        return f"{key}: names a column of the items; give a table of items too"
    if column not in columns:
        other = known.log if table is not known.log else known.items
        if known.items is None and role in OF_ITEMS:
            return f"{key}: names a column of the items; give a table of items too, or one of {', '.join(columns)}"
        elsewhere = f" ({other.file} has it)" if other is not None and column in other.frame.columns else ""
        close = _close(column, columns)
        return f"{key}: no such column in {table.file}{elsewhere}; {close and close + ' '}it has {', '.join(columns)}"
    if not is_single(table.frame[column]):
        kind = table.frame[column].dtype
        return f"{key}: type {kind}, not one string or number a record; name another column of {table.file}"
    return ""


def _twice(known: Decisions, role: Role, column: str) -> str:
    """Return that a column was given for several roles that it cannot have together, or ""."""
    roles = [other for other, name in known.given.items() if name == column]
    roles = [other for other in roles if _table(known, other) is _table(known, role) and {role, other} not in _TOGETHER]
    if column == NONE or len(roles) == 1:
        return ""
    return f'{" and ".join(map(role_key, roles))} are both "{column}"; name another column for one of them'


def _close(name: str, names: Collection[str]) -> str:
    """Return a question with the name that is most like another, or ""."""
    plain = {each.casefold(): each for each in names}
    close = difflib.get_close_matches(name.casefold(), plain, n=1)
    return f"did you mean {plain[close[0]]!r}?" if close else ""
