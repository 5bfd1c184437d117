"""Templates whose output knows where each word came from, and which always stop.

*Trust.* A rendered template is a list of pieces, never one string. The code generator writes the template's own
words as ``environment.words('...')``; nothing else can make :class:`Words`. Whatever an expression yields passes
:meth:`TemplateEnvironment.output`, which returns a plain ``str`` (untrusted), a :class:`Code`, or a
:class:`Fragment`, the list of pieces that ``{% set %}...{% endset %}``, a macro or a call block captured. A piece that
is not ``Words`` or ``Code`` is untrusted, so there is no marker that a title could forge.

*Limits.* Every loop step, call, filter and capture spends from a :class:`Budget` of work and processor time. Between
two of them only straight-line code of a file of at most 16 KB can run, on values that the budget has paid for.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import gc
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from types import GeneratorType
from typing import Any, ClassVar, NoReturn

from jinja2 import StrictUndefined, Undefined, filters, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import Template, TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.loaders import FunctionLoader
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from genre_gen.data.titles import article_first
from genre_gen.errors import PromptError

MAX_SOURCE = 16_384  # characters of one file
MAX_OUTPUT = 65_536  # characters of one prompt; an item code counts as one
MAX_WORK = 1_000_000  # loop steps, list elements, and characters / 16
MAX_SECONDS = 0.5  # processor time of the rendering thread, so that a busy machine fails no prompt
LITTLE_WORK = 10_000  # of what has done no more than this, half a second is not the template's
MAX_RANGE = 10_000
MAX_NUMBER = 1e15
MAX_DIGITS = 15  # of rounding, on either side of the point: Python computes 10 to the power of them
CHARACTERS_PER_UNIT = 16


class Budget:
    """What one rendering may still spend."""

    def __init__(self, work: int = MAX_WORK, seconds: float = MAX_SECONDS) -> None:
        """Start the clock."""
        self._work, self._seconds = work, seconds
        self._little = work - LITTLE_WORK
        self._start()

    def _start(self) -> None:
        self._until, self._not_before = time.thread_time() + self._seconds, time.monotonic() + self._seconds

    def charge(self, units: int) -> None:
        """Pay for work without looking at the clock."""
        self._work -= units
        if self._work < 0:
            raise PromptError("the template does too much work; loop over less, or shorten the history")

    def spend(self, units: int) -> None:
        """Pay for work."""
        self.charge(units)
        # A thread's processor time is a call to the system, and cannot be used up before as much of the clock's is.
        if time.monotonic() > self._not_before and time.thread_time() > self._until:
            if self._work < self._little:
                raise PromptError("the template takes too long; loop over less, or shorten the history")
            # Some machines count it as a thread's own time when they let it wait: forgiven once.
            self._little = self._work + 1
            self._start()


_BUDGET: ContextVar[Budget] = ContextVar("budget")


class Words:
    """The template's own words. Only code that the compiler wrote makes these while rendering."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Hold the words."""
        self.text = text


@dataclasses.dataclass(frozen=True)
class Code:
    """An item's code, to be printed on its own: ``{{ item.code }}``."""

    row: int

    def __str__(self) -> str:
        """Refuse: as text, a code would no longer be the item's token."""
        raise PromptError("an item code is no text; print it on its own, as {{ item.code }}, in a loop for several")


class Fragment:
    """Pieces that a block of the template captured; printing it prints the pieces as they are."""

    __slots__ = ("_pieces", "_size")

    def __init__(self, pieces: Iterable[object]) -> None:
        """Flatten what the block wrote."""
        self._pieces = tuple(flatten(pieces))
        self._size = sum(_length(piece) for piece in self._pieces)

    def __str__(self) -> str:
        """Return the captured text, all of it untrusted from here on; a captured item code is refused."""
        return "".join(piece.text if isinstance(piece, Words) else str(piece) for piece in self._pieces)

    def __bool__(self) -> bool:
        """Tell whether anything was captured."""
        return bool(self._pieces)


def flatten(pieces: Iterable[object]) -> Iterator[object]:
    """Yield pieces with fragments replaced by what they hold."""
    for piece in pieces:
        if isinstance(piece, Fragment):
            yield from piece._pieces
        else:
            yield piece


def _length(piece: object) -> int:
    if isinstance(piece, Words):
        return len(piece.text)
    return len(piece) if isinstance(piece, str) else 1


def as_text(value: object) -> str:
    """Return a value as text: None is empty, whole numbers have no point; lists and item codes are refused."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, Undefined):
        _fail(value)
    if isinstance(value, bool):
        raise PromptError("a true/false value has no words; write {% if ... %}...{% endif %}")
    if isinstance(value, int | float):
        return str(int(value)) if abs(value) < MAX_NUMBER and value == int(value) else f"{value:.12g}"
    if isinstance(value, Fragment | Code):
        return str(value)
    if isinstance(value, list | tuple):
        raise PromptError("a list is no text; write {{ ...|join(', ') }} or a loop")
    raise PromptError(f"a {type(value).__name__} is no text; print one of its fields{_fields_hint(value)}")


def _fail(value: Undefined) -> NoReturn:
    value._fail_with_undefined_error()


def _field_names(value: object) -> tuple[str, ...]:
    """Return the names that a template may read from a value."""
    if isinstance(value, Mapping):
        return tuple(value)
    if dataclasses.is_dataclass(value):
        own = tuple(field.name for field in dataclasses.fields(value))
        attributes = getattr(value, "attributes", {})
        return own + tuple(name for name in attributes if name not in own)
    return ()


def _fields_hint(value: object) -> str:
    names = _field_names(value)
    return f" ({', '.join(names)})" if names else ""


class Missing(StrictUndefined):
    """A name that is not there; says which names are."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        holder, name = self._undefined_obj, self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if holder is missing:
            return f"no variable {name!r} here"
        if holder is None:
            return f"{name!r} was asked of a value that was not given (None); guard it with {{% if ... %}}"
        names = _field_names(holder)
        return f"no {name!r} here{closest(str(name), names)}" + (f"; there are {', '.join(names)}" if names else "")


