import copy
import json

import numpy as np
import polars as pl
import pytest
from fakes import altered

from genre_gen import Catalog, Item, Request, Rules
from genre_gen.data.splits import leave_one_out
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.picks import evaluate_picks, read_picks
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.batch import read_users, write_picks

COLUMNS = ["user_id", "item_id", "rank", "score", "title", "pinned", "explanation", "note"]


class Killed(BaseException):
    """Stands for a kill signal."""


def write(recommender, out, n=5, users=None, part=None, **options):
    return write_picks(recommender.state, users, Request(n=n, **options), out, part=part)


def lists(table):
    return {user: table.filter(pl.col("user_id") == user)["item_id"].to_list() for user in table["user_id"].unique()}


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("where", [None, "genre == 'Horror' or year > 2000"])
def test_the_file_holds_what_is_recommended_one_at_a_time(mixed, tmp_path, n, where):
    out = tmp_path / "picks.parquet"
    assert write(mixed, out, n, where=where) == 30
    table = pl.read_parquet(out)
    assert table.columns == COLUMNS
    assert table["user_id"].unique(maintain_order=True).to_list() == list(mixed.state.histories.users)
    for user in mixed.state.histories.users:
        expected = mixed.recommend(user, n=n, where=where)
        rows = table.filter(pl.col("user_id") == user)
        assert rows["item_id"].to_list() == [pick.item.id for pick in expected]
        assert rows["title"].to_list() == [pick.item.title for pick in expected]
        assert rows["rank"].to_list() == [pick.rank for pick in expected]
        np.testing.assert_allclose(rows["score"].to_list(), [pick.score for pick in expected], atol=1e-4)
        assert rows["note"].unique().to_list() == ["; ".join(expected.notes) or None]
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["picks.parquet"]


def test_both_kinds_of_file_read_alike(mixed, tmp_path):
    for name in ("a.parquet", "a.jsonl"):
        write(mixed, tmp_path / name, 2, ["17", "4"], explain=True)
    one, other = read_picks(tmp_path / "a.parquet"), read_picks(tmp_path / "a.jsonl")
    assert one.columns == other.columns == COLUMNS
    assert one.drop("score").rows() == other.drop("score").rows()
    np.testing.assert_allclose(one["score"], other["score"])
    assert one["explanation"].null_count() == 0


def test_the_file_says_what_is_pinned(mixed, tmp_path):
    rules = Rules(pins={"Casablanca": 2}, at_most={"genre": 2})
    for name in ("a.parquet", "a.jsonl"):
        write(mixed, tmp_path / name, 4, ["17", "3"], rules=rules)
        table = read_picks(tmp_path / name)
        for user in ("17", "3"):
            rows, expected = table.filter(pl.col("user_id") == user), mixed.recommend(user, n=4, rules=rules)
            assert rows["item_id"].to_list() == [pick.item.id for pick in expected]
            assert rows["pinned"].to_list() == [pick.pinned for pick in expected]


