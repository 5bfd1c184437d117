"""LensKit and RecBole, each in an environment of its own (`make peers`), since their dependencies are not ours."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def peer_python(name: str) -> Path:
    """Return a peer's interpreter; skips the test without one."""
    python = Path(os.environ.get(f"GENRE_{name.upper()}_PYTHON", ROOT / f".venv-{name}" / "bin" / "python"))
    if not python.exists():
        pytest.skip(f"{python}: no environment with {name}; make one by `make peers`")
    return python.absolute()


def peer(name: str, folder: Path):
    """Return a function that runs a peer's script and returns its answer."""
    python = peer_python(name)

    def run(*arguments):
        script = Path(__file__).with_name(f"{name}_script.py")
        return json.loads(run_script(python, folder, script, *arguments)[-1])

    return run


def run_script(python: Path, folder: Path, *command: object) -> list[str]:
    """Run a script in a folder, and return the lines that it prints."""
    done = subprocess.run(
        [str(python), *map(str, command)], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="session")
def lenskit(tmp_path_factory):
    return peer("lenskit", tmp_path_factory.mktemp("lenskit"))


@pytest.fixture(scope="session")
def recbole(tmp_path_factory):
    return peer("recbole", tmp_path_factory.mktemp("recbole"))


@pytest.fixture(scope="session")
def recbole_example():
    """Return the folder of MovieLens-100K that RecBole brings."""
    (folder,) = peer_python("recbole").parents[1].glob("lib/python*/site-packages/recbole/dataset_example/ml-100k")
    return folder


@pytest.fixture
def guide_script(tmp_path):
    """Return a function that runs a script of the guide in a peer's environment, and returns what it prints."""

    def run(peer: str, name: str) -> list[str]:
        text = (ROOT / "docs" / "guides" / "exchange.md").read_text("utf-8")
        (script,) = re.findall(rf'^```python title="{name}"\n(.*?)^```$', text, re.M | re.S)
        (tmp_path / name).write_text(script)
        return run_script(peer_python(peer), tmp_path, name)

    return run
