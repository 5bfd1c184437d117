"""Filters over attributes: ``genre != 'Horror' and 1980 <= year < 1990``, evaluated over the whole catalog at once.

Grammar::

    expression  =  comparison | expression and expression | expression or expression | not expression | (expression)
    comparison  =  value operator value [operator value ...]          one side is a field, the other a literal
                |  field in [literal, ...]  |  field not in [literal, ...]
                |  'text' in field          |  'text' not in field
    operator    =  ==  =  !=  <  <=  >  >=

Fields are the catalog's attributes, and ``title`` and ``id``. Meaning:

- Text is compared without regard to case, and a letter and its mark may be one character or two.
  ``'star' in title`` looks for a part of it.
- A list (genres) is equal to each of its labels: ``genre == 'Comedy'``, ``'Comedy' in genre``,
  ``genre in ['Comedy', 'Drama']`` (any of them). ``genre != 'Horror'`` is true of an empty list too.
- An unknown value satisfies no comparison, not even ``!=`` or a negated one: neither ``year > 1980`` nor
  ``not year > 1980`` is true of an item without a year.

Expressions are parsed, never executed. Anything outside the grammar is rejected.
"""

from __future__ import annotations

import ast
import difflib
import io
import logging
import operator
import sys
import tokenize
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.normal_form import composed, folded
from genre_gen.errors import FilterError

logger = logging.getLogger(__name__)

MAX_LENGTH = 2000
MAX_DEPTH = 32
MAX_COMPARED = 1000  # words that a misspelt word is compared with
EXAMPLE = "genre == 'Comedy' and 1980 <= year < 1990"

Mask: TypeAlias = NDArray[np.bool_]
Operator: TypeAlias = type[ast.cmpop]

_COMPARE: dict[Operator, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MIRRORED: dict[Operator, Operator] = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}


class Items(Protocol):
    """The part of a catalog that filters use: items with an id, a title and attributes."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the attributes."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the items in row order."""


def evaluate(expression: str, catalog: Items, longest: int = MAX_LENGTH) -> Mask:
    """Return which items satisfy an expression of at most ``longest`` characters, bool ``[n_items]``.

    Raises:
        FilterError: the expression is empty, too long, not in the grammar, names an unknown field, or compares a
            number with text.
    """
    tree = _parse(expression, longest)
    try:
        return _truth(tree, catalog).yes
    except FilterError as problem:
        raise FilterError(f"where {expression!r:.80}: {problem}") from None


