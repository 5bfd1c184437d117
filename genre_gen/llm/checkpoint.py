"""Folders that are whole or not there: written aside, checksummed, and renamed into place.

A folder holds safetensors and JSON only. Its ``manifest.json``, written last, lists every file with its SHA-256;
what does not verify is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genre_gen.errors import CheckpointError

MANIFEST = "manifest.json"
FORMAT = 1


def write_folder(
    folder: Path,
    fill: Callable[[Path], None],
    about: Mapping[str, Any] | None = None,
    keep: Sequence[Path] = (),
) -> None:
    """Write a folder so that a crash at any moment leaves the old one or the new one, never a mixture.

    Args:
        folder: where it shall stand; an existing one is replaced.
        fill: writes the files into the folder it is given.
        about: put into the manifest beside the checksums.
        keep: files and folders of the old folder that move into the new one as they are.

    Raises:
        CheckpointError: the place cannot be written.
    """
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir(parents=True)
        fill(aside)
        files = {file.relative_to(aside).as_posix(): file for file in sorted(aside.rglob("*")) if file.is_file()}
        content = {
            "format": FORMAT,
            **(about or {}),
            "files": {name: {"sha256": _sha256(file), "bytes": file.stat().st_size} for name, file in files.items()},
        }
        write_json(aside / MANIFEST, content)
        for file in (*files.values(), aside / MANIFEST):
            _flush(file)
        for path in keep:
            os.replace(path, aside / path.name)
        _swap(aside, folder)
    except OSError as problem:
        raise CheckpointError(f"{folder}: cannot be written: {problem}; choose another place or free some") from problem
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def verify_folder(folder: Path) -> dict[str, Any]:
    """Check every file against the manifest and return the manifest.

    Raises:
        CheckpointError: no manifest, a file that is missing or differs, or a newer format.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder}: no {MANIFEST} there, so nothing that was saved whole; check the path, or train first"
        ) from None
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: format {manifest.get('format')!r}, this version reads {FORMAT}")
    for name, expected in manifest["files"].items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != expected["bytes"] or _sha256(file) != expected["sha256"]:
            state = "differs from its checksum" if file.is_file() else "is missing"
            raise CheckpointError(f"{file}: {state}; restore it from a copy or train again")
    return manifest


def write_json(file: Path, content: Any) -> None:
    """Write JSON, readable."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=True) + "\n", encoding="utf-8")


def read_json(file: Path) -> Any:
    """Read JSON; raises CheckpointError where it is not."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise CheckpointError(f"{file}: not JSON: {problem}; restore it from a copy or train again") from None


def _swap(aside: Path, folder: Path) -> None:
    """Put the new folder in the old one's place; that takes two steps, so the old one moves aside first."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(aside, folder)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Bring the old folder back where a crash fell between the two renames of a replacement."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        os.replace(old, folder)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
