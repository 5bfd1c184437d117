"""MIND: histories come before the clicks, and what was shown in vain is counted."""

import re
from pathlib import Path

import pytest

from genre_gen.data.catalog import Item
from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from tests.data.readers.reader_files import domain, write


def mind(folder: Path, behaviors: str | None = None) -> Path:
    news = (
        'N1\tsports\tsoccer\tCup "final" tonight\tWho wins?\thttp://x\t[{"Label": "Cup"}]\t'
        '[{"Label": "Cup"}, {"Label": "City"}]\n'
        "N2\tnews\tlocal\tRain\t\thttp://x\t[]\t\n"
        "N3\tnews\tworld\tSun\t\thttp://x\t[]\t[]\n"
    )
    log = (
        "1\tU2\t11/12/2019 2:14:46 PM\tN3 N1\tN2-0 N1-1\n"
        "2\tU1\t11/11/2019 9:00:00 AM\t\tN3-1 N2-1 N1-0\n"
        "3\tU2\t11/12/2019 12:05:00 AM\tN3\tN2-1\n"
    )
    return write(folder, news__tsv=news, behaviors__tsv=log if behaviors is None else behaviors)


def news(**changes: object) -> Domain:
    return domain("news", {"category": {"type": "list"}, "entities": {"type": "list"}}, **changes)


def test_mind_has_the_history_before_the_clicks(tmp_path):
    data = load_data(news(data__policies__duplicates="keep"), mind(tmp_path))
    assert data.catalog[0] == Item(
        "N1", 'Cup "final" tonight', {"category": ("sports",), "entities": ("Cup", "City")}, "Who wins?"
    )
    # U2's history as of the first impression (line 3), then the clicks in time order; none of what was only shown.
    u2 = data.interactions.history("U2")
    assert [data.catalog[row].id for row in u2.rows] == ["N3", "N2", "N1"]
    begin = 1573462800  # 2019-11-11 9:00, the earliest time of the file
    assert u2.times.tolist() == [begin, 1573517100, 1573568086]
    u1 = data.interactions.history("U1")
    assert [data.catalog[row].id for row in u1.rows] == ["N3", "N2"]
    assert [str(problem) for problem in data.report] == [
        f"{tmp_path / 'behaviors.tsv'}: shown and not clicked: 2 left out, the first in line 1 ('N2-0')"
    ]


def test_mind_articles_that_are_missing_are_counted(tmp_path):
    folder = mind(tmp_path, "1\tU1\t11/12/2019 2:14:46 PM\tN3 N9 N1\tN2-1 N8-1\n")
    with pytest.raises(DataError, match=r"behaviors\.tsv, line 1: item not in the catalog: 'N9' \(the first of 2\)"):
        load_data(news(), folder)
    data = load_data(news(data__policies__unknown_items="drop"), folder)
    assert len(data.interactions) == 3
    assert data.report.problems[-1].count == 2


@pytest.mark.parametrize(
    ("behaviors", "message"),
    [
        ("1\tU1\t11/12/2019 2:14:46 PM\tN1\tN2 N3\n", "line 1: impressions 'N2 N3' should look like N1-0 N2-1"),
        ("1\tU1\tyesterday\tN1\tN2-1\n1\tU2\t11/12/2019 2:14:46 PM\t\tN2-1\n", "time cannot be read: 'yesterday'"),
        ("1\tU1\t11/12/2019 2:14:46 PM\tN1\tN2-1\tmore\n", "6 values for 5 columns"),
        ("1\t\t11/12/2019 2:14:46 PM\tN1\tN2-1\n", "line 1: no user"),
    ],
)
def test_invalid_mind_files(tmp_path, behaviors, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(news(), mind(tmp_path, behaviors))


def test_invalid_mind_entities(tmp_path):
    folder = write(mind(tmp_path), news__tsv='N1\tnews\tworld\tSun\t\thttp://x\t[{"Name": "x"}]\t[]\n')
    with pytest.raises(DataError, match=r"news\.tsv, line 1: title_entities .* is not a list of entities with a Label"):
        load_data(news(), folder)
