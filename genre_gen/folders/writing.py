"""Writing a folder so that a crash at any moment, or another writer, leaves the old one or the new one."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from genre_gen.errors import CheckpointError
from genre_gen.folders.files import sha256_of_file, sync
from genre_gen.folders.locks import SAVING, hold
from genre_gen.folders.manifest import MANIFEST, MAX_BYTES, Entry, Manifest

_Stamp: TypeAlias = tuple[int, int, int, int]
_written: dict[Path, dict[str, _Stamp]] = {}
"""What this process wrote itself: file -> inode, size and times, by which it knows its own files without hashing."""


def write_folder(folder: Path, fill: Callable[[Path], None], kind: str, about: Mapping[str, Any] | None = None) -> None:
    """Write a complete folder, and replace an earlier one.

    Only unchanged files of an earlier call are removed. All others are moved into the new folder, file by file; a file
    with the name of a new one is refused. A second writer waits.

    Args:
        folder: where.
        fill: writes the files into the folder that it is given.
        kind: what it is, one of :data:`genre_gen.folders.manifest.KINDS`.
        about: what else the manifest says.

    Raises:
        CheckpointError: the place cannot be written, holds something else under a name that is needed, or another
            process keeps saving there.
    """
    from safetensors import SafetensorError

    check_place(folder)
    place = folder.resolve()  # a link stays one, and "." has a name
    aside = place.with_name(f".{place.name}.new")
    with hold(folder, SAVING):
        try:
            shutil.rmtree(aside, ignore_errors=True)  # of a write that was killed
            aside.mkdir(parents=True)
            fill(aside)
            files = _finish(aside, kind, about or {})
            _recover(place)
            check_place(place, [path.name for path in aside.iterdir()])
            ours = _ours(place)
            _check_files(aside, place, ours)
            sync(*files, aside / MANIFEST)
            if place.exists():  # nothing replaces a folder in one step, so the old one moves out of the way first
                os.replace(place, _old(place))
            os.replace(aside, place)
            sync(place.parent)
            _discard(_old(place), place, ours)
            _written[place] = {
                name: stamp for name in (*_names(files, aside), MANIFEST) if (stamp := _stamp(place / name))
            }
        except (OSError, SafetensorError) as problem:
            reason = " ".join(str(problem).split())
            raise CheckpointError(f"{folder}: cannot be written: {reason}; choose another or free space") from problem
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_json(file: Path, content: Any) -> None:
    """Write JSON, readable."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def check_place(folder: Path, names: Iterable[str] = ()) -> None:
    """Refuse a place where ``write_folder``, writing files and folders of these names, would replace other people's.

    Raises:
        CheckpointError: a file, or a folder that nothing was saved to and that has one of these names.
    """
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file; choose a folder")
    if manifest_of(folder) is None:
        for name in sorted(names):
            if os.path.lexists(folder / name):
                raise _in_the_way(folder / name)


def check_own(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder with a file of one of these names that is not part of what was saved.

    Raises:
        CheckpointError: such a file, which saving would have to replace.
    """
    manifest = manifest_of(folder)
    for name in sorted(names):
        if (manifest is None or name not in manifest.files) and (folder / name).is_file():
            raise _in_the_way(folder / name)


def remove_folder(folder: Path) -> None:
    """Remove what was saved in a folder, and the folder if nothing else is in it; raises CheckpointError."""
    place = folder.resolve()
    with hold(folder, SAVING):
        try:
            for name in _ours(place):
                (place / name).unlink()
            for path in sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True):
                with suppress(OSError):
                    path.rmdir()
            with suppress(OSError):
                place.rmdir()
        except OSError as problem:
            raise CheckpointError(f"{folder}: cannot be removed: {problem}; remove it") from problem


def recover_folder(folder: Path) -> None:
    """Finish a replacement that a crash interrupted: back to the old folder, or all the way to the new one.

    Raises:
        CheckpointError: another process keeps saving there, or nothing can be written.
    """
    place = folder.resolve()
    if _old(place).is_dir():
        with hold(folder, SAVING):
            _recover(place)


def _recover(place: Path) -> None:
    old = _old(place)
    if not old.is_dir():
        return
    if place.exists():
        _discard(old, place, _ours(old))
    else:
        os.replace(old, place)


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _finish(folder: Path, kind: str, about: Mapping[str, Any]) -> list[Path]:
    """Write the manifest, give every file the manifest's permissions, and return the files."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    entries = {
        name: Entry(file.stat().st_size, sha256_of_file(file))
        for name, file in zip(_names(files, folder), files, strict=True)
    }
    manifest = folder / MANIFEST
    manifest.write_text(Manifest(kind, about, entries).to_json(), encoding="utf-8")
    for file in files:  # some libraries let only the owner read what they write, whatever the umask
        file.chmod(manifest.stat().st_mode & 0o777)
    return files


def _names(files: Iterable[Path], folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


def manifest_of(folder: Path) -> Manifest | None:
    """Return a folder's manifest; None where nothing was saved there."""
    file = folder / MANIFEST
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > MAX_BYTES:
            return None
        return Manifest.from_bytes(file.read_bytes(), file)
    except (OSError, CheckpointError):
        return None


def _ours(folder: Path) -> set[str]:
    """Return the files of a saved folder that still are what was saved: those whose checksum is the manifest's."""
    manifest, stamps = manifest_of(folder), _written.get(folder, {})
    if manifest is None:
        return set()
    ours = {MANIFEST}
    for name, entry in manifest.files.items():
        file = folder / name
        stamp = _stamp(file)
        if stamp is None or stamp[1] != entry.size or _passes_link(file, folder):
            continue
        if stamps.get(name) == stamp or sha256_of_file(file) == entry.sha256:
            ours.add(name)
    return ours


def _stamp(file: Path) -> _Stamp | None:
    """Return values that reveal a change of a regular file; None if it does not exist."""
    if file.is_symlink() or not file.is_file():
        return None
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _passes_link(file: Path, folder: Path) -> bool:
    return any(parent.is_symlink() for parent in file.parents if parent.is_relative_to(folder) and parent != folder)


def _check_files(new: Path, old: Path, ours: Collection[str]) -> None:
    """Refuse to replace a file that is not ours; raises CheckpointError."""
    for path in sorted(new.rglob("*")):
        name = path.relative_to(new).as_posix()
        if name in ours or not os.path.lexists(old / name) or (path.is_dir() and (old / name).is_dir()):
            continue
        if not (path.is_file() and (old / name).is_file() and filecmp.cmp(path, old / name, shallow=False)):
            raise _in_the_way(old / name)


def _in_the_way(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: was not saved by GENRE and would be replaced; move it, or save to another folder")


def _discard(old: Path, new: Path, ours: Collection[str]) -> None:
    """Remove a folder that was replaced; what is not ours moves into the new one."""
    if old.is_dir():
        _bring_over(old, new, ours)
        shutil.rmtree(old, ignore_errors=True)


def _bring_over(old: Path, new: Path, ours: Collection[str]) -> None:
    """Move what is not ours from one folder into another; a folder whole, where nothing in it is ours."""
    for path in sorted(old.iterdir()):
        target, prefix = new / path.name, f"{path.name}/"
        below = {name.removeprefix(prefix) for name in ours if name.startswith(prefix)}
        if path.is_dir() and not path.is_symlink() and (below or target.is_dir()):
            _bring_over(path, target, below)
        elif path.name not in ours and not os.path.lexists(target):
            new.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
