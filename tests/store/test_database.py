"""Stores are opened by one process, durable, checked, backed up, and refuse what is not theirs."""

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import postgres
import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError
from stored_events import event

from genre_gen.errors import GenreGenError, StoreError
from genre_gen.store import sqlite
from genre_gen.store import writer as writer_module
from genre_gen.store.backend import driver
from genre_gen.store.database import Database
from genre_gen.store.events import EventLog
from genre_gen.store.postgresql import PostgresBackend


def pragmas(connection, names):
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


def test_the_writer_waits_for_the_disk_and_readers_cannot_write(file_url):
    with Database.open(file_url) as database:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema", "mmap_size",
                 "journal_size_limit", "busy_timeout", "query_only")  # fmt: skip
        written = database.writer.submit(lambda connection: pragmas(driver(connection), names)).result(60)
        assert written == {
            "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "trusted_schema": 0,
            "mmap_size": 0, "journal_size_limit": 64 * 1024 * 1024, "busy_timeout": 5000, "query_only": 0,
        }  # fmt: skip
        with database.read() as connection:
            read = pragmas(driver(connection), ("query_only", "trusted_schema", "mmap_size"))
            assert read == {"query_only": 1, "trusted_schema": 0, "mmap_size": 0}


def test_commits_wait_for_the_disk_in_postgresql(postgres_address):
    with Database.open(postgres.create(postgres_address, "settings")) as database:
        shown = database.writer.submit(
            lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar()
        )
        assert shown.result(60) == "on"


def test_readers_cannot_write_and_see_one_state(database, domain, write):
    with pytest.raises(GenreGenError), database.read() as connection:
        connection.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('a', 'b')")
    log = EventLog(database, domain)
    count = f"SELECT count(*) FROM event JOIN domain ON domain.id = event.domain WHERE name = '{domain}'"
    with database.read() as connection:
        assert connection.exec_driver_sql(count).scalar() == 0
        write(log.add, [event()])
        assert connection.exec_driver_sql(count).scalar() == 0
    assert log.count() == 1


def test_a_file_of_the_store_is_its_owners_alone(file_url, tmp_path):
    with Database.open(file_url):
        assert [(tmp_path / "live" / name).stat().st_mode & 0o077 for name in ("store.db", "store.db.lock")] == [0, 0]


def test_a_second_process_is_refused_and_told_who_has_it(file_url):
    with Database.open(file_url):
        opening = f"from genre_gen.store.database import Database; Database.open({file_url!r})"
        done = subprocess.run([sys.executable, "-c", opening], capture_output=True, text=True, check=False)
        last = done.stderr.strip().splitlines()[-1]
        assert f"process {os.getpid()} has this store open; end it, or choose another store" in last
    Database.open(file_url).close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("genre_gen.store.postgresql.PATIENCE", 0.0)


def test_a_store_is_opened_once_in_a_process(url, impatient):
    with Database.open(url) as database:
        with pytest.raises(StoreError, match=f"process {os.getpid()}.* has this store open"):
            Database.open(url)
        assert database.writer.submit(lambda _: 5).result(60) == 5


def test_a_lock_of_a_dead_process_is_taken_over(file_url, tmp_path):
    file = tmp_path / "live" / "store.db.lock"
    file.parent.mkdir()
    file.write_text("1\n")
    with Database.open(file_url):
        assert file.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite://", "names no file; write sqlite:///FILE"),
        ("sqlite:///:memory:", "names no file"),
        ("store.db", "not the address of a store; write sqlite:///FILE"),
        ("mysql://localhost/x", "no store in 'mysql'; write sqlite:///FILE or postgresql"),
        ("sqlite:////dev/null/x/store.db", "its folder cannot be written"),
        ("postgresql://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.0.0.1:1/x: connection.* refused"),
    ],
)
def test_wrong_addresses_are_explained(url, told):
    with pytest.raises(StoreError, match=told) as refused:
        Database.open(url)
    assert "secret" not in str(refused.value)


