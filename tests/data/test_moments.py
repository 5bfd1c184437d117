"""Moments: every way to give one leads to the same second, and nothing else is taken for one."""

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from genre_gen.data.moments import to_moment
from genre_gen.errors import UsageError

NEW_YEAR = 1735689600  # 2025-01-01 00:00 UTC


@pytest.mark.parametrize(
    "value",
    [
        NEW_YEAR,
        NEW_YEAR + 0.9,
        np.int64(NEW_YEAR),
        np.datetime64("2025-01-01"),
        np.datetime64("2025-01-01T00:00:00.000000001"),
        date(2025, 1, 1),
        datetime(2025, 1, 1),
        datetime(2025, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        "2025-01-01",
        " 2025-01-01T00:00:00Z ",
        "2025-01-01 02:00:00+02:00",
        "2024-12-31T19:00:00.25-05:00",
    ],
)
def test_every_form_is_the_same_second(value):
    assert to_moment(value) == NEW_YEAR
    assert type(to_moment(value)) is int


def test_before_1970_rounds_down():
    assert to_moment(-0.5) == -1
    assert to_moment("1969-12-31T23:59:59Z") == -1


@pytest.mark.parametrize(
    "value",
    [
        "", "soon", "31.12.2024", "01/02/2024", "2024-13-01", "2024", True, None, [NEW_YEAR], float("nan"),
        float("inf"), NEW_YEAR * 1000, np.datetime64("NaT"), np.array([NEW_YEAR, NEW_YEAR]), np.str_("x"),
    ],
)  # fmt: skip
def test_other_values_are_refused(value):
    with pytest.raises(UsageError, match="is not a moment; give seconds since 1970, a datetime, or ISO text") as caught:
        to_moment(value)
    assert "\n" not in str(caught.value)
