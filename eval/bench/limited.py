"""Limited: an object in a process of its own, with limits of time and memory.

A process that passes a limit is reported and ended, without an effect on others.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from typing import Any

import psutil

_GLANCE = 0.05  # seconds between measurements of the memory


class GaveUpError(Exception):
    """The process passed a limit or failed; the message says which."""


class Limited:
    """Calls methods of ``make(*arguments)`` in another process."""

    def __init__(
        self, make: Callable[..., Any], *arguments: Any, seconds: float, megabytes: float, threads: int
    ) -> None:
        """Start the process and make the object there.

        Args:
            make: a class or function that can be imported.
            arguments: its arguments.
            seconds: limit of each call, making included.
            megabytes: limit of the process's memory.
            threads: threads of torch and BLAS.

        Raises:
            GaveUpError: it could not be made within the limits.
        """
        self.seconds, self.megabytes = seconds, megabytes
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, threads, make, arguments), daemon=True)
        self._process.start()
        other.close()
        self._answer()

    def call(self, method: str, *arguments: Any) -> Any:
        """Return the result of a method.

        Raises:
            GaveUpError: the process passed a limit, or the method raised.
        """
        try:
            self._pipe.send((method, arguments))
        except OSError:
            raise GaveUpError("the process had ended") from None
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        start = time.monotonic()
        while not self._pipe.poll(_GLANCE):
            self._check(time.monotonic() - start)
        try:
            good, value = self._pipe.recv()
        except EOFError:
            self._process.join(timeout=5)
            raise GaveUpError(f"the process ended with code {self._process.exitcode}") from None
        if not good:
            raise GaveUpError(value)
        return value

    def _check(self, seconds: float) -> None:
        try:
            used = psutil.Process(self._process.pid).memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            return  # reading the pipe reports it
        if used > self.megabytes or seconds > self.seconds:
            self.close()
            what = f"{self.seconds:.0f} s" if seconds > self.seconds else f"{self.megabytes / 1000:.1f} GB"
            raise GaveUpError(f"gave up after {what}")


def _serve(pipe: Any, threads: int, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Make the object and answer calls until the process is ended."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch

    torch.set_num_threads(threads)
    subject: Any = None
    method, given = "", arguments
    while True:
        try:
            if subject is None:
                subject, answer = make(*given), None
            else:
                answer = getattr(subject, method)(*given)
            pipe.send((True, answer))
        except Exception as problem:  # any error of a peer is part of the result
            text = str(problem).strip().splitlines() or [""]
            pipe.send((False, f"{type(problem).__name__}: {text[0][:150]}"))
            if subject is None:
                return
        method, given = pipe.recv()
