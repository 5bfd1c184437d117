"""Does the store keep every acknowledged event, once? Kills, copies of a stopped process, full disks, a second process.

    python -m eval.live.store_faults [--kills 500] [--snapshots 20] [--rate 1000] [--quick]

A child (``live.store_child``) writes events to a SQLite store and acknowledges each over a pipe.

* *kills*: it ends by SIGKILL at a random moment and begins again at the first event that was not acknowledged.
* *snapshots*: it is stopped at a random moment, database and write-ahead log are copied, and the copy is opened. So
  does a power loss leave them, if the disk keeps what it confirmed.
* *file limit*: its files may not grow (``RLIMIT_FSIZE``) until some events were refused. *tmpfs*: a file system of 4 MB
  is full, then larger (as root only).
* *second process*, *read-only folder*: opening is refused, and says why (the latter as root only, by another user).

Exit code 1 if an acknowledged event is missing or there twice, a refused one is stored, or the store does not recover.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from genre_gen.errors import StoreError
from genre_gen.store.database import Database

PATIENCE = 60.0
"""Seconds to wait for anything."""
LIMIT = 65_536
"""Bytes that files may still grow by when the limit is set."""
NOBODY = 65_534
SOME = 20
"""Events that are acknowledged, or refused, before the next step."""


class Child:
    """A process that writes, and what it said."""

    def __init__(self, file: Path, first: int = 0, rate: float = 1000.0) -> None:
        """Start it."""
        command = [sys.executable, "-m", "eval.live.store_child", f"sqlite:///{file}"]
        options = ["--first", str(first), "--rate", str(rate)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)
        self.kept: set[int] = set()
        self.refused: set[int] = set()
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._rest = b""

    def hear(self) -> bool:
        """Take in what it said since; tell whether it can say more."""
        try:
            said = os.read(self._pipe, 1 << 20)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            (self.refused if line.startswith(b"!") else self.kept).add(int(line.lstrip(b"!")))
        return bool(said)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Hear until a condition holds; raises StoreError."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if not self.hear() or time.monotonic() > end:
                raise StoreError(f"the child ended or was too slow: no {what}")
            time.sleep(0.001)

    def kill(self) -> None:
        """End it, and hear the rest."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        while self.hear():
            pass
        self.process.stdout.close()  # type: ignore[union-attr]


def numbers(file: Path) -> list[int]:
    """Return the numbers of the stored events, after whatever recovery the store needs."""
    Database.open(f"sqlite:///{file}").close()
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return [int(text[1:]) for (text,) in connection.execute("SELECT event_id FROM event")]


def compared(stored: Sequence[int], kept: set[int], refused: set[int] | None = None) -> dict[str, int]:
    """Return the counts of an experiment."""
    return {
        "acknowledged": len(kept),
        "lost": len(kept - set(stored)),
        "doubled": len(stored) - len(set(stored)),
        "refused": len(refused or ()),
        # A number that was refused and later acknowledged was sent twice.
        "refused but stored": len(((refused or set()) - kept) & set(stored)),
    }


def kills(folder: Path, count: int, rate: float, seed: int) -> dict[str, Any]:
    """Kill the child at random moments."""
    rng, file = random.Random(seed), folder / "killed.db"
    kept: set[int] = set()
    for number in range(count):
        child = Child(file, max(kept, default=-1) + 1, rate)
        child.wait(lambda child=child: bool(child.kept), "acknowledgement")  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.3))
        child.kill()
        kept |= child.kept
        if (number + 1) % 50 == 0:
            say(f"{number + 1} kills, {len(kept):,} events acknowledged")
    return {"times": count, **compared(numbers(file), kept)}


def snapshots(folder: Path, count: int, rate: float, seed: int) -> dict[str, Any]:
    """Copy the files while the child is stopped."""
    rng, file, total = random.Random(seed), folder / "stopped.db", dict[str, int]()
    child = Child(file, 0, rate)
    child.wait(lambda: bool(child.kept), "acknowledgement")
    for number in range(count):
        before = len(child.kept)
        child.wait(lambda before=before: len(child.kept) > before + SOME, "more events")  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.2))
        child.process.send_signal(signal.SIGSTOP)
        os.waitpid(child.process.pid, os.WUNTRACED)
        copy = folder / f"copy {number}.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
        child.hear()
        kept = set(child.kept)
        child.process.send_signal(signal.SIGCONT)
        for name, value in compared(numbers(copy), kept).items():
            total[name] = max(total.get(name, 0), value) if name == "acknowledged" else total.get(name, 0) + value
        for left in folder.glob(f"{copy.name}*"):
            left.unlink()
    child.kill()
    return {"times": count, **total}


