"""The id 5863.0 is 5863: in logs, item files, histories, users and picks; ids that both files share are left alone."""

import polars as pl
import pytest

from genre_gen import Dataset
from genre_gen.data.ids import other_form, tied
from genre_gen.data.readers import load_data
from genre_gen.errors import UnknownItemError, UsageError
from genre_gen.evaluation.picks import evaluate_picks
from genre_gen.new_domain.inference import infer_domain
from genre_gen.recommender.requests import history_of
from tests.data.readers.reader_files import domain, write

ITEMS = "item_id,title\n5863,One\n10,Two\n7,Three\n"
LOG = "user_id,item_id\n196.0,5863.0\n196.0,10.0\n22.0,7\n"
SHOP = domain("shop", {})


def test_forms_of_ids():
    assert other_form("5863.0", {"5863"}) == "5863"
    assert other_form("5863", {"5863.0"}) == "5863.0"
    assert other_form("5863", {"5863"}) is other_form("1.50", {"1.5", "1"}) is other_form("x.0", {"x"}) is None
    assert tied(pl.Series(["1.0", "2", "x", "3.0"]), pl.Series(["1", "2.0", "3", "3.00"])).to_list() == [
        "1", "2.0", "x", "3.0",
    ]  # fmt: skip  # 3.0 may be either of two
    given = pl.Series(["1.0"])
    assert tied(given, pl.Series(["1"])).to_list() != given.to_list()  # which stays as it is


def test_a_log_that_was_floats_is_tied_and_told(tmp_path):
    data = load_data(SHOP, write(tmp_path, items__csv=ITEMS, interactions__csv=LOG))
    assert data.interactions.users == ("196", "22")
    assert [item.id for item in data.catalog] == ["5863", "10", "7"]
    assert data.interactions.rows.tolist() == [0, 1, 2]
    assert [(problem.kind, problem.count, problem.action) for problem in data.report] == [
        ("user id read as the same whole number", 3, "kept"), ("item id read as the same whole number", 2, "kept"),
    ]  # fmt: skip


def test_an_item_file_that_was_floats_is_tied(tmp_path):
    items = ITEMS.replace("5863,", "5863.0,")
    data = load_data(SHOP, write(tmp_path, items__csv=items, interactions__csv="user_id,item_id\nu,5863\nu,10\n"))
    assert data.interactions.rows.tolist() == [0, 1]
    assert (data.catalog.find("5863"), data.catalog.row("5863"), data.catalog.row("10.0")) == (0, 0, 1)


def test_ids_that_both_files_share_and_other_ids_are_left_alone(tmp_path):
    items, log = "item_id,title\n1.0,One\n1.1,Two\n1,Three\n", "user_id,item_id\n1.0,1.0\n1.1,1.1\n1,1\n"
    data = load_data(SHOP, write(tmp_path, items__csv=items, interactions__csv=log))
    assert [item.id for item in data.catalog] == ["1.0", "1.1", "1"]
    assert data.interactions.users == ("1.0", "1.1", "1")
    assert data.interactions.rows.tolist() == [0, 1, 2]
    assert not len(data.report)


def test_floats_of_parquet_and_frames_are_whole_ids(tmp_path):
    pl.DataFrame({"item_id": [5863, 10, 7], "title": ["One", "Two", "Three"]}).write_parquet(tmp_path / "items.parquet")
    log = pl.DataFrame({"user_id": [196.0, 22.0, None], "item_id": [5863.0, 10.0, 7.0]})
    log.write_parquet(tmp_path / "interactions.parquet")
    data = load_data(SHOP.changed({"data.policies.missing_ids": "drop"}), tmp_path)
    assert (data.interactions.users, data.interactions.rows.tolist()) == (("196", "22"), [0, 1])
    frames = Dataset.from_frames(pl.read_parquet(tmp_path / "items.parquet"), log)
    assert frames.interactions.users == ("196", "22")


def test_without_an_item_file(tmp_path):
    data = load_data(SHOP, write(tmp_path, interactions__csv="user_id,item_id\na,5863.0\na,7.0\nb,5863\n"))
    assert [item.id for item in data.catalog] == ["5863", "7"]
    assert data.interactions.rows.tolist() == [0, 1, 0]


def test_a_new_domain_matches_them(tmp_path):
    write(tmp_path, items__csv=ITEMS, log__csv=LOG)
    inferred = infer_domain(tmp_path / "log.csv", tmp_path / "items.csv")
    assert inferred.proposal.unknown_items == 0
    assert len(inferred.data.interactions) == 3
    (why,) = (choice.why for choice in inferred.proposal.choices if choice.role == "item")
    assert why.endswith("'5863.0' is read as '5863'")


def test_users_and_histories_of_requests(mixed):
    state = mixed.state

    def asked(who):
        return history_of(who, state.histories, state.catalog, state.domain.rating_scale)

    expected = asked("17")[0]
    for who in ("17.0", 17.0):
        history, notes = asked(who)
        assert history.rows.tolist() == expected.rows.tolist()
        assert notes == (("user '17.0' is read as '17'",) if who == "17.0" else ())
    history, notes = asked(["9.0", "Toy Story"])
    assert (history.rows.tolist(), notes) == ([8, 0], ("item '9.0' is read as '9'",))
    frame = pl.DataFrame({"item_id": ["9.0", "1"]})
    assert asked(frame)[0].rows.tolist() == asked(["9", "1"])[0].rows.tolist()
    for who in (17.5, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=r"the history is .*; give a user id, or a list"):
            asked(who)
    with pytest.raises(UnknownItemError):
        asked(["9.5"])


def test_picks_of_a_library_that_reads_floats(mixed, dataset, tmp_path, caplog):
    split = dataset.leave_one_out()
    case, *_ = split.test
    unseen = next(row for row in range(len(split.catalog)) if row not in case.history.rows)
    for user, item in ((case.history.user, split.catalog[unseen].id),) * 2:
        file = tmp_path / "picks.csv"
        file.write_text(f"user_id,item_id,rank\n{user}.0,{item}.0,1\n", encoding="utf-8")
        report = evaluate_picks(mixed.state, split, "test", file)
    assert "ids of users in 1 picks are read as the same whole numbers" in caplog.text
    assert report.results[0].ranks.shape == (len(split.test),)
