"""Whole folders: their manifest, and what is left when something goes wrong."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from genre_gen.downloads.integrity import MANIFEST, is_whole, read_manifest, readable_os_errors, whole_folder
from genre_gen.errors import SourceError
from tests.downloads.archive_files import one_line


def fill(folder: Path, content: bytes = b"content") -> None:
    with whole_folder(folder, {"from": "here"}) as new:
        (new / "deep").mkdir()
        (new / "deep" / "a.txt").write_bytes(content)


def test_a_folder_is_whole_with_its_manifest_only(tmp_path):
    folder = tmp_path / "folder"
    assert not is_whole(folder)
    fill(folder)
    assert is_whole(folder)
    assert is_whole(folder, verify=True)
    manifest = read_manifest(folder)
    assert manifest["origin"] == {"from": "here"}
    assert list(manifest["files"]) == ["deep/a.txt"]
    assert manifest["files"]["deep/a.txt"]["sha256"] == hashlib.sha256(b"content").hexdigest()
    (folder / MANIFEST).unlink()
    assert not is_whole(folder)


def test_an_error_leaves_the_old_folder_unchanged(tmp_path):
    folder = tmp_path / "folder"
    (tmp_path / ".folder.new").mkdir()
    (tmp_path / ".folder.new" / "half.txt").write_bytes(b"left by a process that was killed")
    fill(folder, b"old")
    assert not (folder / "half.txt").exists()
    with pytest.raises(FileNotFoundError), whole_folder(folder, {}) as new:
        shutil.copyfile(tmp_path / "none", new / "a.txt")
    assert (folder / "deep" / "a.txt").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_other_bytes_are_noticed(tmp_path):
    folder = tmp_path / "folder"
    fill(folder)
    file = folder / "deep" / "a.txt"
    modified = file.stat().st_mtime
    file.write_bytes(b"changed")  # of the same length
    os.utime(file, (modified, modified))
    assert is_whole(folder)  # same size and time: trusted,
    assert not is_whole(folder, verify=True)  # unless asked to look
    os.utime(file, (modified + 9, modified + 9))
    assert not is_whole(folder)


def test_a_copied_folder_is_complete_and_a_truncated_one_is_not(tmp_path):
    fill(tmp_path / "folder")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "folder", copy)
    os.utime(copy / "deep" / "a.txt", (1, 1))
    assert is_whole(copy)
    (copy / "deep" / "a.txt").write_bytes(b"con")
    assert not is_whole(copy)
    (copy / "deep" / "a.txt").unlink()
    assert not is_whole(copy)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"files": {}}', '{"origin": {}, "files": {}}', '{"origin": {}, "files": {"a": "sha"}}'],
)
def test_an_empty_manifest_counts_as_missing(tmp_path, text):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / MANIFEST).write_text(text)
    assert not is_whole(tmp_path)


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "another disk"), (errno.EROFS, "may write"), (errno.EACCES, "may write")]
)
def test_system_errors_become_short_errors(tmp_path, number, remedy):
    with pytest.raises(SourceError, match=remedy) as error, readable_os_errors(tmp_path):
        raise OSError(number, "no", str(tmp_path / "file"))
    assert str(tmp_path / "file") in one_line(error)
    with pytest.raises(FileNotFoundError), readable_os_errors(tmp_path):  # others are not hidden
        (tmp_path / "none").read_bytes()
