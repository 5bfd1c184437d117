"""The exactness contract: under load, each user gets the list that the recommender alone gives."""

from dataclasses import replace

import numpy as np
import pytest

from genre_gen.live.engine import Ask, Engine, Lane
from genre_gen.live.events import LiveEvent
from genre_gen.live.histories import LiveHistories
from genre_gen.live.kinds import Kinds
from genre_gen.live.view import View
from genre_gen.recommender.requests import Request

NEAR = 1e-4


def alike(ours, alone):
    """Tell whether two lists are equal; items whose scores are nearly equal may have changed places."""
    if len(ours) != len(alone):
        return False
    scores = [pick.score for pick in alone]
    of = {pick.item.id: pick.score for pick in alone}
    for place, pick in enumerate(ours):
        if abs(pick.score - scores[place]) >= NEAR:
            return False
        if pick.item.id in of and abs(of[pick.item.id] - scores[place]) >= NEAR:
            return False
    return True


@pytest.fixture
def served(mixed):
    engine = Engine()
    histories = LiveHistories(mixed.state, Kinds(mixed.state.domain))
    engine.open(View.of(mixed.state), histories)
    yield mixed, engine, histories
    engine.close()


def test_lists_after_events_are_those_of_the_recommender_alone(served):
    recommender, engine, histories = served
    catalog = recommender.state.catalog
    users = [*recommender.state.histories.users[:12]]
    random = np.random.default_rng(0)
    answered, seq = [], 0
    for _ in range(4):
        futures = []
        for user in (*users, "stranger"):
            seq += 1
            item = catalog[int(random.integers(len(catalog)))].id
            histories.apply([LiveEvent(f"e{seq}", user, item, "interaction", 2e9 + seq, 2e9, seq=seq)])
            futures += [engine.ask(Ask("movies", user, Request(n=5))) for _ in range(2)]
        answered += [future.result(60) for future in futures]
    assert max(answer.batch for answer in answered) > 1
    for answer in answered:
        alone = recommender.recommend(replace(answer.history, user=None), 5)
        assert alike(answer.picks, alone)
        assert not {pick.item.id for pick in answer.picks} & {catalog[row].id for row in answer.history.rows}


def test_requests_of_all_sorts_share_a_batch(served):
    recommender, engine, _ = served
    catalog = recommender.state.catalog
    requests = [
        Request(n=3),
        Request(n=7, where="year >= 1980"),
        Request(n=5, exclude=[catalog[0].id]),
        Request(n=5, query="something funny"),
        Request(n=2, explain=True),
    ]
    futures = [engine.ask(Ask("movies", "17", request, lane)) for lane in Lane for request in requests]
    for future, request in zip(futures, requests * 3, strict=True):
        answer = future.result(60)
        alone = recommender.recommend("17", request.n, where=request.where, exclude=request.exclude,
                                      query=request.query, explain=request.explain)  # fmt: skip
        assert alike(answer.picks, alone)
        assert answer.picks.notes == alone.notes
        assert [pick.explanation is None for pick in answer.picks] == [not request.explain] * len(alone)
