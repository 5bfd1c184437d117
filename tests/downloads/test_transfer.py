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


def test_the_file_comes_whole_and_nothing_else_stays(server, tmp_path, capfd):
    target = tmp_path / "new" / "file.bin"
    assert download(f"{server.url}/file.bin", target, SHA256, size=len(CONTENT)) == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")] == ["file.bin"]
    assert capfd.readouterr().out == ""


def test_a_file_that_is_there_is_not_downloaded(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert server.requests == []


def test_a_wrong_file_that_is_there_is_replaced_and_named(server, tmp_path, capfd):
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1] + b"x")
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert "wrong SHA-256" in capfd.readouterr().err


@pytest.mark.parametrize("lengths", [True, False])
def test_dropped_connections_are_taken_up_where_they_broke_off(server, tmp_path, lengths):
    server.lengths = lengths
    server.cuts = [10_000, 20_000]
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, size=len(CONTENT))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked("/file.bin") == [None, "bytes=10000-", "bytes=30000-"]


def test_a_part_of_an_earlier_run_is_taken_up(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:70_000])
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked("/file.bin") == ["bytes=70000-"]


@pytest.mark.parametrize("part", [b"another file" * 100, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_part_of_another_file_is_thrown_away(server, tmp_path, part):
    (tmp_path / "file.bin.part").write_bytes(part)
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_whole_part_needs_only_its_name(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert not (tmp_path / "file.bin.part").exists()


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:70_000])
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(SourceError, match="Wrong checksum") as error:
        download(f"{server.url}/file.bin", tmp_path / "file.bin", "0" * 64)
    assert SHA256 in one_line(error)
    assert not list(tmp_path.glob("file.bin*"))


def test_another_size_is_refused_before_it_is_downloaded(server, tmp_path):
    with pytest.raises(SourceError, match="102,400 bytes, expected 7"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, size=7)
    assert not list(tmp_path.glob("file.bin*"))


def test_an_endless_answer_is_cut(server, tmp_path):
    server.lengths = False
    with pytest.raises(SourceError, match="Wrong checksum"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, size=1000)


def test_not_found_is_said_at_once(server, tmp_path):
    with pytest.raises(SourceError, match="404") as error:
        download(f"{server.url}/none.bin", tmp_path / "none.bin", SHA256)
    assert f"{server.url}/none.bin" in one_line(error)
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again_and_then_given_up(server, tmp_path):
    server.errors["/file.bin"] = (503, {})
    with pytest.raises(SourceError, match="503"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert len(server.requests) == transfer.ATTEMPTS


def test_a_silent_server_counts_as_dropped(server, tmp_path):
    server.stalls = [2.0]
    started = time.monotonic()
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, timeout=0.2)
    assert len(server.requests) == 2
    assert time.monotonic() - started < 2


def test_no_network_is_one_line_and_keeps_what_has_come(server, tmp_path):
    server.close()
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:500])
    with pytest.raises(SourceError, match="Check the network") as error:
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert "kept" in one_line(error)
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
    fetch = f"download('{server.url}/file.bin', Path('file.bin'), {SHA256!r})"
    code = CODE + fetch
    command = [sys.executable, "-c", code]
    pair = [subprocess.Popen(command, cwd=tmp_path, env=environment()) for _ in range(2)]
    assert [process.wait(60) for process in pair] == [0, 0]
    assert server.asked("/file.bin") == [None]
