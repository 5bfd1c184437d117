"""Disks that are full, read-only, or hold something else: one line each, and what was there stays."""

import errno
import os
import pathlib

import pytest

from genre_gen import Catalog
from genre_gen.data.writers import replace_file
from genre_gen.errors import CheckpointError, DataError, OutputError
from genre_gen.evaluation.baselines import write_report
from genre_gen.reporting.html_report import write_page


@pytest.fixture
def full(monkeypatch):
    """Make every file that is opened for writing full at its first byte; return what ends that."""

    def write(self, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(pathlib.Path, "write_text", write)
    monkeypatch.setattr(pathlib.Path, "write_bytes", write)
    return monkeypatch.undo


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_full_disk_while_writing_a_page(mixed, tmp_path, full):
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); free space") as error:
        write_page(mixed, ["17"], tmp_path / "page.html", n=1)
    one_line(error)
    full()
    assert write_page(mixed, ["17"], tmp_path / "page.html", n=1).is_file()


def test_a_full_disk_while_writing_a_report(mixed, dataset, tmp_path, full):
    report = mixed.evaluate(dataset.leave_one_out(), part="test", baselines=False)
    with pytest.raises(OutputError, match="No space left") as error:
        write_report(report, tmp_path)
    one_line(error)


def test_a_full_disk_while_saving(mixed, tmp_path, full, saved):
    with pytest.raises(CheckpointError, match="No space left") as error:
        mixed.save_pretrained(tmp_path / "run")
    one_line(error)
    assert not (tmp_path / "run").exists()
    full()
    mixed.save_pretrained(tmp_path / "run")


@pytest.mark.parametrize("name", ["catalog.jsonl", "catalog.jsonl.part"])
def test_a_folder_where_a_catalog_is_to_be(sample, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match=r"catalog\.jsonl: cannot be written") as error:
        sample[0].save(tmp_path / "catalog.jsonl")
    one_line(error)


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9")
    for name in ("none.jsonl", "folder", "latin.jsonl"):
        with pytest.raises(DataError, match="cannot be read") as error:
            Catalog.from_file(tmp_path / name)
        one_line(error)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(pathlib.Path, "read_text", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        Catalog.from_file(tmp_path / "latin.jsonl")


def test_a_folder_where_a_file_of_an_export_is_to_be(tmp_path):
    (tmp_path / "items.csv").mkdir()
    with pytest.raises(OutputError, match=r"items\.csv: cannot be written") as error:
        replace_file(tmp_path / "items.csv", lambda path: path.write_text("x"))
    one_line(error)
