"""The command that pushes a recommender, and the card that evaluating leaves."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from fakes import altered
from local_hub import local_hub

from genre_gen.downloads.models import ensure_model
from genre_gen.folders.reading import verify_folder
from tests.cli.outcomes import refused


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_model):
    with local_hub(monkeypatch, tmp_path, tiny_model) as served:
        yield served


@pytest.fixture
def run(hub, tiny_recommender, tmp_path, monkeypatch):
    """Return the folder of a recommender of a domain whose data the working directory has, over a model of the hub."""
    monkeypatch.chdir(tmp_path)
    ensure_model("lab/tiny")  # as training does
    altered(tiny_recommender, {"model.llm": "lab/tiny"}).save_pretrained("runs/movies")
    return tmp_path / "runs" / "movies"


def test_push_says_where_and_the_id_answers(genre, hub, run):
    code, out, _ = genre("push", "movies", "lab/movies")
    assert (code, out.splitlines()[-1][: len(hub.url) + 10]) == (0, f"pushed to {hub.url}")
    assert "histories.safetensors" not in hub.head("lab/movies")
    code, out, _ = genre("recommend", "--model", "lab/movies", "--history", "Alien (1979)", "-n", "3", "--json")
    assert code == 0
    assert len(json.loads(out)["picks"]) == 3
    code, out, _ = genre("push", run, "lab/movies", "--with-histories", "--json")
    assert json.loads(out)["histories"] is True
    assert "histories.safetensors" in hub.head("lab/movies")


def test_what_cannot_be_pushed_is_one_line(genre, hub, run, saved, monkeypatch):
    refused(genre("push", run, "movies"), 2, "owner/movies")
    refused(genre("push", saved, "lab/movies"), 2, "give its id there as --base-model")
    assert genre("push", saved, "lab/movies", "--base-model", "lab/tiny")[0] == 0
    hub.repositories.pop("lab/movies")
    assert genre("recommend", "--model", run, "--history", "Alien (1979)")[0] == 0  # the pre-trained model is here then
    monkeypatch.setenv("HF_TOKEN", "wrong")
    refused(genre("push", run, "lab/movies"), 1, "hf auth login")
    monkeypatch.setenv("HF_TOKEN", "poor")
    refused(genre("push", run, "lab/movies"), 1, "--create-pr")
    assert "lab/movies" not in hub.repositories


def test_in_a_process_of_its_own(hub, run, tmp_path):
    """As a user runs it: the endpoint and the token come from the environment."""
    variables = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "genre_gen.cli.main", "push", str(run), "lab/movies"]
    variables["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"pushed to {hub.url}/lab/movies/commit/")
    agents = {headers["user-agent"] for _, path, headers, _ in hub.seen if "lab/movies" in path}
    assert agents
    assert not [agent for agent in agents if "torch" in agent]  # what is installed here is nobody's business


def test_evaluating_adds_the_figures_to_the_card_and_they_are_pushed(genre, hub, run):
    assert genre("evaluate", "movies", "--model", run)[0] == 0
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "Split leave-one-out, test: 30 cases" in card
    assert {"evaluation.json", "README.md"} < {path.name for path in run.iterdir()}
    assert verify_folder(run).kind == "recommender"
    assert genre("push", run, "lab/movies")[0] == 0
    pushed = hub.head("lab/movies")
    assert "evaluation.json" not in pushed
    assert "Split leave-one-out, test: 30 cases" in pushed["README.md"].decode()


def test_evaluating_what_came_without_histories_needs_the_domain_s_data(genre, hub, run, own_domain, tmp_path):
    assert genre("push", run, "lab/movies")[0] == 0
    code, out, _ = genre("evaluate", own_domain, "--model", "lab/movies", "--out", tmp_path / "report")
    assert code == 0, out
    assert out.startswith("movies, leave-one-out, test, 30 users")
    assert not (tmp_path / "lab").exists()  # a folder of that name would hide the id
    table = own_domain / "interactions.csv"
    shutil.copy(table, tmp_path / "whole.csv")
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    other = genre("evaluate", own_domain, "--model", "lab/movies", "--out", tmp_path / "report")
    refused(other, 2, "this recommender came without histories", "load that data")


def test_asked_for_a_user_it_says_what_to_give(genre, hub, run):
    assert genre("push", run, "lab/movies")[0] == 0
    code, out, err = genre("recommend", "--model", "lab/movies", "--user", "17")
    assert code == 0
    assert "came without histories of users" in out + err
    refused(genre("recommend", "--model", "lab/movies", "--users", "all", "--out", "x.jsonl"), 2, "without histories")