def values_of(name: str, catalog: Items) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which items have which values of a field: pairs of a row and a value's number, both int ``[pairs]``.

    Values that are equal in comparisons have the same number. A list has each of its labels; an unknown value is none.

    Raises:
        FilterError: no such field, or one that mixes types.
    """
    return _column(catalog, name).pairs()


@dataclass(frozen=True)
class _Truth:
    """Items for which a condition is true, and items for which it is false; neither if unknown (Kleene's logic)."""

    yes: Mask
    no: Mask

    def __invert__(self) -> _Truth:
        return _Truth(self.no, self.yes)

    def __and__(self, other: _Truth) -> _Truth:
        return _Truth(self.yes & other.yes, self.no | other.no)

    def __or__(self, other: _Truth) -> _Truth:
        return ~(~self & ~other)


class _Numbers:
    """A field of numbers."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self._name = name
        self._values = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        self._known = ~np.isnan(self._values)

    def compare(self, how: Operator, literal: str | float) -> _Truth:
        return self._known_truth(_COMPARE[how](self._values, self._number(literal)))

    def among(self, literals: Sequence[str | float]) -> _Truth:
        return self._known_truth(np.isin(self._values, [self._number(literal) for literal in literals]))

    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        numbers = np.unique(self._values[self._known], return_inverse=True)[1]
        return np.flatnonzero(self._known), numbers

    def contains(self, literal: str | float) -> _Truth:
        raise FilterError(f"{self._name} is a number; 'in' needs text or a list; write {self._name} == {literal}")

    def _number(self, literal: str | float) -> float:
        if isinstance(literal, str):
            raise FilterError(f"{self._name} is a number; compare it with one, without quotes, not with {literal!r}")
        return literal

    def _known_truth(self, holds: Mask) -> _Truth:
        return _Truth(holds & self._known, ~holds & self._known)


class _Words:
    """A field of text or of lists of labels: its distinct words, and the items that have each."""

    def __init__(self, name: str, values: Sequence[Any], is_list: bool, fold: Callable[[str], str]) -> None:
        self._name, self._is_list, self._fold = name, is_list, fold
        self._known = np.array([value is not None for value in values], dtype=np.bool_)
        lists = [value if is_list else (value,) for value in values if value is not None]
        number: dict[str, int] = {}
        self._numbers = np.array([number.setdefault(fold(word), len(number)) for words in lists for word in words], int)
        self._spelled = {fold(word): word for words in lists for word in words}
        self._rows = np.repeat(np.flatnonzero(self._known), [len(words) for words in lists])
        self._words = tuple(number)

    def compare(self, how: Operator, literal: str | float) -> _Truth:
        word = self._word(literal)
        if how in (ast.Eq, ast.NotEq):
            equal = self.among([literal])
            return equal if how is ast.Eq else ~equal
        if self._is_list:
            raise FilterError(f"{self._name} is a list; use ==, != or in, such as {self._name} == {literal!r}")
        return self._having(lambda value: _COMPARE[how](value, word))

    def among(self, literals: Sequence[str | float]) -> _Truth:
        wanted = {self._word(literal): literal for literal in literals}
        for word in sorted(wanted.keys() - set(self._words)):
            close = difflib.get_close_matches(word, self._words, n=1) if len(self._words) <= MAX_COMPARED else ()
            hint = f"; the closest is {self._spelled[close[0]]!r}" if close else ""
            logger.warning("no item has %s %r%s", self._name, wanted[word], hint)
        return self._having(wanted.__contains__)

    def contains(self, literal: str | float) -> _Truth:
        part = self._word(literal)
        return self.among([literal]) if self._is_list else self._having(lambda value: part in value)

    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return self._rows, self._numbers

    def _word(self, literal: str | float) -> str:
        if not isinstance(literal, str):
            raise FilterError(f"{self._name} holds text; write it in quotes: '{literal:g}'")
        return self._fold(literal)

    def _having(self, wanted: Callable[[str], bool]) -> _Truth:
        """Return which items have a wanted word."""
        hit = np.fromiter((wanted(word) for word in self._words), np.bool_, len(self._words))
        holds = np.zeros(len(self._known), dtype=np.bool_)
        holds[self._rows[hit[self._numbers]]] = True
        return _Truth(holds, ~holds & self._known)


_Column: TypeAlias = _Numbers | _Words
_COLUMNS: WeakKeyDictionary[Items, dict[str, _Column]] = WeakKeyDictionary()


def _column(catalog: Items, name: str) -> _Column:
    """Return a field of a catalog, made once per catalog."""
    columns, name = _COLUMNS.setdefault(catalog, {}), unicodedata.normalize("NFKC", name)
    if name not in columns:
        columns[name] = _make_column(catalog, name)
    return columns[name]


def _make_column(catalog: Items, name: str) -> _Column:
    if name == "id":
        return _Words(name, [item.id for item in catalog], False, composed)
    if name == "title":
        return _Words(name, [item.title for item in catalog], False, folded)
    # Python reads a name in its compatible form, NFKC: "µ", the sign of micro, as the Greek letter.
    name = next((field for field in catalog.fields if unicodedata.normalize("NFKC", field) == name), name)
    if name not in catalog.fields:
        close = difflib.get_close_matches(name, (*catalog.fields, "id", "title"), n=1)
        hint = f"did you mean {close[0]}?" if close else f"text needs quotes: '{name}'"
        raise FilterError(f"no field {name}; there are {', '.join((*catalog.fields, 'id', 'title'))}; {hint}")
    values = [item.attributes[name] for item in catalog]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return _Numbers(name, values)
    if kinds in ({str}, {tuple}):
        return _Words(name, values, kinds == {tuple}, folded)
    raise FilterError(f"{name} mixes {', '.join(sorted(kind.__name__ for kind in kinds))}; make it one type")


def _truth(node: ast.AST, catalog: Items) -> _Truth:
    """Evaluate a node that is a condition on items."""
    if isinstance(node, ast.BoolOp):
        join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        return reduce(join, [_truth(value, catalog) for value in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_truth(node.operand, catalog)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        links = zip(sides, node.ops, sides[1:], strict=False)
        return reduce(operator.and_, [_comparison(*link, catalog) for link in links])
    raise FilterError(f"{ast.unparse(node)} is not a comparison; write one such as {EXAMPLE}")


def _comparison(left: ast.expr, how: ast.cmpop, right: ast.expr, catalog: Items) -> _Truth:
    """Evaluate one operator between a field and a literal."""
    if isinstance(how, (ast.In, ast.NotIn)):
        truth = _membership(left, right, catalog)
        return truth if isinstance(how, ast.In) else ~truth
    kind = type(how)
    if kind not in _COMPARE:
        raise FilterError("the operators is and is not are not supported; use == and !=")
    if isinstance(right, ast.Name):
        left, right, kind = right, left, _MIRRORED.get(kind, kind)
    if not isinstance(left, ast.Name):
        raise FilterError(f"{ast.unparse(left)} is compared with {ast.unparse(right)}; one side must be a field")
    return _column(catalog, left.id).compare(kind, _literal(right))


def _membership(left: ast.expr, right: ast.expr, catalog: Items) -> _Truth:
    """Evaluate ``field in [literals]`` or ``'text' in field``."""
    if isinstance(right, ast.Name):
        return _column(catalog, right.id).contains(_literal(left))
    if isinstance(left, ast.Name) and isinstance(right, (ast.List, ast.Tuple, ast.Set)):
        return _column(catalog, left.id).among([_literal(element) for element in right.elts])
    raise FilterError(f"in needs a list or a field on its right, such as year in [1994], not {ast.unparse(right)}")


def _literal(node: ast.expr) -> str | float:
    """Return a text or a finite number."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _literal(node.operand)
        if not isinstance(value, str):
            return -value if isinstance(node.op, ast.USub) else value
    given = node.value if isinstance(node, ast.Constant) else None
    if isinstance(given, str):
        return given
    if isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) < sys.float_info.max:
        return float(given)
    if isinstance(node, ast.Name):
        raise FilterError(f"{node.id} is not a value; text needs quotes: '{node.id}'")
    raise FilterError(f"{ast.unparse(node)} is neither text in quotes nor a number")


