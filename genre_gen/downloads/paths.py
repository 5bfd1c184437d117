"""Where GENRE keeps what it fetched, and where the catalogs and prompts it ships lie."""

from __future__ import annotations

import os
from pathlib import Path

from genre_gen.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def genre_home() -> Path:
    """Return the folder for fetched data and models, which need not exist: ``GENRE_HOME`` or ``~/.cache/genre_gen``."""
    return Path(os.environ.get("GENRE_HOME") or "~/.cache/genre_gen").expanduser()


def assets_folder() -> Path:
    """Return the folder that holds the shipped ``catalogs/`` and ``prompts/``; raises ConfigError without one.

    An installed wheel carries them inside the package, a source checkout next to it.
    """
    for folder in (_PACKAGE / "_assets", _PACKAGE.parent):
        if (folder / "catalogs").is_dir():
            return folder
    raise ConfigError(f"no catalogs/ folder with {_PACKAGE}; reinstall the package")
