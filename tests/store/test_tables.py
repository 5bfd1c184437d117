"""Items, users, served lists, keys, audit and idempotency keys: each noun of the store."""

import hashlib
from dataclasses import replace

import pytest
from stored_events import event

from genre_gen import Item
from genre_gen.errors import StoreError, UsageError
from genre_gen.store import schema
from genre_gen.store.audit import AuditLog
from genre_gen.store.database import Database
from genre_gen.store.events import EventLog
from genre_gen.store.idempotency import IdempotencyTable
from genre_gen.store.items import ItemTable
from genre_gen.store.keys import KeyTable
from genre_gen.store.lists import ListLog, ServedList
from genre_gen.store.users import UserTable

UP = Item(
    "m1", "Up (2009)", {"genre": ("Animation", "Drama"), "year": 2009, "score": 8.25, "studio": None}, "Balloons."
)
LIST = ServedList(
    "0193a7c2", 1_700_000_000.0, "17", {"n": 2, "where": "year > 1980"}, "g-1", 3, 7, ("181", "50"), (2.5, -0.25),
    ("m1",), ("short",), 7412, extra={"seed": 5},
)  # fmt: skip


def test_items_come_back_as_they_were(database, domain, write):
    items = ItemTable(database, domain)
    assert items.get("m1") is None
    assert write(items.put, UP).created
    stored = items.get("m1")
    assert (stored.item, stored.available, stored.version) == (UP, True, 1)
    assert dict(stored.item.attributes) == dict(UP.attributes)  # attributes take no part in ==
    assert items.all() == [stored]


def test_an_items_version_grows_with_changes_only(database, domain, write):
    items = ItemTable(database, domain)
    assert [write(items.put, UP).version for _ in range(2)] == [1, 1]
    assert write(items.put, UP, available=False).version == 2
    assert not items.get("m1").available
    changed = write(items.put, replace(UP, title="Up"), True)
    assert (changed.version, changed.created, items.get("m1").item.title) == (3, False, "Up")


def test_parts_of_an_item_can_be_changed(database, domain, write):
    items = ItemTable(database, domain)
    assert write(items.patch, "m1", title="Up") is None
    write(items.put, UP)
    patched = write(items.patch, "m1", attributes={"year": 2010}, available=False)
    assert (patched.item.attributes["year"], patched.item.title, patched.available) == (2010, UP.title, False)
    assert write(items.patch, "m1", text="").available is False
    assert items.get("m1").item.text == ""


def test_items_are_in_the_order_of_their_creation(database, domain, write):
    items = ItemTable(database, domain)
    for name in "zay":
        write(items.put, Item(name, name))
    write(items.put, Item("z", "changed"))
    assert [each.item.id for each in items.all()] == ["z", "a", "y"]
    assert ItemTable(database, f"{domain}-other").all() == []


def test_users_are_created_by_events_lists_and_labels(database, domain, write):
    users = UserTable(database, domain)
    assert users.get("17") is None
    write(EventLog(database, domain).add, [event(user="17")])
    assert users.get("17").labels == {}
    write(users.put, "17", {"plan": "family"})
    write(users.put, "18", {})
    assert (users.get("17").labels, users.get("18").labels) == ({"plan": "family"}, {})
    assert write(users.ensure, ["17", "19", "17"]).keys() == {"17", "19"}
    with pytest.raises(UsageError, match="user: the id"):
        write(users.ensure, [""])


def test_a_merge_moves_events_and_lists(database, domain, write):
    log, lists, users = EventLog(database, domain), ListLog(database, domain), UserTable(database, domain)
    write(log.add, [event("a", user="before"), event("b", user="17"), event("c", user="before")])
    write(lists.add, replace(LIST, user="before"))
    assert write(users.merge, "before", "17") == 2
    assert [each.event_id for each in log.of_user("17")] == ["c", "b", "a"]
    assert (log.of_user("before"), users.get("before"), lists.get(LIST.list_id).user) == ([], None, "17")
    assert set(log.columns().users) == {"17"}
    assert write(users.merge, "nobody", "17") == write(users.merge, "17", "17") == 0
    write(log.add, [event("d", user="before")])  # a new user of that name
    assert [each.event_id for each in log.of_user("before")] == ["d"]


def test_a_deletion_leaves_only_a_mark(database, domain, write):
    log, lists, users = EventLog(database, domain), ListLog(database, domain), UserTable(database, domain)
    write(log.add, [event("a"), event("b", user="18")])
    write(lists.add, LIST, replace(LIST, list_id="other", user=None))
    write(users.put, "17", {"plan": "family"})
    assert write(users.delete, "17") == 1
    assert (log.of_user("17"), users.get("17"), lists.get(LIST.list_id)) == ([], None, None)
    assert lists.get("other") is not None
    assert (log.count(), users.deleted()) == (1, ["17"])
    assert write(users.delete, "17") == write(users.delete, "never seen") == 0
    assert users.deleted() == ["17", "never seen"]
    write(log.add, [event("c")])
    assert [each.event_id for each in log.of_user("17")] == ["c"]


def test_lists_come_back_as_they_were(database, domain, write):
    lists = ListLog(database, domain)
    stranger = replace(LIST, list_id="b", user=None, items=(), scores=(), shown=(), request={})
    write(lists.add, LIST, stranger)
    write(lists.add, replace(LIST, generation="another"))  # a retry of the writer changes nothing
    assert (lists.get(LIST.list_id), lists.get("b")) == (LIST, stranger)
    assert lists.get("c") is None
    assert ListLog(database, f"{domain}-other").get(LIST.list_id) is None


