"""The command line as a whole: help, mistakes, places, interruptions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genre_gen.cli import options
from genre_gen.cli.main import app
from tests.cli.outcomes import SAMPLE, refused

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "demo", "fetch", "train", "recommend", "explain", "report", "evaluate", "prompts render", "prompts copy",
    "domains", "domains new", "domains check", "doctor", "compare", "push", "export", "serve", "ingest",
    "keys new", "keys list", "keys revoke",
]  # fmt: skip


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_works(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    if not command:
        assert all(name.split()[0] in result.stdout for name in COMMANDS)


def test_every_command_is_tried_here():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name: group.typer_instance.registered_commands for group in app.registered_groups}
    below = {f"{group} {command.name}" for group, commands in groups.items() for command in commands}
    assert names | below | {"domains"} == set(COMMANDS)


def test_help_answers_at_once_because_nothing_heavy_is_imported():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import genre_gen.cli.main, genre_gen"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    heavy = {"torch", "transformers", "outlines", "surprise", "polars", "scipy", "sklearn", "matplotlib", "pydantic"}
    assert "genre_gen" in imported
    assert not imported & heavy


def test_without_a_command_there_is_help(genre):
    code, out, err = genre()
    assert code == 2
    assert "Usage:" in out + err


def test_what_typer_refuses_is_wrong_use(genre):
    assert genre("recommend", "--no-such-option")[0] == 2
    assert genre("recommend", "-n", "many")[0] == 2
    assert genre("train", "--quantization", "int3")[0] == 2
    assert genre("nothing")[0] == 2


def test_a_model_that_is_not_there_is_one_line(genre, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(genre("recommend", "movies", "--user", "17"), 2, "runs/movies: no such folder", "genre-gen train movies")
    refused(genre("recommend", "movies", "--user", "17", "--model", "none"), 1, "none: no such folder")
    refused(genre("recommend", "moveis", "--user", "17"), 1, "no domain 'moveis', did you mean 'movies'")
    refused(genre("train", "moveis"), 1, "no domain 'moveis'")
    refused(genre("explain", "moveis", "--item", "Alien"), 1, "no domain 'moveis'")
    refused(genre("evaluate", "moveis"), 1, "no domain 'moveis'")
    refused(genre("doctor", "moveis"), 1, "no domain 'moveis'")


def test_a_model_of_another_domain_is_refused(genre, saved, own_domain, tmp_path, monkeypatch):
    for command in (["recommend", "ads", "--user", "17"], ["explain", "ads", "--item", "Alien"], ["evaluate", "ads"]):
        outcome = genre(*command, "--model", saved)
        refused(outcome, 2, f"--model {saved} was trained for the domain movies, not ads; give movies, or another")
    refused(genre("train", "ads", "--like", saved, "--out", tmp_path / "x"), 2, f"--like {saved} was trained for the")
    assert genre("recommend", own_domain.rename(tmp_path / "films"), "--user", "17", "--model", saved)[0] == 0
    shutil.copytree(saved, tmp_path / "runs" / "ads")
    monkeypatch.chdir(tmp_path)
    refused(genre("recommend", "ads", "--user", "17"), 2, "runs/ads was trained for the domain movies, not ads")
    refused(genre("report", "ads", "--user", "17"), 2, "runs/ads was trained for the domain movies, not ads")


def test_the_folder_of_a_domain_names_the_default_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {
        "movies": "movies",
        "catalogs/films/": "films",
        "./": tmp_path.name,
        str(tmp_path / "a" / ".."): tmp_path.name,
    }
    assert {given: options.run_folder(None, given).as_posix() for given in names} == {
        given: f"runs/{name}" for given, name in names.items()
    }
    assert options.run_folder("x", "movies") == Path("x")


def test_a_damaged_model_is_one_line(genre, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "x")
    file = tmp_path / "x" / "llm.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    outcome = genre("recommend", "movies", "--user", "17", "--model", tmp_path / "x")
    refused(outcome, 1, "llm.safetensors: differs from its checksum", "train again")
    (tmp_path / "x" / "manifest.json").unlink()
    outcome = genre("recommend", "movies", "--user", "17", "--model", tmp_path / "x")
    refused(outcome, 1, "no manifest.json, so no complete saved folder")


@pytest.mark.parametrize(
    ("command", "option", "file"),
    [
        (["demo"], "--out", ""),
        (["train"], "--out", ""),
        (["evaluate", "--model", "SAVED"], "--out", ""),
        (["report", "SAVED", "--user", "17"], "--out", "page.html"),
        (["recommend", "--model", "SAVED", "--users", "all"], "--out", "picks.jsonl"),
        (["domains", "new", "x", "--interactions", f"{SAMPLE}/interactions.csv"], "--folder", ""),
    ],
)
def test_a_place_that_cannot_be_written_to_is_noticed_at_once(
    genre, saved, tmp_path, monkeypatch, command, option, file
):
    recommender = "recommender.recommender.Recommender"
    for work in (
        f"{recommender}.fit",
        f"{recommender}.evaluate",
        f"{recommender}.recommend",
        "recommender.batch.write_picks",
    ):
        monkeypatch.setattr(f"genre_gen.{work}", lambda *_, **__: pytest.fail("it began"))
    command = [saved if part == "SAVED" else part for part in command]
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "x", Path("/proc/none")):
        refused(genre(*command, option, folder / file), 1, f"{option} {folder / file}: cannot be written there")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    if file:
        (tmp_path / file).mkdir()
        refused(genre(*command, option, tmp_path / file), 1, f"{option} {tmp_path / file}: is a folder")


def test_an_interrupt_prints_how_to_resume(genre, saved, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for place in (
        "recommender.batch.write_picks",
        "recommender.recommender.Recommender.fit",
        "cli.demo.run",
        "cli.doctor.examine",
    ):
        monkeypatch.setattr(f"genre_gen.{place}", interrupted)
    said = "stopped; the same command resumes it"
    for command, told in (
        (["recommend", "--model", saved, "--users", "all", "--out", tmp_path / "x.jsonl"], said),
        (["train", "--data", SAMPLE, "--out", tmp_path / "run"], said),
        (["demo", "--out", tmp_path / "run"], said),
        (["doctor"], ""),
    ):
        code, out, err = genre(*command)
        assert (code, out, err.splitlines()[-1:]) == (130, "", [told] if told else []), command


def test_a_closed_pipe_ends_quietly(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "genre_gen.cli.main", "domains"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1
