"""The folders of fetched files, and of the shipped catalogs and prompts."""

from __future__ import annotations

import os
from pathlib import Path

from genre_gen.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def genre_home() -> Path:
    """Return the folder for fetched data and models, ``GENRE_HOME`` or ``~/.cache/genre_gen``; it may not exist yet."""
    return Path(os.environ.get("GENRE_HOME") or "~/.cache/genre_gen").expanduser()


def assets_folder() -> Path:
    """Return the folder with the shipped ``catalogs/`` and ``prompts/``; raises ConfigError without one.

    An installed wheel has them inside the package, a source checkout next to it.
    """
    for folder in (_PACKAGE / "_assets", _PACKAGE.parent):
        if (folder / "catalogs").is_dir():
            return folder
    raise ConfigError(f"no catalogs/ folder with {_PACKAGE}; reinstall the package")
