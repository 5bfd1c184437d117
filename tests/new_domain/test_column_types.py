"""Columns by themselves: what their values say."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.new_domain.column_types import (
    as_field,
    is_flag,
    liked_from,
    time_unit,
    usual_scale,
)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (["2024-01-02", "2024-03-04"], "s"),
        (["2024-01-02 10:11:12", "2024-03-04 01:02:03"], "s"),
        (["1700000000", "1700000100"], "s"),
        (["1700000000000", "1700000100000"], "ms"),
        (["1", "2"], None),
        (["soon", "late"], None),
    ],
)
def test_units_of_times(values, unit):
    assert time_unit(pl.Series(values)) == unit


@pytest.mark.parametrize(
    ("ends", "scale", "liked"),
    [
        ((0, 1), (0, 1), 0.7),
        ((0.05, 0.97), (0, 1), 0.7),
        ((2, 5), (1, 5), 4),
        ((0.5, 5), (0.5, 5), 4),
        ((1, 9), (1, 10), 7),
        ((3, 88), (0, 100), 70),
        ((1, 7), (1, 7), 5),
        ((1, 6), (1, 6), 5),
        ((1, 3), (1, 3), 2.4),
        ((0, 50), (0, 50), 40),
        ((-10, 10), (-10, 10), 4),
        ((20, 2000), (20, 2000), 1400),
    ],
)
def test_scales(ends, scale, liked):
    assert usual_scale(*ends) == scale
    assert liked_from(scale) == liked


@settings(deadline=None)
@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_some_ratings_are_liked_and_some_are_not_on_any_scale(low, span):
    high = low + span
    assert low + 0.5 * span < liked_from((low, high)) < high


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a|b", "b|c", "a", "c"], "list"),
        (["Red, Blue", "Blue, Green", "Red", "Green"], "text"),  # too few to be sure
        (["Red, Blue", "Blue, Green", "Red, Green", "Blue", "Red", "Green"] * 2, "list"),
        (["Oslo, Norway", "Bergen, Norway", "Hamar, Norway", "Moss, Norway"], "text"),
        (["1", "2.5", "", "4"], "number"),
        (["same", "same"], None),
        (["", ""], None),
        (["https://a/1", "https://a/2"], None),
    ],
)
def test_kinds_of_fields(values, kind):
    found, why = as_field(pl.Series(values), "x")
    assert (found and found.type) == kind
    assert why


@pytest.mark.parametrize(
    ("values", "kind", "unknown", "reason"),
    [
        (["$1,705.85", "N/A", "$3.10"], "number", ("N/A",), "amounts, such as '$1,705.85'; unknown: 'N/A'"),
        (["7", "None", "-", "3.10"], "number", ("None", "-"), "numbers; unknown: 'None', '-'"),
        (["384,84 €", "1.705 €"], "number", (), "amounts, such as '384,84 €'"),
        (["1.705 €", "384 €"], "text", (), "looks like amounts, such as '1.705 €', and is read as text; write plain"),
        (["31.12.2024", "1.1.2025"], "text", (), "2 different words or names"),
        (["red", "none", "n/a", "blue"], "text", ("n/a",), "3 different words or names; unknown: 'n/a'"),
        (["n/a", "?"], None, None, "is empty"),
    ],
)
def test_amounts_and_unknown_values(values, kind, unknown, reason):
    found, why = as_field(pl.Series(values), "x")
    assert (found and found.type, found and found.unknown) == (kind, unknown)
    assert why.startswith(reason)


def test_flags():
    assert all(is_flag(pl.Series(values)) for values in (["Ja", "nein", ""], ["y", "n"], ["oui", "non"], ["sí", "no"]))
    assert not is_flag(pl.Series(["ja"]))
