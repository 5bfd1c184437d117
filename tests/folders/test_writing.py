import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading

import pytest
from safetensors import SafetensorError

from genre_gen.errors import CheckpointError
from genre_gen.folders.locks import TRAINING, hold
from genre_gen.folders.manifest import MANIFEST, parse_json
from genre_gen.folders.reading import open_folder, verify_folder
from genre_gen.folders.writing import recover_folder, write_folder, write_json


def fill(text):
    def write(folder):
        (folder / "inner").mkdir()
        (folder / "inner" / "b.txt").write_text(text)
        (folder / "a.txt").write_text("same")

    return write


def content(folder):
    return (folder / "inner" / "b.txt").read_text()


def siblings(folder):
    return sorted(path.name for path in folder.parent.iterdir() if path.suffix != ".lock")


@pytest.fixture
def folder(tmp_path):
    """Return a folder that was written."""
    write_folder(tmp_path / "x", fill("one"), "checkpoint")
    return tmp_path / "x"


def test_a_written_folder_verifies_and_describes_itself(tmp_path):
    folder = tmp_path / "deep" / "er" / "x"
    write_folder(folder, fill("one"), "checkpoint", {"identity": "me"})
    manifest = verify_folder(folder)
    assert manifest.about["identity"] == "me"
    assert set(manifest.files) == {"a.txt", "inner/b.txt"}
    assert siblings(folder) == ["x"]


def test_a_second_write_replaces_the_first(folder):
    write_folder(folder, lambda aside: (aside / "c.txt").write_text("two"), "checkpoint")
    verify_folder(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["c.txt", MANIFEST]
    assert siblings(folder) == ["x"]


def test_files_of_others_in_the_folder_are_kept(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "mine.txt").write_text("before anything was saved")
    write_folder(folder, fill("one"), "checkpoint")
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "w").write_text("beside it")
    for text in ("two", "three"):
        write_folder(folder, fill(text), "checkpoint")
        verify_folder(folder)
        assert content(folder) == text
        assert (folder / "mine.txt").read_text() == "before anything was saved"
        assert (folder / "checkpoint" / "w").read_text() == "beside it"


def test_files_of_others_in_a_saved_folder_are_kept(folder):
    own = ["inner/own.txt", "inner/deep/own.txt", "inner/same.txt"]
    (folder / "inner" / "deep").mkdir()
    for name in own:
        (folder / name).write_text("same")

    def more(aside):
        fill("two")(aside)
        (aside / "inner" / "same.txt").write_text("same")

    write_folder(folder, more, "checkpoint")
    write_folder(folder, lambda aside: (aside / "c.txt").write_text("three"), "checkpoint")  # without "inner"
    verify_folder(folder)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == sorted(["c.txt", MANIFEST, *own[:2]])  # the third was taken over by the write that had it too


@pytest.mark.parametrize("name", ["inner/own.txt", "inner", "a.txt/own.txt", MANIFEST])
def test_a_folder_of_others_that_has_a_name_that_is_needed_is_refused_untouched(tmp_path, name):
    own = tmp_path / "x" / name
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("mine")
    with pytest.raises(CheckpointError, match="was not saved by GENRE and would be replaced"):
        write_folder(tmp_path / "x", fill("one"), "checkpoint")
    assert own.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == [own]


