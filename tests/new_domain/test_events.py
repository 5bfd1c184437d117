"""Kinds of events of unknown logs: the column is found, each kind is taken for what its word says, and it is told."""

import re
from pathlib import Path

import polars as pl
import pytest

from genre_gen import Dataset
from genre_gen.errors import DataError, UsageError
from genre_gen.new_domain.inference import infer_domain
from genre_gen.new_domain.scaffold import start_domain
from genre_gen.new_domain.validate import check

RETAIL_ROCKET = """timestamp,visitorid,event,itemid,transactionid
1433221332117,1,view,355908,
1433221332118,1,addtocart,355908,
1433221332119,1,transaction,355908,4000
1433221332217,1,view,248676,
1433224214164,2,view,248676,
1433224214165,2,transaction,355908,4001
1433221999827,2,view,318965,
1433221999828,3,view,318965,
"""
GORSE = """feedback_type,user_id,item_id,time_stamp
read,1,a,2024-01-01
star,1,a,2024-01-02
read,1,b,2024-01-03
like,2,a,2024-01-01
dislike,2,b,2024-01-02
read,2,c,2024-01-03
"""
TAOBAO = """user_id,item_id,category_id,behavior,timestamp
1,a,7,pv,1511544070
1,a,7,cart,1511544080
1,a,7,buy,1511544090
1,b,7,pv,1511561733
2,b,7,fav,1511572885
2,c,7,pv,1511593493
2,c,7,buy,1511593494
"""
SONGS = """listener,song,action,played_at
1,a,play,2024-01-01
1,a,play,2024-01-02
1,b,skip,2024-01-03
1,a,play,2024-01-04
2,b,play,2024-01-01
2,b,play,2024-01-02
2,c,thumbs_up,2024-01-03
2,c,play,2024-01-05
"""


def infer(tmp_path, log, **columns):
    file = tmp_path / "log.csv"
    file.write_text(log)
    return infer_domain(file, columns=columns)


def table(inferred):
    """Return kind -> its settings that differ from the defaults."""
    return {name: event.model_dump(exclude_defaults=True) for name, event in inferred.domain.events.items()}


def test_retail_rocket(tmp_path):
    inferred = infer(tmp_path, RETAIL_ROCKET)
    assert table(inferred) == {
        "view": {"history": 0.3},
        "addtocart": {"history": 0.6},
        "transaction": {"history": 1.0, "measured": True},
    }
    assert (inferred.domain.repeat, inferred.domain.data.policies.duplicates) == (False, "keep_last")
    assert inferred.data.interactions.counts_by_kind() == {"view": 4, "addtocart": 0, "transaction": 2}
    told = {choice.role: choice.why for choice in inferred.proposal.choices}
    assert told["event"] == "by its name, 3 kinds of events"
    assert told["event view"] == "5 lines: in histories, weight 0.3"
    assert told["event transaction"] == "2 lines: in histories, weight 1, measured"


def test_gorse(tmp_path):
    inferred = infer(tmp_path, GORSE)
    assert table(inferred) == {
        "read": {"history": 0.3},
        "star": {"history": 0.6},
        "like": {"history": 1.0, "measured": True},
        "dislike": {"negative": True},
    }
    log, catalog = inferred.data.interactions, inferred.data.catalog
    assert log.to_frame(catalog)["event"].to_list() == ["star", "read", "like", "read"]
    assert [catalog[row].id for row in log.hidden_from("2").rows] == ["b"]


def test_taobao(tmp_path):
    inferred = infer(tmp_path, TAOBAO)
    assert table(inferred) == {
        "pv": {"history": 0.3},
        "cart": {"history": 0.6},
        "fav": {"history": 0.6},
        "buy": {"history": 1.0, "measured": True},
    }
    assert inferred.domain.data.columns.event == ("behavior",)


def test_plays_and_skips_of_songs_repeat(tmp_path):
    inferred = infer(tmp_path, SONGS.replace("2,c,thumbs_up,2024-01-03\n", ""), item="song")
    assert table(inferred) == {"play": {"history": 1.0}, "skip": {"negative": True}}
    assert (inferred.domain.repeat, inferred.domain.data.policies.duplicates) == (True, "keep")
    assert len(inferred.data.interactions) == 6
    liked = infer(tmp_path, SONGS, item="song")
    assert table(liked)["play"] == {"history": 0.3}
    assert table(liked)["thumbs_up"] == {"history": 1.0, "measured": True}


def test_weaker_kinds_are_measured_where_few_users_have_the_strongest(tmp_path):
    lines = [
        f"u{user},i{item},{'cart' if item == 3 and user < 20 else 'view'}" for user in range(50) for item in range(4)
    ]
    log = "user_id,item_id,event\n" + "\n".join(lines)
    few = infer(tmp_path, log + "\nu0,i9,buy\n")
    assert {name for name, event in table(few).items() if event.get("measured")} == {"cart", "buy"}
    none = infer(tmp_path, log.replace("cart", "view") + "\nu0,i9,buy\n")
    assert table(none) == {"view": {"history": 0.3}, "buy": {"history": 1.0}}  # so all are measured


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("add_to_cart", {"history": 0.6}), ("Add to cart", {"history": 0.6}), ("addToCart", {"history": 0.6}),
        ("product_view", {"history": 0.3}), ("remove_from_cart", {}), ("not_interested", {"negative": True}),
        ("thumbs_down", {"negative": True}), ("Unlike", {"negative": True}), ("impression", {}),
        ("hidden", {"hides": True}), ("PURCHASE", {"history": 1.0, "measured": True}),
    ],
)  # fmt: skip
def test_words_in_every_way_of_writing(tmp_path, name, settings):
    log = "user_id,item_id,event\n" + f"1,a,{name}\n2,a,order\n1,b,view\n2,c,view\n1,c,order\n"
    assert table(infer(tmp_path, log))[name] == settings


