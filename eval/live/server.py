"""A server as a child process: started on a free port with a store of its own, watched, stopped or killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from eval.live.api import Api, Caller
from genre_gen.errors import GenreGenError

READY = "/health/ready"
STORE = "{store}"
POLL = 0.05  # seconds between two questions whether it is ready
UNLIMITED = ("--set", "rate=1000000", "--set", "burst=1000000")
"""Options without which the key of the load generator would be held to a rate."""
_KEY = re.compile(r"\bgk_[\w-]+")
_SAMPLE_LINE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)", re.M)


class Server:
    """A child process that serves; a context manager that starts and stops it.

    Example:
        >>> with Server(Path("runs/movies"), folder) as server:
        ...     server.api.caller().recommend("17")
    """

    def __init__(
        self,
        run: Path,
        folder: Path,
        *,
        domain: str = "movies",
        options: Sequence[str] = (),
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        within: float = 300.0,
    ) -> None:
        """Choose a port; nothing is started yet.

        Args:
            run: folder of the trained recommender.
            folder: of the store and the log; what is there is used.
            domain: served.
            options: of ``genre-gen serve``.
            command: started instead of ``genre-gen serve``, with ``--port`` and the port behind it; ``STORE`` in it is
                replaced by the address of the store.
            environment: variables in addition to those of this process.
            within: seconds after which a server that is not ready is given up.
        """
        self.run, self.folder, self.domain, self.within = run, folder, domain, within
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._command, self._options = command, tuple(options)
        self.port, self.key = free_port(), ""
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "server.log"

    @property
    def store(self) -> Path:
        """Return the file of the store."""
        return self.folder / "store.db"

    @property
    def url(self) -> str:
        """Return the address of the store."""
        return f"sqlite:///{self.store}"

    @property
    def command(self) -> list[str]:
        """Return the command line."""
        if self._command is not None:
            return [part.replace(STORE, self.url) for part in self._command] + ["--port", str(self.port)]
        serve = [sys.executable, "-m", "genre_gen.cli.main", "serve", self.domain, "--model", str(self.run)]
        return [*serve, "--store", self.url, "--port", str(self.port), *UNLIMITED, *self._options]

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def api(self) -> Api:
        """Return where and with which key to ask."""
        return Api(self.port, self.domain, self.key)

    @property
    def running(self) -> bool:
        """Tell whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        """Start, and wait until it is ready."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> float:
        """Start the process; return the seconds until it was ready.

        Raises:
            GenreGenError: it ended, or was not ready in time.
        """
        begin = time.monotonic()
        with self.log.open("ab") as log:
            place = log.tell()
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, env=self.environment, stdin=subprocess.DEVNULL
            )
        while not self._is_ready():
            if not self.running or time.monotonic() - begin > self.within:
                ended = f"ended with {self._process.poll()}" if not self.running else f"not ready in {self.within:g} s"
                self.stop()
                raise GenreGenError(f"the server {ended}; its last lines: {self.tail()}")
            time.sleep(POLL)
        taken = time.monotonic() - begin
        self.key = self.key or _first(_KEY.findall(self.log.read_bytes()[place:].decode("utf-8", "replace")))
        return taken

    def _is_ready(self) -> bool:
        with suppress(OSError, ValueError), Caller(Api(self.port, self.domain), 2.0) as caller:
            return caller.call("GET", READY).ok
        return False

    def stop(self, within: float = 15.0) -> float:
        """Ask the process to end (SIGTERM), kill it if it does not; return the seconds that it took."""
        begin = time.monotonic()
        if self._process is not None and self.running:
            self._process.terminate()
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                self.kill()
        return time.monotonic() - begin

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)

    def tail(self, lines: int = 3) -> str:
        """Return the last lines of the log as one."""
        return " | ".join(self.log.read_text("utf-8", "replace").strip().splitlines()[-lines:])

    def metrics(self) -> dict[str, float]:
        """Return the values of ``/metrics`` by name and labels."""
        with self.api.caller() as caller:
            return parsed(caller.call("GET", "/metrics").body.decode())

    def memory(self) -> int:
        """Return the bytes of resident memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def files(self) -> int:
        """Return the number of open file descriptors."""
        return int(psutil.Process(self.pid).num_fds())

    def threads(self) -> int:
        """Return the number of threads."""
        return int(psutil.Process(self.pid).num_threads())

    def processor(self) -> float:
        """Return the processor seconds so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def parsed(text: str) -> dict[str, float]:
    """Return the samples of Prometheus text by name and labels."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE_LINE.findall(text):
        with suppress(ValueError):
            found[name] = float(value)
    return found


def fresh_folder() -> tempfile.TemporaryDirectory[str]:
    """Return an empty folder that is deleted in the end."""
    return tempfile.TemporaryDirectory(prefix="genre-live-")


def _first(found: Sequence[str]) -> str:
    return found[0] if found else ""
