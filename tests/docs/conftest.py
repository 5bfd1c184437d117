"""A working folder for the pages of the documentation, with a trained recommender, made once and copied for each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genre_gen.downloads.integrity import write_manifest
from genre_gen.registry import MEMBERS, TASKS
from tests.docs.pages import ROOT, genre_gen

CHANGES = (  # of the shipped movies domain, for a training of seconds on its sample
    ("exit_layer = 3", "exit_layer = 2"),
    ("epochs = 3 ", "epochs = 1 "),
    ("distillation = ", "distillation = 0.0  # "),
    ("batch_tokens = 1024 ", "batch_tokens = 256 "),  # so that tasks of a small weight have batches
)


def write_books(folder: Path) -> None:
    """Write two tables as a reader of the guides could have: 40 books, and 270 loans of 30 readers with tastes."""
    rng = np.random.default_rng(0)
    genres = ("Fantasy|Travel", "Crime", "Travel|Novel")
    names = ("The Long Way", "Harbour Lights", "A Map of Rain", "The Glass Orchard")
    books = [
        f"b{row + 1},{names[row % 4]}{f' {row // 4 + 1}' if row > 3 else ''},{genres[row % 3]},{1990 + row % 30}"
        for row in range(40)
    ]
    loans = []
    for number, reader in enumerate(["anna", "ben", *(f"reader{number}" for number in range(3, 31))]):
        taste = np.where(np.arange(40) % 3 == number % 3, 6.0, 1.0)
        for step, row in enumerate(rng.choice(40, 9, replace=False, p=taste / taste.sum())):
            stars = int(min(taste[row], 3)) + rng.integers(0, 3)
            loans.append(f"{reader},b{row + 1},{stars},2024-0{step + 1}-{number % 28 + 1:02}")
    (folder / "books.csv").write_text("\n".join(["id,title,genre,year", *books]) + "\n")
    (folder / "loans.csv").write_text("\n".join(["reader,book,rating,date", *loans]) + "\n")


@pytest.fixture(scope="session")
def genre_home(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a GENRE_HOME in which the default model is a tiny one, and MovieLens-100K the sample."""
    home = tmp_path_factory.mktemp("home")
    model, data = home / "models" / "smollm2-135m", home / "data" / "ml-100k" / "wheel"
    shutil.copytree(tiny_model, model)
    data.mkdir(parents=True)
    for name in ("items.csv", "interactions.csv"):
        shutil.copy(ROOT / "catalogs" / "movies" / name, data)
    for folder in (model, data):
        write_manifest(folder, {"from": "the tests"})
    return home


@pytest.fixture(scope="session")
def template(genre_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small movies domain, two tables of books, and a recommender in ``runs/movies``."""
    folder = tmp_path_factory.mktemp("template")
    shutil.copytree(ROOT / "catalogs" / "movies", folder / "catalogs" / "movies")
    settings = folder / "catalogs" / "movies" / "domain.toml"
    text = settings.read_text()
    for old, new in CHANGES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    settings.write_text(text)
    write_books(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRE_HOME", str(genre_home))
        patch.chdir(folder)
        code, _, told = genre_gen(["train", "movies"])
        assert code == 0, told
    return folder


@pytest.fixture
def workplace(template: Path, genre_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a copy of that folder, where ``pip install`` of the pages puts packages into ``site-packages``."""
    folder = Path(shutil.copytree(template, tmp_path / "work"))
    monkeypatch.setenv("GENRE_HOME", str(genre_home))
    monkeypatch.chdir(folder)
    (folder / "site-packages").mkdir()
    monkeypatch.syspath_prepend(str(folder / "site-packages"))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    for registry in (MEMBERS, TASKS):
        registry._loaded.clear()
