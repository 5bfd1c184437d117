"""Imports point one way: from what is built on top to what it is built of."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "genre_gen"

# From bottom to top; a module may import its own layer and those below it, at any place in its file.
LAYERS = [
    {"errors", "registry", "ranking", "downloads.paths", "data.titles", "llm.hardware"},
    {"domain", "downloads.archives"},
    {"data"},
    {"prompting", "codes", "metrics"},
    {"collaborative", "tasks", "downloads"},
    {"decoding", "evaluation"},
    {"llm"},
    {"blending", "explain", "data.filters", "query"},
    {"training", "llm.averaging"},
    {"recommender"},
    {"recommender.batch", "evaluation.baselines", "reporting"},
    {"cli.demo", "cli.fetch", "cli.doctor", "new_domain"},
    {"cli"},
]


def _layer(module: str) -> int:
    best = [
        (len(name), level)
        for level, layer in enumerate(LAYERS)
        for name in layer
        if (module + ".").startswith(name + ".")
    ]
    assert best, f"{module} has no layer: add it to LAYERS"
    return max(best)[1]


def _imports(file: Path) -> set[str]:
    found = set()
    tree = ast.parse(file.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and id(node) not in skipped
            and (node.module or "").startswith("genre_gen.")
        ):
            found.add(node.module.removeprefix("genre_gen."))
    return found


def test_imports_point_downwards():
    wrong = []
    for file in sorted(ROOT.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name == "__init__":
            continue
        wrong += [f"{name} imports {other}" for other in sorted(_imports(file)) if _layer(other) > _layer(name)]
    assert not wrong, wrong
