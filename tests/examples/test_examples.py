"""Every example runs as it is written, on the sample with a tiny model, and shows what it promises."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(home, tiny_model, monkeypatch, capsys):
    """Return a function that runs an example with some options, and returns what it printed."""

    def run(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_all_examples_are_listed_and_tested():
    scripts = {file.name for file in EXAMPLES.glob("*.py")} | {"notebook.ipynb"}
    listed = set(re.findall(r"\]\(([\w]+\.(?:py|ipynb))\)", (EXAMPLES / "README.md").read_text()))
    assert listed == scripts
    assert scripts <= set(re.findall(r'"([\w]+\.(?:py|ipynb))"', Path(__file__).read_text()))


def test_quickstart(run, home):
    shown = run("quickstart.py")
    assert len(re.findall(r"^[123]\. .+: .+\.$", shown, re.M)) == 3
    assert "Predicted rating: " in shown
    assert "GENRE, LLM alone" in shown
    assert "it says the same: True" in shown
    assert (home / "runs" / "movies" / "recommender.json").is_file()


def test_own_data(run, home, tiny_model):
    shown = run("own_data.py", "--llm", tiny_model, "--minutes", 0.02)
    assert "40 items, 270 interactions of 30 users" in shown
    assert "Fields: genre (list), year (number)" in shown
    assert "Ratings: (1.0, 5.0) liked from 4.0" in shown
    assert len(re.findall(r"^[123]\. ", shown, re.M)) == 3
    assert any((home / "runs").glob("*/recommender.json"))
    again = run("own_data.py", "--items", "books.csv", "--interactions", "loans.csv", "--noun", "novel", "--out", "two",
                "--llm", tiny_model, "--minutes", 0.02)  # fmt: skip
    assert "40 items, 270 interactions of 30 users" in again


def test_own_component_is_asked_for(run):
    with pytest.raises(SystemExit, match="run pip install examples/genre-recent first"):
        run("own_component.py")


def test_own_component(run, home, monkeypatch):
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    source = home / "source"
    source.mkdir()  # a build leaves files next to what it builds
    for file in (EXAMPLES / "genre-recent").glob("*.*"):
        (source / file.name).write_bytes(file.read_bytes())
    subprocess.run([*install, "--target", str(home / "packages"), str(source)], check=True, capture_output=True)
    monkeypatch.syspath_prepend(str(home / "packages"))
    shown = run("own_component.py")
    assert re.search(r"Members that there are: .*, recent$", shown, re.M)
    assert re.search(r"Chosen on validation cases: \{'decay': 0\.[15]\}", shown)
    assert "Without permission, it is not loaded: " in shown
    assert re.search(r"Loaded with its package: .*recent", shown)


def test_requests_and_filters(run, saved):
    shown = run("requests_and_filters.py", "--model", saved, "--out", "picks.jsonl")
    answers = shown.split("\nRequest(")[1:]
    assert len(answers) == 5
    assert all(len(re.findall(r"^  [123]\. ", answer, re.M)) == 3 for answer in answers)
    assert len(re.findall(r"^     .+\.$", answers[1], re.M)) == 3
    assert "query" in answers[2]
    assert "30 users in picks.jsonl" in shown


def test_the_article(run, home, tiny_model):
    shown = run("article.py", "--llm", tiny_model)
    for step in (2, 3, 4):
        before, after = map(float, re.search(rf"^{step}\. .* loss ([\d.]+) -> ([\d.]+)", shown, re.M).groups())
        assert after < 0.95 * before
    before, after = map(float, re.search(r"held out ([\d.]+) -> ([\d.]+)", shown).groups())
    (mean,) = map(float, re.findall(r"^the mean rating +([\d.]+)", shown, re.M))
    loss, error = map(float, re.findall(r"^Loss: ([\d.]+), MSE: ([\d.]+)\Z", shown.strip(), re.M)[0])
    assert loss == after < before
    assert error < mean
    assert re.search(r"^genre_gen +[\d.]+ +[\d.]+$", shown, re.M)
    assert (home / "behaviour.csv").read_text().startswith("user_id,title,genres,rating,timestamp,held_out\n")


def shape(text):
    """Return the lines without figures, and without what the model picks and says, which may differ by machine."""
    text = re.sub(r"(?<=first user ).*(?=;)|(?<=it says: ).*", "…", text)
    return [re.sub(r"[\d.]+", "#", line).strip() for line in text.splitlines() if line.strip()]


def test_the_article_prints_the_same_again_as_its_page_says(run):
    options = "--no-library", "--csv", "behaviour.csv"
    shown, again = (run("article.py", *options) for _ in range(2))
    assert shown == again
    page = (EXAMPLES.parent / "docs" / "article.md").read_text()
    blocks = re.findall(r"^    (?:.*\n    )*.*$", page, re.M)
    assert shape(shown) == [
        line for block in blocks for line in shape(block) if not line.startswith(("python", "genre_gen"))
    ]


def test_the_article_holds_for_other_seeds_and_components(run):
    shown = run("article.py", "--no-library", "--seed", "1", "--collaborative", "biases")
    error, mean = (
        float(re.search(rf"^{name} +([\d.]+)", shown, re.M)[1]) for name in ("the engine", "the mean rating")
    )
    assert error < mean


@pytest.fixture
def notebook():
    """Return the notebook."""
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_the_notebook_is_stripped(notebook):
    assert set(notebook.metadata) == {"language_info"}
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_the_notebook_runs(notebook, home, tiny_model):
    """Its parameters are replaced as papermill replaces them; the kernel is this interpreter."""
    nbclient, kernels = pytest.importorskip("nbclient"), pytest.importorskip("jupyter_client")
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert re.findall(r"^(\w+) = ", parameters.source, re.M) == ["llm", "minutes"]
    parameters.source = f"llm = {str(tiny_model)!r}\nminutes = 0.02"
    manager = kernels.AsyncKernelManager()
    manager._kernel_spec = kernels.kernelspec.KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
    )
    client = nbclient.NotebookClient(notebook, km=manager, timeout=120, resources={"metadata": {"path": str(home)}})
    paths = {"PYTHONPATH": str(EXAMPLES.parent), "IPYTHONDIR": str(home / "ipython")}
    client.execute(env={**os.environ, **paths, "OMP_NUM_THREADS": "1"})
    shown = [
        str(output.get("data", output.get("text", ""))) for cell in notebook.cells for output in cell.get("outputs", ())
    ]
    assert "GENRE, LLM alone" in "".join(shown)
    assert any("text/html" in text and "Toy Story" in text for text in shown)
    assert (home / "runs" / "films" / "recommender.json").is_file()
