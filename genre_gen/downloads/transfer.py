"""Transfers: a file from a URL or a wheel through pip, checked against its SHA-256.

A dropped connection or Ctrl-C leaves a resumable ``.part`` file, never an incomplete file under the final name.
"""

from __future__ import annotations

import http.client
import importlib.util
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from genre_gen.downloads.integrity import (
    CHUNK,
    check_room,
    check_sha256,
    locked,
    megabytes,
    put_in_place,
    readable_os_errors,
    say,
    shown,
)
from genre_gen.errors import SourceError
from genre_gen.folders.files import sha256_of_file

ATTEMPTS = 5  # consecutive attempts without a new byte until a download fails
PAUSE = 0.5  # seconds before the second attempt; doubled before each further one
TIMEOUT = 30.0  # seconds without a byte after which a connection counts as dropped


def pip_download(requirement: str, target: Path, sha256: str, *, size: int) -> Path:
    """Download one wheel with pip, with the user's index, mirror, proxy and certificates; nothing is built.

    ``target`` (the wheel's file name) appears only after its SHA-256 is verified.

    Raises:
        SourceError: no pip, an error of pip, another wheel than expected, or not enough space.
    """
    with locked(target), readable_os_errors(target):
        if _is_there(target, sha256):
            return target
        check_room(target.parent, size)
        say(f"Downloading {requirement} ({megabytes(size)}) with pip")
        with tempfile.TemporaryDirectory(prefix=".pip-", dir=target.parent) as folder:
            _run_pip("download", "--no-deps", "--only-binary=:all:", "--dest", folder, requirement)
            wheel = Path(folder) / target.name
            if not wheel.is_file():
                names = ", ".join(sorted(path.name for path in Path(folder).iterdir())) or "nothing"
                raise SourceError(f"pip downloaded {names} for {requirement}, expected {target.name}.")
            check_sha256(wheel, sha256, requirement)
            put_in_place(wheel, target)
    return target


def _run_pip(*arguments: str) -> None:
    """Run pip, with its progress bar on stderr if that is a terminal; raises SourceError with its last error."""
    command = [*_pip(), *arguments, "--no-input", "--disable-pip-version-check"]
    # pip writes its progress to stdout, which is for results
    on_terminal = sys.__stderr__ is not None and sys.__stderr__.isatty()
    progress = sys.__stderr__ if on_terminal and shown() else subprocess.DEVNULL
    done = subprocess.run(  # noqa: S603 - no shell, and no part of the command is user input
        command, stdout=progress, stderr=subprocess.PIPE, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        reasons = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")] or lines
        raise SourceError(
            f"pip could not download {arguments[-1]}: {reasons[-1].rstrip('.')}. Check the network and pip's index"
            " (`pip config list`; PIP_INDEX_URL, PIP_PROXY and PIP_FIND_LINKS are used)."
        )


def _pip() -> list[str]:
    """Return the command of this Python's pip, or of another pip: environments made by uv have none."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    if pip := shutil.which("pip3") or shutil.which("pip"):
        return [pip]
    raise SourceError(f"This Python has no pip: run `{sys.executable} -m ensurepip` and try again.")


def download(url: str, target: Path, sha256: str, *, size: int | None = None, timeout: float = TIMEOUT) -> Path:
    """Download ``url`` to ``target`` with a progress bar on stderr, resuming from ``<target>.part`` if it exists.

    A dropped connection is resumed. After :data:`ATTEMPTS` attempts without a new byte the download fails and leaves
    the ``.part`` file for the next time. ``target`` appears only after its SHA-256 is verified.

    A file of another ``size`` is rejected before it is downloaded. A connection counts as dropped after ``timeout``
    seconds without a byte.

    Raises:
        SourceError: not http(s), an error of the server, unreachable, another file than expected, not enough space.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise SourceError(f"Cannot download {url}: only http and https addresses are allowed.")
    part = target.with_name(target.name + ".part")
    with locked(target), readable_os_errors(target):
        if _is_there(target, sha256):
            return target
        resumed = part.exists()
        check_room(target.parent, max(0, (size or 0) - (part.stat().st_size if resumed else 0)))
        say(f"Downloading {url}" + (f" ({megabytes(size)})" if size else ""))
        _download_rest(url, part, size, timeout)
        if resumed and sha256_of_file(part) != sha256:  # a mixture of two files: the file at the address has changed
            part.unlink()
            _download_rest(url, part, size, timeout)
        check_sha256(part, sha256, url)
        put_in_place(part, target)
    return target


def _download_rest(url: str, part: Path, size: int | None, timeout: float) -> None:
    """Append to ``part`` until the download is complete."""
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
                " and run the command again: it resumes the download."
            )
        time.sleep(PAUSE * 2 ** (failures - 1))


def _request_once(url: str, part: Path, size: int | None, timeout: float) -> None:
    """Request the bytes that ``part`` lacks and append them; raises ConnectionError if they end early."""
    from tqdm import tqdm

    have = _bytes(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "genre-gen"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there are no further bytes; the checksum tells whether the file is right
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server sends the whole file again
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else size
        if size is not None and total != size:
            raise SourceError(f"{url} has {total:,} bytes, expected {size:,}: it is another file.")
        hidden = None if shown() else True  # None shows a bar on terminals alone
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=hidden)
        with bar, part.open("ab" if have else "wb") as out:
            while (total is None or have <= total) and (chunk := response.read1(CHUNK)):
                out.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if total is not None and have < total:
        raise ConnectionError(f"the connection was lost after {have:,} of {total:,} bytes")


def _is_there(target: Path, sha256: str) -> bool:
    """Tell whether ``target`` is the wanted file; another file is reported, and will be replaced."""
    if not target.is_file():
        return False
    if sha256_of_file(target) == sha256:
        return True
    say(f"{target} is another file (wrong SHA-256): fetching it again")
    return False


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
