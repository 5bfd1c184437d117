"""Push: the newest list arrives after each change, once for many changes, and slow or lost readers harm no other."""

import asyncio
import json
import threading
import time

import pytest

from genre_gen.errors import BusyError, DataError
from genre_gen.server.push import NewList, PushHub, StreamResponse, Version

ASK = {"type": "http", "method": "GET", "path": "/stream", "headers": [], "asgi": {"spec_version": "2.3"}}


class Lists:
    """Makes lists whose content says what they were made from."""

    def __init__(self):
        self.generation, self.view, self.seqs = "g-1", 0, {}
        self.made, self.running, self.most = [], 0, 0
        self.seconds, self.problems, self.items = 0.0, [], ["a", "b"]

    def version(self, domain, user):
        return Version(self.generation, self.view, self.seqs.get(user, 0))

    async def newest(self, domain, user, n):
        self.running += 1
        self.most = max(self.most, self.running)
        version, items = self.version(domain, user), list(self.items)[:n]
        await asyncio.sleep(self.seconds)
        self.running -= 1
        if self.problems:
            raise self.problems.pop()
        self.made.append(user)
        return NewList(version, {"user": user, "seq": version.history_seq, "items": items}, frozenset(items))


class Client:
    """Reads a stream as a browser would."""

    def __init__(self, stream):
        self.stream, self.lists, self.ids, self.comments = stream, [], [], 0
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self):
        async for chunk in self.stream:
            lines = chunk.decode().splitlines()
            fields = dict(line.split(": ", 1) for line in lines if line and not line.startswith(":"))
            self.comments += lines[0].startswith(":")
            if "data" in fields:
                assert fields["event"] == "recommendations"
                self.ids.append(fields["id"])
                self.lists.append(json.loads(fields["data"]))


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def run(scenario, **options):
    """Run a scenario with a hub and a source of lists; no task may be left."""

    async def whole():
        lists = Lists()
        hub = PushHub(lists, **options)
        await scenario(hub, lists)
        await hub.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)
        assert not [task for task in others if not task.done()]
        return lists

    return asyncio.run(whole())


def test_a_stream_begins_with_the_present_list_and_gets_one_after_each_change():
    async def scenario(hub, lists):
        client = Client(hub.open("movies", "17", 2))
        await until(lambda: len(client.lists) == 1)
        lists.seqs["17"] = 5
        hub.changed("movies", ["17"], {"17": "c1-7"})
        await until(lambda: len(client.lists) == 2)
        assert [one["seq"] for one in client.lists] == [0, 5]
        assert client.lists[1]["because"] == {"event_id": "c1-7"}
        assert "because" not in client.lists[0]
        assert client.ids[1].startswith("g-1-")
        assert client.ids[1].endswith("-0.5")

    run(scenario)


def test_a_client_that_comes_back_gets_the_list_only_if_it_is_another_one():
    async def scenario(hub, lists):
        first = Client(hub.open("movies", "17"))
        await until(lambda: first.ids)
        second = Client(hub.open("movies", "17", last_event_id=first.ids[0]))
        await asyncio.sleep(0.05)
        assert (second.lists, len(lists.made)) == ([], 1)
        third = Client(hub.open("movies", "17"))  # the same list, without another pass
        await until(lambda: third.ids == first.ids)
        assert len(lists.made) == 1
        lists.seqs["17"] = 3
        behind = Client(hub.open("movies", "17", last_event_id=first.ids[0]))
        await until(lambda: behind.lists)
        assert behind.lists[0]["seq"] == 3
        lists.view += 1  # an item was withdrawn while the client was away
        away = Client(hub.open("movies", "17", last_event_id=behind.ids[0]))
        await until(lambda: away.lists)

    run(scenario)


def test_the_ids_of_another_process_are_not_taken_for_this_ones():
    async def scenario(hub, lists):
        client = Client(hub.open("movies", "17", last_event_id="g-1-zzzz-0.0"))
        await until(lambda: client.lists)

    run(scenario)


