"""The manifest of a saved folder: what it is, and the size and SHA-256 of every file in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genre_gen.errors import CheckpointError

MANIFEST = "manifest.json"
FORMAT = 5
KINDS = ("recommender", "checkpoint")
MAX_FILES = 512
MAX_BYTES = 1 << 20
"""How large a manifest may be: some 200 bytes are needed for each file."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w .@+,()=-]{1,200}")  # of a file or folder; no separator, control character or quote
_MAX_DEPTH = 4
_REMEDY = "restore it from a copy or train again"


@dataclass(frozen=True)
class Entry:
    """One file: its size in bytes, and its SHA-256 as hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What is in a saved folder.

    Attributes:
        kind: one of ``KINDS``.
        about: whatever else the writer says, such as fingerprints.
        files: name relative to the folder, with forward slashes -> size and checksum.
    """

    kind: str
    about: Mapping[str, Any]
    files: Mapping[str, Entry]

    def to_json(self) -> str:
        """Return the text of ``manifest.json``."""
        files = {name: {"sha256": entry.sha256, "bytes": entry.size} for name, entry in self.files.items()}
        content = {"format": FORMAT, "kind": self.kind, **self.about, "files": files}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_bytes(cls, data: bytes, where: Path) -> Manifest:
        """Read a manifest.

        Raises:
            CheckpointError: not JSON, of another format, or names that are not plain names within the folder.
        """
        content = parse_json(data, where)
        damaged = CheckpointError(f"{where}: is damaged; {_REMEDY}")
        if not isinstance(content, dict) or "format" not in content:
            raise damaged
        found = content.pop("format")
        if type(found) is not int or found != FORMAT:
            raise CheckpointError(f"{where}: format {str(found)[:20]!r}, this version reads {FORMAT}; train again")
        kind, files = content.pop("kind", None), content.pop("files", None)
        if kind not in KINDS or not isinstance(files, dict) or len(files) > MAX_FILES:
            raise damaged
        entries = {}
        for name, value in files.items():
            if not _is_plain(name):
                raise CheckpointError(f"{where}: lists {name[:80]!r}, not a plain name within the folder; {_REMEDY}")
            entries[name] = _entry(value)
        if None in entries.values():
            raise damaged
        return cls(kind, content, entries)  # type: ignore[arg-type]


def parse_json(data: bytes, where: Path) -> Any:
    """Return the content of a JSON file; raises CheckpointError where it is not JSON."""
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise CheckpointError(f"{where}: not JSON: {reason}; {_REMEDY}") from None


def sha256_of(data: Any) -> str:
    """Return the SHA-256 of bytes or another buffer, as hex."""
    return hashlib.sha256(data).hexdigest()


def _entry(value: Any) -> Entry | None:
    if not isinstance(value, dict):
        return None
    size, digest = value.get("bytes"), value.get("sha256")
    if type(size) is not int or not 0 <= size < 1 << 48 or not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        return None
    return Entry(size, digest)


def _is_plain(name: str) -> bool:
    """Tell whether a name is that of a file within the folder, written in one way only, and not the manifest's."""
    parts = name.split("/")
    plain = all(_NAME.fullmatch(part) and part[0] not in ". " and part[-1] not in ". " for part in parts)
    return plain and len(parts) <= _MAX_DEPTH and name != MANIFEST
