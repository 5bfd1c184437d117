"""Small archives, and how to run code that imports the package under test."""

import io
import os
import zipfile
from pathlib import Path

import pytest

CONTENT = bytes(range(256)) * 400  # 102,400 bytes


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a process that imports this very package."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **changes}


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def wheel_bytes(name: str, members: dict[str, bytes]) -> bytes:
    """Return the wheel ``<name>-1.0-py3-none-any.whl``."""
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: absent\n".encode(),
        "WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": b"",
    }
    return zip_bytes({**members, **{f"{name}-1.0.dist-info/{file}": text for file, text in about.items()}})


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
