"""What is installed: wheel and source distribution carry the shipped domains, an editable install finds them."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHIPPED = ["catalogs/movies/domain.toml", "catalogs/movies/items.csv", "prompts/generic/next_item.user.jinja"]


def source(folder):
    """Copy what a build needs, as a clone has it: a build leaves files behind, which shall not lie in the project."""
    for name in ("genre_gen", "catalogs", "prompts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def pip(*arguments, python=sys.executable, **options):
    # Without setuptools here pip fetches one for the build.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", arguments[0], "--no-deps", *isolation]
    done = subprocess.run([*command, *arguments[1:]], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = source(tmp_path_factory.mktemp("clone"))
    # What an earlier build left shall not get into the next wheel.
    stale = folder / "build" / "lib" / "genre_gen" / "_assets" / "prompts" / "gone.jinja"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    pip("wheel", "--wheel-dir", "dist", ".", cwd=folder)
    (file,) = (folder / "dist").glob("*.whl")
    return file


def test_the_wheel_carries_code_prompts_and_catalogs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind, folder in (("*", "catalogs"), ("*", "prompts")):
        shipped = {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob(kind) if file.is_file()}
        packed = {name.removeprefix("genre_gen/_assets/") for name in names if f"_assets/{folder}/" in name}
        assert packed == shipped
    code = {file.relative_to(ROOT).as_posix() for file in (ROOT / "genre_gen").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == code
    assert "genre_gen/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"genre_gen"}
    assert all(f"genre_gen/_assets/{name}" in names for name in SHIPPED)


def test_every_folder_of_code_is_a_package():
    folders = {file.parent for file in (ROOT / "genre_gen").rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="needs setuptools")
def test_the_source_distribution_can_build_the_same_wheel(tmp_path, wheel):
    folder = source(tmp_path)
    build = "import setuptools.build_meta as build; build.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    (file,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        assert {*SHIPPED, "setup.py", "pyproject.toml", "LICENSE"} <= names
        assert not any("__pycache__" in name for name in names)
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    pip("wheel", "--wheel-dir", "dist", ".", cwd=unpacked)
    (again,) = (unpacked / "dist").glob("*.whl")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def environment(folder):
    """Make a virtual environment that sees what is installed here; what is installed into it comes first."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scheme = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    # As a line of a .pth file, so that editable installs here stay out: their own .pth files are not read.
    Path(scheme["purelib"], "here.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return Path(scheme["scripts"])


WHERE = """
import json, genre_gen
from genre_gen import Domain, PromptBook
domain = Domain.load("movies")
PromptBook.load(domain).fingerprint("next_item")
print(json.dumps([genre_gen.__file__, str(domain.catalog_folder), str(domain.prompts_folder)]))
"""


def places(python, folder):
    done = subprocess.run([python, "-c", WHERE], cwd=folder, check=True, capture_output=True, text=True)
    return [Path(name) for name in json.loads(done.stdout)]


def test_an_editable_install_finds_what_people_edit(tmp_path):
    clone = source(tmp_path / "clone")
    scripts = environment(tmp_path / "env")
    pip("install", "--editable", ".", python=scripts / "python", cwd=clone)
    (tmp_path / "elsewhere").mkdir()
    assert places(scripts / "python", tmp_path / "elsewhere") == [
        clone / "genre_gen" / "__init__.py",
        clone / "catalogs" / "movies",
        clone / "prompts" / "movies",
    ]


@pytest.mark.slow
def test_the_installed_wheel_recommends_from_another_folder(wheel, saved, tmp_path):
    scripts = environment(tmp_path / "env")
    pip("install", str(wheel), python=scripts / "python")
    (tmp_path / "elsewhere").mkdir()
    for place in places(scripts / "python", tmp_path / "elsewhere"):
        assert place.is_relative_to(tmp_path / "env")
    command = [scripts / "genre-gen", "recommend", "movies", "--model", saved, "--history", "Alien (1979)"]
    done = subprocess.run(
        [*command, "-n", "3", "--explain", "--json"],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    picks = json.loads(done.stdout)["picks"]
    assert len(picks) == 3
    assert all(pick["explanation"] for pick in picks)
