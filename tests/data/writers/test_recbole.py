"""RecBole's atomic files are read back as the same data, whatever the texts hold."""

import json

import numpy as np
import pytest
from odd_data import TITLES, odd_dataset, same

from genre_gen import Catalog, Dataset, Interactions, Item
from genre_gen.data.readers.recbole import read_atomic
from genre_gen.errors import DataError, UsageError

UNSAFE = {'"Weird Al" live', "tab\there"}


def settings(folder):
    """Return RecBole's settings next to the files, which are JSON values."""
    (file,) = folder.glob("*.yaml")
    lines = (line.partition(": ") for line in file.read_text().splitlines() if not line.startswith("#"))
    return {key: json.loads(value) for key, _, value in lines}


def read_back(data, folder, **changes):
    return Dataset.load(data.domain.changed({"data.reader": "recbole", **changes}), folder)


def test_a_data_set_is_read_back_exactly(dataset, tmp_path):
    files = dataset.to_recbole(tmp_path / "films")
    assert [file.name for file in files] == ["films.item", "films.inter", "films.yaml"]
    same(read_back(dataset, tmp_path / "films"), dataset)
    assert "benchmark_filename" not in settings(tmp_path / "films")


def test_awkward_texts_labels_and_missing_values_are_kept(tmp_path):
    data = odd_dataset([title for title in TITLES if title not in UNSAFE])
    data.to_recbole(tmp_path / "odd")
    separator = settings(tmp_path / "odd")["seq_separator"]
    assert separator == "|"  # a label holds a space
    again = read_back(data, tmp_path / "odd", **{"fields.kind.separator": separator})
    same(again, data)
    assert np.isnan(again.interactions.ratings).any()


def test_what_the_format_cannot_hold_is_changed_and_said(tmp_path, caplog):
    data = odd_dataset()
    data.to_recbole(tmp_path / "odd")
    assert "2 texts with a tab, a line end or a leading quotation mark" in caplog.text
    titles = read_atomic(tmp_path / "odd" / "odd.item").frame["title"].to_list()
    assert titles[0] == "'Weird Al\" live"
    assert titles[3] == "tab here"
    assert titles[4:] == TITLES[4:]


@pytest.mark.parametrize("wrong", ["a\tb", "a\nb", '"a'])
def test_ids_that_cannot_be_written_are_refused_before_anything_is(tmp_path, wrong):
    interactions = Interactions.from_columns(["u", "u"], np.array([0, 1]), 2)
    catalog = Catalog([Item(wrong, "A"), Item("2", "B")])
    data = Dataset(odd_dataset().domain, catalog, interactions)
    with pytest.raises(DataError, match="1 ids of item_id cannot be written to an atomic file, the first is"):
        data.to_recbole(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    catalog = Catalog([Item("1", "A", {"labels": ("|;", ",/", "^~ ")}), Item("2", "B", {"labels": ()})])
    with pytest.raises(DataError, match="labels contain each of"):
        Dataset(odd_dataset().domain, catalog, interactions).to_recbole(tmp_path / "x")


@pytest.mark.parametrize("name", ["leave-one-out", "global-time"])
def test_a_benchmark_holds_the_split(dataset, tmp_path, name):
    split = dataset.split(name)
    split.to_recbole(tmp_path / "films")
    parts = {
        part: read_atomic(tmp_path / "films" / f"films.{part}.inter").frame.select("user_id", "item_id").rows()
        for part in settings(tmp_path / "films")["benchmark_filename"]
    }
    frames = split.to_frames()
    pairs = {part: frame.select("user_id", "item_id").rows() for part, frame in frames.items()}
    assert list(parts) == ["train", "valid", "test"]
    assert parts["train"] == pairs["train"]
    assert parts["test"] == pairs["test"]
    assert sorted(parts["train"] + parts["valid"]) == sorted(pairs["train_and_validation"])
    if name == "leave-one-out":
        assert parts["valid"] == pairs["validation"]
    # What RecBole leaves out of a user's ranking is the history of the test case.
    for case in split.test:
        seen = {item for user, item in parts["train"] + parts["valid"] if user == case.history.user}
        assert seen == {split.catalog[row].id for row in case.history.rows.tolist()}
    with pytest.raises(UsageError, match="the split 'all' holds nothing out for RecBole to test on"):
        dataset.hold_out_last().to_recbole(tmp_path / "films")