def test_many_changes_of_one_user_come_to_few_lists_and_the_last_one_is_the_newest():
    async def scenario(hub, lists):
        client = Client(hub.open("movies", "17"))
        await until(lambda: client.lists)
        lists.seconds = 0.01

        def write():
            for seq in range(1, 501):
                lists.seqs["17"] = seq
                hub.changed("movies", ["17"], {"17": f"e{seq}"})

        writer = threading.Thread(target=write)
        writer.start()
        await until(lambda: not writer.is_alive() and client.lists[-1]["seq"] == 500)
        assert client.lists[-1]["because"]["event_id"].startswith("e")
        assert len(lists.made) < 50
        assert hub.stats.lists == len(lists.made)

    run(scenario)


def test_changes_of_users_without_a_stream_cost_nothing():
    async def scenario(hub, lists):
        client = Client(hub.open("movies", "17"))
        await until(lambda: client.lists)
        hub.changed("movies", [f"u{number}" for number in range(1000)])
        hub.changed("books", ["17"])
        hub.renewed("books")
        await asyncio.sleep(0.02)
        assert lists.made == ["17"]
        assert not hub._marks

    run(scenario)


def test_a_withdrawn_item_renews_the_lists_that_hold_it_and_a_new_model_all():
    async def scenario(hub, lists):
        with_it = Client(hub.open("movies", "17"))
        await until(lambda: with_it.lists)
        lists.items = ["c", "d"]
        without = Client(hub.open("movies", "22"))
        await until(lambda: without.lists)
        lists.view += 1
        hub.withdrawn("movies", ["a"])
        await until(lambda: len(with_it.lists) == 2)
        assert with_it.lists[1]["items"] == ["c", "d"]
        assert len(without.lists) == 1
        lists.generation = "g-2"
        hub.renewed("movies")
        await until(lambda: len(with_it.lists) == 3 and len(without.lists) == 2)
        assert with_it.ids[-1].startswith("g-2-")

    run(scenario)


def test_an_item_that_is_withdrawn_while_a_list_is_made_is_noticed():
    async def scenario(hub, lists):
        lists.seconds = 0.02
        client = Client(hub.open("movies", "17"))
        await until(lambda: lists.running)
        lists.items, lists.view = ["c"], 1
        hub.withdrawn("movies", ["a"])
        await until(lambda: client.lists and client.lists[-1]["items"] == ["c"])

    run(scenario)


def test_a_client_whose_list_is_not_known_gets_a_new_one_after_a_withdrawal():
    async def scenario(hub, lists):
        first = Client(hub.open("movies", "17"))
        await until(lambda: first.ids)
        first.stream.close()
        first.stream.leave()
        client = Client(hub.open("movies", "17", last_event_id=first.ids[0]))
        lists.view += 1
        hub.withdrawn("movies", ["a"])
        await until(lambda: client.lists)

    run(scenario)


def test_users_who_became_one_get_a_list_although_the_last_event_is_the_same():
    async def scenario(hub, lists):
        client = Client(hub.open("movies", "17"))
        await until(lambda: client.lists)
        hub.changed("movies", ["17"])
        await asyncio.sleep(0.02)
        assert len(client.lists) == 1
        hub.changed("movies", ["17"], anyway=True)
        await until(lambda: len(client.lists) == 2)

    run(scenario)


def test_a_reader_that_takes_nothing_holds_one_list_and_delays_no_other():
    async def scenario(hub, lists):
        asleep = [hub.open("movies", "17") for _ in range(3)]
        client = Client(hub.open("movies", "17"))
        for seq in range(1, 30):
            lists.seqs["17"] = seq
            hub.changed("movies", ["17"])
            await until(lambda seq=seq: client.lists and client.lists[-1]["seq"] == seq)
        assert all(b'"seq":29' in stream._pending.wire for stream in asleep)
        late = Client(asleep[0])
        await until(lambda: late.lists)
        assert [one["seq"] for one in late.lists] == [29]

    run(scenario)


def test_no_more_lists_are_made_at_once_than_allowed():
    async def scenario(hub, lists):
        lists.seconds = 0.002
        clients = [Client(hub.open("movies", f"u{number}")) for number in range(40)]
        await until(lambda: all(client.lists for client in clients))
        lists.generation = "g-2"
        hub.renewed("movies")
        await until(lambda: all(len(client.lists) == 2 for client in clients))
        assert lists.most == 5

    run(scenario, concurrency=5)


