"""Stores for tests, in SQLite and in PostgreSQL; where none can be started, its tests are skipped, but not in CI."""

import hashlib
import os
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path

import postgres
import pytest

from genre_gen.store.database import Database

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_address(tmp_path_factory):
    """Return the address of a PostgreSQL that all workers of this run share."""
    base, worker = tmp_path_factory.getbasetemp(), os.environ.get("PYTEST_XDIST_WORKER")
    run = hashlib.sha256(str(base.parent if worker else base).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir(), f"genre-postgres-{run}")  # where PostgreSQL's user may enter
    folder.mkdir(mode=0o755, exist_ok=True)
    with ExitStack() as stack:
        try:
            address = stack.enter_context(postgres.shared(folder))
        except postgres.Unavailable as reason:
            if os.environ.get("GENRE_CI") == "1":
                raise
            pytest.skip(f"no PostgreSQL: {reason}")
        yield address


@contextmanager
def empty(engine, request, folder):
    """Lend the address of an empty store."""
    if engine == "sqlite":
        yield f"sqlite:///{folder}/live/store.db"
        return
    address = request.getfixturevalue("postgres_address")
    yield postgres.create(address, f"t{uuid.uuid4().hex[:16]}")


@pytest.fixture(scope="session", params=ENGINES)
def database(request, tmp_path_factory):
    """Return an open store that many tests share: each takes a domain of its own."""
    with empty(request.param, request, tmp_path_factory.mktemp("store")) as url, Database.open(url) as opened:
        yield opened


@pytest.fixture(params=ENGINES)
def url(request, tmp_path):
    """Return the address of a store that does not exist yet, for tests that close it or harm it."""
    with empty(request.param, request, tmp_path) as address:
        yield address


@pytest.fixture
def file_url(tmp_path):
    """Return the same in SQLite."""
    return f"sqlite:///{tmp_path}/live/store.db"


@pytest.fixture
def domain():
    """Return the name of a domain that no other test has."""
    return f"d{uuid.uuid4().hex[:12]}"


@pytest.fixture
def write(database):
    """Return a function that has something written and waits for it."""

    def now(what, *arguments, **keywords):
        return database.writer.submit(lambda connection: what(connection, *arguments, **keywords)).result(60)

    return now
