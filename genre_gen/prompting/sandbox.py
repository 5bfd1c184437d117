"""Templates whose output records the origin of each word, and whose work is bounded.

*Trust.* A rendered template is a list of pieces, never one string. The code generator writes the template's own words
as ``environment.words('...')``; nothing else can make :class:`~genre_gen.prompting.pieces.Words`. The value of every
expression passes :meth:`TemplateEnvironment.output`, which returns a plain ``str`` (untrusted), a ``Code``, or a
``Fragment``: the list of pieces that ``{% set %}...{% endset %}``, a macro or a call block captured. A piece that is
neither ``Words`` nor ``Code`` is untrusted, so there is no marker that a title could forge.

*Limits.* Every loop step, call, filter and capture spends from a :class:`~genre_gen.prompting.budget.Budget`. Between
two of these, only straight-line code of a file of at most 16 KB runs, on values already paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from jinja2 import Undefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import Template, TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.loaders import FunctionLoader
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from genre_gen.errors import PromptError
from genre_gen.prompting.budget import BUDGET, CHARACTERS_PER_UNIT, MAX_OUTPUT
from genre_gen.prompting.filters import (
    FILTERS,
    OPERATORS,
    TESTS,
    arithmetic,
    compared,
    join,
    limited_range,
    paid,
    size_of,
    steps,
)
from genre_gen.prompting.pieces import Code, Fragment, Missing, Words, as_text, fail, flatten, length_of


class _PieceGenerator(CodeGenerator):
    """Generates separate code for template words and expression values; see the module's docstring."""

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
        """Generate ``a ~ b`` as a call that is paid for."""
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        """Generate ``values[a:b]`` as a call that is paid for (Jinja would slice directly)."""
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
    intercepted_binops: ClassVar[frozenset[str]] = frozenset([*OPERATORS, "**"])  # type: ignore[misc]

    def __init__(self, sources: Mapping[str, str], filenames: Mapping[str, str]) -> None:
        """Set the files that can be rendered and included; there are no others."""

        def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
            return (sources[name], filenames[name], lambda: True) if name in sources else None

        super().__init__(
            loader=FunctionLoader(load),
            undefined=Missing,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # no part of a template runs before a budget exists
        )
        self.filters = {name: paid(function) for name, function in FILTERS.items()}
        self.filters |= {"steps": steps, "compared": compared}
        tests: dict[str, Any] = {**self.tests, **TESTS}
        self.tests = {name: paid(function) for name, function in tests.items()}
        self.globals = {"range": limited_range}

    def pieces(self, name: str, variables: Mapping[str, Any]) -> list[Words | Code | str]:
        """Render a template to words (trusted), codes, and plain strings (untrusted)."""
        template = self.get_template(name)
        pieces: list[Any] = []
        size = 0
        for piece in flatten(template.root_render_func(template.new_context(dict(variables)))):
            size += length_of(piece)
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
        BUDGET.get().charge(1 + len(text) // CHARACTERS_PER_UNIT)
        return Words(text)

    def output(self, value: object) -> str | Code | Fragment:
        """Return the piece that ``{{ value }}`` prints."""
        budget = BUDGET.get()
        if isinstance(value, Code):
            budget.charge(1)
            return value
        if isinstance(value, Fragment):
            budget.spend(1 + len(value.pieces) + value.size // CHARACTERS_PER_UNIT)
            return value
        text = as_text(value)
        budget.charge(1 + len(text) // CHARACTERS_PER_UNIT)
        return text

    def joined(self, values: tuple[object, ...]) -> str:
        """Return the value of ``a ~ b``."""
        return join(values)

    def cut(self, values: Any, start: int | None, stop: int | None, step: int | None) -> Any:
        """Return the value of ``values[start:stop:step]``."""
        if not isinstance(values, str | list | tuple | range):
            raise PromptError(f"a {type(values).__name__} cannot be sliced; make it a list with |list")
        part = values[start:stop:step]
        BUDGET.get().spend(1 + size_of(part))
        return part

    # Called by Jinja.

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute with small numbers only."""
        return arithmetic(operator, left, right)

    def call(self, context: Any, function: Any, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        """Call a macro, ``range`` or an allowed method, and pay for it."""
        BUDGET.get().spend(1)
        if isinstance(function, Undefined):
            fail(function)
        return super().call(context, function, *arguments, **options)

    def get_template(self, name: Any, *arguments: Any, **options: Any) -> Template:
        """Return a template; including one while rendering is paid for."""
        budget = BUDGET.get(None)
        if budget is not None:
            budget.spend(1)
        return super().get_template(name, *arguments, **options)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow the fields of dataclasses, loop variables, imported macros, and reading a mapping."""
        if attr.startswith("_"):
            return False
        if attr in getattr(type(obj), "__dataclass_fields__", ()):  # first, as the most frequent
            return True
        if isinstance(obj, Mapping):
            return attr in ("items", "keys", "values", "get")
        return isinstance(obj, LoopContext | TemplateModule)

    def is_safe_callable(self, obj: Any) -> bool:
        """Allow macros, ``range`` and methods that :meth:`is_safe_attribute` allows."""
        holder = getattr(obj, "__self__", None)
        return isinstance(obj, Macro) or obj is limited_range or isinstance(holder, Mapping | LoopContext)

    def wrap_str_format(self, value: Any) -> None:
        """Disable ``str.format``, since ``'{:>99999999}'.format(1)`` exhausts memory."""
        return

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Explain what to do instead of calling a method."""
        kind = type(obj).__name__
        return self.undefined(
            f"{attribute!r} of a {kind} cannot be used here; there are the filters {', '.join(sorted(FILTERS))}",
            exc=SecurityError,
        )
