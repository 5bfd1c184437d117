"""Times in every form: what is read, in which order, and what is named that cannot be read."""

import datetime
import json

import numpy as np
import polars as pl
import pytest

from genre_gen import Dataset
from genre_gen.data.readers import load_data
from genre_gen.data.readers.dates import read_dates, read_times
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, MOVIES, domain, load, typed, write

MIDNIGHT = datetime.datetime(2020, 9, 14)
MORNING = datetime.datetime(2020, 9, 14, 11, 46, 46)


def moments(values, unit="s"):
    return pl.from_epoch(read_times(pl.Series(values), unit).seconds).to_list()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Mon Sep 14 11:46:46 -0700 2020", MORNING + datetime.timedelta(hours=7)),
        ("Mon Sep 14 11:46:46 PDT 2020", MORNING + datetime.timedelta(hours=7)),
        ("Mon Sep 14 11:46:46 UTC 2020", MORNING),
        ("Mon Sep 14 11:46:46 2020", MORNING),
        ("2020-09-14 11:46:46 +0000 UTC", MORNING),
        ("2020-09-14 13:46:46.5 +0200 CEST", MORNING),
        ("Mon Sep 14 2020 04:46:46 GMT-0700 (Pacific Daylight Time)", MORNING),
        ("2020-09-14 00", MIDNIGHT),
        ("Mon, 14 Sep 2020 11:46:46 GMT", MORNING),
        ("14/Sep/2020:11:46:46 +0000", MORNING),
        ("September 14th, 2020 at 11:46:46 AM", MORNING),
        ("Sep 14, 2020, 11:46:46", MORNING),
        ("2020-09-14 11:46:46", MORNING),
        ("9/14/2020, 11:46:46 AM", MORNING),
        ("20200914T114646Z", MORNING),
        ("20200914114646", MORNING),
        ("20200914", MIDNIGHT),
        ("14-Sep-2020", MIDNIGHT),
        ("14-Sep-20", MIDNIGHT),
        ("14 September 2020", MIDNIGHT),
        ("Monday, 14 Sept. 2020", MIDNIGHT),
        ("Sep 14, 2020", MIDNIGHT),
        ("2020-Sep-14", MIDNIGHT),
        ("09 14, 2020", MIDNIGHT),
        ("09/14/20", MIDNIGHT),
        ("14/09/20", MIDNIGHT),
        ("14.09.20", MIDNIGHT),
        ("9/14/68", datetime.datetime(2068, 9, 14)),
        ("9/14/69", datetime.datetime(1969, 9, 14)),
        ("2020-09", datetime.datetime(2020, 9, 1)),
    ],
)
def test_dates_as_people_and_programs_write_them(written, expected):
    assert moments([written, "", written]) == [expected, None, expected]


@pytest.mark.parametrize(
    "written",
    ["31 Sep 2020", "marble 14, 2020", "Sep 2020", "32/09/20", "20201314", "2020-13", "14 Abr 2020", "2020091",
     "Mon Sep 14 24:46:46 2020", "14-Sep-2020 25:00"],
)  # fmt: skip
def test_other_texts_are_not_read_as_dates(written):
    assert read_dates(pl.Series([written])).seconds.to_list() == [None]


def test_days_and_months_of_short_years_are_settled_by_the_column():
    assert moments(["02/07/20", "09/14/20"]) == [datetime.datetime(2020, 2, 7), MIDNIGHT]
    assert moments(["02/07/20", "14/09/20"]) == [datetime.datetime(2020, 7, 2), MIDNIGHT]
    with pytest.raises(DataError, match="'02/07/20' and the other dates may have the day or the month first"):
        moments(["02/07/20", "03/08/20"])


@pytest.mark.parametrize("kind", [pl.Int64, pl.Int32, pl.Float64, pl.String])
def test_a_column_of_numbers_that_are_all_dates_is_read_as_dates(kind):
    assert moments(pl.Series([20200914, 20200101]).cast(kind)) == [MIDNIGHT, datetime.datetime(2020, 1, 1)]
    assert moments(pl.Series([20200914, None]).cast(kind)) == [MIDNIGHT, None]
    seconds = pl.Series([20200914, 20200132]).cast(kind)  # there is no 32nd of January, so these are seconds
    assert read_times(seconds, "s").seconds.to_list() == [20200914, 20200132]


@pytest.mark.parametrize(("unit", "digits"), [("s", 0), ("ms", 3), ("us", 6), ("ns", 9)])
@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.String])
def test_numbers_of_every_unit(unit, digits, kind):
    values = pl.Series([1_600_000_000 * 10**digits, None, -(10**digits)]).cast(kind)
    assert read_times(values, unit).seconds.to_list() == [1_600_000_000, None, -1]


