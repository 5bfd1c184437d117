import json

import numpy as np
import polars as pl
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.filters import Filters
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.baselines import GENRE, evaluate_recommender
from genre_gen.evaluation.picks import evaluate_picks, read_picks
from genre_gen.recommender.batch import write_picks
from genre_gen.recommender.recommender import Recommender

COLUMNS = ["user", "rank", "item", "title", "score", "explanation", "note"]


class Killed(BaseException):
    """Stands for a kill signal."""


def write(recommender, out, n=5, users="all", filters=None, **options):
    return write_picks(recommender, users, n, out, filters or Filters(recommender.catalog), **options)


def lists(table):
    return {user: table.filter(pl.col("user") == user)["item"].to_list() for user in table["user"].unique()}


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("where", [None, "genre == 'Horror' or year > 2000"])
def test_the_file_holds_what_is_recommended_one_at_a_time(mixed, tmp_path, n, where):
    out = tmp_path / "picks.parquet"
    assert write(mixed, out, n, filters=Filters(mixed.catalog, where)) == 30
    table = pl.read_parquet(out)
    assert table.columns == COLUMNS
    assert table["user"].unique(maintain_order=True).to_list() == list(mixed.histories.users)
    for user in mixed.histories.users:
        expected = mixed.recommend(user, n=n, where=where)
        rows = table.filter(pl.col("user") == user)
        assert rows["item"].to_list() == [pick.item.id for pick in expected]
        assert rows["title"].to_list() == [pick.item.title for pick in expected]
        assert rows["rank"].to_list() == [pick.rank for pick in expected]
        np.testing.assert_allclose(rows["score"].to_list(), [pick.score for pick in expected], atol=1e-4)
        assert rows["note"].unique().to_list() == ["; ".join(expected.notes) or None]
    assert [path.name for path in tmp_path.iterdir()] == ["picks.parquet"]


def test_both_kinds_of_file_read_alike(mixed, tmp_path):
    (tmp_path / "users").write_text("17\n4\n")
    for name in ("a.parquet", "a.jsonl"):
        write(mixed, tmp_path / name, users=str(tmp_path / "users"), explain=True)
    one, other = read_picks(tmp_path / "a.parquet"), read_picks(tmp_path / "a.jsonl")
    assert one.columns == other.columns == COLUMNS
    assert one.drop("score").rows() == other.drop("score").rows()
    np.testing.assert_allclose(one["score"], other["score"])
    assert one["explanation"].null_count() == 0


