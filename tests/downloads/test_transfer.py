"""Downloading one file: resumed, checked, and never half under its own name."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from genre_gen.downloads import transfer
from genre_gen.downloads.transfer import download
from genre_gen.errors import SourceError
from tests.downloads.archive_files import CONTENT, environment, one_line

SHA256 = hashlib.sha256(CONTENT).hexdigest()
CODE = "import sys; from pathlib import Path; from genre_gen.downloads.transfer import download; "


@pytest.fixture
def fetch(server, tmp_path):
    """Return what downloads the server's file, which must come whole and leave nothing else."""

    def fetch(**options) -> None:
        target = tmp_path / "file.bin"
        assert download(f"{server.url}/file.bin", target, SHA256, **options) == target
        assert target.read_bytes() == CONTENT
        assert [path.name for path in tmp_path.glob("file.bin*")] == ["file.bin"]

    return fetch


def refused(server, tmp_path, message, file="file.bin", sha256=SHA256, **options) -> str:
    with pytest.raises(SourceError, match=message) as error:
        download(f"{server.url}/{file}", tmp_path / file, sha256, **options)
    return one_line(error)


def test_a_file_is_downloaded_once_into_a_new_folder(server, tmp_path, capfd):
    target = tmp_path / "new" / "file.bin"
    for _ in range(2):
        assert download(f"{server.url}/file.bin", target, SHA256, size=len(CONTENT)) == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")] == ["file.bin"]
    assert capfd.readouterr().out == ""
    assert len(server.requests) == 1


def test_a_wrong_file_that_is_there_is_replaced_and_named(fetch, tmp_path, capfd):
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1] + b"x")
    fetch()
    assert "wrong SHA-256" in capfd.readouterr().err


@pytest.mark.parametrize("lengths", [True, False])
def test_dropped_connections_are_resumed(fetch, server, lengths):
    server.lengths, server.cuts = lengths, [10_000, 20_000]
    fetch(size=len(CONTENT))
    assert server.asked("/file.bin") == [None, "bytes=10000-", "bytes=30000-"]


@pytest.mark.parametrize(
    ("part", "asked"),
    [
        (CONTENT[:70_000], ["bytes=70000-"]),
        (CONTENT, ["bytes=102400-"]),
        (b"another file" * 100, ["bytes=1200-", None]),
        (CONTENT + b"more", ["bytes=102404-", None]),
        (b"x" * len(CONTENT), ["bytes=102400-", None]),
    ],
)
def test_a_partial_file_is_resumed_and_one_of_another_file_is_deleted(fetch, server, tmp_path, part, asked):
    (tmp_path / "file.bin.part").write_bytes(part)
    fetch()
    assert server.asked("/file.bin") == asked


def test_a_server_without_ranges_sends_all_of_it_again(fetch, server, tmp_path):
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:70_000])
    fetch()


def test_an_unexpected_file_is_deleted(server, tmp_path):
    assert SHA256 in refused(server, tmp_path, "Wrong checksum", sha256="0" * 64)
    refused(server, tmp_path, "102,400 bytes, expected 7", size=7)
    assert not list(tmp_path.glob("file.bin*"))
    server.lengths = False
    refused(server, tmp_path, "Wrong checksum", size=1000)  # an endless answer is cut


def test_not_found_is_said_at_once(server, tmp_path):
    assert f"{server.url}/none.bin" in refused(server, tmp_path, "404", "none.bin")
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again_and_then_given_up(server, tmp_path):
    server.errors["/file.bin"] = (503, {})
    refused(server, tmp_path, "503")
    assert len(server.requests) == transfer.ATTEMPTS


def test_a_silent_server_counts_as_dropped(fetch, server):
    server.stalls = [60.0]  # seconds, in a thread that ends with the process
    started = time.monotonic()
    fetch(timeout=0.2)
    assert len(server.requests) == 2
    assert time.monotonic() - started < 60


def test_without_network_the_error_is_short_and_the_part_is_kept(server, tmp_path):
    server.close()
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:500])
    assert "resumes the download" in refused(server, tmp_path, "Check the network")
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:500]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "file.bin"])
def test_other_addresses_than_http_are_refused(tmp_path, url):
    with pytest.raises(SourceError, match="only http and https"):
        download(url, tmp_path / "file.bin", SHA256)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_leaves_a_part_that_is_taken_up(server, tmp_path):
    server.pause = 0.02
    target, url = tmp_path / "file.bin", f"{server.url}/file.bin"
    code = f"{CODE}download({url!r}, Path({str(target)!r}), {SHA256!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, env=environment())
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


def test_two_at_once_download_it_once(server, tmp_path):
    server.pause = 0.002
    command = [sys.executable, "-c", f"{CODE}download('{server.url}/file.bin', Path('file.bin'), {SHA256!r})"]
    pair = [subprocess.Popen(command, cwd=tmp_path, env=environment()) for _ in range(2)]
    assert [process.wait(60) for process in pair] == [0, 0]
    assert server.asked("/file.bin") == [None]
