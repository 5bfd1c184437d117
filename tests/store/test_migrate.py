"""A store gets the newest schema from an empty database and from every released one, whole or not at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from genre_gen.errors import StoreError
from genre_gen.live.events import LiveEvent
from genre_gen.store.backend import driver
from genre_gen.store.database import Database, backend_of
from genre_gen.store.events import EventLog
from genre_gen.store.items import ItemTable
from genre_gen.store.lists import ListLog
from genre_gen.store.migrate import FOLDER, VERSION_TABLE, migrate
from genre_gen.store.schema import metadata
from genre_gen.store.users import UserTable

RELEASED = Path(__file__).parent / "schemas"
SCHEMAS = sorted({int(file.name.split(".")[0]) for file in RELEASED.glob("*.sql")})

NEXT = """
from alembic import op
from sqlalchemy import Column, Integer
revision, down_revision = "{revision}", "{before}"
def upgrade():
    op.create_table("of_{revision}", Column("id", Integer, primary_key=True))
    op.execute("UPDATE meta SET value = 'changed'")
    {ends}
"""


def difference(database):
    """Return what the tables lack or have too much."""
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return compare_metadata(context, metadata)


def state(url):
    """Return the schema's number, the tables, and the rows of one."""
    engine = backend_of(url).reading
    with engine.connect() as connection:
        number = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return number, set(inspect(connection).get_table_names()), connection.execute(text("SELECT * FROM meta")).all()


def test_an_empty_database_gets_the_tables(url):
    with Database.open(url) as database:
        assert difference(database) == []
    before = state(url)
    with Database.open(url) as database:
        assert difference(database) == []
    assert state(url)[:2] == before[:2]


def test_every_migration_has_a_frozen_copy():
    migrations = [file for file in FOLDER.glob("*.py") if file.name != "__init__.py"]
    assert list(range(1, len(migrations) + 1)) == SCHEMAS


def load(url, number):
    """Make a store as an earlier version left it, with a little of everything in it."""
    backend = backend_of(url)
    script = (RELEASED / f"{number}.{url.split(':')[0].split('+')[0]}.sql").read_text()
    if url.startswith("sqlite"):
        backend.path.parent.mkdir(parents=True)
    with backend.migrating().connect() as connection:
        if url.startswith("sqlite"):
            driver(connection).executescript(script)
        else:
            driver(connection).execute(script)
            driver(connection).commit()
    backend.close()


@pytest.mark.parametrize("number", SCHEMAS)
def test_a_store_of_every_released_version_can_be_used(url, number):
    load(url, number)
    with Database.open(url) as database:
        assert difference(database) == []
        log = EventLog(database, "movies")
        kept = LiveEvent("e1", "17", "181", "view", 5.5, 6.5, 4.0, 2.5, "l1", 1, "s1", 1)
        assert log.of_user("17") == [kept]
        assert ItemTable(database, "movies").get("m1").item.attributes == {"genre": ("Drama",), "year": 2009}
        assert ListLog(database, "movies").get("l1").items == ("181",)
        assert UserTable(database, "movies").get("17").labels == {"plan": "family"}
        again = LiveEvent("e2", "18", "181", "view", 5.5, 6.5)
        added = database.writer.submit(lambda connection: log.add(connection, [kept, again])).result(60)
        assert (added.duplicates, [each.event_id for each in added.stored]) == (1, ["e2"])


@pytest.fixture
def later(tmp_path):
    """Return a function that makes a folder with a later migration."""

    def make(ends, revision="9001"):
        folder = tmp_path / f"later {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "later.py").write_text(NEXT.format(revision=revision, before=SCHEMAS[-1], ends=ends))
        return folder

    return make


def test_a_migration_that_fails_changes_nothing(url, later):
    Database.open(url).close()
    before = state(url)
    with pytest.raises(StoreError, match="nothing_here"):
        migrate(backend_of(url), (FOLDER, later("op.execute('SELECT * FROM nothing_here')")))
    assert state(url) == before
    migrate(backend_of(url), (FOLDER, later("pass")))
    number, tables, rows = state(url)
    assert (number, tables - before[1], {row.value for row in rows}) == ("9001", {"of_9001"}, {"changed"})


def test_a_migration_that_is_killed_changes_nothing(file_url, later):
    Database.open(file_url).close()
    before = state(file_url)
    folder = later("import os; os._exit(9)")
    script = (
        "import sys; from pathlib import Path\nfrom genre_gen.store.migrate import FOLDER, migrate\n"
        "from genre_gen.store.database import backend_of\nmigrate(backend_of(sys.argv[1]), (FOLDER, Path(sys.argv[2])))"
    )
    done = subprocess.run([sys.executable, "-c", script, file_url, str(folder)], check=False, env={**os.environ})
    assert done.returncode == 9
    assert state(file_url) == before
    Database.open(file_url).close()


def test_a_store_of_a_later_version_is_refused(url, later):
    Database.open(url).close()
    migrate(backend_of(url), (FOLDER, later("pass")))
    before = state(url)
    with pytest.raises(StoreError, match=rf"has schema 9001, and .* up to {SCHEMAS[-1]}: install the version"):
        Database.open(url)
    assert state(url) == before


def test_a_database_of_another_program_is_refused(url):
    backend = backend_of(url)
    if url.startswith("sqlite"):
        backend.path.parent.mkdir(parents=True)
    with backend.migrating().begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
    backend.close()
    with pytest.raises(StoreError, match="another program, with the table alembic_version"):
        Database.open(url)


def test_migrations_do_not_delete_what_refers_to_a_table_they_replace(file_url, tmp_path):
    load(file_url, SCHEMAS[-1])
    folder = tmp_path / "replacing"
    folder.mkdir()
    steps = (
        '    with op.batch_alter_table("subject", recreate="always") as table:\n'
        '        table.add_column(Column("x", Integer))\n'
    )
    content = NEXT.format(revision="9001", before=SCHEMAS[-1], ends="pass") + steps
    (folder / "replacing.py").write_text(content)
    migrate(backend_of(file_url), (FOLDER, folder))
    shutil.rmtree(folder)
    with backend_of(file_url).reading.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM event")).scalar() == 1
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
