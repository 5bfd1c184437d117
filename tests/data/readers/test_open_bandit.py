"""Open Bandit: clicks of all policies as interactions, and the whole log with propensities."""

import re
from pathlib import Path

import pytest

from genre_gen.data.readers import load_data
from genre_gen.data.readers.open_bandit import read_log
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from tests.data.readers.reader_files import domain, write


def open_bandit(folder: Path) -> Path:
    items = ",item_id,item_feature_0,item_feature_1\n0,0,-0.6,aa\n1,1,0.7,bb\n"
    log = ",timestamp,item_id,position,click,propensity_score," + ",".join(f"user_feature_{n}" for n in range(4)) + "\n"
    day = "2019-11-24 00:0"
    shown = {
        "bts": f"0,{day}1:03.979311+00:00,1,2,0,0.05,c,d,e,f\n1,{day}3:00.5+00:00,1,1,1,0.1,c,d,e,f\n",
        "random": f"0,{day}2:00.0+00:00,0,3,1,0.03,c,d,e,f\n1,{day}4:00.0+00:00,1,3,1,0.03,x,d,e,f\n",
    }
    for policy, records in shown.items():
        write(folder / policy, item_context__csv=items, men__csv=log + records)
    return folder


def ads() -> Domain:
    return domain("ads", {"item_feature_1": {"type": "text"}}, repeat=True)


def test_open_bandit_joins_the_clicks_of_all_policies(tmp_path):
    data = load_data(ads(), open_bandit(tmp_path))
    assert [(item.id, item.title, item.attributes["item_feature_1"]) for item in data.catalog] == [
        ("0", "item 0", "aa"),
        ("1", "item 1", "bb"),
    ]
    assert data.interactions.users == ("c d e f", "x d e f")
    assert data.interactions.history("c d e f").rows.tolist() == [0, 1]  # in time order, across two logs
    assert data.interactions.history("c d e f").times.tolist() == [1574553720, 1574553780]
    (left_out,) = data.report
    assert (left_out.kind, left_out.count, left_out.action) == ("shown and not clicked", 1, "left out")
    assert left_out.location.endswith("men.csv, line 2")
    assert len(load_data(ads(), tmp_path / "random").interactions) == 2


def test_open_bandit_log_with_propensities(tmp_path):
    log = read_log(open_bandit(tmp_path) / "bts")
    assert log.select("item_id", "position", "click", "propensity_score").rows() == [
        ("1", 2, 0, 0.05),
        ("1", 1, 1, 0.1),
    ]
    assert str(log["timestamp"][0]) == "2019-11-24 00:01:03.979311+00:00"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1,1,1,0.1,", ",1,1,yes,0.1,", "line 3: click 'yes' is neither 0 nor 1"),
        (",1,1,1,0.1,", ",5,1,1,0.1,", "men.csv, line 3: item not in the catalog: '5'"),
        ("propensity_score", "score", "line 1: no column 'propensity_score'"),
    ],
)
def test_invalid_open_bandit_logs(tmp_path, old, new, message):
    file = open_bandit(tmp_path) / "bts" / "men.csv"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(ads(), tmp_path)


def test_open_bandit_needs_one_log_per_policy(tmp_path):
    (open_bandit(tmp_path) / "bts" / "all.csv").write_text("")
    with pytest.raises(DataError, match=r"expected one log next to item_context\.csv, not all\.csv, men\.csv"):
        load_data(ads(), tmp_path)
