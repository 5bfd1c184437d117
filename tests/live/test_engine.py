"""The engine: batches, deadlines, queues, lanes, swaps, errors and the end, with models that wait to be told."""

import threading
import time
from concurrent.futures import CancelledError
from types import SimpleNamespace

import numpy as np
import pytest

from genre_gen.data.history import History
from genre_gen.errors import BusyError, UsageError
from genre_gen.live import answers
from genre_gen.live.engine import Ask, Engine, Lane
from genre_gen.live.view import View
from genre_gen.recommender.requests import Recommendations, Request

PATIENCE = 20.0  # seconds after which a test that hangs fails


class Model:
    """Answers with the name of the state and the user; a gate that is shut makes it wait, as a slow model would."""

    def __init__(self):
        self.batches, self.gate, self.began = [], threading.Event(), threading.Semaphore(0)
        self.gate.set()

    def answer_many(self, state, requests, available=None):
        requests = list(requests)
        if requests[0].who is answers.NO_HISTORY:  # to warm up
            return iter([Recommendations([])] * len(requests))
        self.batches.append([request.who.user for request in requests])
        self.began.release()
        assert self.gate.wait(PATIENCE)
        self.fail(requests)
        return iter([Recommendations([], (f"{state.name} {request.who.user}",)) for request in requests])

    def fail(self, requests):
        for request in requests:
            if request.query is not None:
                raise (SystemExit if request.query == "fatal" else ValueError)(request.query)

    def shut(self, engine, first="first"):
        """Shut the gate with one ask in the model; return its future."""
        self.gate.clear()
        future = engine.ask(asked(first))
        assert self.began.acquire(timeout=PATIENCE)
        self.batches.clear()
        return future


class Histories:
    """Knows no user but can be told to fail."""

    def history_and_seq(self, user, until_seq=None):
        if user == "unreadable":
            raise KeyError(user)
        return History(np.array([1]), user=user), 7 if until_seq is None else until_seq

    def rebase(self, state):
        other = Histories()
        other.of = state
        return other


def state(name="old", served="none"):
    llm = SimpleNamespace(served=served, settings=SimpleNamespace(quantization="none"))
    blend = SimpleNamespace(members=["ease"], weights={"ease": 1.0})
    made = SimpleNamespace(name=name, llm=llm, blend=blend, tuned=SimpleNamespace(blend_without_llm=blend))
    made.with_blend = lambda blend: SimpleNamespace(name=f"{name} without", llm=llm)
    return made


def view(number=0, name="old", domain="movies", served="none"):
    return View(domain, f"g-{name}", number, state(name, served), None, 0)


def asked(who="17", *, lane=Lane.FAST, deadline=float("inf"), domain="movies", **request):
    return Ask(domain, who, Request(**request), lane, deadline)


@pytest.fixture
def model(monkeypatch):
    made = Model()
    monkeypatch.setattr(answers, "answer_many", made.answer_many)
    yield made
    made.gate.set()


@pytest.fixture
def start(model):
    """Start engines, and close them."""
    started = []

    def begin(**options):
        served = options.pop("served", "none")
        engine = Engine(**options)
        started.append(engine)
        engine.open(view(served=served), Histories())
        return engine

    yield begin
    model.gate.set()
    for engine in started:
        engine.close()


def result(future):
    return future.result(PATIENCE)


def test_an_answer_names_what_it_was_made_of(start, model):
    engine = start()
    answer = result(engine.ask(asked("17")))
    assert answer.picks.notes == ("old 17",)
    assert (answer.view.number, answer.history.user, answer.history_seq, answer.batch) == (0, "17", 7, 1)
    assert answer.waited >= 0
    assert answer.seconds > 0
    assert result(engine.ask(Ask("movies", "17", Request(), until_seq=3))).history_seq == 3
    given = History(np.array([2]))
    assert result(engine.ask(asked(given))).history is given


def test_what_waits_while_the_model_is_busy_is_one_batch(start, model):
    engine = start(max_batch=3)
    first = model.shut(engine)
    others = [engine.ask(asked(name)) for name in "abcd"]
    assert engine.stats.queued[Lane.FAST] == 4
    model.gate.set()
    assert [result(future).batch for future in (first, *others)] == [1, 3, 3, 3, 1]
    assert model.batches == [["a", "b", "c"], ["d"]]


def test_a_quantized_model_answers_one_by_one(start, model):
    engine = start(served="int8")
    model.shut(engine)
    futures = [engine.ask(asked(name)) for name in "abc"]
    model.gate.set()
    assert [result(future).batch for future in futures] == [1, 1, 1]


def test_an_invalid_request_fails_alone(start, model):
    engine = start()
    model.shut(engine)
    futures = [engine.ask(asked("a")), engine.ask(asked("b", query="no such thing")), engine.ask(asked("unreadable"))]
    futures.append(engine.ask(asked("c")))
    model.gate.set()
    assert result(futures[0]).picks.notes == ("old a",)
    assert result(futures[3]).picks.notes == ("old c",)
    with pytest.raises(ValueError, match="no such thing"):
        result(futures[1])
    with pytest.raises(KeyError):
        result(futures[2])
    assert engine.healthy
    assert (engine.stats.failed, engine.stats.answered) == (2, 3)


def test_a_cancelled_ask_never_reaches_the_model(start, model):
    engine = start()
    first = model.shut(engine)
    gone, there = engine.ask(asked("gone")), engine.ask(asked("there"))
    assert gone.cancel()
    assert not first.cancel()  # the model reads it
    model.gate.set()
    result(there)
    assert model.batches == [["there"]]
    assert engine.stats.cancelled == 1
    with pytest.raises(CancelledError):
        gone.result(PATIENCE)


def test_a_late_ask_is_dropped_before_the_model_reads_it(start, model):
    now = [100.0]
    engine = start(clock=lambda: now[0])
    model.shut(engine)
    late, patient = engine.ask(asked("late", deadline=101.0)), engine.ask(asked("patient", deadline=110.0))
    now[0] = 105.0
    model.gate.set()
    assert result(patient).waited == 5.0
    with pytest.raises(BusyError, match=r"waited 5\.00 s") as refusal:
        result(late)
    assert refusal.value.retry_after > 0
    assert model.batches == [["patient"]]
    assert engine.stats.late == 1
    with pytest.raises(BusyError, match=r"0\.00 s are left"):
        engine.ask(asked("too late", deadline=104.0))


def test_a_full_queue_refuses_and_other_lanes_are_open(start, model):
    engine = start(max_queue=2)
    model.shut(engine)
    waiting = [engine.ask(asked(name)) for name in "ab"]
    with pytest.raises(BusyError, match="2 requests wait already") as refusal:
        engine.ask(asked("c"))
    assert refusal.value.retry_after > 0
    pushed = engine.ask(asked("d", lane=Lane.PUSH))
    model.gate.set()
    for future in (*waiting, pushed):
        result(future)
    assert (engine.stats.asked, engine.stats.refused) == (5, 1)


def test_an_ask_is_refused_if_the_measured_pace_is_too_slow_for_it(start, model):
    now = [0.0]
    engine = start(clock=lambda: now[0])
    for _ in range(3):
        result(engine.ask(asked()))
    engine._lanes.paces[Lane.FAST].__init__()
    engine._lanes.paces[Lane.FAST].measured(1, 0.5)
    model.shut(engine)
    with pytest.raises(BusyError, match=r"an answer would take 1\.00 s and 0\.90 s are left"):
        engine.ask(asked("a", deadline=0.9))
    with pytest.raises(BusyError, match=r"an answer would take 1\.00 s and 1\.40 s are left"):
        engine.ask(asked("a", deadline=1.4))  # it just fits, and the estimate is not that good
    result_of = engine.ask(asked("b", deadline=1.6))
    with pytest.raises(BusyError, match=r"an answer would take 1\.50 s"):
        engine.ask(asked("c", deadline=1.6))
    model.gate.set()
    result(result_of)


def test_a_pace_of_a_bad_moment_does_not_refuse_everything(start, model):
    engine = start(clock=lambda: 0.0)
    engine._lanes.paces[Lane.FAST].measured(1, 100.0)
    assert result(engine.ask(asked("a", deadline=1.0))).batch == 1  # nothing else waits: it is tried, and measured
    assert result(engine.ask(asked("b", deadline=1.0))).batch == 1


def test_asks_that_cannot_end_in_time_are_dropped_from_a_batch(start, model):
    now = [0.0]
    engine = start(clock=lambda: now[0])
    model.shut(engine)
    hasty, patient = engine.ask(asked("hasty", deadline=5.0)), engine.ask(asked("patient", deadline=50.0))
    engine._lanes.paces[Lane.FAST].measured(2, 8.0)  # a batch of two takes 8 seconds
    model.gate.set()
    with pytest.raises(BusyError):
        result(hasty)
    assert result(patient).batch == 1
    assert model.batches == [["patient"]]


def test_overload_may_be_answered_without_the_language_model(start, model):
    engine = start(max_queue=1, overload="degrade")
    first = model.shut(engine)
    queued = engine.ask(asked("queued"))
    with pytest.raises(BusyError):
        engine.ask(asked("explained", explain=True))
    degraded = engine.ask(asked("degraded"))
    assert model.began.acquire(timeout=PATIENCE)  # on the second thread, while the first is busy
    model.gate.set()
    notes = result(degraded).picks.notes
    assert notes[0].startswith("the server is busy")
    assert notes[1] == "old without degraded"
    assert result(queued).picks.notes == ("old queued",)
    assert result(first).picks.notes == ("old first",)
    assert engine.stats.degraded == 1


