"""What the tests of downloads share: a home of their own, a server, and a pip that sees one folder only."""

import os

import pytest
from local_server import LocalServer

from genre_gen.downloads import transfer
from tests.downloads.archive_files import CONTENT


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def server():
    server = LocalServer()
    server.files["/file.bin"] = CONTENT
    yield server
    server.close()


@pytest.fixture
def no_index(tmp_path, monkeypatch):
    """pip sees an empty folder of wheels and nothing else; returns the folder."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for name in ("PIP_CONSTRAINT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder
