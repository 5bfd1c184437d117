"""What a template's source says, worked out once per process: templates of many books are the same text.

Reading and compiling the templates of a domain takes most of the time in which a saved recommender opens, so a process
that opens several, or opens one again, does it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from jinja2 import meta, nodes

from genre_gen.prompting.sandbox import TemplateEnvironment
from genre_gen.prompting.syntax import included, refused


@dataclass(frozen=True)
class ParsedTemplate:
    """A source without the file it came from: its code, and what the checks of a book ask about it."""

    refused: tuple[int, str] | None  # line and reason of the first construct that prompts do not allow
    included: tuple[tuple[int, str], ...]  # line and name of each file it asks for
    undeclared: frozenset[str]  # variables that it takes from its caller on some path
    set_somewhere: frozenset[str]  # names that {% set %} assigns on at least one path; on others rendering fails
    assigned: frozenset[str]  # names that any statement assigns
    lines: Mapping[str, int]  # the first line of each name
    code: CodeType


@lru_cache(maxsize=1024)
def parsed(source: str, name: str) -> ParsedTemplate:
    """Parse and compile a source; raises what Jinja and Python's compiler raise, with the line."""
    environment = TemplateEnvironment({}, {})
    tree = environment.parse(source, name)
    names = list(tree.find_all(nodes.Name))
    sets = [_assigned(node.find_all(nodes.Name)) for node in tree.find_all((nodes.Assign, nodes.AssignBlock))]
    return ParsedTemplate(
        refused=next(refused(tree), None),
        included=tuple(included(tree)),
        undeclared=frozenset(meta.find_undeclared_variables(tree)),
        set_somewhere=frozenset().union(*sets),
        assigned=_assigned(names),
        lines={node.name: node.lineno for node in reversed(names)},
        code=environment.compile(tree, name),  # last, because it rewrites the tree
    )


def _assigned(names: Any) -> frozenset[str]:
    return frozenset(node.name for node in names if node.ctx in ("store", "param"))


class BookEnvironment(TemplateEnvironment):
    """The sandbox of a book: it runs code that was compiled for any book with the same source."""

    def compile(self, source: Any, name: str | None = None, filename: str | None = None, *_: Any, **__: Any) -> Any:
        """Return the code of a source; messages find the file in it."""
        return parsed(source, str(name)).code.replace(co_filename=str(filename))