def test_lanes_go_ahead_of_each_other(start, model):
    engine = start(max_batch=1)
    model.shut(engine)
    order = [("slow", Lane.SLOW), ("push", Lane.PUSH), ("fast", Lane.FAST)]
    futures = [engine.ask(asked(name, lane=lane)) for name, lane in order]
    model.gate.set()
    for future in futures:
        result(future)
    assert model.batches[0] == ["fast"]
    assert sorted(map(tuple, model.batches)) == [("fast",), ("push",), ("slow",)]


def test_other_work_runs_on_the_same_thread(start, model):
    engine = start()
    threads = []

    def work(view, histories):
        threads.append(threading.current_thread().name)
        return view.number, isinstance(histories, Histories)

    assert result(engine.run("movies", work)) == (0, True)
    assert threads == ["model"]
    with pytest.raises(ZeroDivisionError):
        result(engine.run("movies", lambda view, histories: 1 / 0))
    assert engine.healthy


def test_each_answer_is_of_one_view_while_views_are_swapped(start, model):
    engine = start()
    stop, futures = threading.Event(), []

    def clients():
        while not stop.is_set():
            futures.append(engine.ask(asked(str(len(futures)))))
            time.sleep(0)

    threads = [threading.Thread(target=clients) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 60):
        while len(futures) < number * 3:
            time.sleep(0)
        engine.swap(view(number, f"new{number}"))
        assert engine.view("movies").number == number
        assert engine.histories("movies").of is engine.view("movies").state
    stop.set()
    for thread in threads:
        thread.join()
    seen = set()
    for future in futures:
        answer = result(future)
        assert answer.picks.notes[0].split()[0] == answer.view.state.name
        seen.add(answer.view.number)
    assert len(seen) > 5
    assert engine.stats.swaps == 59


def test_a_view_that_is_not_newer_is_refused(start, model):
    engine = start()
    with pytest.raises(UsageError, match="view 0 of 'movies' is not newer than 0"):
        engine.swap(view(0))
    with pytest.raises(UsageError, match="served already"):
        engine.open(view(), Histories())
    present = engine.histories("movies")
    old = engine.view("movies")
    engine.swap(View(old.domain, old.generation, 1, old.state, np.zeros(0, bool), 0))
    assert engine.histories("movies") is present  # the same state, so the same histories
    for wrong in (lambda: engine.ask(asked(domain="books")), lambda: engine.view("books")):
        with pytest.raises(UsageError, match="no domain 'books' is served; there are: movies"):
            wrong()


def test_closing_finishes_the_batch_and_refuses_the_rest(start, model):
    engine = start()
    first = model.shut(engine)
    waiting = [engine.ask(asked(name, lane=lane)) for name, lane in zip("abc", Lane, strict=True)]
    engine.close(timeout=0.01)  # the model is still busy
    for future in waiting:
        with pytest.raises(BusyError, match="closing"):
            result(future)
    with pytest.raises(BusyError, match="closing"):
        engine.ask(asked())
    model.gate.set()
    assert result(first).picks.notes == ("old first",)
    assert not engine.healthy
    engine.close()
    assert not engine._threads[0].is_alive()


def test_a_thread_that_dies_leaves_no_future_without_an_answer(start, model):
    engine = start()
    model.shut(engine)
    dying, waiting = engine.ask(asked("a", query="fatal", lane=Lane.PUSH)), engine.ask(asked("b", lane=Lane.SLOW))
    model.gate.set()
    with pytest.raises(SystemExit):
        dying.result(PATIENCE)
    with pytest.raises(BusyError, match="the model thread ended"):
        waiting.result(PATIENCE)
    assert not engine.healthy
    with pytest.raises(BusyError, match="restart the server"):
        engine.ask(asked())


def test_stages_and_batches_are_told_to_a_hook(start, model):
    engine, records = start(), []
    engine.stats.on_batch = records.append
    result(engine.ask(asked("a")))
    result(engine.run("movies", lambda view, histories: None))
    assert result(engine.ask(asked("b"))).batch == 1
    while len(records) < 3:
        time.sleep(0)
    assert [(record.lane, record.size, record.domain) for record in records] == [
        (Lane.FAST, 1, "movies"),
        (Lane.SLOW, 1, "movies"),
        (Lane.FAST, 1, "movies"),
    ]
    assert set(records[0].stages) == set(engine.stats.seconds)
    assert engine.stats.batches == 3

    def broken(record):
        raise ValueError

    engine.stats.on_batch = broken
    result(engine.ask(asked("c")))
    assert result(engine.ask(asked("d"))).picks.notes == ("old d",)


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"max_queue": 0}, {"threads": 0}, {"overload": "panic"}])
def test_options_are_checked(options):
    with pytest.raises(UsageError):
        Engine(**options)