def test_a_damaged_file_is_refused(file_url, tmp_path):
    with Database.open(file_url) as database:
        log = EventLog(database, "movies")
        database.writer.submit(lambda c: log.add(c, [event(f"e{n}") for n in range(500)])).result(60)
    file = tmp_path / "live" / "store.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.db: .*; it is damaged; put the last backup in its place"):
        Database.open(file_url)
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="it is damaged"):
        Database.open(file_url)


def test_a_backup_can_be_restored(file_url, tmp_path):
    copy = tmp_path / "backups" / "copy.db"
    with Database.open(file_url) as database:
        log = EventLog(database, "movies")
        database.writer.submit(lambda c: log.add(c, [event("a")])).result(60)
        stop, writing = threading.Event(), 0

        def write():
            nonlocal writing
            while not stop.is_set():
                writing += 1
                database.writer.submit(lambda c, n=writing: log.add(c, [event(f"during {n}")])).result(60)

        thread = threading.Thread(target=write)
        thread.start()
        database.backup(copy)
        stop.set()
        thread.join()
        database.writer.submit(lambda c: log.add(c, [event("after")])).result(60)
    assert [file.name for file in copy.parent.iterdir()] == ["copy.db"]
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        Path(tmp_path, "live", name).unlink(missing_ok=True)
    copy.rename(tmp_path / "live" / "store.db")
    with Database.open(file_url) as database:
        log = EventLog(database, "movies")
        ids = {each.event_id for each in log.of_user("17", n=10_000)}
        assert "a" in ids
        assert "after" not in ids
        database.writer.submit(lambda c: log.add(c, [event("after")])).result(60)
        assert log.count() == len(ids) + 1


def test_backups_that_cannot_be_written_say_why(file_url, postgres_address):
    with Database.open(file_url) as database, pytest.raises(StoreError, match="no backup was written"):
        database.backup(Path("/dev/null/copy.db"))
    with (
        Database.open(postgres.create(postgres_address, "backup")) as database,
        pytest.raises(StoreError, match="run pg_dump"),
    ):
        database.backup(Path("copy.db"))


def test_affected_versions_of_sqlite_are_told_once(caplog):
    sqlite._TOLD.clear()
    with caplog.at_level(logging.WARNING):
        for version in ((3, 40, 1), (3, 40, 1), (3, 51, 3), (3, 6, 23), (3, 51, 2)):
            sqlite.warn_of_version(version)
    assert [record.getMessage()[:13] for record in caplog.records] == ["SQLite 3.40.1", "SQLite 3.51.2"]
    assert "fixed in 3.51.3" in caplog.text


def test_a_writer_that_lost_its_connection_recovers(postgres_address, monkeypatch):
    monkeypatch.setattr(writer_module, "PAUSE", 0.01)
    url = postgres.create(postgres_address, "lost")
    with Database.open(url) as database:
        log, applied = EventLog(database, "movies"), []
        pid = database.writer.submit(
            lambda connection: connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        ).result(60)

        def loses(connection):
            log.add(connection, [event("lost")])
            with psycopg.connect(f"{postgres_address.replace('+psycopg', '')}/postgres", autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
            return log.add(connection, [event("lost too")])

        with pytest.raises(StoreError, match="check that PostgreSQL runs"):
            database.writer.submit(loses, applied.append).result(60)
        assert applied == []
        database.writer.submit(lambda c: log.add(c, [event("kept")])).result(60)
        assert [each.event_id for each in log.of_user("17")] == ["kept"]
        assert database.writer.healthy
        database.backend.reading.dispose()
        with database.read() as connection, pytest.raises(SQLAlchemyError):
            connection.exec_driver_sql("no SQL")


def test_the_driver_of_an_address_may_be_left_out():
    assert PostgresBackend(sqlite.URL.create("postgresql", database="x")).url.drivername == "postgresql+psycopg"


def test_an_error_of_sqlite_is_harmless_if_only_a_statement_was_wrong(file_url):
    with Database.open(file_url) as database:
        future = database.writer.submit(lambda connection: connection.exec_driver_sql("no SQL"))
        with pytest.raises(SQLAlchemyError):
            future.result(60)
        assert database.writer.healthy
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        assert database.backend.is_fatal(full)
