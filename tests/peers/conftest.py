"""LensKit and RecBole, each in an environment of its own (`make peers`), since their dependencies are not ours."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def peer(name: str, folder: Path):
    """Return a function that runs a peer's script and returns its answer; skips where the peer is not installed."""
    python = Path(os.environ.get(f"GENRE_{name.upper()}_PYTHON", ROOT / f".venv-{name}" / "bin" / "python"))
    if not python.exists():
        pytest.skip(f"{python}: no environment with {name}; make one by `make peers`")

    def run(*arguments):
        script = Path(__file__).with_name(f"{name}_script.py")
        command = [str(python.absolute()), str(script), *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def lenskit(tmp_path_factory):
    return peer("lenskit", tmp_path_factory.mktemp("lenskit"))


@pytest.fixture(scope="session")
def recbole(tmp_path_factory):
    return peer("recbole", tmp_path_factory.mktemp("recbole"))


@pytest.fixture(scope="session")
def recbole_example():
    """Return the folder of MovieLens-100K that RecBole brings."""
    python = Path(os.environ.get("GENRE_RECBOLE_PYTHON", ROOT / ".venv-recbole" / "bin" / "python"))
    return next(python.parents[1].glob("lib/python*/site-packages/recbole/dataset_example/ml-100k"), None)
