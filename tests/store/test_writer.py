"""One writer: what waits is committed together, one error harms no other write, and a disk that fails harms nothing."""

import sqlite3
import threading

import pytest
import sqlalchemy
from stored_events import event

from genre_gen.errors import BusyError, StoreError, UsageError
from genre_gen.store import writer as module
from genre_gen.store.backend import driver
from genre_gen.store.database import Database
from genre_gen.store.events import EventLog


@pytest.fixture
def log(database, domain):
    return EventLog(database, domain)


@pytest.fixture
def held(database):
    """Hold the writer while a test fills its queue."""
    begun, release = threading.Event(), threading.Event()
    holding = database.writer.submit(lambda connection: (begun.set(), release.wait(60)))
    begun.wait(60)
    yield release
    release.set()
    holding.result(60)


def test_an_invalid_write_harms_no_other(database, log, held):
    applied, submit = [], database.writer.submit

    def fails(connection):
        log.add(connection, [event("lost", user="lost")])
        raise ValueError("no")

    def is_wrong(connection):
        log.add(connection, [event("lost too")])
        connection.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('x', NULL)")

    writes = [lambda c: log.add(c, [event("a")]), fails, is_wrong, lambda c: log.add(c, [event("b", user="lost")])]
    first, second, third, fourth = [submit(write, lambda added: applied.append(added.stored)) for write in writes]
    held.set()
    with pytest.raises(ValueError, match="no"):
        second.result(60)
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        third.result(60)
    assert applied == [first.result(60).stored, fourth.result(60).stored]
    assert [each.event_id for each in log.of_user("lost")] == ["b"]
    assert log.count() == 2
    assert database.writer.healthy


def test_what_waits_is_committed_together_and_applied_in_order(database, held):
    before, order = database.writer.stats.commits, []
    futures = [database.writer.submit(lambda _, n=n: n, order.append) for n in range(50)]
    held.set()
    assert [future.result(60) for future in futures] == order == list(range(50))
    assert database.writer.stats.commits <= before + 3
    assert database.writer.stats.waiting == 0


def test_a_transaction_has_few_rows(database, held):
    before = database.writer.stats.commits
    futures = [database.writer.submit(lambda _: None, rows=module.MAX_ROWS // 2) for _ in range(10)]
    held.set()
    for future in futures:
        future.result(60)
    assert database.writer.stats.commits >= before + 5


def test_a_full_queue_refuses_and_says_when(database, held):
    submit, rows = database.writer.submit, module.MAX_WAITING // 2
    futures = [submit(lambda _: None, rows=rows), submit(lambda _: None, rows=rows)]
    with pytest.raises(BusyError, match="rows wait") as refused:
        submit(lambda _: None)
    assert refused.value.retry_after > 0
    waiting = threading.Thread(target=lambda: futures.append(submit(lambda _: None, wait=True)))
    waiting.start()
    held.set()
    waiting.join(60)
    assert [future.result(60) for future in futures] == [None] * 3


def test_a_cancelled_write_is_not_made(database, domain, held):
    cancelled = database.writer.submit(lambda connection: connection.exec_driver_sql("no SQL"))
    assert cancelled.cancel()
    held.set()
    assert database.writer.submit(lambda _: 5).result(60) == 5


def test_what_cannot_be_applied_is_an_error_of_that_write_alone(database, caplog):
    def refuse(_):
        raise UsageError("not applied")

    first, second = database.writer.submit(lambda _: 1, refuse), database.writer.submit(lambda _: 2)
    with pytest.raises(UsageError, match="not applied"):
        first.result(60)
    assert second.result(60) == 2
    assert "is stored, and could not be applied" in caplog.text


def test_a_closed_store_refuses_writes(url):
    database = Database.open(url)
    log = EventLog(database, "movies")
    futures = [database.writer.submit(lambda c, n=n: log.add(c, [event(f"e{n}")])) for n in range(5)]
    database.close()
    assert [len(future.result(0).stored) for future in futures] == [1] * 5  # what waited is written
    with pytest.raises(StoreError, match="is closed"):
        database.writer.submit(lambda _: None)
    with Database.open(url) as again:
        assert EventLog(again, "movies").count() == 5


def lasting(database, statement):
    """Make the writer's connection fail until it is opened again."""
    database.writer.submit(lambda connection: driver(connection).execute(statement)).result(60)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("PRAGMA max_page_count = 1", "full; free some space"),
        ("PRAGMA query_only = ON", "readonly.*let this user write"),
    ],
)
def test_a_disk_that_is_full_or_read_only_stores_nothing_and_recovers(file_url, monkeypatch, statement, told):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    with Database.open(file_url) as database:
        log, applied = EventLog(database, "movies"), []
        database.writer.submit(lambda c: log.add(c, [event("a")])).result(60)
        connect, broken = database.backend.writing.pool._creator, threading.Event()
        broken.set()

        def breaks(*arguments):
            connection = connect(*arguments)
            if broken.is_set():
                connection.execute(statement)
            return connection

        database.backend.writing.pool._creator = breaks
        lasting(database, statement)
        many = [event(f"e{n}", session="s" * 400) for n in range(500)]
        for _ in range(2):
            with pytest.raises(StoreError, match=told):
                database.writer.submit(lambda c: log.add(c, many), applied.append).result(60)
        assert (database.writer.healthy, applied, log.count()) == (False, [], 1)
        broken.clear()
        wait_until(lambda: database.writer.healthy)  # it tries by itself
        added = database.writer.submit(lambda c: log.add(c, many), applied.append).result(60)
        assert len(added.stored) == 500
        assert applied == [added]
    with Database.open(file_url) as again:
        assert EventLog(again, "movies").count() == 501


def wait_until(condition):
    end = threading.Event()
    for _ in range(2000):
        if condition():
            return
        end.wait(0.01)
    raise AssertionError("it did not happen")


def test_nothing_is_applied_if_the_commit_fails(url, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    with Database.open(url) as database:
        log, applied, broken = EventLog(database, "movies"), [], threading.Event()

        def commit(connection):
            if broken.is_set():
                raise sqlite3.OperationalError("disk I/O error")

        sqlalchemy.event.listen(database.backend.writing, "commit", commit)
        broken.set()
        futures = [
            database.writer.submit(lambda c, n=n: log.add(c, [event(f"e{n}")]), applied.append) for n in range(3)
        ]
        for future in futures:
            with pytest.raises(StoreError, match="disk I/O error"):
                future.result(60)
        assert (applied, log.count(), database.writer.healthy) == ([], 0, False)
        broken.clear()
        again = database.writer.submit(lambda c: log.add(c, [event("e0")]), applied.append)
        assert applied == [again.result(60)]
        assert (log.count(), database.writer.healthy) == (1, True)
