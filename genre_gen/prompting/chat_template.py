"""Chat templates of tokenizers, rendered under the limits of our own.

They come with downloaded models and are programs. transformers renders them in Jinja's sandbox, which stops escapes,
but neither ``'a' * 200000000`` nor nested loops. Here each step is paid for, as in
:mod:`genre_gen.prompting.sandbox`, whose code generator and prices these templates share. They may use what published
templates use. There is no date: a prompt of today would not be the one of the training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.runtime import LoopContext, Macro
from jinja2.utils import Namespace

from genre_gen.errors import PromptError
from genre_gen.prompting.budget import BUDGET, CHARACTERS_PER_UNIT, MAX_NUMBER, spending
from genre_gen.prompting.filters import OPERATORS, limited_range, paid, size_of
from genre_gen.prompting.pieces import Fragment, Words
from genre_gen.prompting.sandbox import TemplateEnvironment

MAX_SOURCE = 65_536
"""Characters of a chat template; published ones have up to 20,000."""
_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        ("strip", "lstrip", "rstrip", "split", "rsplit", "startswith", "endswith", "upper", "lower", "title", "find")
    ),
    dict: frozenset(("items", "keys", "values", "get")),
}
_FILTERS = (
    *("trim", "length", "count", "string", "list", "join", "default", "first", "last", "upper", "lower", "capitalize"),
    *("title", "map", "select", "reject", "selectattr", "rejectattr", "items", "reverse", "int", "safe", "dictsort"),
)


class _Generation(Extension):
    """Render the text between ``{% generation %}`` and ``{% endgeneration %}``, used elsewhere in training."""

    tags: ClassVar[set[str]] = {"generation"}  # type: ignore[misc]

    def parse(self, parser: jinja2.parser.Parser) -> nodes.Node | list[nodes.Node]:
        """Return the block's content."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _RefusedError(Exception):
    """The template says that it does not take these messages."""


class _ChatEnvironment(TemplateEnvironment):
    """The sandbox of prompts, with what chat templates need: text methods, namespaces, values that may be missing."""

    def __init__(self, source: str) -> None:
        super().__init__({"chat_template": source}, {"chat_template": "chat_template"})
        self.undefined = jinja2.Undefined
        self.add_extension(LoopControlExtension)
        self.add_extension(_Generation)
        filters: dict[str, Any] = {**jinja2.defaults.DEFAULT_FILTERS}
        self.filters = {name: paid(filters[name]) for name in _FILTERS}
        self.filters |= {"tojson": paid(_to_json), "steps": _steps, "compared": _compared, "replace": _replace}
        tests: dict[str, Any] = {**jinja2.defaults.DEFAULT_TESTS}
        self.tests = {name: paid(test) for name, test in tests.items()}
        self.globals = {"range": limited_range, "namespace": Namespace, "raise_exception": _refuse}

    def output(self, value: object) -> Any:
        """Return what ``{{ value }}`` prints, as Jinja has it."""
        text = value if isinstance(value, Fragment) else str(value)
        size = value.size if isinstance(value, Fragment) else len(text)  # type: ignore[arg-type]
        BUDGET.get().spend(1 + size // CHARACTERS_PER_UNIT)
        return text

    def joined(self, values: tuple[object, ...]) -> str:
        """Return what ``a ~ b`` yields."""
        return _paid_text("".join(str(value) for value in values))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute with numbers, and join texts and lists."""
        if operator == "+" and isinstance(left, str | Fragment) and isinstance(right, str | Fragment):
            return _paid_text(str(left) + str(right))
        if operator == "+" and isinstance(left, list) and isinstance(right, list):
            BUDGET.get().spend(len(left) + len(right))
            return left + right
        if not isinstance(left, int | float) or not isinstance(right, int | float) or operator not in OPERATORS:
            raise PromptError(f"{operator} of a {type(left).__name__} and a {type(right).__name__}")
        result = OPERATORS[operator](left, right)
        if abs(result) > MAX_NUMBER:
            raise PromptError(f"a number beyond {MAX_NUMBER:g}")
        return result

    def call(self, context: Any, function: Any, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        """Call what the sandbox handed out, and pay for what it reads and returns."""
        BUDGET.get().spend(1 + sum(map(size_of, arguments)) + size_of(getattr(function, "__self__", None)))
        result = super().call(context, function, *arguments, **options)
        BUDGET.get().charge(size_of(result))
        return result

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow a few methods of texts and mappings, namespaces and loop variables."""
        if attr.startswith("_"):
            return False
        methods = next((names for kind, names in _METHODS.items() if isinstance(obj, kind)), frozenset[str]())
        return attr in methods or isinstance(obj, LoopContext | Namespace)

    def is_safe_callable(self, obj: Any) -> bool:
        """Allow what :meth:`is_safe_attribute` handed out, macros and the globals."""
        holder = getattr(obj, "__self__", None)
        allowed = isinstance(holder, str | dict | LoopContext) or isinstance(obj, Macro)
        return allowed or obj in tuple(self.globals.values())

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        """Say what is not available."""
        return self.undefined(f"{attribute!r} of a {type(obj).__name__} is not available in chat templates")


def render_chat(source: str, messages: Sequence[Mapping[str, str]], special: Mapping[str, str]) -> str | None:
    """Render a chat template.

    Args:
        source: the template.
        messages: ``{"role": ..., "content": ...}`` each.
        special: texts of special tokens by name, such as ``bos_token``.

    Returns:
        The text; None where the template refuses these messages.

    Raises:
        PromptError: it is too long, does too much work, uses what is not available, or fails.
    """
    if len(source) > MAX_SOURCE:
        raise PromptError(f"the tokenizer's chat template has {len(source):,} characters, more than {MAX_SOURCE:,}")
    variables = {**special, "messages": [dict(message) for message in messages], "add_generation_prompt": False}
    try:
        environment = _ChatEnvironment(source)
        _check(environment.parse(source))
        with spending():
            pieces = environment.pieces("chat_template", variables)
    except _RefusedError:
        return None
    except Exception as problem:  # whatever a template does wrong surfaces here
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise PromptError(f"the tokenizer's chat template cannot be rendered: {reason}; use another model") from None
    return "".join(piece.text if isinstance(piece, Words) else str(piece) for piece in pieces)


def _check(tree: nodes.Template) -> None:
    """Refuse what no published template needs; raises PromptError."""
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
            raise PromptError("it asks for other files")
        if isinstance(node, nodes.For) and node.recursive:
            raise PromptError("it has a recursive loop")
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and (node.dyn_args or node.dyn_kwargs):
            raise PromptError("it has * or ** in a call")


def _refuse(message: object) -> NoReturn:
    raise _RefusedError(str(message))


def _to_json(value: Any, indent: int | None = None, **_options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=min(indent, 8) if indent else None)


def _replace(value: object, old: str, new: str) -> str:
    text, old, new = str(value), str(old), str(new)
    BUDGET.get().spend(1 + (len(text) + (text.count(old) if old else len(text) + 1) * len(new)) // CHARACTERS_PER_UNIT)
    return text.replace(old, new)


def _steps(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        BUDGET.get().spend(1)
        yield value


def _compared(value: Any) -> Any:
    BUDGET.get().spend(1 + size_of(value))
    return str(value) if isinstance(value, Fragment) else value


def _paid_text(text: str) -> str:
    BUDGET.get().spend(1 + len(text) // CHARACTERS_PER_UNIT)
    return text
