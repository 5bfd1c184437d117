"""The recipes of docs/recipes.md, each followed to the letter in a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
RECIPES = (ROOT / "docs" / "recipes.md").read_text()
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: after=(?P<after>\S+))? file=(?P<file>\S+)\n(?P<text>.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^ +genre-gen (.+)$", re.M)
RUN = """
import json, sys
from genre_gen.cli.main import app
for command in json.loads(sys.argv[1]):
    print("$", *command, flush=True)
    app(command, standalone_mode=False)
"""
QUICK = [
    "--set",
    "model.exit_layer=2",
    "--set",
    "training.epochs=1",
    "--set",
    "training.distillation=0",
    "--set",
    "training.batch_tokens=64",
]


def recipe(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", RECIPES, re.M | re.S)[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the package with its catalogs and prompts."""
    for folder in ("genre_gen", "catalogs", "prompts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def write(project: Path, text: str) -> list[str]:
    """Write what the recipe says, and return the files that it touches."""
    touched = []
    for block in BLOCK.finditer(text):
        file = project / block["file"]
        if block["after"] is None:
            assert not file.exists(), f"{file} is there already"
            file.write_text(block["text"])
        else:
            lines = file.read_text().splitlines(keepends=True)
            (line,) = [number for number, line in enumerate(lines) if re.match(rf"\s+{block['after']}[=:]", line)][:1]
            file.write_text("".join([*lines[: line + 1], block["text"], *lines[line + 1 :]]))
        touched.append(block["file"])
    return touched


def run(project: Path, text: str, model: Path, *more: str) -> str:
    """Run the commands of a recipe with a tiny model in place of the domain's, and return what they print."""
    commands = [shlex.split(line, comments=True) for line in COMMAND.findall(text)]
    tiny = ["--llm", str(model), *more]
    commands = [
        [*command, *tiny, *QUICK] if command[0] == "train" else [*command, *tiny] if command[1] == "check" else command
        for command in commands
    ]
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", RUN, json.dumps(commands)]
    process = subprocess.run(program, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def test_a_collaborative_model_is_added(project, tiny_model):
    text = recipe("Add a collaborative model")
    assert write(project, text) == ["genre_gen/collaborative/recent.py", "genre_gen/registry.py"]
    printed = run(project, text, tiny_model, "--data", "catalogs/movies")
    assert "saved in runs/movies" in printed
    settings = json.loads((project / "runs" / "movies" / "recommender.json").read_text())
    assert set(settings["members"]) == {"recent", "ease"}
    assert settings["tuned"]["members"]["recent"]["decay"] in (0.1, 0.5)


def test_a_task_is_added_with_its_templates(project, tiny_model):
    text = recipe("Add a task with its templates")
    touched = write(project, text)
    assert len(touched) == 6
    printed = run(project, text, tiny_model, "--data", "catalogs/movies")
    assert "saved in runs/movies" in printed
    log = json.loads((project / "runs" / "movies" / "recommender.json").read_text())["training_log"]
    assert any("newer" in entry["losses"] for entry in log)
    assert (project / "runs" / "movies" / "prompts" / "newer.user.jinja").is_file()


def tables(project: Path) -> None:
    """Replace the two rows of each table by enough of their kind to learn from."""
    rng = np.random.default_rng(0)
    genres = ("Fantasy", "Crime", "Travel")
    books = [f"b{row},Book {row} of {genres[row % 3]},{genres[row % 3]}|Novel,{1990 + row % 30}" for row in range(40)]
    loans = [
        f"reader{reader},b{(reader + 3 * step) % 40},{rng.integers(2, 6)},2024-{1 + step:02}-{1 + reader % 28:02}"
        for reader in range(30)
        for step in range(9)
    ]
    for name, rows in (("books.csv", books), ("loans.csv", loans)):
        header = (project / name).read_text().splitlines()[0]
        (project / name).write_text("\n".join([header, *rows]) + "\n")


def test_a_catalog_of_ones_own_is_trained_and_evaluated(project, tiny_model):
    text = recipe("Bring a catalog of your own, and read its evaluation")
    assert write(project, text) == ["books.csv", "loans.csv"]
    tables(project)
    printed = run(project, text, tiny_model)
    assert "40 items, 270 interactions of 30 users" in printed
    assert (project / "catalogs" / "books" / "domain.toml").is_file()
    table = printed[printed.index("books, leave-one-out, test, 30 users") :]
    assert all(name in table for name in ("GENRE", "sequential_rules", "popularity", "p against GENRE", "N@10"))
    assert (project / "runs" / "books" / "evaluation.json").is_file()


def test_the_same_in_python(project, tiny_model, monkeypatch, capsys):
    monkeypatch.chdir(project)
    text = recipe("Bring a catalog of your own, and read its evaluation")
    write(project, text)
    tables(project)
    code = re.search(r"without writing a domain:\n\n(.*)", text, re.S)[1].replace("        ", "")
    settings = {"training.epochs": 1, "model.exit_layer": 2, "training.distillation": 0.0}
    code = code.replace("max_minutes=5", f"max_minutes=5, llm={str(tiny_model)!r}, settings={settings}")
    exec("from genre_gen import Dataset, Recommender\n" + code, {})
    assert "30 users, all 40 items ranked but the seen ones" in capsys.readouterr().out