def full(file: Path, fill: Callable[[int], None], free: Callable[[int], None]) -> dict[str, Any]:
    """Fill the disk of a child that writes, then free it."""
    child = Child(file)
    try:
        child.wait(lambda: len(child.kept) > SOME, "acknowledgements")
        fill(child.process.pid)
        child.wait(lambda: len(child.refused) > SOME, "refusal")
        free(child.process.pid)
        before = len(child.kept)
        child.wait(lambda: len(child.kept) > before + SOME, "recovery")
    finally:
        child.kill()
    return {"times": 1, **compared(numbers(file), child.kept, child.refused)}


def file_limit(folder: Path) -> dict[str, Any]:
    """Let no file of the child grow."""
    file = folder / "limited.db"

    def fill(process: int) -> None:
        size = max(each.stat().st_size for each in folder.glob("limited.db*"))
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size + LIMIT, resource.RLIM_INFINITY))

    def free(process: int) -> None:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return full(file, fill, free)


def small_disk(folder: Path) -> dict[str, Any] | None:
    """Use a small file system of memory; None where none can be mounted."""
    place = folder / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        return None
    try:
        larger = ["mount", "-o", "remount,size=64m", str(place)]

        def free(_: int) -> None:
            subprocess.run(larger, check=True)

        return full(place / "store.db", lambda _: None, free)
    finally:
        subprocess.run(["umount", str(place)], check=False)


def second(folder: Path) -> dict[str, Any]:
    """Open the store that a child has open."""
    file = folder / "twice.db"
    child = Child(file)
    try:
        child.wait(lambda: bool(child.kept), "acknowledgement")
        told = refusal(f"sqlite:///{file}")
    finally:
        child.kill()
    named = told is not None and f"process {child.process.pid}" in told
    return {"times": 1, "not refused": int(not named), **compared(numbers(file), child.kept)}


def read_only(folder: Path) -> dict[str, Any] | None:
    """Open a store in a folder that its user cannot write; None unless this is root, whom no folder refuses."""
    if os.geteuid() != 0:
        return None
    place = folder / "not ours"
    place.mkdir(mode=0o755)
    folder.chmod(0o755)
    process = os.fork()
    if process == 0:
        os.setuid(NOBODY)
        os._exit(0 if "cannot be written" in (refusal(f"sqlite:///{place}/store.db") or "") else 1)
    return {"times": 1, "not refused": int(os.waitpid(process, 0)[1] != 0)}


def refusal(url: str) -> str | None:
    """Return the error of opening a store, None if it opens."""
    try:
        Database.open(url).close()
    except StoreError as problem:
        return str(problem)
    return None


COLUMNS = ("times", "acknowledged", "lost", "doubled", "refused", "refused but stored", "not refused")
WRONG = ("lost", "doubled", "refused but stored", "not refused")


def markdown(content: Mapping[str, Mapping[str, Any] | None]) -> str:
    """Return the table."""
    rows = [
        (name, *(f"{counts[column]:,}" if column in counts else "" for column in COLUMNS))
        if counts is not None
        else (name, "not possible here", *[""] * (len(COLUMNS) - 1))
        for name, counts in content.items()
    ]
    return table(("fault", *COLUMNS), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write; exit code 1 if a promise is broken."""
    parser = new_parser(__doc__, "quick")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--snapshots", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second")
    parser.add_argument("--seed", type=int, default=0)
    with script(parser, arguments) as options, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.quick:
            options.kills, options.snapshots = min(options.kills, 3), min(options.snapshots, 2)
        content = {
            "kills": kills(folder, options.kills, options.rate, options.seed),
            "snapshots": snapshots(folder, options.snapshots, options.rate, options.seed),
            "file limit": file_limit(folder),
            "tmpfs": small_disk(folder),
            "second process": second(folder),
            "read-only folder": read_only(folder),
        }
        text = markdown(content)
        record(options.out, "live_store_faults", "sqlite", content, text)
        print(text)
        broken = sum(counts.get(column, 0) for counts in content.values() if counts for column in WRONG)
        raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
