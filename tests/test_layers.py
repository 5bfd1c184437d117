"""Imports form no circle, and point from what is built on top to what it is built of, wherever in a file they are."""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1] / "genre_gen"
TOP_LEVEL_MODULES = 8
"""How many modules the package may have next to its folders."""

# From bottom to top; a module may import its own floor and those below it.
FLOORS = [
    {"data.printable", "data.normal_form", "data.arguments", "errors", "extras", "ranking"},
    {"folders"},
    {
        "settings",
        "downloads.paths",
        "data.titles",
        "llm.hardware",
        "data.settings",
        "data.event_settings",
        "query.settings",
        "rules.settings",
        "prompting.nouns",
        "registry",
        "languages",
    },
    {"domain", "downloads"},
    {"data", "languages.resolved"},
    {"languages.gaps", "prompting", "codes", "metrics", "blending.blend"},
    {"collaborative", "tasks"},
    {"decoding", "llm.decoder", "llm.continuations"},
    {"llm"},
    {"blending", "query", "explain", "rules"},
    {"new_domain", "data.dataset"},
    {"recommender.state"},
    {"training"},
    {"recommender"},
    {"evaluation"},
    {"recommender.recommender"},
    {"reporting"},
    {"live"},
    {"store"},
    {"server"},
    {"cli"},
]


def modules() -> dict[str, Path]:
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in sorted(ROOT.rglob("*.py"))}
    return {name.removesuffix(".__init__"): file for name, file in names.items() if name != "__init__"}


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path, names: set[str], typed: bool) -> set[str]:
    """Return the modules of the package that a file imports anywhere; ``typed``: for annotations too."""
    tree = parsed(file)
    annotations = {
        id(inner)
        for node in ast.walk(tree)
        if not typed and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in annotations:
            continue
        if (node.module or "").split(".")[0] != "genre_gen":
            continue
        module = (node.module or "").removeprefix("genre_gen").removeprefix(".")
        for alias in node.names:  # `from genre_gen.llm import model` names a module, `from ... import LLM` does not
            below = f"{module}.{alias.name}".removeprefix(".")
            found.add(below if below in names else module)
    return found & names


def floor(module: str) -> int:
    best = [
        (len(name), level)
        for level, names in enumerate(FLOORS)
        for name in names
        if (module + ".").startswith(name + ".")
    ]
    assert best, f"{module} is on no floor: add it to FLOORS"
    return max(best)[1]


def graph(typed: bool = False) -> dict[str, set[str]]:
    files = modules()
    return {name: imports(file, set(files), typed) for name, file in files.items()}


def test_there_is_no_circle():
    try:
        TopologicalSorter(graph(typed=True)).prepare()
    except CycleError as circle:
        raise AssertionError(f"imports form a circle: {' <- '.join(circle.args[1])}") from None


def test_imports_point_downwards():
    wrong = [
        f"{name} imports {other}"
        for name, others in graph().items()
        for other in sorted(others)
        if floor(other) > floor(name)
    ]
    assert not wrong, wrong


def test_few_modules_stand_next_to_the_folders():
    assert len(list(ROOT.glob("*.py"))) <= TOP_LEVEL_MODULES


EXAMPLE = re.compile(r"^(?P<indent> +)Example:\n(?:(?P=indent) +\S.*\n|\n(?=(?P=indent) +\S))+", re.M)
"""An example in a docstring, which does not count: examples shall not be left out for being short of lines."""


def test_files_functions_and_classes_are_small():
    large = []
    for folder in (ROOT, ROOT.parent / "eval"):
        for file in sorted(folder.rglob("*.py")):
            text = EXAMPLE.sub("", file.read_text())
            if text.count("\n") > 450:
                large.append(f"{file.relative_to(ROOT.parent)}: {text.count(chr(10))} lines")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= 60:
                    large.append(f"{file.name}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    public = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name[0] != "_"]
                    if len(public) > 25:
                        large.append(f"{file.name}: {node.name} has {len(public)} public methods")
    assert not large, large
