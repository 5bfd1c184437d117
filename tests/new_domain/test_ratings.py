"""Columns of ratings in unknown tables: the scale, and values that mean "not rated"."""

import numpy as np
import pytest

from genre_gen.new_domain.inference import infer_domain
from genre_gen.new_domain.ratings import not_rated
from tests.data.readers.reader_files import write


def inferred(folder, ratings, **columns):
    lines = "".join(f'u{n % 9},b{n % 4 + 1},"{rating}"\n' for n, rating in enumerate(ratings))
    write(folder, log__csv=f"user,item,rating\n{lines}", books__csv="item,title\nb1,A b\nb2,C d\nb3,E f\nb4,G h\n")
    return infer_domain(folder / "log.csv", folder / "books.csv", columns=columns)


def why(found):
    return next(choice.why for choice in found.proposal.choices if choice.role == "rating")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({-1: 1, 7: 3, 8: 4, 9: 2}, (-1,)),
        ({-1: 30, 0: 1, 1: 1, 2: 1, 10: 5}, (-1,)),
        ({0: 60, 5: 5, 8: 9, 9: 8, 10: 7}, (0,)),  # BookCrossing
        ({0: 5, 1: 1, 2: 1, 3: 3, 4: 16, 5: 72}, (0,)),  # Food.com
        ({-1: 9, 0: 50, 6: 2, 7: 3, 8: 4}, (-1, 0)),
        ({99: 40, -10: 1, -3.5: 3, 2: 4, 9.5: 2}, (99,)),
        ({0: 10, 1: 10, 2: 12, 3: 20, 4: 20, 5: 20}, ()),  # a scale from 0
        ({0: 2, 0.5: 1, 3: 9, 4: 20, 5: 20}, ()),
        ({0: 50, 1: 60}, ()),
        ({-1: 50, 1: 60}, ()),
        ({-1: 5, 0: 9, 1: 6}, ()),
        ({-2: 5, -1: 9, 0: 7, 1: 6, 2: 4}, ()),
        ({1: 900, 2: 40, 3: 9, 99: 1}, (99,)),
        ({1: 900, 2: 40, 3: 9, 1000: 1}, ()),
        ({0: 90, 3: 1, 40: 5, 900: 2}, ()),
    ],
)
def test_values_that_stand_apart(counts, expected):
    assert not_rated(np.repeat(list(map(float, counts)), list(counts.values()))) == expected


def test_a_number_for_not_rated_is_proposed_and_loaded_as_such(tmp_path):
    found = inferred(tmp_path, [-1, 9, 7, 8, -1, 10, 6, 3, 2] * 4)
    assert "from 2 to 10, so the scale is 1 to 10; -1 stands apart (8 times), so it means not rated" in why(found)
    assert found.domain.data.not_rated == (-1,)
    assert found.domain.rating_scale == (1, 10)
    assert "not_rated = [-1] " in found.toml
    ratings = found.data.interactions.ratings
    assert np.nanmin(ratings) == 2
    assert np.isnan(ratings).any()


def test_a_zero_that_may_be_a_rating_is_said(tmp_path):
    found = inferred(tmp_path, [0, 1, 2, 3, 4, 5] * 6)
    assert found.domain.data.not_rated == ()
    assert why(found).endswith("so the scale is 0 to 5; if 0 means not rated, set data.not_rated = [0]")
    changed = found.domain.changed({"data.not_rated": [0]})
    assert changed.data.not_rated == (0,)


@pytest.mark.parametrize(
    ("form", "example"), [("{},5", "'1,5'"), ("{} stars", "'1 stars'"), ("{}/5", "'1/5'"), ("★", "")]
)
def test_ratings_written_another_way_are_proposed(tmp_path, form, example):
    values = [form * n if form == "★" else form.format(n) for n in (1, 2, 3, 4)] * 5
    found = inferred(tmp_path, values)
    assert found.domain.rating_scale == (1, 5)
    assert "read from texts such as " + (example or "'★'") in why(found)
    assert np.nanmax(found.data.interactions.ratings) >= 4


def test_a_few_unread_ratings_keep_their_interactions(tmp_path):
    found = inferred(tmp_path, [*[3, 4, 5, 1] * 9, "superb"])
    assert found.domain.data.policies.ratings == "unknown"
    assert "rating is not a number: 1 taken as unknown" in str(found.data.report.problems[0])
    assert len(found.data.interactions) == 36


def test_ratings_that_are_mostly_missing_are_read(tmp_path):
    found = inferred(tmp_path, ["NULL", "3", "", "4", "nan", "5"] * 6)
    assert found.domain.rating_scale == (1, 5)


def test_words_instead_of_ratings_are_left_out(tmp_path):
    found = inferred(tmp_path, ["good", "bad", "fine"] * 6)
    assert found.data.interactions.ratings is None
    assert [choice.why for choice in found.proposal.left_out if choice.column == "rating"] == [
        "no rating: not numbers, or all of them equal"
    ]