def test_a_column_that_is_empty_at_first_is_read_whole(mixed, tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [{"user": f"u{k}", "rank": 1, "item": "1", "note": None if k < 2000 else "why"} for k in range(2001)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_picks(file)["note"].to_list()[-1] == "why"


def test_numbers_for_ids_are_read_as_ids(tmp_path, mixed):
    pl.DataFrame({"user": [17], "rank": [1], "item": [3]}).write_parquet(tmp_path / "a.parquet")
    table = read_picks(tmp_path / "a.parquet")
    assert table.rows() == [("17", 1, "3")]


def test_a_user_without_picks_is_in_the_file_with_the_reason(mixed, tmp_path):
    out = tmp_path / "a.jsonl"
    history = mixed.state.histories.history("17")
    seen = [mixed.state.catalog[int(row)].id for row in history.rows]
    assert write(mixed, out, include=seen) == 30
    line = next(line for line in map(json.loads, out.read_text().splitlines()) if line["user_id"] == "17")
    assert line["item_id"] is None
    assert line["rank"] is None
    assert line["note"].startswith("0 of 5 items: 40 in the catalog, less")
    assert "17" not in set(read_picks(out)["user_id"])


def kill_after(monkeypatch, finished):
    """Make the recommender die after so many users."""

    def mortal(state, requests):
        for number, picks in enumerate(answer_many(state, requests)):
            if number == finished:
                raise Killed
            yield picks

    monkeypatch.setattr("genre_gen.recommender.batch.answer_many", mortal)


@pytest.mark.parametrize(("name", "finished"), [("picks.parquet", 0), ("picks.parquet", 8), ("picks.jsonl", 29)])
def test_an_interrupted_run_resumes(mixed, tmp_path, monkeypatch, caplog, finished, name):
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    write(mixed, whole)
    with monkeypatch.context() as patch:
        kill_after(patch, finished)
        with pytest.raises(Killed):
            write(mixed, out)
    assert not out.exists()
    part = tmp_path / f"{name}.part"
    with part.open("a") as file:
        file.write('{"user": "half a li')  # what the disk got of the line that was being written
    asked = []
    with monkeypatch.context() as patch:

        def note(state, requests):
            requests = list(requests)
            asked.extend(request.who.user for request in requests)
            return answer_many(state, requests)

        patch.setattr("genre_gen.recommender.batch.answer_many", note)
        assert write(mixed, out) == 30
    assert asked == list(mixed.state.histories.users[finished:])
    assert f"resuming after {finished} users" in caplog.text
    assert not part.exists()
    table, expected = read_picks(out), read_picks(whole)
    assert table.drop("score").rows() == expected.drop("score").rows()
    np.testing.assert_allclose(table["score"], expected["score"], atol=1e-4)  # batches of other sizes


@pytest.mark.parametrize("content", ["", "\n", "not JSON\n", "[]\n", '{"n": 5}\n', "half"])
def test_finished_users_of_another_request_are_not_mixed_in(mixed, tmp_path, content):
    (tmp_path / "a.jsonl.part").write_text(content)
    assert write(mixed, tmp_path / "a.jsonl") == 30
    assert len(read_picks(tmp_path / "a.jsonl")) == 150


@pytest.mark.parametrize(
    "change",
    [{"n": 6}, {"where": "year > 1980"}, {"explain": True}, {"part": "test"}, {"at": 1_800_000_000}, {"model": True},
     {"rules": Rules(at_most={"genre": 2})}],
)  # fmt: skip
def test_another_request_begins_again(mixed, tmp_path, monkeypatch, caplog, change):
    users = mixed.state.histories.users[:5]
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            write(mixed, tmp_path / "a.jsonl", users=users)
    options = dict(change)
    if options.pop("model", False):
        mixed = altered(mixed, llm=copy.deepcopy(mixed.state.llm))
        mixed.state.llm.code_embedding.data += 1
    write(mixed, tmp_path / "a.jsonl", users=users, **options)
    assert "going on" not in caplog.text


def test_an_old_file_stays_until_the_new_one_is_whole(mixed, tmp_path, monkeypatch):
    out = tmp_path / "a.jsonl"
    write(mixed, out, 3)
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            write(mixed, out, 4)
    assert out.read_bytes() == before
    write(mixed, out, 4)
    assert len(read_picks(out)) == 120


def test_users_come_from_a_file_in_its_order(mixed, tmp_path):
    file = tmp_path / "users.txt"
    for content in (b"17\n\n 4 \n17\n", b"\xef\xbb\xbf17\r\n4\r\n17"):  # which may begin with a mark
        file.write_bytes(content)
        users = read_users(file)
        assert users == ["17", "4", "17"]
        assert write(mixed, tmp_path / "a.jsonl", users=users) == 2
        assert read_picks(tmp_path / "a.jsonl")["user_id"].unique(maintain_order=True).to_list() == ["17", "4"]
    file.write_bytes("17\nzo\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 text .*; save it as UTF-8"):
        read_users(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_users(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_titles_may_hold_any_separator_of_lines(mixed, tmp_path, monkeypatch, name):
    items = [Item(item.id, f"{item.title}\u2028\u2029\x85{item.id}", item.attributes) for item in mixed.state.catalog]
    mixed = altered(mixed, catalog=Catalog(items, "movies"))
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            write(mixed, tmp_path / name)
    part = tmp_path / f"{name}.part"
    part.write_bytes(part.read_bytes() + b'{"user": "half a letter \xe2')
    assert write(mixed, tmp_path / name) == 30
    titles = {item.title for item in mixed.state.catalog}
    assert set(read_picks(tmp_path / name)["title"]) <= titles


def test_what_cannot_be_meant_is_refused(mixed, tmp_path):
    for arguments, error, message in [
        ({"out": tmp_path / "a.csv"}, UsageError, "end the name in .parquet or .jsonl"),
        ({"users": ["17", "nobody", "no one"]}, DataError, "2 unknown users, the first is 'nobody'"),
        ({"part": "train"}, UsageError, "choose validation or test"),
        ({"n": 0}, UsageError, "n = 0"),
    ]:
        with pytest.raises(error, match=message):
            write(mixed, **{"out": tmp_path / "a.jsonl", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_other_files_than_picks_are_refused(tmp_path):
    with pytest.raises(DataError, match="not a file of picks"):
        read_picks(tmp_path / "none.parquet")
    for name in ("a.parquet", "a.jsonl"):
        (tmp_path / name).write_text("{ nothing")
        with pytest.raises(DataError, match="not a file of picks"):
            read_picks(tmp_path / name)
    pl.DataFrame({"user": ["1"], "item": ["1"]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="no column rank or score; it has user, item"):
        read_picks(tmp_path / "b.parquet")


@pytest.mark.parametrize("ranks", [["1", "2"], [1.0, 2.0]])
def test_ranks_are_whole_numbers_however_they_are_written(tmp_path, ranks):
    file, ids = tmp_path / "a.parquet", ["7", "8"]
    pl.DataFrame({"user": ["1", "1"], "rank": ranks, "item": ids}).write_parquet(file)
    assert read_picks(file).rows() == [("1", 1, "7"), ("1", 2, "8")]
    pl.DataFrame({"user": ["1", "1"], "rank": [1.0, np.nan], "item": ids}).write_parquet(file)
    assert read_picks(file).rows() == [("1", 1, "7")]  # so some tools write that there is none


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("rank", ["first", "2"], "not a number as rank"),
        ("rank", [1.5, 2.0], "must be whole numbers"),
        ("rank", [1.0, float("inf")], "must be whole numbers"),
        ("item", [["1"], ["2"]], "items must be ids"),
    ],
)
def test_columns_of_another_kind_are_one_error(tmp_path, column, values, message):
    table = {"user": ["1", "1"], "rank": [1, 2], "item": ["1", "2"], column: values}
    pl.DataFrame(table).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message) as caught:
        read_picks(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("part", "name"), [("test", "picks.parquet"), ("validation", "picks.jsonl")])
def test_picks_of_a_split_give_the_figures_of_the_table(mixed, tmp_path, part, name):
    split = leave_one_out(mixed.state.histories, mixed.state.catalog)
    write(mixed, tmp_path / name, 20, part=part)
    ours = mixed.evaluate(split, part=part, baselines=False)[GENRE]
    from_file = evaluate_picks(mixed.state, split, part, tmp_path / name).results[0]
    assert (ours.ranks < 10).any()
    for metric in ("R@5", "N@5", "R@10", "N@10", "R@20", "N@20", "MRR@20"):
        assert from_file.figure(metric) == ours.figure(metric) > 0
    # Recomputed by hand from the file alone.
    picked = lists(read_picks(tmp_path / name))
    found = []
    for case in split.cases(part):
        row = mixed.state.catalog[case.target].id
        place = picked[case.history.user].index(row) if row in picked[case.history.user] else np.inf
        found.append(1 / np.log2(place + 2) if place < 10 else 0)
    assert np.mean(found) == pytest.approx(ours.figure("N@10"))


def test_histories_are_cut_where_the_protocol_cuts_them(mixed, tmp_path):
    write(mixed, tmp_path / "a.jsonl", 40, part="test")
    picked = lists(read_picks(tmp_path / "a.jsonl"))
    for case in leave_one_out(mixed.state.histories, mixed.state.catalog).test:
        ids = {mixed.state.catalog[int(row)].id for row in case.history.rows}
        assert not ids & set(picked[case.history.user])
        assert mixed.state.catalog[case.target].id in picked[case.history.user]