def _parse(expression: str, longest: int) -> ast.AST:
    """Return the syntax tree; raises FilterError above the limits of length and depth."""
    if not expression.strip():
        raise FilterError(f"where: the expression is empty; write one such as {EXAMPLE}")
    if len(expression) > longest:
        raise FilterError(f"where: {len(expression)} characters; at most {longest} are allowed; shorten it")
    try:
        tree = ast.parse(_double_equals(expression.strip()), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError, tokenize.TokenError) as problem:
        raise FilterError(
            f"where {expression!r:.80}: cannot be read{_position(problem, expression)}; join comparisons by and, or, "
            f"not, such as {EXAMPLE}"
        ) from None
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise FilterError(f"where: nested deeper than {MAX_DEPTH} levels; write it with fewer parentheses")


def _position(problem: Exception, expression: str) -> str:
    """Return where the parser gave up, in characters from the expression's first; nothing where it does not say."""
    if not isinstance(problem, SyntaxError) or problem.offset is None or "\n" in expression.strip():
        return ""
    if problem.offset < 1:
        return " at its end"
    columns = [column for _, column in _single_equals(expression.strip())]
    doubled = sum(column + number + 1 < problem.offset for number, column in enumerate(columns))
    return f" at character {problem.offset - doubled + len(expression) - len(expression.lstrip())}"


def _double_equals(expression: str) -> str:
    """Return the expression with ``=`` written as ``==``, except inside text."""
    lines = expression.splitlines(keepends=True)
    for line, column in reversed(_single_equals(expression)):
        lines[line] = lines[line][:column] + "=" + lines[line][column:]
    return "".join(lines)


def _single_equals(expression: str) -> list[tuple[int, int]]:
    """Return the lines and columns of each ``=`` outside text, from 0 on."""
    tokens = tokenize.generate_tokens(io.StringIO(expression).readline)
    return [(token.start[0] - 1, token.start[1]) for token in tokens if token.exact_type == tokenize.EQUAL]
