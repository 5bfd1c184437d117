"""How much is told on stderr: a program of its own for each level, as users run it."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genre_gen.cli.main import app
from tests.cli.outcomes import SAMPLE, refused
from tests.cli.test_main import COMMANDS

ROOT = Path(__file__).parents[2]
TIMED = re.compile(r"\d\d:\d\d:\d\d (DEBUG|INFO|WARNING) genre_gen[\w.]*: .")


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the program: exit code, stdout, lines on stderr."""

    def run(*arguments, log=None):
        environment = {name: value for name, value in os.environ.items() if name != "GENRE_LOG"}
        environment |= {"PYTHONPATH": str(ROOT)} | ({} if log is None else {"GENRE_LOG": log})
        done = subprocess.run(
            [sys.executable, "-m", "genre_gen.cli.main", *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr.splitlines()

    return run


@pytest.fixture
def unknown_genre(saved):
    """Return a request of which something is to be warned: no item has this value."""
    return ["recommend", SAMPLE, "--model", saved, "--user", "17", "-n", "2", "--where", "genre != 'Horro'"]


def test_results_are_the_same_at_every_level_and_the_rest_is_as_asked_for(run, unknown_genre):
    command, *rest = unknown_genre
    plain = run(command, *rest)
    assert plain[0] == 0
    assert plain[1].count("score") == 2
    assert len(plain[2]) == 1
    assert "no item has genre 'Horro'" in plain[2][0]
    quiet = run(command, "-q", *rest, log="debug")  # the option comes before the variable
    assert quiet == (0, plain[1], [])
    loud = run("--verbose", command, *rest)
    assert loud[:2] == plain[:2]
    assert all(TIMED.match(line) for line in loud[2]), loud[2]
    assert any("INFO genre_gen.recommender.loading: read " in line for line in loud[2])
    assert any("WARNING" in line and "no item has genre 'Horro'" in line for line in loud[2])


def test_the_variable_sets_the_level(genre, monkeypatch):
    levels = {}
    monkeypatch.setattr("genre_gen.cli.verbosity.tell_from", lambda level: levels.update({name: level}))
    for name in ("error", "WARNING", "info", "debug"):
        monkeypatch.setenv("GENRE_LOG", name)
        assert genre("domains")[0] == 0
    assert levels == {name: getattr(logging, name.upper()) for name in levels}
    monkeypatch.setenv("GENRE_LOG", "loud")
    refused(genre("domains"), 2, "GENRE_LOG=loud: choose error, warning, info, debug")


def test_quiet_training_shows_no_progress(run, tiny_model, tmp_path):
    settings = ["model.exit_layer=2", "training.epochs=1", "training.max_minutes=null", "training.refit=none"]
    settings += ["training.distillation=0", 'training.tracker="none"']
    arguments = ["train", ROOT / "catalogs" / "movies", "--llm", tiny_model, "--data", SAMPLE]
    arguments += [part for setting in settings for part in ("--set", setting)]
    quiet = run(*arguments, "--out", tmp_path / "a" / "run", "--quiet")
    assert (quiet[0], quiet[2]) == (0, [])
    loud = run(*arguments, "--out", tmp_path / "b" / "run", "-v")
    assert loud[1].replace("/b/", "/a/") == quiet[1]
    told = "\n".join(loud[2])
    assert "language model:" in told
    assert "genre_gen.training.progress: collaborative models took 0:0" in told
    assert "items, 30 users" in told


@pytest.mark.parametrize("arguments", [("-q", "recommend"), ("recommend", "-q"), ("recommend", "--verbose")])
def test_an_error_is_one_line_at_every_level(genre, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    refused(genre(*arguments, "--user", "17"), 2, "runs/movies: no such folder")


def test_both_at_once_are_refused(genre):
    code, out, err = genre("recommend", "-q", "-v", "--user", "17")
    assert (code, out, err) == (2, "", "genre-gen: give either --quiet or --verbose\n")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_both_options(command):
    shown = CliRunner().invoke(app, [*command.split(), "--help"]).stdout
    assert "--quiet" in shown
    assert "--verbose" in shown


def test_the_library_leaves_logging_to_its_user():
    program = (
        "import logging, warnings, genre_gen; from genre_gen import Dataset, Recommender\n"
        "logger = logging.getLogger('genre_gen')\n"
        "assert not logger.handlers\n"  # so that warnings about data reach stderr even where nobody set logging up
        "assert not logging.getLogger().handlers and logger.level == logging.NOTSET and logger.propagate\n"
        "logging.getLogger('genre_gen.x').warning('shown by default')\n"
        "logging.basicConfig(format='%(message)s')\n"
        "logging.getLogger('genre_gen.x').warning('shown')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "shown by default\nshown\n")


def test_downloads_are_quiet_where_the_library_is(capsys, caplog):
    from genre_gen.downloads.integrity import say

    say("loud")
    caplog.set_level(logging.ERROR, "genre_gen")
    say("quiet")
    assert capsys.readouterr().err == "loud\n"
