"""Saved folders whose manifest is right and whose contents are not, as somebody who means harm would write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch

MANIFEST = "manifest.json"


def relist(folder: Path, *names: str) -> None:
    """Write sizes and checksums of files into the manifest; those of all listed files where none is named."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in names or tuple(manifest["files"]):
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def edit_text(folder: Path, name: str, change: Callable[[str], str]) -> None:
    """Change the text of a file and list it."""
    file = folder / name
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8", errors="surrogatepass")
    relist(folder, name)


def edit_json(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change the content of a JSON file in place, or return another from ``change``, and list it."""
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    changed = change(content)
    (folder / name).write_text(json.dumps(content if changed is None else changed), encoding="utf-8")
    relist(folder, name)


def edit_arrays(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the tensors of a safetensors file in place and list it."""
    tensors = safetensors.torch.load((folder / name).read_bytes())
    change(tensors)
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
    relist(folder, name)