@pytest.mark.parametrize("name", ["inner/c.txt", "c.txt", "inner/c.txt/own.txt"])
def test_a_file_of_others_in_a_saved_folder_is_not_replaced(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")

    def more(aside):
        fill("two")(aside)
        (aside / "c.txt").write_text("new")
        (aside / "inner" / "c.txt").write_text("new")

    with pytest.raises(CheckpointError, match="was not saved by GENRE and would be replaced"):
        write_folder(folder, more, "checkpoint")
    assert (folder / name).read_text() == "mine"
    assert content(folder) == "one"
    assert siblings(folder) == ["x"]


def test_a_file_instead_of_the_folder_is_refused_and_unchanged(tmp_path):
    (tmp_path / "x").write_text("mine")
    (tmp_path / ".y.old").write_text("mine too")
    with pytest.raises(CheckpointError, match="x: is a file; choose a folder"):
        write_folder(tmp_path / "x", fill("one"), "checkpoint")
    recover_folder(tmp_path / "y")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x": "mine", ".y.old": "mine too"}


def test_a_failing_write_leaves_only_the_old_folder(folder):
    (folder / "mine.txt").write_text("mine")

    def broken(aside):
        (aside / "half").write_text("half")
        raise OSError("no space left")

    with pytest.raises(CheckpointError, match="cannot be written: no space left"):
        write_folder(folder, broken, "checkpoint")
    verify_folder(folder)
    assert content(folder) == "one"
    assert (folder / "mine.txt").exists()
    assert siblings(folder) == ["x"]


def test_links_and_the_working_directory_are_places_too(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_folder(tmp_path / "link", fill("one"), "checkpoint")
    write_folder(tmp_path / "link", fill("two"), "checkpoint")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == "two"
    monkeypatch.chdir(tmp_path / "real")
    write_folder(type(tmp_path)("."), fill("three"), "checkpoint")
    assert content(tmp_path / "real") == "three"


KILLED = """
import os, shutil, sys
from pathlib import Path
from genre_gen.folders.writing import write_folder

deadline = int(sys.argv[2])
calls = 0

def mortal(act):
    def wrapped(*arguments, **options):
        global calls
        calls += 1
        if calls > deadline:
            os._exit(9)
        return act(*arguments, **options)
    return wrapped

for name in ("replace", "fsync"):
    setattr(os, name, mortal(getattr(os, name)))
shutil.rmtree = mortal(shutil.rmtree)

def fill(folder):
    (folder / "inner").mkdir()
    (folder / "inner" / "b.txt").write_text("two")
    (folder / "a.txt").write_text("same")

write_folder(Path(sys.argv[1]), fill, "checkpoint")
"""


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_folder_and_other_files(tmp_path):
    found, finished = [], False
    for moment in range(20):
        folder = tmp_path / str(moment) / "x"
        write_folder(folder, fill("one"), "checkpoint")
        (folder / "checkpoint").mkdir()
        (folder / "checkpoint" / "w").write_text("beside it")
        done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(moment)], check=False)
        recover_folder(folder)
        verify_folder(folder)
        found.append(content(folder))
        assert (folder / "checkpoint" / "w").read_text() == "beside it", moment
        write_folder(folder, fill("three"), "checkpoint")  # what the kill left is no obstacle, and is cleared away
        assert content(folder) == "three"
        assert (folder / "checkpoint" / "w").read_text() == "beside it"
        assert siblings(folder) == ["x"]
        finished = done.returncode == 0
        if finished:
            break
        assert done.returncode == 9
    assert finished
    assert found == sorted(found)  # "one" until some moment, "two" from there on
    assert set(found) == {"one", "two"}


def test_recovering_a_complete_folder_does_not_change_it(tmp_path, folder):
    recover_folder(tmp_path / "none")
    recover_folder(folder)
    assert siblings(folder) == ["x"]
    assert content(folder) == "one"


