"""Every public shape of data is read right, or refused with a remedy that works; nothing is trained here."""

from dataclasses import replace

import pytest

from eval.bench.points import Point
from eval.bench.script import ROOT
from eval.own_data import __main__ as own_data
from eval.own_data import reading
from eval.own_data.catalog import SHAPES
from eval.own_data.trial import WRONG, read


@pytest.mark.parametrize("name", SHAPES)
def test_shape_is_read_right_or_refused_with_a_remedy_that_works(name, tmp_path):
    shape = SHAPES[name]()
    assert shape.name == name
    trial, data = read(shape, tmp_path)
    assert trial.differences == []
    assert len(data.catalog) == shape.right.items


@pytest.mark.parametrize("name", SHAPES)
def test_shape_is_always_the_same(name):
    one, other = SHAPES[name](), SHAPES[name]()
    assert (one.files, one.options, one.right) == (other.files, other.options, other.right)


def test_what_is_not_right_is_reported_and_ends_with_exit_code_1(tmp_path, monkeypatch, run, entry):
    shape = SHAPES["encoding-utf-8-sig"]()
    wrong = replace(
        shape.right, users=1, scale=(1, 5), said=("the moon",), columns={**shape.right.columns, "rating": "stars"}
    )
    monkeypatch.setitem(SHAPES, "encoding-utf-8-sig", lambda: replace(shape, right=wrong))
    assert run(own_data, "--shapes", "encoding-utf-8-sig", "--minutes", 0, "--out", tmp_path) == 1
    (trial,) = entry(tmp_path / "own_data.json")["shapes"]
    assert trial["verdict"] == WRONG
    assert [text.partition(":")[0] for text in trial["differences"]] == [
        "column of the rating", "not said", "users", "scale",
    ]  # fmt: skip


def test_unknown_shape_is_refused(run, tmp_path):
    assert run(own_data, "--shapes", "nonsense", "--out", tmp_path) == 2


def test_reading_is_compared_with_another_checkout(tmp_path, run, entry, in_this_process, monkeypatch):
    monkeypatch.setattr(Point, "order", _small)
    assert run(reading, "--old", ROOT, "--rounds", 2, "--out", tmp_path) == 0
    assert in_this_process == [("old", "reading"), ("new", "reading")] * 4
    content = entry(tmp_path / "reading.json")
    sizes = {"users": 9, "items": 4, "interactions": 36}
    assert [point["sizes"] for point in content["points"].values()] == [sizes] * 2
    assert "peak memory, MB" in content["table"]


def _small(point, folder):
    folder.mkdir(parents=True)
    (folder / "items.csv").write_text("id,title\n" + "".join(f"i{n},Title {n}\n" for n in range(4)))
    log = "".join(f"u{user},i{item},{1_600_000_000 + user * 10 + item}\n" for user in range(9) for item in range(4))
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\n" + log)
    return {"data": str(folder)}
