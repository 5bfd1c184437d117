"""From interaction tables to histories: each policy, times and dates, duplicates and reviews."""

import datetime
import logging
import re

import numpy as np
import pytest

from genre_gen.data.readers import load_data
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, MOVIES, domain, load, typed, write


@pytest.mark.parametrize(
    ("interactions", "message"),
    [
        ("", "interactions.csv: the file is empty"),
        (HEADER, "interactions.csv: no interactions in it"),
        ("user_id,film_id\n1,1\n", "no column 'item_id' or 'movieId' or 'id' for the item; it has user_id, film_id"),
        ("usr_id,item_id\n1,1\n", "did you mean 'usr_id'? set data.columns.user in domain.toml"),
        ("user_id,user_id,item_id\n", "a column name is repeated"),
        (HEADER + "1,1,5,10,7\n", "line 2: 5 values for 4 columns"),
        ('"' + HEADER + "1,1,5,10\n" * 20_000, """did you mean '"user_id'?"""),
        (HEADER.replace(",rating", "\r,rating") + "1,1,5,10\n", "line 1: the file mixes two kinds of line ends; save"),
        (HEADER + "\n1,1,5,10\n1,9,5,11\n", "interactions.csv, line 4: item not in the catalog: '9'"),
        (HEADER + '"1\nx",1,5,10\n1,1,five,11\n', "line 4: rating is not a number: 'five'"),
        (HEADER + "1,1,5,10\r\n1,2,inf,11\r\n", "line 3: rating is not finite: 'inf'; correct the file, or set"),
        (HEADER + "1,1,-inf,10\n", "line 2: rating is not finite: '-inf'"),
        (HEADER + "1,1,9,10\n1,2,0,11\n", "line 2: rating outside 1 to 5: '9' (the first of 2)"),
        (HEADER + "1,1,5,soon\n", "line 2: time cannot be read: 'soon'"),
        (HEADER + "1,1,5\n", "line 2: no time: ''"),
        (HEADER + "1,1,5,1600000000000\n", "time is after the year 9999"),
        (HEADER + " ,1,5,10\n", "line 2: no user"),
        (HEADER + "1,,5,10\n", "line 2: no item"),
    ],
)
def test_interactions_refused(tmp_path, interactions, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(tmp_path, interactions)
    assert "\n" not in str(caught.value)


def test_dropped_records_are_counted_and_logged(tmp_path, caplog):
    records = "1,1,5,10 1,9,5,11 2,8,5,12 1,2,x,13 2,2,inf,14 3,1,7,15 3,2,4, ,1,5,16 4,2,3,17".replace(" ", "\n")
    policies = dict.fromkeys(("unknown_items", "ratings", "times", "missing_ids"), "drop")
    with caplog.at_level(logging.WARNING):
        data = load(tmp_path, HEADER + records, data__policies=policies)
    found = [(problem.kind, problem.count, problem.location, problem.value) for problem in data.report]
    assert found == [
        ("no user", 1, "line 9", "''"),
        ("item not in the catalog", 2, "line 3", "'9'"),
        ("rating is not a number", 1, "line 5", "'x'"),
        ("rating is not finite", 1, "line 6", "'inf'"),
        ("rating outside 1 to 5", 1, "line 7", "'7'"),
        ("no time", 1, "line 8", "''"),
    ]
    assert data.interactions.users == ("1", "4")
    data.report.log()
    assert [record.getMessage() for record in caplog.records] == [str(problem) for problem in data.report]
    assert "unknown" not in str(data.report.problems[0])
    assert str(data.report.problems[1]).endswith("item not in the catalog: 2 dropped, the first in line 3 ('9')")

    with pytest.raises(DataError, match="no interactions left"):
        load(tmp_path, HEADER + "1,9,5,10\n", data__policies=policies)


@pytest.mark.parametrize(("policy", "ratings"), [("keep_first", [1]), ("keep_last", [3]), ("keep", [1, 2, 3])])
def test_duplicates_are_settled_in_time_order(tmp_path, policy, ratings):
    interactions = HEADER + "1,1,3,30\n1,1,1,10\n2,1,5,5\n1,1,2,20\n"
    data = load(tmp_path, interactions, data__policies__duplicates=policy)
    assert data.interactions.history("1").ratings.tolist() == ratings
    assert data.interactions.history("2").ratings.tolist() == [5]
    (problem,) = data.report
    assert (problem.count, problem.action) == (2, "kept" if policy == "keep" else "dropped")


def test_duplicates_without_times_go_by_the_file(tmp_path):
    log = "user_id,item_id,rating\n1,1,1\n1,2,2\n1,1,3\n"
    assert load(tmp_path, log).interactions.rows.tolist() == [1, 0]
    first = load(tmp_path, log, data__policies__duplicates="keep_first").interactions
    assert (first.rows.tolist(), first.ratings.tolist()) == ([0, 1], [1, 2])
    with pytest.raises(DataError, match=r'line 4: item more than once .* = "keep_last"'):
        load(tmp_path, log, data__policies__duplicates="error")


def test_ratings_may_be_missing_here_and_there_or_altogether(tmp_path):
    data = load(tmp_path, HEADER + "1,1,,10\n1,2,4,11\n")
    assert np.isnan(data.interactions.ratings).tolist() == [True, False]
    assert [problem.action for problem in data.report] == ["kept"]
    assert load(tmp_path, HEADER + "1,1,,10\n").interactions.ratings is None
    assert load(tmp_path, "user_id,item_id\n1,1\n").interactions.ratings is None
    with pytest.raises(DataError, match="no column 'stars' for the rating"):
        load(tmp_path, HEADER + "1,1,,10\n", data__columns__rating="stars")


@pytest.mark.parametrize(
    ("time", "expected", "unit"),
    [
        ("86400.9", 86400, "s"),
        ("86400000", 86400, "ms"),
        ("1970-01-02T01:00:01+01:00", 86401, "s"),
    ],
)
def test_times_of_all_types_become_seconds(tmp_path, time, expected, unit):
    data = load(tmp_path, HEADER + f"1,1,5,{time}\n", data__time_unit=unit)
    assert data.interactions.times.tolist() == [expected]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2024-01-05", "2024-02-05 10:00:00", "2024-03-05T10:00:00Z"], ["01-05", "02-05T10:00", "03-05T10:00"]),
        (["2024/1/5 7:08", "2024-01-05T07:08:09.5-0130", "2024.02.05"], ["01-05T07:08", "01-05T08:38:09", "02-05"]),
        (["02/07/2024", "4/16/2024 10:15", "1/2/2024 12:30 AM", "1/2/2024 5:00 PM"],
         ["02-07", "04-16T10:15", "01-02T00:30", "01-02T17:00"]),
        (["02/07/2024", "16-04-2024"], ["07-02", "04-16"]),
        (["02.07.2024", "3.8.2024 9:00", "2024-08-04"], ["07-02", "08-03T09:00", "08-04"]),
        (["02/02/2024", "3/3/2024"], ["02-02", "03-03"]),
    ],
)  # fmt: skip
def test_dates_are_read_in_the_order_that_reads_the_column(tmp_path, times, expected):
    log = HEADER + "".join(f'{user},1,5,"{time}"\n' for user, time in enumerate(times))
    found = load(tmp_path, log).interactions.times.astype("datetime64[s]")
    assert found.tolist() == np.array([f"2024-{time}" for time in expected], "datetime64[s]").tolist()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["02/07/2024", "03/08/2024"], "column 'timestamp': '02/07/2024' and the other dates may have"),
        (["02/07/2024", "13/07/2024", "07/13/2024"], "'02/07/2024' and the other dates may have"),
        (["4/16/2024", "13/13/2024"], "line 3: time cannot be read: '13/13/2024'"),
        (["2024-02-30"], "line 2: time cannot be read: '2024-02-30'"),
        (["2024-01-01", "2024-01-01 24:30"], "line 3: time cannot be read"),
        (["2024-01-01", "2024-01-02", "7"], "line 4: time cannot be read: '7'"),
    ],
)
def test_ambiguous_dates_are_refused(tmp_path, times, message):
    log = HEADER + "".join(f"{user},1,5,{time}\n" for user, time in enumerate(times))
    with pytest.raises(DataError, match=re.escape(message)):
        load(tmp_path, log)