def test_a_column_that_is_empty_at_first_is_read_whole(mixed, tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [{"user": f"u{k}", "rank": 1, "item": "1", "note": None if k < 2000 else "why"} for k in range(2001)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_picks(file)["note"].to_list()[-1] == "why"


def test_numbers_for_ids_are_read_as_ids(tmp_path, mixed):
    pl.DataFrame({"user": [17], "rank": [1], "item": [3]}).write_parquet(tmp_path / "a.parquet")
    table = read_picks(tmp_path / "a.parquet")
    assert table.rows() == [("17", 1, "3")]


def test_who_gets_nothing_is_in_the_file_with_the_reason(mixed, tmp_path):
    out = tmp_path / "a.jsonl"
    history = mixed.histories.history("17")
    seen = [mixed.catalog[int(row)].id for row in history.rows]
    assert write(mixed, out, filters=Filters(mixed.catalog, include=seen)) == 30
    line = next(one for one in map(json.loads, out.read_text().splitlines()) if one["user"] == "17")
    assert line["item"] is None
    assert line["rank"] is None
    assert line["note"].startswith("0 of 5 items: 40 in the catalog, less")
    assert "17" not in set(read_picks(out)["user"])


def kill_in_batch(monkeypatch, number, size=7):
    """Make batches small, and the recommender die in one of them after one user."""
    calls = []
    recommend_many = Recommender.recommend_many

    def mortal(self, *arguments, **options):
        calls.append(1)
        for place, picks in enumerate(recommend_many(self, *arguments, **options)):
            if len(calls) == number and place == 1:
                raise Killed
            yield picks

    monkeypatch.setattr("genre_gen.recommender.batch.BATCH", size)
    monkeypatch.setattr(Recommender, "recommend_many", mortal)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("name", ["picks.parquet", "picks.jsonl"])
def test_an_interrupted_run_goes_on(mixed, tmp_path, monkeypatch, capsys, batch, name):
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    write(mixed, whole)
    with monkeypatch.context() as patch:
        kill_in_batch(patch, batch)
        with pytest.raises(Killed):
            write(mixed, out)
    assert not out.exists()
    part = tmp_path / f"{name}.part"
    with part.open("a") as file:
        file.write('{"user": "half a li')  # what the disk got of the line that was being written
    asked = []
    with monkeypatch.context() as patch:
        recommend_many = Recommender.recommend_many

        def note(self, histories, *arguments, **options):
            asked.extend(history.user for history in histories)
            return recommend_many(self, histories, *arguments, **options)

        patch.setattr(Recommender, "recommend_many", note)
        assert write(mixed, out) == 30
    finished = 7 * (batch - 1) + 1
    assert asked == list(mixed.histories.users[finished:])
    assert f"going on after {finished} users" in capsys.readouterr().err
    assert not part.exists()
    one, other = read_picks(out), read_picks(whole)
    assert one.drop("score").rows() == other.drop("score").rows()
    np.testing.assert_allclose(one["score"], other["score"], atol=1e-4)  # batches of other sizes


def test_killed_before_the_first_user_it_goes_on_too(mixed, tmp_path, monkeypatch):
    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Recommender, "recommend_many", die)
        for _ in range(2):
            with pytest.raises(Killed):
                write(mixed, tmp_path / "a.jsonl")
    assert write(mixed, tmp_path / "a.jsonl") == 30
    assert len(read_picks(tmp_path / "a.jsonl")) == 150


@pytest.mark.parametrize("content", ["", "\n", "not JSON\n", "[]\n", '{"n": 5}\n', "half"])
def test_what_another_request_left_is_not_mixed_in(mixed, tmp_path, content):
    (tmp_path / "a.jsonl.part").write_text(content)
    assert write(mixed, tmp_path / "a.jsonl") == 30
    assert len(read_picks(tmp_path / "a.jsonl")) == 150


@pytest.mark.parametrize(
    "change",
    [{"n": 6}, {"filters": "year > 1980"}, {"explain": True}, {"split": "test"}, {"model": True}],
)
def test_another_request_begins_anew(mixed, tmp_path, monkeypatch, capsys, change):
    (tmp_path / "users").write_text("\n".join(mixed.histories.users[:10]))
    users = str(tmp_path / "users")
    with monkeypatch.context() as patch:
        kill_in_batch(patch, 2)
        with pytest.raises(Killed):
            write(mixed, tmp_path / "a.jsonl", users=users)
    options = dict(change)
    if options.pop("model", False):
        mixed.generator.llm.code_embedding.data += 1
    if "filters" in options:
        options["filters"] = Filters(mixed.catalog, options["filters"])
    write(mixed, tmp_path / "a.jsonl", users=users, **options)
    assert "going on" not in capsys.readouterr().err


def test_an_old_file_stays_until_the_new_one_is_whole(mixed, tmp_path, monkeypatch):
    out = tmp_path / "a.jsonl"
    write(mixed, out, 3)
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        kill_in_batch(patch, 2)
        with pytest.raises(Killed):
            write(mixed, out, 4)
    assert out.read_bytes() == before
    write(mixed, out, 4)
    assert len(read_picks(out)) == 120


def test_users_come_from_a_file_in_its_order(mixed, tmp_path):
    file = tmp_path / "users.txt"
    file.write_text("17\n\n 4 \n17\n", encoding="utf-8")
    assert write(mixed, tmp_path / "a.jsonl", users=str(file)) == 2
    assert read_picks(tmp_path / "a.jsonl")["user"].unique(maintain_order=True).to_list() == ["17", "4"]


def test_a_file_of_users_may_begin_with_a_mark_and_must_be_utf_8(mixed, tmp_path):
    file = tmp_path / "users.txt"
    file.write_bytes(b"\xef\xbb\xbf17\r\n4\r\n")
    assert write(mixed, tmp_path / "a.jsonl", users=str(file)) == 2
    file.write_bytes("17\nzo\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 text .*; save it as UTF-8"):
        write(mixed, tmp_path / "a.jsonl", users=str(file))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_titles_may_hold_any_separator_of_lines(mixed, tmp_path, monkeypatch, name):
    items = [Item(one.id, f"{one.title}\u2028\u2029\x85{one.id}", one.attributes) for one in mixed.catalog]
    mixed.catalog = Catalog(items, "movies")
    with monkeypatch.context() as patch:
        kill_in_batch(patch, 2)
        with pytest.raises(Killed):
            write(mixed, tmp_path / name)
    part = tmp_path / f"{name}.part"
    part.write_bytes(part.read_bytes() + b'{"user": "half a letter \xe2')
    assert write(mixed, tmp_path / name) == 30
    titles = {item.title for item in mixed.catalog}
    assert set(read_picks(tmp_path / name)["title"]) <= titles


def test_what_cannot_be_meant_is_refused(mixed, tmp_path):
    (tmp_path / "users.txt").write_text("17\nnobody\nno one\n")
    for arguments, error, message in [
        ({"out": tmp_path / "a.csv"}, UsageError, "end the name in .parquet or .jsonl"),
        ({"users": "some"}, DataError, "write 'all', or a file"),
        ({"users": str(tmp_path / "users.txt")}, DataError, "2 unknown users, the first is 'nobody'"),
        ({"split": "train"}, UsageError, "choose test or validation"),
        ({"n": 41}, UsageError, "n = 41"),
        ({"n": 0}, UsageError, "n = 0"),
    ]:
        with pytest.raises(error, match=message):
            write(mixed, **{"out": tmp_path / "a.jsonl", **arguments})
    assert [path.name for path in tmp_path.iterdir()] == ["users.txt"]


def test_what_is_no_file_of_picks_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a file of picks"):
        read_picks(tmp_path / "none.parquet")
    for name in ("a.parquet", "a.jsonl"):
        (tmp_path / name).write_text("{ nothing")
        with pytest.raises(DataError, match="not a file of picks"):
            read_picks(tmp_path / name)
    pl.DataFrame({"user": ["1"], "item": ["1"]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="no column 'rank'; it has user, item"):
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
        ("rank", ["first", "2"], "ranks whole numbers"),
        ("rank", [1.5, 2.0], "no whole number"),
        ("rank", [1.0, float("inf")], "no whole number"),
        ("item", [["1"], ["2"]], "items must be ids"),
    ],
)
def test_columns_of_another_kind_are_one_error(tmp_path, column, values, message):
    table = {"user": ["1", "1"], "rank": [1, 2], "item": ["1", "2"], column: values}
    pl.DataFrame(table).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message) as caught:
        read_picks(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("name", ["picks.parquet", "picks.jsonl"])
def test_picks_of_a_split_give_the_figures_of_the_table(mixed, tmp_path, part, name):
    split = mixed.histories.leave_one_out()
    write(mixed, tmp_path / name, 20, split=part)
    ours = evaluate_recommender(mixed, split, part, peers=False)[GENRE]
    from_file = evaluate_picks(mixed, split, part, tmp_path / name).results[0]
    assert (ours.ranks < 10).any()
    for metric in ("R@5", "N@5", "R@10", "N@10", "R@20", "N@20", "MRR@20"):
        assert from_file.figure(metric) == ours.figure(metric) > 0
    # Recomputed by hand from the file alone.
    picked = lists(read_picks(tmp_path / name))
    found = []
    for case in split.cases(part):
        row = mixed.catalog[case.target].id
        place = picked[case.history.user].index(row) if row in picked[case.history.user] else np.inf
        found.append(1 / np.log2(place + 2) if place < 10 else 0)
    assert np.mean(found) == pytest.approx(ours.figure("N@10"))


def test_histories_are_cut_where_the_protocol_cuts_them(mixed, tmp_path):
    write(mixed, tmp_path / "a.jsonl", 40, split="test")
    picked = lists(read_picks(tmp_path / "a.jsonl"))
    for case in mixed.histories.leave_one_out().test:
        ids = {mixed.catalog[int(row)].id for row in case.history.rows}
        assert not ids & set(picked[case.history.user])
        assert mixed.catalog[case.target].id in picked[case.history.user]
