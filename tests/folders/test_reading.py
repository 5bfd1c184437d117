"""A saved folder is read as it was verified, and what is not plainly its own is refused."""

import json
import os
import shutil
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from genre_gen.errors import CheckpointError
from genre_gen.folders.manifest import FORMAT, MANIFEST, Manifest
from genre_gen.folders.reading import open_folder, verify_folder
from genre_gen.folders.writing import write_folder, write_json


def fill(folder):
    (folder / "inner").mkdir()
    (folder / "inner" / "b.txt").write_text("text")
    write_json(folder / "c.json", {"a": 1})
    save_file({"x": np.arange(3)}, folder / "d.safetensors")


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "x", fill, "recommender")
    return tmp_path / "x"


def relist(folder, name, new):
    """List a file under another name, with the checksum that it has."""
    content = json.loads((folder / MANIFEST).read_text())
    content["files"][new] = content["files"].pop(name)
    (folder / MANIFEST).write_text(json.dumps(content))


def test_everything_is_read_as_it_was_written(folder):
    with open_folder(folder, "recommender") as saved:
        assert saved.text("inner/b.txt") == "text"
        assert saved.json("c.json") == {"a": 1}
        assert saved.arrays("d.safetensors")["x"].tolist() == [0, 1, 2]
        assert saved.tensors("d.safetensors")["x"].tolist() == [0, 1, 2]
        assert saved.below("inner") == {"b.txt": "inner/b.txt"}
        assert "c.json" in saved
        assert "e.json" not in saved


def test_the_verified_bytes_are_the_ones_in_use(folder):
    if os.name == "nt":
        pytest.skip("files that are open stay in place there")
    with open_folder(folder) as saved:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "c.json").write_text('{"a": 2}')
        assert saved.json("c.json") == {"a": 1}
        assert saved.text("inner/b.txt") == "text"


def test_a_file_that_changes_while_it_is_open_is_refused(folder):
    changed = (folder / "c.json").read_text().replace("1", "2")
    with open_folder(folder) as saved:
        saved.text("inner/b.txt")
        (folder / "c.json").write_text(changed)
        with pytest.raises(CheckpointError, match=r"c\.json: differs from its checksum"):
            saved.json("c.json")
        (folder / "c.json").write_text(changed.replace("2", "1"))


def test_unread_files_are_verified_too(folder):
    whole = (folder / "inner" / "b.txt").read_bytes()
    (folder / "inner" / "b.txt").write_bytes(whole[::-1])
    with pytest.raises(CheckpointError, match=r"b\.txt: differs from its checksum"), open_folder(folder) as saved:
        saved.json("c.json")


def test_what_is_not_listed_is_not_read(folder):
    (folder / "e.json").write_text("{}")
    with open_folder(folder) as saved:
        with pytest.raises(CheckpointError, match=r"e\.json: is not listed in manifest\.json"):
            saved.json("e.json")
        (folder / "inner" / "new.jinja").write_text("")
        with pytest.raises(CheckpointError, match=r"new\.jinja: is not listed in manifest\.json; remove it"):
            saved.below("inner")
    (folder / "inner" / "new.jinja").unlink()  # the remedy
    with open_folder(folder) as saved:
        assert saved.below("inner")


def test_another_kind_is_refused(folder):
    with pytest.raises(CheckpointError, match="x: is a saved recommender, not a checkpoint; give the folder"):
        verify_folder(folder, "checkpoint")


@pytest.mark.parametrize(
    "name",
    ["/proc/version", "../outside", "inner/../c.json", "./c.json", "inner//b.txt", ".hidden", "a\\b", "a\0b", "a\nb",
     "", "/", "inner/", "con.", "a/b/c/d/e.txt", MANIFEST, "x" * 300],
)  # fmt: skip
def test_names_that_lead_out_of_the_folder_are_refused(folder, tmp_path, name):
    shutil.copy(folder / "c.json", tmp_path / "outside")
    relist(folder, "c.json", name)
    with pytest.raises(CheckpointError, match="not a plain name within the folder"):
        verify_folder(folder)


def _fifo(path):
    os.mkfifo(path)


def _socket(path):
    socket.socket(socket.AF_UNIX).bind(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files here")
@pytest.mark.parametrize("make", [_fifo, _socket, os.mkdir, lambda path: os.symlink("d.safetensors", path)])
def test_anything_but_a_regular_file_is_refused_at_once(folder, monkeypatch, make):
    monkeypatch.chdir(folder)  # names of sockets are short
    os.rename("c.json", "old.json")
    make("c.json")
    with pytest.raises(CheckpointError, match=r"c\.json: (is not a regular file|cannot be read)"):
        verify_folder(folder)


def test_a_link_to_a_folder_is_not_followed(folder, tmp_path):
    os.rename(folder / "inner", tmp_path / "elsewhere")
    (folder / "inner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"b\.txt: (is missing|cannot be read)"):
        verify_folder(folder)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 10_000, "not JSON|is damaged"),
        ("[]", "is damaged"),
        ('{"files": {}}', "is damaged"),
        ('{"format": 5}', "is damaged"),
        ('{"format": 5, "kind": "recommender"}', "is damaged"),
        ('{"format": 5, "kind": ["recommender"], "files": {}}', "is damaged"),
        ('{"format": 5, "kind": "recommender", "files": []}', "is damaged"),
        ('{"format": 5, "kind": "recommender", "files": {"a.txt": null}}', "is damaged"),
        ('{"format": 5, "kind": "recommender", "files": {"a.txt": {"bytes": -1, "sha256": ""}}}', "is damaged"),
        ('{"format": 5.0, "kind": "recommender", "files": {}}', "format '5.0', this version reads 5"),
        ('{"format": true, "kind": "recommender", "files": {}}', "format 'True', this version reads 5"),
        ('{"format": 2, "files": {}}', "format '2', this version reads 5; train again"),
        (" " * (1 << 21), "is damaged"),
    ],
)
def test_an_invalid_manifest_is_refused(tmp_path, manifest, message):
    assert FORMAT == 5
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(CheckpointError, match=message) as refused:
        verify_folder(tmp_path)
    assert len(str(refused.value)) < 600


def test_a_manifest_of_many_files_is_refused(tmp_path):
    files = {str(number): {"bytes": 0, "sha256": "0" * 64} for number in range(600)}
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 5, "kind": "recommender", "files": files}))
    with pytest.raises(CheckpointError, match="is damaged"):
        verify_folder(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional={name: JSON for name in ("format", "kind", "files", "more")}) | JSON)
def test_no_content_of_a_manifest_is_a_traceback(content):
    try:
        manifest = Manifest.from_bytes(json.dumps(content).encode(), MANIFEST)
    except CheckpointError as problem:
        message = str(problem)
    else:
        message = ""
        assert content["format"] == FORMAT
        assert set(manifest.files) == set(content["files"])
    assert "\n" not in message
