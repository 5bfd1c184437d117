"""Names of modules, attributes and files in the project's texts exist."""

from __future__ import annotations

import importlib
import re
import typing
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from project_text import ROOT, Passage, in_python, passages

import genre_gen
from genre_gen import registry

_DOTTED = re.compile(r"(?<![\w./-])(?:genre_gen|eval)(?:\.\w+)+(?![\w/-])")
_ROLE = re.compile(r":(?:mod|class|func|meth|attr|data):`~?([\w.]+)`")
_PUBLIC = re.compile(rf"(?<![\w./])(?:{'|'.join(genre_gen.__all__)})\.[a-z]\w*")
_ROOMS = "|".join(folder.name for folder in (ROOT / "genre_gen").iterdir() if folder.is_dir())
_PATH = re.compile(
    r"(?<![\w./<>*$:~-])"
    rf"(?:(?:docs|eval|examples|genre_gen|prompts|tests|catalogs)/[\w/.-]*\w|(?:{_ROOMS})/[\w/.-]*\.py)"
    r"(?![\w*<{…/-])"
)
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(?:#[^)]*)?\)")
_GROUPS = {value.group for value in vars(registry).values() if isinstance(value, registry.Registry)}
_MADE = (  # by the reader of a guide, or by a script
    "catalogs/NAME",
    "catalogs/books",
    "eval/runs",
    "genre_gen/collaborative/recent.py",
    "genre_gen/tasks/newer.py",
    "prompts/_languages/xx",
    "prompts/_report/xx",
    "prompts/NAME",
    "prompts/books",
)


def missing(passage: Passage) -> list[str]:
    """Return the names of a passage that refer to nothing."""
    names = [name for name in _DOTTED.findall(passage.text) if name not in _GROUPS and not _exists(name)]
    names += [name for name in _PUBLIC.findall(passage.text) if not _exists(f"genre_gen.{name}")]
    names += [name for name in _ROLE.findall(passage.text) if not _exists(name) and not _in_module(name, passage.file)]
    text = passage.text.replace("http://", "https://")
    names += [name for name in _PATH.findall(re.sub(r"https://\S+", "", text)) if not _is_file(name, passage.file)]
    if passage.file.endswith(".md"):
        names += [
            name for name in _LINK.findall(passage.text) if not (ROOT / passage.file).parent.joinpath(name).exists()
        ]
    return names


def _is_file(name: str, file: str) -> bool:
    if name.startswith(_MADE):
        return True
    places = (ROOT, ROOT / "genre_gen", (ROOT / file).parent)
    return any((place / (name + ending)).exists() for place in places for ending in ("", ".py"))


@cache
def _exists(name: str) -> bool:
    """Tell whether a dotted name can be imported, or is an attribute of what can."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            target: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return all((target := _attribute(target, part)) is not None for part in parts[length:])
    return False


def _attribute(target: object, name: str) -> object:
    """Return an attribute; for a field of a class, which only its instances have, its annotation."""
    fields = {} if isinstance(target, ModuleType) else getattr(target, "__annotations__", {})
    return getattr(target, name, None) or fields.get(name)


def _in_module(name: str, file: str) -> bool:
    """Tell whether a name is known in the module of a file, or is a method of one of its classes."""
    if not file.endswith(".py"):
        return False
    module = importlib.import_module(file.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))
    target: object = module
    if all((target := _attribute(target, part)) is not None for part in name.split(".")):
        return True
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return any(_attribute(cls, name) is not None for cls in classes) or name in typing.get_type_hints(module)


def test_names_in_texts_exist():
    wrong = [f"{passage.file}:{passage.line}: {names}" for passage in passages() if (names := missing(passage))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see genre_gen.ranking.Ranking.rows and ``genre_gen/ranking.py``", []),
        ("see genre_gen.ranking.Ranking.order", ["genre_gen.ranking.Ranking.order"]),
        ("see :func:`genre_gen.metrics.ndcg`", ["genre_gen.metrics.ndcg", "genre_gen.metrics.ndcg"]),
        ("run `python -m eval.gone` as docs/architecture.md says", ["eval.gone"]),
        ("as in docs/gone.md, `llm/model.py` and `llm/gone.py`", ["docs/gone.md", "llm/gone.py"]),
        ("catalogs/<name>/domain.toml, prompts/*.jinja, https://a.org/docs/x.md", []),
        ("call ``Recommender.recommend`` and not `Recommender.recommend_many`", ["Recommender.recommend_many"]),
        ("brought by the entry point ``genre_gen.members``", []),
    ],
)
def test_names_that_do_not_exist_are_found(text, expected):
    (passage,) = in_python(f'"""It says: {text}."""\n', "genre_gen/ranking.py")
    assert missing(passage) == expected


def test_broken_links_are_found():
    assert missing(Passage("docs/log.md", 1, "[a](architecture.md#x) [b](gone.md) [c](https://a.org)")) == ["gone.md"]
    assert Path(ROOT / "docs/architecture.md").exists()
