"""Integrity of files and folders: checksums, manifests, locks and free space.

Interrupted work leaves no file or folder under its final name: a file is renamed when its checksum is verified, a
folder when its ``manifest.json`` is written.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genre_gen.errors import SourceError
from genre_gen.folders.files import sha256_of_file, sync

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
ENTRY = {"sha256", "bytes", "modified"}  # the manifest's fields of a file; time in seconds
CHUNK = 1 << 20  # bytes read at a time
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def check_sha256(path: Path, expected: str, name: str) -> None:
    """Delete ``path`` and raise SourceError if its SHA-256 is not the expected one."""
    actual = sha256_of_file(path)
    if actual != expected:
        path.unlink()
        raise SourceError(
            f"Wrong checksum for {name}: SHA-256 is {actual}, expected {expected}. It is another file"
            " and was deleted; try another network or mirror."
        )


def check_room(folder: Path, needed: int) -> None:
    """Raise SourceError if the disk below ``folder`` has fewer than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SourceError(
            f"{folder.parent} has {megabytes(free)} free, but {megabytes(needed)} are needed: free some space, or set"
            " GENRE_HOME to a folder on another disk."
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make ``path``'s folder and hold ``path``'s lock. Other processes wait for it, and then find the result."""
    from filelock import FileLock, Timeout

    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=1)
        except Timeout:
            say(f"Waiting for another process that is fetching {path.name}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_folder(folder: Path, origin: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a new folder to fill. Afterwards it gets a manifest and replaces ``folder``; on an error it is deleted.

    The caller holds ``locked(folder)``.
    """
    new = folder.with_name(f".{folder.name}.new")
    with readable_os_errors(folder):
        shutil.rmtree(new, ignore_errors=True)  # left by a process that was killed
        new.mkdir()
        try:
            yield new
            write_manifest(new, origin)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(new, folder)
            sync(folder.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def write_manifest(folder: Path, origin: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` as the last file: the origin, and SHA-256, bytes and time of every file in the folder."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST):
        sync(path)
        state = path.stat()
        entry = {"sha256": sha256_of_file(path), "bytes": state.st_size, "modified": int(state.st_mtime)}
        files[path.relative_to(folder).as_posix()] = entry
    text = json.dumps({"origin": dict(origin), "files": files}, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    sync(folder / MANIFEST)
    sync(folder)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the folder's manifest (``origin`` and ``files``), or None if it is missing or unreadable."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sound = all(file.keys() >= ENTRY for file in manifest["files"].values())
        return manifest if sound and isinstance(manifest["origin"], dict) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def is_whole(folder: Path, *, verify: bool = False) -> bool:
    """Tell whether every file of the folder's manifest exists unchanged.

    A file with the manifest's size and time counts as unchanged unless ``verify``; any other is hashed.
    """
    manifest = read_manifest(folder)
    if not manifest or not manifest["files"]:
        return False
    return all(_is_same(folder / name, entry, verify) for name, entry in manifest["files"].items())


def _is_same(path: Path, entry: Mapping[str, Any], verify: bool) -> bool:
    try:
        state = path.stat()
        if state.st_size != entry["bytes"]:
            return False
        return (not verify and int(state.st_mtime) == entry["modified"]) or sha256_of_file(path) == entry["sha256"]
    except OSError:
        return False


@contextmanager
def readable_os_errors(path: Path) -> Iterator[None]:
    """Turn "disk full", "read-only" and "not allowed" into a SourceError with the path and a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            remedy = "Free some space, or set GENRE_HOME to a folder on another disk."
        elif error.errno in NOT_ALLOWED:
            remedy = "Set GENRE_HOME to a folder that you may write to."
        else:
            raise
        raise SourceError(f"Cannot write {error.filename or path}: {os.strerror(error.errno)}. {remedy}") from error


def put_in_place(path: Path, target: Path) -> None:
    """Rename a complete file to its final name, so that a crash cannot leave half a file there."""
    sync(path)
    os.replace(path, target)
    sync(target.parent)


def megabytes(count: int) -> str:
    """Return a number of bytes as text for display."""
    return f"{count / 1e6:,.1f} MB"


def shown() -> bool:
    """Tell whether downloads show what they do."""
    return log.isEnabledFor(logging.WARNING)


def say(text: str) -> None:
    """Print a message on stderr, since stdout is for results; nothing if warnings of the library are off."""
    if not shown():
        return
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