def test_a_list_that_could_not_be_made_is_tried_again(caplog):
    async def scenario(hub, lists):
        lists.problems = [BusyError("the queue is full", retry_after=0.01)] * 3
        client = Client(hub.open("movies", "17"))
        await until(lambda: client.lists)
        assert hub.stats.failed == 0
        lists.problems, lists.seqs["17"] = [DataError("something else")], 4
        begun = time.monotonic()
        hub.changed("movies", ["17"], {"17": "e4"})
        await until(lambda: len(client.lists) == 2)
        assert time.monotonic() - begun >= 1
        assert client.lists[1]["because"] == {"event_id": "e4"}
        assert hub.stats.failed == 1

    run(scenario)
    assert "a list could not be pushed" in caplog.text


def test_streams_are_bounded_in_all_and_for_one_user():
    async def scenario(hub, lists):
        streams = [hub.open("movies", "17"), hub.open("movies", "17", 5)]
        with pytest.raises(BusyError, match="this user has 2 open streams"):
            hub.open("movies", "17")
        streams.append(hub.open("movies", "22"))
        with pytest.raises(BusyError, match="3 streams are open") as refused:
            hub.open("movies", "4")
        assert refused.value.retry_after > 0
        assert (hub.streams, hub.stats.refused) == (3, 2)
        for stream in streams:
            stream.leave()
            stream.leave()
        assert hub.streams == 0
        assert not hub._channels
        hub.open("movies", "17").leave()

    run(scenario, max_streams=3, max_per_user=2)


def test_a_quiet_stream_is_kept_alive_and_ends_with_its_permission():
    async def scenario(hub, lists):
        client = Client(hub.open("movies", "17", until=time.time() + 0.2))
        await until(client.task.done)
        assert client.comments >= 2
        assert len(client.lists) == 1

    run(scenario, keep_alive=0.02)


def test_a_stream_may_end_after_some_lists():
    async def scenario(hub, lists):
        client = Client(hub.open("movies", "17", lists=2))
        await until(lambda: client.lists)
        assert not client.task.done()
        lists.seqs["17"] = 1
        hub.changed("movies", ["17"])
        await until(client.task.done)
        assert len(client.lists) == 2

    run(scenario)


def test_the_time_from_a_change_to_its_list_is_observed():
    async def scenario(hub, lists):
        seconds = []
        hub.stats.freshness = seconds.append
        client = Client(hub.open("movies", "17"))
        await until(lambda: client.lists)
        assert not seconds
        lists.seqs["17"] = 1
        hub.changed("movies", ["17"])
        await until(lambda: len(client.lists) == 2)
        assert len(seconds) == 1
        assert 0 <= seconds[0] < 10

    run(scenario)


async def respond(hub, receive, send, user="17"):
    await StreamResponse(hub.open("movies", user))(dict(ASK), receive, send)


def test_clients_that_vanish_leave_nothing_behind():
    async def scenario(hub, lists):
        left = asyncio.Event()

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if len(tasks) % 2:  # these take nothing after the first bytes
                await asyncio.sleep(3600)

        tasks = []
        for number in range(100):
            tasks.append(asyncio.create_task(respond(hub, receive, send, f"u{number}")))
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        assert hub.streams == 100
        left.set()
        await until(lambda: all(task.done() for task in tasks))
        assert hub.streams == 0
        assert not hub._channels

    run(scenario)


def test_closing_the_hub_ends_all_streams_and_refuses_new_ones():
    async def scenario(hub, lists):
        sent = []

        async def receive():
            await asyncio.sleep(3600)

        async def send(message):
            sent.append(message)

        tasks = [asyncio.create_task(respond(hub, receive, send, f"u{number}")) for number in range(5)]
        await until(lambda: hub.streams == 5)
        await hub.close()
        await until(lambda: all(task.done() for task in tasks))
        starts = [message for message in sent if message["type"] == "http.response.start"]
        assert {name: value for name, value in starts[0]["headers"]}[b"x-accel-buffering"] == b"no"
        assert sum(not message.get("more_body", True) for message in sent) == 5
        with pytest.raises(BusyError, match="the server stops"):
            hub.open("movies", "17")
        hub.changed("movies", ["17"])
        hub.renewed("movies")

    run(scenario)


def test_changes_after_the_loop_has_ended_are_passed_over():
    hubs = []

    async def scenario(hub, lists):
        hub.open("movies", "17")
        hubs.append(hub)

    run(scenario)
    hubs[0].changed("movies", ["17"])
    hubs[0].withdrawn("movies", ["a"])
