"""Packages that only some need: imported where they are used, and told in one line where they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from genre_gen.errors import MissingPackageError


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: such as ``matplotlib.figure``.
        extra: the extra of ``genre-gen`` that brings it.
        purpose: what needs it, as the subject of the message: ``plots``.

    Raises:
        MissingPackageError: with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        package = module.split(".", maxsplit=1)[0]
        raise MissingPackageError(
            f"{purpose} need the package {package} ({problem}); install it: pip install 'genre-gen[{extra}]'"
        ) from None
