"""Reading a saved folder: what was verified is what is used.

All files are opened before any is read. So a folder that is replaced meanwhile is still read as it was, and each file's
bytes are read once: the checksum is that of the very bytes that are returned. Large weights are mapped instead: they
are verified in place and stay in the opened file, which no later saving changes, since that replaces the folder.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from genre_gen.errors import CheckpointError
from genre_gen.folders.manifest import MANIFEST, MAX_BYTES, Entry, Manifest, parse_json, sha256_of
from genre_gen.folders.mapped import MappedTensors
from genre_gen.folders.writing import recover_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_ATTEMPTS = 200  # to open a folder that others replace again and again
_BY_DESCRIPTOR = os.open in os.supports_dir_fd
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_REMEDY = "restore it from a copy or train again"


class _ReplacedError(Exception):
    """The folder was replaced while it was opened."""


class SavedFolder:
    """A saved folder that is open; see :func:`open_folder`.

    Attributes:
        path: where it is.
        manifest: what it says of itself.
    """

    def __init__(self, path: Path, *, links: bool = False) -> None:
        """Open every file that the manifest lists; with ``links``, files may be links, as in the hub's own cache."""
        self.path, self._links = path, links
        self._files: dict[str, int] = {}
        self._unread: set[str] = set()
        self._directory = os.open(path, _DIRECTORY) if _BY_DESCRIPTOR else -1
        try:
            self.manifest = self._read_manifest()
            for name, entry in self.manifest.files.items():
                self._files[name] = self._open(name, entry)
            self._unread = set(self._files)
        except BaseException:
            self.close()
            raise

    def __contains__(self, name: str) -> bool:
        """Tell whether the manifest lists a file of this name."""
        return name in self._files

    def read(self, name: str) -> bytes:
        """Return the verified bytes of a file; raises CheckpointError where it is not listed, or differs."""
        entry = self._entry(name)
        data = self._bytes(self._files[name], entry.size)
        self._verify(name, data)
        return data

    def json(self, name: str) -> Any:
        """Return the content of a JSON file."""
        return parse_json(self.read(name), self.path / name)

    def text(self, name: str) -> str:
        """Return the content of a file of UTF-8 text."""
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError as problem:
            raise CheckpointError(f"{self.path / name}: not UTF-8 text ({problem}); {_REMEDY}") from None

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a safetensors file."""
        from safetensors.numpy import load

        data = self.read(name)
        return self._parsed(name, lambda: load(data))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of a safetensors file."""
        from safetensors.torch import load

        data = self.read(name)
        return self._parsed(name, lambda: load(data))

    def mapped(self, name: str) -> tuple[dict[str, Tensor], MappedTensors]:
        """Return the tensors of a safetensors file, which stay in the verified file, and what holds them."""
        entry = self._entry(name)
        try:
            mapped = MappedTensors(self._files[name], entry.size)
        except (OSError, ValueError):  # it has become shorter since it was opened
            raise CheckpointError(f"{self.path / name}: differs from its checksum; {_REMEDY}") from None
        self._verify(name, mapped.buffer)
        return self._parsed(name, mapped.tensors), mapped

    def below(self, folder: str) -> dict[str, str]:
        """Return the files of a folder inside, ``{name relative to it: name}``.

        Raises:
            CheckpointError: the folder holds anything that the manifest does not list: it would be read next time.
        """
        prefix = f"{folder}/"
        listed = {name.removeprefix(prefix): name for name in self._files if name.startswith(prefix)}
        with suppress(FileNotFoundError):
            for path in sorted((self.path / folder).rglob("*")):
                name = path.relative_to(self.path / folder).as_posix()
                if name not in listed and not any(other.startswith(f"{name}/") for other in listed):
                    raise CheckpointError(f"{path}: is not listed in {MANIFEST}; remove it")
        return listed

    def check_rest(self) -> None:
        """Verify the files that have not been read; raises CheckpointError."""
        for name in sorted(self._unread):
            self.read(name)

    def close(self) -> None:
        """Close all files."""
        for descriptor in (*self._files.values(), self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._files, self._directory = {}, -1

    def _entry(self, name: str) -> Entry:
        """Return the manifest's entry of a file; raises CheckpointError for a file that is not listed."""
        if name not in self._files:
            raise CheckpointError(f"{self.path / name}: is not listed in {MANIFEST}; {_REMEDY}")
        return self.manifest.files[name]

    def _verify(self, name: str, data: Any) -> None:
        entry = self.manifest.files[name]
        if len(data) != entry.size or sha256_of(data) != entry.sha256:
            raise CheckpointError(f"{self.path / name}: differs from its checksum; {_REMEDY}")
        self._unread.discard(name)

    def _parsed(self, name: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except Exception as problem:  # of safetensors, of NumPy, and KeyError for kinds of numbers that they lack
            reason = " ".join(str(problem).split())[:200]
            raise CheckpointError(f"{self.path / name}: not arrays that can be read ({reason}); {_REMEDY}") from None

    def _read_manifest(self) -> Manifest:
        where = self.path / MANIFEST
        try:
            descriptor = self._descriptor(MANIFEST)
        except OSError as problem:
            if isinstance(problem, FileNotFoundError) and not self._is_current():
                raise _ReplacedError from None
            raise CheckpointError(
                f"{self.path}: no {MANIFEST}, so no complete saved folder; check the path, or train first"
            ) from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode) or os.fstat(descriptor).st_size > MAX_BYTES:
                raise CheckpointError(f"{where}: is damaged; {_REMEDY}")
            return Manifest.from_bytes(self._bytes(descriptor, MAX_BYTES), where)
        finally:
            os.close(descriptor)

    def _open(self, name: str, entry: Entry) -> int:
        file = self.path / name
        try:
            descriptor = self._descriptor(name)
        except OSError as problem:
            if not self._is_current():
                raise _ReplacedError from None
            missing = problem.errno in {errno.ENOENT, errno.ENOTDIR}
            state = "is missing" if missing else f"cannot be read ({os.strerror(problem.errno or 0)})"
            raise CheckpointError(f"{file}: {state}; {_REMEDY}") from None
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_size == entry.size:
            return descriptor
        os.close(descriptor)
        state = "differs from its checksum" if stat.S_ISREG(found.st_mode) else "is not a regular file"
        raise CheckpointError(f"{file}: {state}; {_REMEDY}")

    def _descriptor(self, name: str) -> int:
        """Open a file without following a link, not even one of a folder on the way to it."""
        if not _BY_DESCRIPTOR:
            path = self.path / name
            if not self._links and any(part.is_symlink() for part in (path, *path.parents[: name.count("/")])):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            return os.open(path, _FLAGS | getattr(os, "O_BINARY", 0))
        *folders, last = PurePosixPath(name).parts
        opened = [self._directory]
        try:
            for part in folders:
                opened.append(os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
            return os.open(last, _FLAGS & ~os.O_NOFOLLOW if self._links else _FLAGS, dir_fd=opened[-1])
        finally:
            for descriptor in opened[1:]:
                os.close(descriptor)

    def _is_current(self) -> bool:
        """Tell whether the folder that was opened is still the one at its path."""
        if not _BY_DESCRIPTOR:
            return True
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._directory))
        except OSError:
            return False

    @staticmethod
    def _bytes(descriptor: int, limit: int) -> bytes:
        """Return up to one byte more than ``limit`` of a file, from its begin."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            return stream.read(limit + 1)


@contextmanager
def open_folder(folder: Path, kind: str | None = None, *, links: bool = False) -> Iterator[SavedFolder]:
    """Open a saved folder; a write that a crash interrupted is finished first.

    On leaving the block without an error, the files that were not read are verified too.

    Args:
        folder: of :func:`genre_gen.folders.writing.write_folder`.
        kind: what it must be; None for any.
        links: whether its files may be links; folders in it may not.

    Raises:
        CheckpointError: no such folder, another kind or format, or a file that is missing, differs, or is not regular.
    """
    saved = _opened(folder, links)
    try:
        if kind not in {None, saved.manifest.kind}:
            raise CheckpointError(
                f"{folder}: is a saved {saved.manifest.kind}, not a {kind}; give the folder that train wrote"
            )
        yield saved
        saved.check_rest()
    finally:
        saved.close()


def verify_folder(folder: Path, kind: str | None = None) -> Manifest:
    """Verify every file of a folder and return its manifest; raises CheckpointError."""
    with open_folder(folder, kind) as saved:
        return saved.manifest


def _opened(folder: Path, links: bool) -> SavedFolder:
    for _ in range(_ATTEMPTS):
        with suppress(CheckpointError):  # without write access, no saving was interrupted here
            recover_folder(folder)
        try:
            return SavedFolder(folder, links=links)
        except (FileNotFoundError, _ReplacedError):
            if not folder.parent.is_dir():
                break
            time.sleep(0.005)
        except OSError:
            break
        if not folder.exists() and not _is_being_replaced(folder):
            break
    raise CheckpointError(f"{folder}: no {MANIFEST}, so no complete saved folder; check the path, or train first")


def _is_being_replaced(folder: Path) -> bool:
    place = folder.resolve()
    return place.exists() or any(place.with_name(f".{place.name}.{end}").is_dir() for end in ("old", "new"))
