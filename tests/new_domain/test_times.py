"""Columns of times in unknown tables: units, forms, missing values, and what cannot be read."""

import pytest

from genre_gen.errors import DataError
from genre_gen.new_domain.inference import infer_domain
from tests.data.readers.reader_files import write


def inferred(folder, times, name="timestamp", **columns):
    lines = "".join(f'u{n % 3},b{n % 4 + 1},"{time}"\n' for n, time in enumerate(times))
    write(folder, log__csv=f"user,item,{name}\n{lines}", books__csv="item,title\nb1,A b\nb2,C d\nb3,E f\nb4,G h\n")
    return infer_domain(folder / "log.csv", folder / "books.csv", columns=columns)


def why(found):
    return next(choice.why for choice in found.proposal.choices if choice.role == "time")


@pytest.mark.parametrize(("unit", "digits"), [("s", 0), ("ms", 3), ("us", 6), ("ns", 9)])
def test_units_are_found_and_written(tmp_path, unit, digits):
    found = inferred(tmp_path, [(1_600_000_000 + n) * 10**digits + (3 if digits else 0) for n in range(12)], "at")
    assert found.domain.data.time_unit == found.proposal.time_unit == unit
    assert (f'time_unit = "{unit}"' in found.toml) == (unit != "s")
    assert found.data.interactions.times.min() == 1_600_000_000


@pytest.mark.parametrize(
    "form", ["Mon Sep {:02} 11:46:46 -0700 2020", "202009{:02}", "09/{:02}/20", "{:02}-Sep-2020", "Sep {:02}, 2020"]
)
def test_forms_are_read(tmp_path, form):
    found = inferred(tmp_path, [form.format(day) for day in range(14, 26)], "date_added")
    times = found.data.interactions.times.astype("datetime64[s]").astype("datetime64[D]")
    assert (str(times.min()), str(times.max())) == ("2020-09-14", "2020-09-25")


@pytest.mark.parametrize("mark", ["", "NULL", "nan"])
@pytest.mark.parametrize("form", ["2024-01-{:02}", "17000000{:02}", "17000000{:02}000"])
def test_a_quarter_may_be_missing(tmp_path, form, mark):
    found = inferred(tmp_path, [mark if n % 4 == 0 else form.format(n + 10) for n in range(20)])
    assert why(found).endswith("; missing in 5 of 20 lines, which are dropped")
    (problem,) = (problem for problem in found.data.report if "time" in problem.kind)
    assert (problem.kind, problem.count, problem.value) == ("no time", 5, repr(mark))


def test_what_cannot_be_read_is_counted_and_named(tmp_path):
    times = [f"2024-01-{day:02}" for day in range(1, 31)]
    found = inferred(tmp_path, [*times, "soon"])
    assert why(found).endswith("; 1 cannot be read, such as 'soon'")
    with pytest.raises(DataError, match="'timestamp' seems to be the time, but 'soon' cannot be read; write ISO"):
        inferred(tmp_path, [*times, *["soon", "late"] * 5])


def test_numbers_outside_any_time_are_named_as_such_and_the_remedy_works(tmp_path):
    message = (
        r"its numbers, such as '17', are outside 1985 to 2103 in any unit of time; read them as seconds: columns\[.time"
    )
    with pytest.raises(DataError, match=message):
        inferred(tmp_path, [17, 35, 40])
    assert inferred(tmp_path, [17, 35, 40], time="timestamp").data.interactions.times.min() == 17


def test_a_column_that_is_mostly_empty_is_left_out(tmp_path):
    found = inferred(tmp_path, ["2024-01-05", "", "", "2024-01-06", "", ""])
    assert "time" not in found.proposal.columns
    assert "empty in 4 of 6 lines" in found.proposal.left_out[0].why


def test_a_time_in_several_columns_is_told_with_its_parts(tmp_path):
    (tmp_path / "log.csv").write_text(
        "user,item,date_day,date_month,date_year,hour\n" + "u,1,5,9,2020,7\nv,2,6,9,2020,8\n" * 3
    )
    message = (
        r"the time is in several columns: date_year, date_month, date_day, hour; join them into one column, such as"
    )
    with pytest.raises(DataError, match=message):
        infer_domain(tmp_path / "log.csv")