def test_an_unknown_word_counts_as_the_weakest_and_is_told(tmp_path):
    inferred = infer(tmp_path, RETAIL_ROCKET.replace("3,view", "3,gaze"), user="visitorid", item="itemid")
    assert table(inferred)["gaze"] == {"history": 0.3}
    told = {choice.role: choice.why for choice in inferred.proposal.choices}
    assert told["event gaze"] == "1 line: in histories, weight 0.3; its word is not known, so check this"


def test_a_line_without_a_kind_is_dropped_and_told(tmp_path):
    inferred = infer(tmp_path, RETAIL_ROCKET + "1433221999829,3,,355908,\n", user="visitorid", item="itemid")
    assert "" not in table(inferred)
    problem = next(problem for problem in inferred.data.report if problem.kind.startswith("kind of event"))
    assert (problem.count, problem.location, problem.action) == (1, "line 10", "dropped")


def test_numbers_are_read_by_option_only(tmp_path):
    log = "user_id,item_id,behavior_type\n1,a,1\n1,b,4\n2,a,1\n2,c,3\n"
    plain = infer(tmp_path, log)
    assert (table(plain), len(plain.data.interactions)) == ({}, 4)
    assert (
        'columns["event"]="behavior_type" reads them'
        in {c.column: c.why for c in plain.proposal.left_out}["behavior_type"]
    )
    named = infer(tmp_path, log, event="behavior_type")
    assert table(named) == {"1": {"history": 1.0}, "4": {"history": 1.0}, "3": {"history": 1.0}}
    assert "so check this" in named.proposal.choices[-1].why


@pytest.mark.parametrize(
    "column", ["type\nmobile\ndesktop\nmobile", "event\nview\nview\nview", "event_id\n1\n2\n3", "type\nview\nred\nblue"]
)
def test_columns_that_are_something_else_are_left(tmp_path, column):
    head, *values = column.split("\n")
    lines = [
        f"{user},{item},{value}" for (user, item), value in zip([(1, "a"), (1, "b"), (2, "a")], values, strict=True)
    ]
    inferred = infer(tmp_path, f"user_id,item_id,{head}\n" + "\n".join(lines))
    assert (table(inferred), len(inferred.data.interactions)) == ({}, 3)


def test_none_means_none_and_a_wrong_column_is_refused(tmp_path):
    none = infer(tmp_path, GORSE, event=None)
    assert (table(none), none.data.interactions.kinds) == ({}, None)
    assert len(none.data.interactions) == 5  # a pair twice
    message = 'columns["event"]="x": 1 different values, and kinds of events are 2 to 100; name another'
    with pytest.raises(DataError, match=re.escape(message)):
        infer(tmp_path, "user_id,item_id,x\n1,a,q\n2,a,q\n", event="x")
    with pytest.raises(UsageError, match="no such column"):
        infer(tmp_path, GORSE, event="kind")


def test_users_without_a_name_are_not_confused_with_kinds(tmp_path):
    inferred = infer(tmp_path, TAOBAO.replace("user_id", "who").replace(",7,", ",").replace("category_id,", ""))
    assert inferred.proposal.columns["user"] == "who"


def test_the_written_domain_frames_and_files_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(GORSE.replace("star,1", "odd kind,1"))
    started = start_domain("stars", Path("log.csv"), None, Path())
    text = Path("catalogs/stars/domain.toml").read_text()
    settings = [line for line in text.splitlines() if line.strip() and not line.startswith(("#", "["))]
    assert all("#" in line for line in settings if not line.startswith("members"))
    assert '[events."odd kind"]' in text
    loaded = Dataset.load("./catalogs/stars")
    framed = Dataset.from_frames(None, pl.read_csv("log.csv"))
    assert loaded.domain.events == framed.domain.events
    for data in (loaded, framed):
        assert data.interactions.fingerprint() == started.data.interactions.fingerprint()
    told = "event dislike   feedback_type  1 line: negative, hides its item and takes it out of the history"
    assert told in started.text()
    again = Dataset.from_frames(None, loaded.to_frames()[1])  # what it exports names the kinds
    assert again.interactions.counts_by_kind() == loaded.interactions.counts_by_kind()


def test_the_check_counts_by_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(GORSE)
    start_domain("stars", Path("log.csv"), None, Path())
    found = check("stars")
    assert found.counts["events"] == "read 2, star 1, like 1"
    assert found.counts["hidden"] == "1 items of users, by events"
    assert found.counts["measured"] == "1 of the interactions: evaluations ask for these only"
    assert "log.csv: event 'dislike': 1 kept out of histories, the first in line 6 ('dislike')" in found.notes