def test_times_of_day_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"column 'timestamp': it has times of day without a date; write dates"):
        load_data(MOVIES, typed(tmp_path, log={"timestamp": [datetime.time(1), datetime.time(2)]}))


@pytest.mark.parametrize("column", ["user_id", "item_id", "rating", "timestamp", "title"])
@pytest.mark.parametrize("values", [[[1], [2]], [b"\xff", b"\xfe"]])
def test_the_error_names_columns_without_single_values(tmp_path, column, values):
    wrong = {column: values}
    made = typed(tmp_path, items=wrong) if column == "title" else typed(tmp_path, log=wrong)
    with pytest.raises(
        DataError, match=rf"column '{column}' has type .*, not one string or number a record; name another"
    ):
        load_data(MOVIES, made)


def test_reviews_follow_their_interactions_into_time_order(tmp_path):
    lines = "user_id,item_id,timestamp,words\nb,1,9,late\na,2,5,second\nb,2,1,early\na,1,3,first\na,2,4,dropped\n"
    folder = write(tmp_path / "set", items__csv="item_id,title\n1,One\n2,Two\n", interactions__csv=lines)
    interactions = load_data(domain("shop", {}, data__columns__summary="words"), folder).interactions
    assert [interactions.review(place)[0] for place in range(4)] == ["early", "late", "first", "second"]
    with pytest.raises(DataError, match="summary"):
        load_data(domain("shop", {}, data__columns__summary="headline"), folder)
