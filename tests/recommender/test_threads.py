"""One recommender asked for everything by many threads at once: each gets what it would get alone, to the last bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fakes import altered

from genre_gen import Recommender
from genre_gen.blending.blend import Blend
from genre_gen.collaborative import RatingBlend
from genre_gen.folders.reading import verify_folder

THREADS = 8
BY_HAND = ["Toy Story (1995)", ("Alien (1979)", 4), ("Heat (1995)", 2)]


@pytest.fixture(scope="module")
def trained(saved, tiny_domain, dataset, tmp_path_factory):
    """Return folders of recommenders by adapter."""
    folder = tmp_path_factory.mktemp("lora") / "movies"
    Recommender(tiny_domain.changed({"model.adapter": "lora"})).fit(dataset.leave_one_out()).save_pretrained(folder)
    return {"full": saved, "lora": folder}


def with_weight(recommender):
    """Give the language model the largest weight, so that all that it says is seen."""
    weights = {"llm": 0.6, "ease": 0.2, "popularity": 0.1, "svd": 0.1}
    ratings = RatingBlend({"svd": 0.5, "llm": 0.5}, 0.0, (1, 5))
    return altered(recommender, tuned={"blend": Blend(weights), "ratings": ratings})


def untimed(explanation):
    return explanation and replace(explanation, seconds=0.0)


def seen(picks):
    return [(pick.item.id, pick.score, dict(pick.parts), untimed(pick.explanation)) for pick in picks], picks.notes


def requests(recommender, few):
    """Return requests of every kind by name."""
    r, users = recommender, recommender.state.histories.users
    asked = {
        "by hand": lambda: seen(r.recommend(BY_HAND, n=5)),
        "where": lambda: seen(r.recommend("17", n=4, where="year >= 1980 and genre != 'Horror'")),
        "query": lambda: seen(r.recommend("4", n=4, query="a funny film from the 90s, no horror")),
        "explain": lambda: seen(r.recommend("3", n=2, explain=True)),
        "explain by hand": lambda: seen(r.recommend(BY_HAND, n=1, explain=True)),
        "predict": lambda: r.predict("17", "9"),
        "similar": lambda: seen(r.similar("Alien (1979)", n=3)),
        "fits": lambda: r.fits("5", "9"),
        "many": lambda: [seen(picks) for _, picks in r.recommend(users=list(users[:4]), n=3)],
    }
    for user in users[: 2 if few else 8]:
        asked[f"recommend {user}"] = lambda user=user: seen(r.recommend(user, n=5))
    return asked


@pytest.mark.parametrize(
    ("adapter", "quantization", "style"),
    [
        ("full", "none", "template"), ("full", "none", "llm"), ("full", "none", "free"), ("full", "int8", "template"),
        ("full", "nf4", "llm"), ("full", "bf16", "template"), ("lora", "none", "template"), ("lora", "none", "llm"),
        ("lora", "none", "free"), ("lora", "int8", "llm"), ("lora", "nf4", "template"),
    ],
)  # fmt: skip
def test_threads_get_the_answers_of_one(trained, adapter, quantization, style):
    def fresh():
        recommender = with_weight(Recommender.from_pretrained(trained[adapter], quantization))
        return altered(recommender, {"explain.style": style})

    slow = style != "template"
    alone = {name: ask() for name, ask in requests(fresh(), slow).items()}
    asked = requests(fresh(), slow)  # nothing is kept of the first
    order = np.random.default_rng(0).permutation(list(asked) * (2 if slow else 4)).tolist()
    with ThreadPoolExecutor(THREADS) as pool:
        for name, answer in zip(order, pool.map(lambda name: asked[name](), order), strict=True):
            assert answer == alone[name], name
    assert {name: ask() for name, ask in asked.items()} == alone  # what was kept meanwhile is right


def test_an_evaluation_and_requests_at_once(trained, dataset):
    recommender, split = with_weight(Recommender.from_pretrained(trained["lora"])), dataset.leave_one_out()
    asked = requests(recommender, few=True)

    def measure():
        return recommender.evaluate(split, part="test", baselines=False).summary()

    def figures(summary):
        return {name: value for name, value in summary.items() if "second" not in name}

    alone, answers = figures(measure()), {name: ask() for name, ask in asked.items()}
    with ThreadPoolExecutor(THREADS) as pool:
        measured = [pool.submit(measure) for _ in range(2)]
        others = {name: pool.submit(ask) for name, ask in asked.items()}
        assert [figures(each.result()) for each in measured] == [alone] * 2
        assert {name: each.result() for name, each in others.items()} == answers


def test_two_threads_that_save_and_one_that_loads(trained, tmp_path):
    first = Recommender.from_pretrained(trained["full"])
    both, folder = [first, with_weight(first)], tmp_path / "run"
    both[0].save_pretrained(folder)
    known = {recommender.state.fingerprint() for recommender in both}

    def save(recommender):
        for _ in range(8):
            recommender.save_pretrained(folder)

    with ThreadPoolExecutor(3) as pool:
        savers = [pool.submit(save, recommender) for recommender in both]
        loads = 0
        while not all(saver.done() for saver in savers):
            assert Recommender.from_pretrained(folder).state.fingerprint() in known
            loads += 1
        assert [saver.result() for saver in savers] == [None, None]
    assert loads
    verify_folder(folder)