def closest(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` for a misspelt word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


# --- filters -----------------------------------------------------------------------------------------------------


def _truncate(value: object, length: int = 80, end: str = "…") -> str:
    text = as_text(value)
    if len(text) <= length:
        return text
    room = max(0, length - len(end))
    words = text[: room + 1].rsplit(None, 1)
    return (words[0] if len(words) > 1 else text[:room]).rstrip() + end


def _replace(value: object, old: str, new: str) -> str:
    text, new = as_text(value), as_text(new)
    if not isinstance(old, str) or not old:
        raise PromptError("replace needs a text to look for")
    _BUDGET.get().spend(text.count(old) * len(new) // CHARACTERS_PER_UNIT)
    return text.replace(old, new)


def _join(values: Iterable[object], separator: str = "") -> str:
    parts, budget = [], _BUDGET.get()
    for value in _iterable(values):
        parts.append(as_text(value))
        budget.spend(1 + (len(parts[-1]) + len(separator)) // CHARACTERS_PER_UNIT)
    return as_text(separator).join(parts)


def _sum(values: Iterable[object]) -> float:
    total: float = 0
    for value in _iterable(values):
        total = _arithmetic("+", total, value)
    return total


def _round(value: object, digits: object = 0) -> float:
    if not isinstance(digits, int) or not -MAX_DIGITS <= digits <= MAX_DIGITS:
        raise PromptError(f"round takes {-MAX_DIGITS} to {MAX_DIGITS} digits")
    return round(_number(value), digits)


def _length_of(values: Any) -> int:
    return len(str(values) if isinstance(values, Fragment) else values)


def _textual(method: Callable[[str], str]) -> Callable[[object], str]:
    return lambda value: method(as_text(value))


FILTERS: dict[str, Callable[..., Any]] = {
    "upper": _textual(str.upper),
    "lower": _textual(str.lower),
    "capitalize": _textual(str.capitalize),
    "title": _textual(str.title),
    "trim": _textual(str.strip),
    "string": _textual(str),
    "article_first": _textual(article_first),
    "truncate": _truncate,
    "replace": _replace,
    "join": _join,
    "sum": _sum,
    "round": _round,
    "length": _length_of,
    "count": _length_of,
    "default": filters.do_default,
    "first": filters.do_first,
    "last": filters.do_last,
    "list": filters.do_list,
    "reverse": filters.do_reverse,
    "sort": filters.do_sort,
    "unique": filters.do_unique,
    "min": filters.do_min,
    "max": filters.do_max,
    "items": filters.do_items,
    "map": filters.sync_do_map,
    "select": filters.sync_do_select,
    "reject": filters.sync_do_reject,
    "selectattr": filters.sync_do_selectattr,
    "rejectattr": filters.sync_do_rejectattr,
}
"""The filters that a template may use."""


def _iterable(values: Any) -> Iterable[Any]:
    if isinstance(values, Undefined):
        _fail(values)
    if values is None or isinstance(values, str | Code | Fragment) or not hasattr(values, "__iter__"):
        raise PromptError(f"expected a list, not {'None' if values is None else 'a ' + type(values).__name__}")
    return values


def _steps(values: Any) -> Iterator[Any]:
    """Yield values, paying for each; every loop of a template runs over this."""
    budget = _BUDGET.get()
    for value in _iterable(values):
        budget.spend(1)
        yield value


def _compared(value: Any) -> Any:
    """Pay for comparing with a value, or searching it."""
    _BUDGET.get().spend(1 + _size(value))
    return value


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value) // CHARACTERS_PER_UNIT
    if isinstance(value, Fragment):
        return value._size // CHARACTERS_PER_UNIT
    return len(value) if isinstance(value, list | tuple | dict | range) else 0


def _paid(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a filter pay for what it reads and for what it returns."""

    @functools.wraps(function)  # keeps Jinja's marks, such as pass_context
    def pay(*arguments: Any, **options: Any) -> Any:
        budget = _BUDGET.get()
        budget.spend(1 + sum(map(_size, arguments)))
        result = function(*arguments, **options)
        if isinstance(result, GeneratorType):
            return _steps(result)
        budget.charge(_size(result))
        return result

    return pay


# --- operators ---------------------------------------------------------------------------------------------------

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


# Jinja's own take any value, and % of a text formats it, with as many spaces as it says.
TESTS: dict[str, Callable[..., bool]] = {
    "even": lambda value: _arithmetic("%", value, 2) == 0,
    "odd": lambda value: _arithmetic("%", value, 2) == 1,
    "divisibleby": lambda value, divisor: _arithmetic("%", value, divisor) == 0,
}
"""Tests of numbers, in the place of Jinja's."""


def _number(value: object) -> int | float:
    if isinstance(value, Undefined):
        _fail(value)
    if isinstance(value, int | float):
        return value
    raise PromptError(f"arithmetic is for numbers, not for a {type(value).__name__}; join texts with ~")


def _arithmetic(symbol: str, left: object, right: object) -> int | float:
    result = _OPERATORS[symbol](_number(left), _number(right))
    if abs(result) > MAX_NUMBER:
        raise PromptError(f"a number beyond {MAX_NUMBER:g}")
    return result


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise PromptError(f"range of {len(numbers)} numbers; at most {MAX_RANGE} are allowed")
    return numbers


# --- the environment ---------------------------------------------------------------------------------------------


class _PieceGenerator(CodeGenerator):
    """Writes template words and expression values apart; see the module's text."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return f"environment.words({''.join(group)!r})"

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible  # never evaluated at compile time: {{ 'a' }} is a value like any other
        return node.data

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write("environment.output(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        """Write ``a ~ b`` as a joining that is paid for."""
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        """Write ``values[a:b]`` as a cut that is paid for (Jinja would slice directly)."""
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.cut(")
        self.visit(node.node, frame)
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            self.visit(bound or nodes.Const(None), frame)
        self.write(")")


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Jinja restricted to what prompts need: loops, conditions, macros, includes, a few filters, small numbers."""

    code_generator_class = _PieceGenerator
    concat = staticmethod(Fragment)  # type: ignore[assignment]
    intercepted_binops: ClassVar[frozenset[str]] = frozenset([*_OPERATORS, "**"])  # type: ignore[misc]

    def __init__(self, sources: Mapping[str, str], filenames: Mapping[str, str]) -> None:
        """Offer the given files, and no others, for rendering and for ``{% include %}``."""

        def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
            return (sources[name], filenames[name], lambda: True) if name in sources else None

        super().__init__(
            loader=FunctionLoader(load),
            undefined=Missing,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # nothing of a template runs before there is a budget
        )
        self.filters = {name: _paid(function) for name, function in FILTERS.items()}
        self.filters |= {"steps": _steps, "compared": _compared}
        tests: dict[str, Any] = {**self.tests, **TESTS}
        self.tests = {name: _paid(function) for name, function in tests.items()}
        self.globals = {"range": _range}

    def pieces(self, name: str, variables: Mapping[str, Any]) -> list[Words | Code | str]:
        """Render a template to words (trusted), codes, and plain strings (untrusted)."""
        template = self.get_template(name)
        pieces: list[Any] = []
        size = 0
        for piece in flatten(template.root_render_func(template.new_context(dict(variables)))):
            size += _length(piece)
            if size > MAX_OUTPUT:
                raise PromptError(f"the prompt is longer than {MAX_OUTPUT} characters; shorten the history or a text")
            pieces.append(piece)
        return pieces

    def _generate(self, source: nodes.Template, *arguments: Any, **options: Any) -> str:
        for loop in source.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "steps", [], [], None, None, lineno=loop.lineno)
        for operand in source.find_all(nodes.Operand):  # of ==, in, < ...
            operand.expr = nodes.Filter(operand.expr, "compared", [], [], None, None, lineno=operand.lineno)
        for choice in source.find_all(nodes.CondExpr):  # {{ a if b }} prints nothing otherwise
            choice.expr2 = choice.expr2 or nodes.Const(None)
        return super()._generate(source, *arguments, **options)

    # Called by the code that _PieceGenerator writes.

    def words(self, text: str) -> Words:
        """Return the template's own words."""
        _BUDGET.get().charge(1 + len(text) // CHARACTERS_PER_UNIT)
        return Words(text)

    def output(self, value: object) -> str | Code | Fragment:
        """Return what ``{{ value }}`` prints."""
        budget = _BUDGET.get()
        if isinstance(value, Code):
            budget.charge(1)
            return value
        if isinstance(value, Fragment):
            budget.spend(1 + len(value._pieces) + value._size // CHARACTERS_PER_UNIT)
            return value
        text = as_text(value)
        budget.charge(1 + len(text) // CHARACTERS_PER_UNIT)
        return text

    def joined(self, values: tuple[object, ...]) -> str:
        """Return what ``a ~ b`` yields."""
        return _join(values)

    def cut(self, values: Any, start: int | None, stop: int | None, step: int | None) -> Any:
        """Return what ``values[start:stop:step]`` yields."""
        if not isinstance(values, str | list | tuple | range):
            raise PromptError(f"a {type(values).__name__} cannot be cut; make it a list with |list")
        part = values[start:stop:step]
        _BUDGET.get().spend(1 + _size(part))
        return part

    # Called by Jinja.

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute with numbers only, and small ones."""
        return _arithmetic(operator, left, right)

    def call(self, context: Any, function: Any, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        """Call a macro, ``range``, or a method that the sandbox handed out, and pay for it."""
        _BUDGET.get().spend(1)
        if isinstance(function, Undefined):
            _fail(function)
        return super().call(context, function, *arguments, **options)

    def get_template(self, name: Any, *arguments: Any, **options: Any) -> Template:
        """Return a template; including one while rendering is paid for."""
        budget = _BUDGET.get(None)
        if budget is not None:
            budget.spend(1)
        return super().get_template(name, *arguments, **options)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow the fields of dataclasses, loop variables, imported macros, and reading a mapping."""
        if attr.startswith("_"):
            return False
        if isinstance(obj, Mapping):
            return attr in ("items", "keys", "values", "get")
        if isinstance(obj, LoopContext | TemplateModule):
            return True
        return dataclasses.is_dataclass(obj) and attr in obj.__dataclass_fields__

    def is_safe_callable(self, obj: Any) -> bool:
        """Allow what :meth:`is_safe_attribute` handed out, macros and ``range``."""
        holder = getattr(obj, "__self__", None)
        return isinstance(obj, Macro) or obj is _range or isinstance(holder, Mapping | LoopContext)

    def wrap_str_format(self, value: Any) -> None:
        """Offer no ``str.format``: ``'{:>99999999}'.format(1)`` is a bomb."""
        return

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Explain what to do instead of calling a method."""
        kind = type(obj).__name__
        return self.undefined(
            f"{attribute!r} of a {kind} cannot be used here; there are the filters {', '.join(sorted(FILTERS))}",
            exc=SecurityError,
        )


_STATEMENTS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Macro, nodes.CallBlock,
    nodes.FilterBlock, nodes.With, nodes.Assign, nodes.AssignBlock, nodes.Include, nodes.Import, nodes.FromImport,
    nodes.Scope,
)  # fmt: skip
_EXPRESSIONS = (
    nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test,
    nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
)  # fmt: skip


def refused(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Yield line and reason of each construct that prompts do without."""
    for node in tree.find_all(nodes.Node):
        kind = type(node).__name__
        if not isinstance(node, _STATEMENTS + _EXPRESSIONS):
            yield node.lineno, f"{kind.lower()} is not available in prompts"
        elif isinstance(node, nodes.For) and node.recursive:
            yield node.lineno, "a recursive loop is not available in prompts"
        elif isinstance(node, nodes.Name) and node.name in ("varargs", "kwargs"):
            yield node.lineno, f"{node.name} is not available in prompts"
        elif isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and (node.dyn_args or node.dyn_kwargs):
            yield node.lineno, "* and ** in a call are not available in prompts"
        elif isinstance(node, nodes.Include | nodes.Import | nodes.FromImport):
            if not (isinstance(node.template, nodes.Const) and isinstance(node.template.value, str)):
                yield node.lineno, f"{kind.lower()} needs the file's name in quotes"
        elif isinstance(node, nodes.List | nodes.Tuple) and getattr(node, "ctx", "load") == "load":
            yield from _deep(node)


def included(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Yield line and name of each file that a template includes or imports."""
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport) and isinstance(node.template, nodes.Const):
            yield node.lineno, str(node.template.value)


def _deep(node: nodes.List | nodes.Tuple) -> Iterator[tuple[int, str]]:
    """Refuse lists of lists: they could double in depth without end, and comparing two such takes forever."""
    if not all(isinstance(item, nodes.Const | nodes.Getattr) for item in node.items):
        yield node.lineno, "a list may hold constants and fields only"


def spending(budget: Budget) -> _Spending:
    """Return a context in which templates pay from a budget."""
    return _Spending(budget)


class _Spending:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def __enter__(self) -> None:
        self._token = _BUDGET.set(self._budget)
        # A collection of all that a large process holds can take half a second, which no template has spent.
        self._collects = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._collects:
            gc.enable()
        _BUDGET.reset(self._token)
