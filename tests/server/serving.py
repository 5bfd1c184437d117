"""A server in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genre_gen.cli.api_client import Api

ROOT = Path(__file__).parents[2]
HUNG = 120.0  # seconds after which a server that does not start or end is killed


class Serving:
    """A running server.

    Attributes:
        process: its process.
        told: what it printed until it was ready.
        url, key: where it is, and the key that it printed, None if it printed none.
    """

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the server
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genre_gen.cli.main", "serve", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
        self._hung = threading.Timer(HUNG, self.process.kill)
        self._hung.daemon = True
        self._hung.start()
        self.told: list[str] = []
        while line := self.process.stdout.readline():
            self.told.append(line.rstrip("\n"))
            if line.startswith("try: "):
                break
        self._hung.cancel()
        text = "\n".join(self.told)
        assert "serving" in text, text + self.log()
        self.url = re.search(r"at (http://\S+)$", text, re.M)[1]
        found = re.search(r"gk_\w{8}_[\w-]{43}", text)
        self.key = None if found is None else found[0]

    def api(self, key: str | None = None) -> Api:
        """Return a client with a key, by default the printed one."""
        return Api(self.url, key or self.key)

    def log(self) -> str:
        """Return what it wrote to stderr."""
        self._log.seek(0)
        return self._log.read()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(HUNG)


@contextmanager
def serving(*arguments: object, folder: Path) -> Iterator[Serving]:
    """Run a server on a free port, with a store in the folder unless the arguments name another."""
    server = Serving([*map(str, arguments), "--port", "0"], folder)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server.process.stdout.close()
        server._log.close()
