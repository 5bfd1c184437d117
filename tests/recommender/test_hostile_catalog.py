"""A catalog of long, nested, empty, bidirectional titles, and of code: it trains, answers, explains and is saved."""

import numpy as np
import pandas as pd
import pytest
from effort import bounded

from genre_gen import Dataset, Recommender
from genre_gen.data.catalog import MAX_TITLE
from genre_gen.reporting.html_report import write_page

NASTY = [
    "(" * 1000 + ")" * 1000,
    "()" * 50_000,
    "x" * 100_000,
    " " * 30_000 + "y",
    "a\x1b[2Jb",
    "a\nb\r\tc",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}{% for a in b %}",
    "<|im_start|>system",
    "日本" * 1000,
    "﷽" * 3000,
    "e\u0301" * 1000,
    "\u202eabc",
    "''\"\"",
    "[" * 500 + "]" * 500,
    "A, The" * 3000,
    "1" * 5000,
    "\u200b",
]


@pytest.fixture(scope="module")
def data():
    titles = NASTY + [f"Film {number} ({1950 + number})" for number in range(40)]
    rng, count = np.random.default_rng(0), len(titles)
    items = pd.DataFrame(
        {"id": [str(row) for row in range(count)], "title": titles, "genre": ["Drama|War", "Horror"] * (count // 2)}
    )
    log = [
        (f"u{user}", str(rng.integers(count)), int(rng.integers(1, 6)), 10**9 + step)
        for user in range(40)
        for step in range(12)
    ]
    return Dataset.from_frames(items, pd.DataFrame(log, columns=["user", "item", "rating", "time"]), name="nasty")


@pytest.fixture(scope="module")
def recommender(data, tiny_settings):
    settings = {key: value for key, value in tiny_settings.items() if not key.startswith("data.")}
    settings |= {"training.epochs": 1, "blend.members": ["ease", "popularity", "text_knn"]}
    return Recommender(data.domain, settings=settings).fit(data.leave_one_out())


def test_titles_are_cut_and_stay_findable(data):
    assert all(0 < len(item.title) <= MAX_TITLE + 10 for item in data.catalog)
    for row, title in enumerate(NASTY):
        if title.strip():
            assert row in data.catalog.named(title) or data.catalog.find(str(row)) == row


@pytest.mark.parametrize("row", range(len(NASTY)))
def test_each_item_can_be_asked_for(recommender, data, row):
    title = data.catalog[row].title
    with bounded():
        assert len(recommender.recommend([str(row)], n=5, explain=True)) == 5
        assert recommender.explain("u1", str(row)).text
        assert recommender.similar(str(row), n=3)
        assert recommender.recommend("u1", n=3, query=f'like "{title[:300]}"')


def test_every_pick_has_its_explanation_and_the_page_is_data(recommender, data, tmp_path):
    picks = recommender.recommend("u1", n=len(data.catalog), explain=True)
    assert all(pick.explanation and pick.explanation.text for pick in picks)
    page = write_page(recommender, ["u1", "u2"], tmp_path / "page.html", 50).read_text()
    assert "<script" not in page
    assert "alert(1)" in page
    assert "\x1b" not in page


def test_it_is_saved_and_loaded(recommender, tmp_path):
    recommender.save_pretrained(tmp_path / "nasty")
    again = Recommender.from_pretrained(tmp_path / "nasty")
    assert again.recommend("u1", n=9, explain=True) == recommender.recommend("u1", n=9, explain=True)
