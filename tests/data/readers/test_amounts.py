"""Ratings that are written in words, fractions or stars, and what stands for none."""

import numpy as np
import polars as pl
import pytest

from genre_gen.data.readers import load_data
from genre_gen.data.readers.amounts import ratings
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, MOVIES, load, typed


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["3,5", "4", "2,25"], [3.5, 4, 2.25]),
        (["3 stars", "1 star"], [3, 1]),
        (["4,5 Sterne", "1 Stern"], [4.5, 1]),
        (["4/5", "3.5/5"], [4, 3.5]),
        (["4 / 5", "3 of 5", "2 out of 5 stars"], [4, 3, 2]),
        (["★★★★", "★★½☆☆", "★"], [4, 2.5, 1]),
        (["⭐⭐⭐", "⭐️⭐️"], [3, 2]),
        (["4.5★", "3★"], [4.5, 3]),
        (["80%", "95%"], [80, 95]),
        (["4/5", "8/10"], [None, None]),  # out of different numbers
        (["3 stars", "4 points"], [None, None]),
        (["good", "5"], [None, 5]),
        (["", "nan", "4"], [None, None, 4]),
        (["inf", "3 stars"], [np.inf, 3]),
        (["-1", "3,5"], [-1, 3.5]),
    ],
)
def test_ratings_written_another_way(written, expected):
    assert ratings(pl.Series(written)).to_list() == expected


def test_ratings_in_words_are_loaded_and_what_is_none_keeps_the_interaction(tmp_path):
    log = HEADER + '1,1,"3,5",10\n1,2,★★,11\n2,1,superb,12\n'
    with pytest.raises(DataError, match=r"line 4: rating is not a number: 'superb'.*data.policies.ratings = \"unknown"):
        load(tmp_path, log)
    data = load(tmp_path, log, data__policies__ratings="unknown")
    assert data.interactions.ratings.tolist()[:2] == [3.5, 2]
    assert len(data.interactions.history("2")) == 1
    assert not data.interactions.history("2").rated
    assert [str(problem).partition(": ")[2] for problem in data.report] == [
        "rating is not a number: 1 taken as unknown, the first in line 4 ('superb')"
    ]
    off = load(tmp_path, HEADER + "1,1,9,10\n1,2,inf,11\n2,1,4,1\n", data__policies__ratings="unknown")
    assert off.interactions.rated
    assert not off.interactions.history("1").rated


def test_numbers_that_mean_not_rated_do_not_count(tmp_path):
    log = HEADER + "20,1,-1,10\n24,1,5,11\n24,2,0,12\n20,2,4,13\n"
    data = load(tmp_path, log, data__not_rated=[-1, 0], data__policies__ratings="error")
    assert np.isnan(data.interactions.history("20").ratings).tolist() == [True, False]
    assert len(data.interactions) == 4
    (problem,) = data.report
    assert (problem.kind, problem.count, problem.action) == (
        "rating means not rated (data.not_rated)", 2, "taken as unknown",
    )  # fmt: skip
    frame = load_data(MOVIES.changed({"data.not_rated": [4]}), typed(tmp_path))
    assert np.isnan(frame.interactions.ratings).tolist() == [True, False]


def test_a_missing_rating_drops_no_row_in_any_form(tmp_path):
    written = load(tmp_path, HEADER + "1,1,NaN,10\n1,2,4,11\n2,1,NULL,12\n2,2,,13\n")
    assert np.isnan(written.interactions.ratings).tolist() == [True, False, True, True]
    assert [(problem.kind, problem.count) for problem in written.report] == [("no rating", 3)]
    for missing in (float("nan"), None):
        data = load_data(MOVIES, typed(tmp_path, log={"rating": [missing, 4.0]}))
        assert np.isnan(data.interactions.ratings).tolist() == [True, False]
