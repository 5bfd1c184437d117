"""A wrong argument of any public function is refused in one line that says what to give."""

import copy
import re

import numpy as np
import pytest

from genre_gen import (
    Catalog,
    Dataset,
    Domain,
    History,
    Interactions,
    Item,
    PromptBook,
    Ranking,
    Recommender,
    Request,
    compare_runs,
)
from genre_gen.errors import GenreGenError, UsageError
from genre_gen.evaluation.picks import evaluate_picks
from genre_gen.evaluation.protocol import cut_offs

COUNTS = [0, -1, "10", 1.5, [], True, float("nan"), {}, object(), 10**400]
TEXTS = [5, [], {}, b"x", True]
OTHERS = [5, [], {}, object()]
TABLES = Domain.load("movies").catalog_folder
FILES = TABLES / "items.csv", TABLES / "interactions.csv"


@pytest.fixture(scope="module")
def parts(tiny_recommender, dataset):
    split = dataset.leave_one_out()
    return tiny_recommender, dataset, split, tiny_recommender.evaluate(split, 10, baselines=False)


def columns(**given):
    return Interactions.from_columns(**{"users": ["a"], "rows": np.array([0]), "n_items": 1} | given)


CALLS = {
    "evaluate": (lambda p, v: p[0].evaluate(p[2], v, baselines=False), [*COUNTS, None, [0], ["5"], [5, None], "x"]),
    "evaluate part": (lambda p, v: p[0].evaluate(p[2], part=v, baselines=False), [*TEXTS, None, "train"]),
    "evaluate split": (lambda p, v: p[0].evaluate(v), [*OTHERS, None, "leave-one-out"]),
    "recommend": (lambda p, v: p[0].recommend("17", v), [*COUNTS, None]),
    "request": (lambda p, v: p[0].answer_many([Request("17", n=v)]), [*COUNTS, None]),
    "answer_many": (lambda p, v: p[0].answer_many(v), [5, None, "x", [5], [("17",)], Request("17")]),
    "similar": (lambda p, v: p[0].similar("Alien", v), [*COUNTS, None]),
    "attribute": (lambda p, v: p[0].attribute("17", "Alien", limit=v), COUNTS),
    "compare": (lambda p, v: p[0].compare("17", "Alien", "Up", limit=v), COUNTS),
    "what_if": (lambda p, v: p[0].what_if("17", "Alien", n=v), COUNTS),
    "what_if limit": (lambda p, v: p[0].what_if("17", "Alien", limit=v), COUNTS),
    "Recommender": (lambda p, v: Recommender(v), [*OTHERS, None, True, b"x", ""]),
    "seed": (lambda p, v: Recommender("movies", seed=v), [-1, "x", 1.5, [], 2**32]),
    "max_minutes": (lambda p, v: Recommender("movies", max_minutes=v), [0, -1, "x", [], float("nan"), float("inf")]),
    "quantization": (lambda p, v: Recommender("movies", quantization=v), ["x", 5, []]),
    "settings": (lambda p, v: Recommender("movies", settings=v), [5, "x", ["a"], {5: 1}, {"x": 1}]),
    "fit": (lambda p, v: Recommender(p[1].domain).fit(v), [*OTHERS, None, "x"]),
    "fit tuned": (lambda p, v: Recommender(p[1].domain).fit(p[2], tuned=v), [5, "x", {"a": 1}]),
    "fit folder": (lambda p, v: Recommender(p[1].domain).fit(p[2], folder=v), [5, [], b"x"]),
    "from_pretrained": (lambda p, v: Recommender.from_pretrained(v), [*OTHERS, None, b"x"]),
    "save": (lambda p, v: p[0].save_pretrained(v), [*OTHERS, None, b"x"]),
    "save metrics": (lambda p, v: p[0].save_pretrained("nowhere", metrics=v), [5, "x", {5: 1}]),
    "speak": (lambda p, v: copy.copy(p[0]).speak(v), [5, "", "english"]),
    "load_knowledge": (lambda p, v: copy.copy(p[0]).load_knowledge(v), [5, None, ""]),
    "load": (lambda p, v: Dataset.load(v), [*OTHERS, None, ""]),
    "load path": (lambda p, v: Dataset.load("movies", v), [5, [], b"x", "nowhere"]),
    "from_tables": (lambda p, v: Dataset.from_tables(None, v), [*OTHERS, None, ""]),
    "from_frames": (lambda p, v: Dataset.from_frames(None, v), [*OTHERS, None, "x"]),
    "columns": (lambda p, v: Dataset.from_tables(*FILES, columns=v), [5, "x", ["a"], {5: "user"}, {"x": "y"}]),
    "name": (lambda p, v: Dataset.from_tables(*FILES, name=v), [5, [], " ", ""]),
    "noun": (lambda p, v: Dataset.from_tables(*FILES, noun=v), [5, [], ""]),
    "split": (lambda p, v: p[1].split(v), [*TEXTS, None, "x"]),
    "validation": (lambda p, v: p[1].global_time(v), [0, 1, -1, "x", None, [], float("nan"), True, 10**400]),
    "test": (lambda p, v: p[1].global_time(test=v), [0, 1, -1, "x", None, [], float("nan"), True]),
    "cases": (lambda p, v: p[2].cases(v), [*TEXTS, None, "train"]),
    "to_recbole": (lambda p, v: p[2].to_recbole(v), [*OTHERS, None]),
    "to_lenskit": (lambda p, v: p[2].to_lenskit(v), [*OTHERS, None]),
    "export": (lambda p, v: (p[1].to_lenskit if v == 5 else p[1].to_recbole)(v), [5, [], None]),
    "to_frames": (lambda p, v: p[1].to_frames(v), [5, None, "x", []]),
    "metric": (lambda p, v: p[3]["GENRE"].figure(v), [*TEXTS, None, "x", "N@0", "N@x", "N@-1", "N@", "N@²"]),
    "interval": (lambda p, v: p[3].interval("GENRE", v), [5, [], "x", None]),
    "compare metric": (lambda p, v: p[3].compare("GENRE", v), [5, ["x"], "x"]),
    "table": (lambda p, v: p[3].table("text", v), [5, "N@10", ["x"], [5]]),
    "table form": (lambda p, v: p[3].table(v), [5, "x", None, []]),
    "join": (lambda p, v: p[3].join(v), [5, "x", None, {}]),
    "picks": (lambda p, v: evaluate_picks(p[0].state, p[2], "test", v), [*OTHERS, None, "x", "x.csv"]),
    "find": (lambda p, v: p[1].catalog.find(v), [*TEXTS, None, ""]),
    "row": (lambda p, v: p[1].catalog.row(v), [*TEXTS, None, ""]),
    "where": (lambda p, v: p[1].catalog.where(v), [*TEXTS, None, ""]),
    "from_file": (lambda p, v: Catalog.from_file(v), [*OTHERS, None, "nowhere"]),
    "Catalog": (lambda p, v: Catalog(v), [5, None, [], ["x"], "ab", [5]]),
    "Item": (lambda p, v: Catalog([Item("a", "b", v)]), [5, None, {5: 1}, [1]]),
    "positions": (lambda p, v: p[1].interactions.to_frame(p[1].catalog, positions=v), ["x", [10**6], [1.5], 5, [-1]]),
    "to_frame": (lambda p, v: p[1].interactions.to_frame(v), [5, None]),
    "from_events": (lambda p, v: History.from_events(v), [5, "x", [-1], ["a"], None, [1.5], [None]]),
    "ratings": (lambda p, v: History.from_events([1], ratings=v), [5, "x", [1, 2], ["a"]]),
    "times": (lambda p, v: History.from_events([1], times=v), [5, "x", [1, 2], ["a"]]),
    "until": (lambda p, v: p[1].interactions.history("17").until(v), ["x", None, [], "10"]),
    "last": (lambda p, v: p[1].interactions.history("17").last(v), ["x", None, 1.5, -1]),
    "columns rows": (lambda p, v: columns(rows=v), [5, np.array([0.5]), np.array(["x"]), [-1], [1], None, "x"]),
    "columns n": (lambda p, v: columns(n_items=v), [*COUNTS, None]),
    "columns users": (lambda p, v: columns(users=v), [5, None, {"a"}]),
    "columns ratings": (lambda p, v: columns(ratings=v), [5, "x", np.array(["x"]), [1, 2]]),
    "columns times": (lambda p, v: columns(times=v), [5, "x", np.array(["x"]), [1, 2]]),
    "changed": (lambda p, v: p[1].domain.changed(v), [5, None, "x", {5: 1}, ["a"]]),
    "from_settings": (lambda p, v: Domain.from_settings(v), [5, None, "x", {5: 1}, []]),
    "compare_runs": (lambda p, v: compare_runs(v), [5, None, [], "x", ["nowhere"], [5, 6]]),
    "from_scores": (lambda p, v: Ranking.from_scores(np.zeros(3, np.float32), v), COUNTS),
    "prompts": (lambda p, v: PromptBook.load(v), [5, None, "movies"]),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_argument_is_refused_in_one_line(parts, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask, values = CALLS[call]
    for value in values:
        with pytest.raises(GenreGenError) as refused:
            ask(parts, value)
        message = str(refused.value)
        assert "\n" not in message
        assert 15 < len(message) < 600
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("k", [5, [5, 10], (5,), np.int64(7), np.array([3, 4]), range(1, 3), 10_000])
def test_cut_offs_of_any_whole_numbers(parts, k):
    recommender, _, split, _ = parts
    report = recommender.evaluate(split, k, baselines=False)
    assert report.k == tuple(int(cut) for cut in (k if np.iterable(k) else [k]))


def test_plain_lists_are_columns_too():
    log = Interactions.from_columns(["ann", "ben"], [0, 1], 2, ratings=[4, None], times=[10, 20])
    assert log.ratings[0] == 4
    assert np.isnan(log.ratings[1])


def test_the_remedy_is_named():
    for k, message in (
        ([], "k = []; give a cut-off such as 10"),
        (0, "k = 0; give a cut-off"),
        ("10", "k = '10'; give"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            cut_offs(k)
