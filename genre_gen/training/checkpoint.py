"""Atomic folders: written next to the target, checksummed, and renamed into place.

A folder contains safetensors and JSON only. Its ``manifest.json``, written last, lists every file with its SHA-256;
a folder that does not verify is rejected.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from genre_gen.errors import CheckpointError

MANIFEST = "manifest.json"
FORMAT = 3


def write_folder(folder: Path, fill: Callable[[Path], None], about: Mapping[str, Any] | None = None) -> None:
    """Write a folder so that a crash at any moment leaves the old one or the new one, never a mixture.

    An earlier folder of this kind is replaced. Files of others in it, which its manifest does not list, are moved into
    the new one. They are never replaced: a conflict raises an error. ``fill`` writes the files into the folder that it
    gets; ``about`` is added to the manifest.

    Raises:
        CheckpointError: the folder cannot be written, or has another file under a name that is needed.
    """
    check_place(folder)
    place = folder.resolve()  # a link remains a link, and "." gets a name
    aside = place.with_name(f".{place.name}.new")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # of a write that was killed
        aside.mkdir(parents=True)
        fill(aside)
        files = {file.relative_to(aside).as_posix(): file for file in sorted(aside.rglob("*")) if file.is_file()}
        content = {
            "format": FORMAT,
            **(about or {}),
            "files": {name: {"sha256": _sha256(file), "bytes": file.stat().st_size} for name, file in files.items()},
        }
        write_json(aside / MANIFEST, content)
        recover_folder(place)
        check_place(place, [path.name for path in aside.iterdir()])
        _check_files(aside, place)
        for file in (*files.values(), aside / MANIFEST):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        if place.exists():  # a folder cannot be replaced in one step, so the old one is moved away first
            os.replace(place, _old(place))
        os.replace(aside, place)
        recover_folder(place)
    except OSError as problem:
        raise CheckpointError(f"{folder}: cannot be written: {problem}; choose another or free space") from problem
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_place(folder: Path, names: Iterable[str] = ()) -> None:
    """Check that ``write_folder``, writing files and folders of these names, would not replace files of others.

    Raises:
        CheckpointError: the folder is a file, or a folder that was not saved by GENRE and has one of these names.
    """
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file; choose a folder")
    if _listed(folder) is None:
        for name in sorted(names):
            if os.path.lexists(folder / name):
                raise _in_the_way(folder / name)


def check_own(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder in which a file of one of these names stands next to what was saved, and is no part of it.

    Raises:
        CheckpointError: such a file, which saving would have to replace.
    """
    listed = _listed(folder) or set()
    for name in sorted(names):
        if name not in listed and (folder / name).is_file():
            raise _in_the_way(folder / name)


def verify_folder(folder: Path) -> dict[str, Any]:
    """Check every file against the manifest and return the manifest.

    Raises:
        CheckpointError: no manifest, a missing or different file, or another format.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"{folder}: no {MANIFEST}, so no complete saved folder; check the path, or train first"
        ) from None
    try:
        if manifest["format"] != FORMAT:
            raise CheckpointError(f"{folder}: format {manifest['format']!r}, expected {FORMAT}; train again")
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{folder / MANIFEST}: is damaged; restore it from a copy or train again") from None
    for name, (size, digest) in expected.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size or _sha256(file) != digest:
            state = "differs from its checksum" if file.is_file() else "is missing"
            raise CheckpointError(f"{file}: {state}; restore it from a copy or train again")
    return dict(manifest)


def write_json(file: Path, content: Any) -> None:
    """Write indented JSON."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(file: Path) -> Any:
    """Read JSON; raises CheckpointError if it is invalid."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise CheckpointError(f"{file}: not JSON: {problem}; restore it from a copy or train again") from None


def recover_folder(folder: Path) -> None:
    """Finish a replacement that a crash interrupted, with either the old folder or the new one."""
    place = folder.resolve()
    old = _old(place)
    if not old.is_dir():
        return
    if place.exists():
        _bring_over(old, place, _listed(old) or ())
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(old, place)


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _listed(folder: Path) -> set[str] | None:
    """Return the files that a folder's manifest lists; None without a manifest."""
    try:
        content = read_json(folder / MANIFEST)
        return set(content["files"]) if content["format"] else None
    except (OSError, CheckpointError, KeyError, TypeError):
        return None


def _check_files(new: Path, old: Path) -> None:
    """Raise CheckpointError if a file of others would be replaced."""
    ours = {*(_listed(old) or ()), MANIFEST}
    for path in sorted(new.rglob("*")):
        name = path.relative_to(new).as_posix()
        if name in ours or not os.path.lexists(old / name) or (path.is_dir() and (old / name).is_dir()):
            continue
        if not (path.is_file() and (old / name).is_file() and filecmp.cmp(path, old / name, shallow=False)):
            raise _in_the_way(old / name)


def _in_the_way(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: was not saved by GENRE and would be replaced; move it, or save to another folder")


def _bring_over(old: Path, new: Path, listed: Collection[str]) -> None:
    """Move unlisted files from one folder to another; a subfolder without listed files is moved as a whole."""
    for path in sorted(old.iterdir()):
        target, prefix = new / path.name, f"{path.name}/"
        below = {name.removeprefix(prefix) for name in listed if name.startswith(prefix)}
        if path.is_dir() and not path.is_symlink() and (below or target.is_dir()):
            _bring_over(path, target, below)
        elif path.name not in listed and not os.path.lexists(target):
            new.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
