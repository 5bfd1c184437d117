"""The state is frozen: nothing of a trained recommender changes by asking it, also not from many threads."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields, replace
from threading import Barrier

import pytest
from fakes import altered, assert_alike

from genre_gen import Recommender
from genre_gen.blending.blend import Blend
from genre_gen.recommender.state import computed_once

THREADS = 8


def test_nothing_of_a_trained_recommender_changes_by_asking_it(mixed):
    state = mixed.state
    fingerprint, before = state.fingerprint(), {field.name: getattr(state, field.name) for field in fields(state)}
    for who in ("17", ["Alien"], None):
        mixed.recommend(who, n=3, query="funny", where="year > 1980", explain=who is not None)
    mixed.attribute("17", "Alien")
    mixed.predict("17", "Alien")
    mixed.fits("17", "Alien")
    mixed.similar("Alien")
    assert mixed.state is state
    assert all(getattr(state, name) is value for name, value in before.items())
    assert state.fingerprint() == fingerprint
    for name in ("blend", "tuned", "catalog", "generator"):
        with pytest.raises((FrozenInstanceError, AttributeError)):
            setattr(state, name, None)


def test_another_blend_is_another_state(mixed):
    blend = Blend({"popularity": 1.0})
    other = mixed.state.with_blend(blend)
    assert (other.blend, mixed.state.blend.weights["llm"]) == (blend, 0.6)
    assert other.tuned == replace(mixed.state.tuned, blend=blend)
    assert other.fingerprint() != mixed.state.fingerprint()
    assert other.generator is not mixed.state.generator
    recommender = Recommender.from_state(other)
    assert all(set(pick.parts) == {"popularity"} for pick in recommender.recommend("17"))
    assert recommender.domain is other.domain


def test_computed_once_holds_with_many_threads():
    class Counted:
        count = 0

        @computed_once
        def value(self):
            """Return something new."""
            time.sleep(0.01)  # long enough for the others to ask
            self.count += 1
            return object()

    counted, barrier = Counted(), Barrier(THREADS)

    def ask(_):
        barrier.wait()
        return counted.value

    with ThreadPoolExecutor(THREADS) as pool:
        values = list(pool.map(ask, range(THREADS)))
    assert len(set(map(id, values))) == counted.count == 1
    assert Counted.value.__doc__ == "Return something new."


@pytest.fixture(scope="module")
def with_lora(tiny_domain, dataset, tmp_path_factory):
    settings = {"model.adapter": "lora", "training.epochs": 1, "blend.members": ["ease", "popularity", "svd"]}
    folder = tmp_path_factory.mktemp("lora") / "movies"
    Recommender(tiny_domain, settings=settings).fit(dataset.leave_one_out()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("style", ["template", "llm", "free"])
@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_many_threads_get_the_answers_of_one(saved, request, adapter, style):
    folder = saved if adapter == "full" else request.getfixturevalue("with_lora")
    alone, shared = (
        altered(
            Recommender.from_pretrained(folder),
            {"explain.style": style, "explain.attribution": 2},
            {"blend": Blend({"llm": 0.6, "ease": 0.3, "svd": 0.1})},
        )
        for _ in range(2)
    )
    asked = [
        {"who": alone.state.histories.users[number % 4], "n": 1, "where": "year > 1980", "explain": True}
        for number in range(THREADS)
    ]
    barrier = Barrier(THREADS)

    def ask(options):
        barrier.wait()  # so that all find nothing computed yet
        return shared.recommend(**options)

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(ask, asked))
    expected = [alone.recommend(**options) for options in asked[:4]] * 2
    for picks, other in zip(answers, expected, strict=True):
        assert_alike(picks, other)
        assert all(pick.explanation.method == style for pick in picks)
