"""Lanes: order, shares, batches and the expected wait."""

from concurrent.futures import Future

import pytest

from genre_gen.live.lanes import Ask, Lane, Lanes, Pace, Waiting, Work
from genre_gen.recommender.requests import Request

SIZES = {Lane.FAST: 8, Lane.PUSH: 8, Lane.SLOW: 2}


def waiting(who="17", lane=Lane.FAST, domain="movies"):
    return Waiting(Ask(domain, who, Request(), lane), Future(), 0.0)


def names(batch):
    return [each.work.who for each in batch]


def lanes(**waits):
    made = Lanes(100, SIZES)
    for lane, who in waits.items():
        made.queues[Lane[lane]] += [waiting(name, Lane[lane]) for name in who]
    return made


def together(domain):
    return False


def test_a_batch_takes_what_waits_for_one_domain_in_order():
    made = lanes(FAST="abc")
    made.queues[Lane.FAST].insert(1, waiting("x", domain="books"))
    made.queues[Lane.FAST].append(Waiting(Work("movies", print, Lane.FAST), Future(), 0.0))
    made.queues[Lane.FAST].append(waiting("d"))
    assert names(made.take(Lane.FAST, together)) == ["a", "b", "c", "d"]
    assert names(made.take(Lane.FAST, together)) == ["x"]
    assert [each.work.domain for each in made.take(Lane.FAST, together)] == ["movies"]
    assert made.choose() is None


def test_batches_are_bounded_and_may_be_of_one():
    made = lanes(FAST="abcdefghij", SLOW="abc")
    assert len(made.take(Lane.FAST, together)) == 8
    assert names(made.take(Lane.FAST, lambda domain: domain == "movies")) == ["i"]
    assert names(made.take(Lane.SLOW, together)) == ["a", "b"]
    assert len(made) == 2
    assert names(made.clear()) == ["j", "c"]
    assert not len(made)


def test_the_first_lane_comes_first_and_the_others_get_their_share():
    made = lanes(FAST="a" * 5000, PUSH="b" * 500, SLOW="c" * 500)
    used = dict.fromkeys(Lane, 0.0)
    seconds = {Lane.FAST: 0.01, Lane.PUSH: 0.02, Lane.SLOW: 0.05}
    assert made.choose() is Lane.FAST
    for lane in Lane:  # measured once
        made.served(lane, 1, seconds[lane])
    while sum(used.values()) < 20:
        lane = made.choose()
        size = len(made.take(lane, together))
        used[lane] += seconds[lane] * size
        made.served(lane, size, seconds[lane] * size)
    shares = {lane: used[lane] / sum(used.values()) for lane in Lane}
    assert shares[Lane.PUSH] == pytest.approx(0.17, abs=0.05)
    assert shares[Lane.SLOW] == pytest.approx(0.13, abs=0.05)
    made.queues[Lane.FAST].clear()
    assert made.choose() in {Lane.PUSH, Lane.SLOW}


def test_an_empty_lane_saves_nothing_up():
    made = lanes(FAST="a" * 100)
    for lane in Lane:
        made.served(lane, 1, 0.01)
    for _ in range(50):
        made.served(Lane.FAST, 1, 0.01)
    made.queues[Lane.SLOW].append(waiting("late", Lane.SLOW))
    assert made.choose() is Lane.FAST


def test_the_expected_wait_counts_what_comes_first():
    made = lanes(FAST="abcd", PUSH="ef", SLOW="g")
    assert made.expected(Lane.SLOW) == 0  # nothing is known
    made.paces[Lane.FAST].measured(1, 0.01)
    made.paces[Lane.SLOW].measured(1, 0.1)
    assert made.expected(Lane.FAST) == pytest.approx(0.05)
    assert made.expected(Lane.PUSH) == pytest.approx(0.04)
    assert made.expected(Lane.SLOW) == pytest.approx(0.04 + 0.2)


def test_a_pace_depends_on_the_size_of_the_batch():
    pace = Pace()
    pace.measured(1, 0.01)
    pace.measured(32, 0.064)
    assert pace.seconds(1, 64) == pytest.approx(0.01)
    assert pace.seconds(40, 64) == pytest.approx(0.08)
    assert pace.seconds(40, 1) == pytest.approx(0.4)
    for _ in range(50):
        pace.measured(1, 0.02)
    assert pace.seconds(2, 64) == pytest.approx(0.04, rel=0.01)
