"""Syntax of templates: constructs that prompts do not allow, and the files and names that a template mentions."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

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
    """Yield line and reason for each construct that prompts do not allow."""
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
    """Yield problems for nested lists: their depth could double without limit, and comparing them would never end."""
    if not all(isinstance(item, nodes.Const | nodes.Getattr) for item in node.items):
        yield node.lineno, "a list may contain constants and fields only"
