"""Files that tell tools and people about the project agree with it: version, Python versions, hooks, citation."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import genre_gen

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_the_version_is_the_same_everywhere():
    assert PROJECT["dynamic"] == ["version"]
    assert read("CITATION.cff")["version"] == genre_gen.__version__
    newest = re.search(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)[1]
    assert newest in {genre_gen.__version__, "Unreleased"}


def test_the_licence_is_the_same_everywhere():
    assert PROJECT["license"] == read("CITATION.cff")["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_every_supported_python_is_tested_by_the_workflow():
    jobs = read(".github/workflows/tests.yml")["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    promised = [row for row in (*matrix["include"], {"os": "ubuntu-latest", "experimental": False})]
    assert {row["os"] for row in promised if not row["experimental"]} == {"ubuntu-latest"}
    on_linux = {*matrix["python"], jobs["checks"]["steps"][1]["with"]["python-version"]}
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    supported = {f"3.{minor}" for minor in range(int(low), int(high))}
    assert on_linux == supported
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert named == supported


def test_the_conda_environment_holds_the_supported_pythons():
    dependencies = read("environment.yml")["dependencies"]
    assert f"python {PROJECT['requires-python']}" in dependencies
    (pip,) = [part["pip"] for part in dependencies if isinstance(part, dict)]
    extras = re.search(r"\[(.*)\]", pip[0])[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("hook", ["ruff-check", "ruff-format"])
def test_the_hooks_run(hook, tmp_path):
    pytest.importorskip("pre_commit", reason="pre-commit is installed by the dev extra")
    for command in (["git", "init", "-q", "."], ["git", "add", "."]):
        (tmp_path / "bad.py").write_text("import os\nx = {  'a':1 }\n")
        (tmp_path / ".pre-commit-config.yaml").write_text((ROOT / ".pre-commit-config.yaml").read_text())
        subprocess.run(command, cwd=tmp_path, check=True)
    command = [sys.executable, "-m", "pre_commit", "run", hook, "--all-files"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PRE_COMMIT_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "files were modified by this hook" in done.stdout