def test_damage_is_noticed_in_every_file(folder):
    for file in (folder / "a.txt", folder / "inner" / "b.txt"):
        whole = file.read_bytes()
        for spoilt in (whole[:-1], whole + b" ", whole[:-1] + bytes([whole[-1] ^ 1]), b""):
            file.write_bytes(spoilt)
            with pytest.raises(CheckpointError, match=f"{file.name}: differs from its checksum"):
                verify_folder(folder)
        file.unlink()
        with pytest.raises(CheckpointError, match=f"{file.name}: is missing"):
            verify_folder(folder)
        file.write_bytes(whole)
    verify_folder(folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(CheckpointError, match=f"no {MANIFEST}, so"):
            verify_folder(place)
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_folder(tmp_path / "file" / "x", fill("one"), "checkpoint")


def test_json_keeps_letters_and_numbers(tmp_path):
    value = {"é": [1, 0.1, None, "日"], "nan": float("inf")}
    write_json(tmp_path / "a.json", value)
    assert parse_json((tmp_path / "a.json").read_bytes(), tmp_path) == value
    assert "日" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_flushing_reaches_every_file_before_the_folder_is_in_place(tmp_path, monkeypatch):
    folder, flushed = tmp_path / "x", []

    def note(descriptor):
        flushed.append((os.readlink(f"/proc/self/fd/{descriptor}"), folder.exists()))

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", note)
    write_folder(folder, fill("one"), "checkpoint")
    names = [(name.rsplit("/", 1)[-1], in_place) for name, in_place in flushed]
    assert names == [("a.txt", False), ("b.txt", False), (MANIFEST, False), (tmp_path.name, True)]
    assert json.loads((folder / MANIFEST).read_text())["files"]


@pytest.mark.parametrize(
    "manifest",
    [
        {"format": 1, "files": ["a.txt", "mine.txt"]},
        {"format": 4, "kind": "recommender", "files": {"mine.txt": {"bytes": 4, "sha256": "0" * 64}}},
        {"format": 4, "kind": "theirs", "files": {}},
    ],
)
def test_a_foreign_manifest_never_deletes_other_files(tmp_path, manifest):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with contextlib.suppress(CheckpointError):
        write_folder(folder, fill("one"), "checkpoint")
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_saved_file_that_was_edited_is_theirs(folder):
    whole = (folder / "inner" / "b.txt").read_text()
    (folder / "inner" / "b.txt").write_text("own")  # as long as it was
    with pytest.raises(CheckpointError, match=r"b\.txt: was not saved by GENRE and would be replaced"):
        write_folder(folder, fill("two"), "checkpoint")
    assert content(folder) == "own"
    write_folder(folder, lambda aside: (aside / "c.txt").write_text("without it"), "checkpoint")
    assert content(folder) == "own"
    assert whole == "one"


def test_a_link_in_a_saved_folder_is_not_followed_out_of_it(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.txt").write_text("one")
    shutil.rmtree(folder / "inner")
    (folder / "inner").symlink_to(outside)
    with contextlib.suppress(CheckpointError):
        write_folder(folder, fill("two"), "checkpoint")
    assert (outside / "b.txt").read_text() == "one"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_umask_decides_who_may_read(tmp_path, umask):
    def private(aside):
        fill("one")(aside)
        (aside / "a.txt").chmod(0o600)

    before = os.umask(umask)
    try:
        write_folder(tmp_path / "x", private, "checkpoint")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "x").rglob("*") if file.is_file()}
    assert modes == {0o666 & ~umask}


def test_a_library_that_cannot_write_is_one_line(tmp_path):
    def full(_aside):
        raise SafetensorError("I/O error: No space left on device\n(os error 28)")

    with pytest.raises(CheckpointError, match=r"x: cannot be written: I/O error: No space left.* free space$"):
        write_folder(tmp_path / "x", full, "checkpoint")
    assert siblings(tmp_path / "x") == []


LOOP = """
import sys
from pathlib import Path
from genre_gen.folders.writing import write_folder

def fill(folder):
    for number in range(8):
        (folder / f"{number}.txt").write_text(sys.argv[2])

for _ in range(60):
    write_folder(Path(sys.argv[1]), fill, "checkpoint")
"""


def test_two_savers_and_a_reader_always_see_one_whole_folder(tmp_path):
    folder, seen = tmp_path / "x", set()
    write_folder(folder, lambda aside: [(aside / f"{number}.txt").write_text("a") for number in range(8)], "checkpoint")
    savers = [subprocess.Popen([sys.executable, "-c", LOOP, str(folder), text], stderr=-1) for text in "ab"]
    while any(saver.poll() is None for saver in savers):
        with open_folder(folder) as saved:
            texts = {saved.text(f"{number}.txt") for number in range(8)}
        assert len(texts) == 1
        seen |= texts
    assert [saver.communicate()[1] for saver in savers] == [b"", b""]
    assert seen <= {"a", "b"}  # on a busy machine one of the two may have come last each time that it was looked
    assert verify_folder(folder)


def test_a_second_writer_waits_and_then_gives_up(folder):
    holding, done = threading.Event(), threading.Event()

    def other():
        with hold(folder):
            holding.set()
            done.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    assert holding.wait(20)
    message = "x: another process or thread is saving there; wait until it is done, or choose another place"
    try:
        with pytest.raises(CheckpointError, match=message), hold(folder, wait=0.1):
            pass
        with hold(folder, TRAINING, wait=0):  # another purpose
            pass
    finally:
        done.set()
        thread.join()
    with hold(folder, wait=5), hold(folder, wait=0):  # a thread may take it again
        pass
