"""What the tests of the command line share: it is run as a user runs it."""

import logging
import shutil
import sys
from pathlib import Path

import pytest

from genre_gen.cli import main as cli
from tests.cli.outcomes import SAMPLE


@pytest.fixture
def genre(monkeypatch, capsys):
    """Return a function that runs the command line as a user does: exit code, stdout, stderr."""

    loggers = logging.getLogger(), logging.getLogger("genre_gen")

    def run(*arguments):
        levels = {logger: logger.level for logger in loggers}
        monkeypatch.setattr(sys, "argv", ["genre-gen", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        for logger in loggers:  # the options of one run shall not quieten what comes after it
            logger.setLevel(levels[logger])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def recommend(genre, saved):
    def run(*arguments):
        return genre("recommend", "movies", "--model", saved, *arguments)

    return run


@pytest.fixture
def own_domain(tmp_path):
    """Return a domain's folder with its data in it."""
    folder = Path(shutil.copytree(SAMPLE, tmp_path / "catalogs" / "movies"))
    text = (folder / "domain.toml").read_text().replace('source = "ml-100k"', 'path = "."')
    (folder / "domain.toml").write_text(text)
    return folder