def test_old_lists_are_deleted(database, domain, write):
    lists = ListLog(database, domain)
    write(lists.add, *(replace(LIST, list_id=str(at), at=float(at)) for at in range(5)))
    assert write(lists.delete_before, 3.0) == 3
    assert [lists.get(str(at)) is None for at in range(5)] == [True, True, True, False, False]


def test_only_the_hash_of_a_key_is_stored(database, write):
    keys = KeyTable(database)
    secret, row = write(keys.create, "ingest", ["movies", "books", "books"], 2e9, 10.0, 5, "shop")
    assert len(secret) == len("gk_12345678_") + 43
    assert secret.startswith(f"gk_{row.prefix}_")
    assert row == keys.find(row.prefix) in keys.list()
    assert (row.role, row.domains, row.rate, row.burst, row.label) == ("ingest", ("books", "movies"), 10.0, 5, "shop")
    assert row.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    with database.read() as connection:
        stored = repr(connection.execute(schema.api_key.select().where(schema.api_key.c.prefix == row.prefix)).all())
    assert secret[12:] not in stored


def test_a_key_opens_until_it_expires_or_is_revoked(database, write):
    keys = KeyTable(database)
    secret, row = write(keys.create, "read", expires=100.0)
    assert row.opens(secret, 99.0)
    assert not row.opens(secret, 100.0)
    assert not any(row.opens(wrong, 99.0) for wrong in ("", secret[:-1], secret + "x", "\ud800", secret.upper()))
    revoked = write(keys.revoke, row.prefix)
    assert not revoked.opens(secret, 99.0)
    assert write(keys.revoke, row.prefix) == revoked == keys.find(row.prefix)
    write(keys.touch, {row.prefix: 50.0, "unknown": 60.0})
    assert keys.find(row.prefix).last_used == 50.0


@pytest.mark.parametrize(
    "wrong", [{"role": "root"}, {"domains": []}, {"rate": 0.0}, {"rate": float("nan")}, {"burst": 0}]
)
def test_wrong_keys_are_refused(database, write, wrong):
    with pytest.raises(UsageError):
        write(KeyTable(database).create, **{"role": "read", **wrong})


def test_unknown_keys_are_named(database, write):
    assert KeyTable(database).find("nothing!") is None
    with pytest.raises(UsageError, match="no key 'nothing!'"):
        write(KeyTable(database).revoke, "nothing!")


@pytest.fixture
def entries(url):
    """Return a store with an audit log of three entries."""
    with Database.open(url) as database:
        log = AuditLog(database)
        for number in range(3):
            database.writer.submit(lambda c, n=number: log.add(c, "a1", "key.revoke", f"k{n}", {"n": n})).result(60)
        yield database


def test_the_audit_log_is_a_chain(entries):
    log = AuditLog(entries)
    rows = log.rows()
    assert [(row.seq, row.subject, row.detail["n"]) for row in rows] == [(3, "k2", 2), (2, "k1", 1), (1, "k0", 0)]
    assert log.verify() == rows[0].chain
    assert log.rows(1, before_seq=2) == rows[2:]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (schema.audit.update().where(schema.audit.c.seq == 2).values(detail='{"n":5}'), 2),
        (schema.audit.update().where(schema.audit.c.seq == 2).values(at=5.0), 2),
        (schema.audit.delete().where(schema.audit.c.seq == 1), 1),
        (schema.audit.update().where(schema.audit.c.seq == 3).values(chain="0" * 64), 3),
    ],
)
def test_a_changed_audit_log_is_noticed(entries, change, first):
    entries.writer.submit(lambda connection: connection.execute(change).rowcount).result(60)
    with pytest.raises(StoreError, match=f"entry {first} of the audit log was changed"):
        AuditLog(entries).verify()


def test_a_request_is_answered_once(database, domain, write):
    requests = IdempotencyTable(database, domain)
    assert requests.find("k", "aa").state == "new"
    assert write(requests.begin, "k", "aa", 100.0).state == "new"
    assert write(requests.begin, "k", "aa", 100.0).state == "running"
    assert write(requests.begin, "k", "bb", 100.0).state == requests.find("k", "bb").state == "other"
    write(requests.finish, "k", 201, '{"a": 1}')
    done = write(requests.begin, "k", "aa", 100.0)
    assert (done.state, done.status, done.answer) == ("done", 201, '{"a": 1}')
    write(requests.abandon, "k")
    assert write(requests.begin, "k", "cc", 100.0).state == "new"
    assert write(requests.delete_before, 100.0) == 0
    assert write(requests.delete_before, 101.0) == 1


def test_requests_that_ran_when_the_server_ended_are_forgotten(url):
    with Database.open(url) as database:
        requests, submit = IdempotencyTable(database, "movies"), database.writer.submit
        for key in ("done", "running"):
            submit(lambda c, key=key: requests.begin(c, key, "aa", 2e9)).result(60)
        submit(lambda c: requests.finish(c, "done", 200, "")).result(60)
    with Database.open(url) as database:
        requests = IdempotencyTable(database, "movies")
        assert [requests.find(key, "aa").state for key in ("done", "running")] == ["done", "new"]
