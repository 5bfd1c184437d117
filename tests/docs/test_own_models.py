"""The guide on own components is followed to the letter; a line each makes the same components built-in ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Session, blocks

PAGE = DOCS / "guides" / "own-models.md"
FILES = {block.title: block.text for block in blocks(PAGE) if block.title}
PACKAGE = "my_parts/my_parts/"


def test_a_package_brings_a_model_and_a_task(workplace):
    session = Session()
    for block in blocks(PAGE):
        session.run(block)
    settings = json.loads(Path("runs/mine/recommender.json").read_text())
    assert set(settings["members"]) == {"recent", "ease"}
    assert settings["tuned"]["members"]["recent"]["decay"] in (0.1, 0.5)
    assert any("newer" in entry["losses"] for entry in settings["training_log"])
    assert Path("runs/mine/prompts/newer.user.jinja").read_text() == FILES[f"{PACKAGE}prompts/newer.user.jinja"]


@pytest.fixture
def project(workplace: Path) -> Path:
    """Return a copy of the project in the working folder, with the settings of the tests."""
    for folder in ("genre_gen", "prompts"):
        shutil.copytree(ROOT / folder, workplace / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return workplace


def insert(file: Path, after: str, line: str) -> None:
    """Insert a line behind the first that begins so, as CONTRIBUTING says."""
    text, count = re.subn(rf"^(\s+{re.escape(after)}.*\n)", rf"\1{line}\n", file.read_text(), count=1, flags=re.M)
    assert count == 1
    file.write_text(text)


def test_the_same_parts_become_built_in_ones_by_a_line_each(project):
    registry = project / "genre_gen" / "registry.py"
    (project / "genre_gen" / "collaborative" / "recent.py").write_text(FILES[f"{PACKAGE}recent.py"])
    (project / "genre_gen" / "tasks" / "newer.py").write_text(FILES[f"{PACKAGE}newer.py"])
    insert(registry, "popularity=", '        recent="recent:Recent",')
    insert(registry, "fits=", '        newer="newer:Newer",')
    variables = project / "genre_gen" / "prompting" / "variables.py"
    insert(variables, '"fits":', '    "newer": ("domain", "item", "other", "answer"),')
    for role in ("system", "user", "assistant"):
        template = FILES[f"{PACKAGE}prompts/newer.{role}.jinja"]
        (project / "prompts" / "generic" / f"newer.{role}.jinja").write_text(template)
    choice = ["--set", 'blend.members=["recent"]', "--set", 'tasks.newer={"weight": 0.2, "depth": "exit"}']
    command = [sys.executable, "-m", "genre_gen.cli.main", "train", "movies", "--out", "runs/built-in", *choice]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    settings = json.loads((project / "runs" / "built-in" / "recommender.json").read_text())
    assert set(settings["members"]) == {"recent"}
    assert any("newer" in entry["losses"] for entry in settings["training_log"])
