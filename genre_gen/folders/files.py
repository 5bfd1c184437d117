"""Files on the disk: their checksums, and forcing them there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(*paths: Path) -> None:
    """Force files, or a folder's list of names, onto the disk."""
    for path in paths:
        if os.name == "nt" and path.is_dir():
            continue  # Windows cannot open folders
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
