"""A PostgreSQL of our own for tests, from Debian's packages: on loopback, in a temporary folder, gone afterwards."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

OWNER = "postgres"
"""The user that runs it where we are root, which PostgreSQL refuses to be."""


class Unavailable(Exception):
    """No PostgreSQL can be started here; the text says why."""


def programs() -> Path:
    """Return the folder with ``initdb`` and ``pg_ctl``; raises Unavailable."""
    here = shutil.which("initdb")
    folders = [Path(here).parent] if here and shutil.which("pg_ctl") else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: -int(float(each.parent.name)))
    found = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    if not found:
        raise Unavailable("PostgreSQL is not installed; apt-get install postgresql")
    return found[0]


def start(folder: Path, *, fsync: bool = False) -> str:
    """Start one in a folder that does not exist; return its address without a database; raises Unavailable."""
    where, port = programs(), _free_port()
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        try:
            os.chown(folder, pwd.getpwnam(OWNER).pw_uid, -1)
        except KeyError:
            raise Unavailable(f"this is root, and there is no user {OWNER}") from None
        for parent in folder.resolve().parents:  # it must be able to get there
            if not parent.stat().st_mode & 0o001:
                raise Unavailable(f"{parent} cannot be entered by {OWNER}")
    data = folder / "data"
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    options += " -c shared_buffers=32MB -c max_connections=60" + ("" if fsync else " -c fsync=off")
    _run(where / "initdb", "-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    _run(where / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", folder / "log", "-o", options, "start")
    return f"postgresql+psycopg://{OWNER}@127.0.0.1:{port}"


def stop(folder: Path) -> None:
    """End the one that was started in a folder, at once."""
    _run(programs() / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def shared(folder: Path) -> Iterator[str]:
    """Lend the address of one that all processes with the same folder share; the last one ends it."""
    notes, lock = folder / "postgres.json", FileLock(str(folder / "postgres.lock"))
    with lock:
        known: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {}
        if not known.get("users"):
            known = {"address": start(folder / "postgres"), "users": 0}
        known["users"] += 1
        notes.write_text(json.dumps(known))
    try:
        yield known["address"]
    finally:
        with lock:
            known = json.loads(notes.read_text())
            known["users"] -= 1
            notes.write_text(json.dumps(known))
            if not known["users"]:
                stop(folder / "postgres")


def create(address: str, name: str) -> str:
    """Create a database, empty also if there was one of the name; return its address."""
    import psycopg

    plain = address.replace("+psycopg", "")
    with psycopg.connect(f"{plain}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{address}/{name}"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["runuser", "-u", OWNER, "--", *words]
    # Its output goes nowhere: the server would hold a pipe open.
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd="/")
    if done.returncode:
        raise Unavailable(f"{Path(words[-1] if len(words) < 5 else words[4]).name} failed with {done.returncode}")