LATE = {  # three times within a second, in the order c, a, b
    "ms": ("ms", [1600000000300, 1600000000100, 1600000000200]),
    "us": ("us", [1600000000000300, 1600000000000100, 1600000000000200]),
    "ns": ("ns", [1600000000000000300, 1600000000000000100, 1600000000000000200]),
    "floats": ("s", [1600000000.3, 1600000000.1, 1600000000.2]),
    "ISO": ("s", ["2020-09-13T12:26:40.3Z", "2020-09-13T12:26:40.1Z", "2020-09-13T12:26:40.25Z"]),
    "nanoseconds": ("s", [f"2020-09-13 12:26:40.00000000{digit}" for digit in (3, 1, 2)]),
    "far": ("s", [f"2999-09-13 12:26:40.{digit}" for digit in (3, 1, 2)]),
    "words": ("s", [f"Sun, 13 Sep 2020 12:26:40.{digit} GMT" for digit in (3, 1, 2)]),
}


@pytest.mark.parametrize("form", LATE)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "inter"])
def test_the_order_within_a_second_is_kept(tmp_path, form, suffix):
    unit, times = LATE[form]
    assert histories(tmp_path, pl.DataFrame({"timestamp": times}), suffix, unit) == ["a", "b", "c"]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_the_order_within_a_second_of_datetimes(tmp_path, unit, zone):
    times = pl.Series("timestamp", [MORNING + datetime.timedelta(milliseconds=ms) for ms in (300, 100, 200)])
    frame = pl.DataFrame(times.dt.cast_time_unit(unit).dt.replace_time_zone(zone))
    assert histories(tmp_path, frame, "parquet", "s") == ["a", "b", "c"]
    log = frame.with_columns(user_id=pl.lit("u"), item_id=pl.Series(["c", "a", "b"]))
    assert Dataset.from_frames(None, log).interactions.history("u").rows.tolist() == [1, 2, 0]
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    for made in (log.to_pandas(), log.to_arrow(), log.to_pandas(use_pyarrow_extension_array=True)):
        assert Dataset.from_frames(None, made).interactions.history("u").rows.tolist() == [1, 2, 0]


def histories(folder, times, suffix, unit):
    log = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["c", "a", "b"]}).hstack(times)
    write(folder, items__csv="item_id,title\na,A\nb,B\nc,C\n")
    if suffix == "parquet":
        log.write_parquet(folder / "interactions.parquet")
    elif suffix == "inter":
        log.columns = ["user_id:token", "item_id:token", "timestamp:float"]
        log.write_csv(folder / "x.inter", separator="\t")
    else:
        log.write_csv(folder / f"interactions.{suffix}", separator="\t" if suffix == "tsv" else ",")
    data = load_data(domain("shop", {}, data__time_unit=unit), folder)
    assert np.ptp(data.interactions.times) == 0  # whole seconds are stored
    return [data.catalog[row].id for row in data.interactions.history("u").rows]


def test_the_order_within_a_second_in_reviews_as_json(tmp_path):
    lines = [
        json.dumps({"user_id": "u", "parent_asin": item, "rating": 5.0, "timestamp": 1600000000000 + late})
        for item, late in (("c", 300), ("a", 100), ("b", 200))
    ]
    data = load_data(domain("shop", {}), write(tmp_path, Tools__jsonl="\n".join(lines)))
    assert [data.catalog[row].id for row in data.interactions.history("u").rows] == ["a", "b", "c"]


@pytest.mark.parametrize(("policy", "rating"), [("keep_first", 2), ("keep_last", 4)])
def test_duplicates_within_a_second_are_settled_by_the_full_time(tmp_path, policy, rating):
    log = HEADER + "1,1,3,1600000000.2\n1,1,4,1600000000.3\n1,1,2,1600000000.1\n"
    assert load(tmp_path, log, data__policies__duplicates=policy).interactions.ratings.tolist() == [rating]


def test_missing_times_are_told_apart_from_unread_ones(tmp_path):
    log = HEADER + "1,1,5,2024-01-01\n1,2,5,\n2,1,5,NULL\n2,2,5,soon\n3,1,5,2024-01-02\n3,2,5,2024-01-03\n"
    data = load(tmp_path, log, data__policies__times="drop")
    found = [(problem.kind, problem.count, problem.value) for problem in data.report]
    assert found == [("no time", 2, "''"), ("time cannot be read", 1, "'soon'")]


@pytest.mark.parametrize(("digits", "unit"), [(3, "ms"), (6, "us"), (9, "ns")])
def test_the_remedy_for_numbers_of_another_unit_works(tmp_path, digits, unit):
    log = HEADER + f"1,1,5,{1_600_000_000 * 10**digits}\n"
    with pytest.raises(DataError, match=rf'after the year 9999 \(data.time_unit = "{unit}"\?\)'):
        load(tmp_path, log)
    assert load(tmp_path, log, data__time_unit=unit).interactions.times.tolist() == [1_600_000_000]


def test_durations_are_refused(tmp_path):
    with pytest.raises(DataError, match="has type Duration"):
        load_data(MOVIES, typed(tmp_path, log={"timestamp": [datetime.timedelta(1), datetime.timedelta(2)]}))
