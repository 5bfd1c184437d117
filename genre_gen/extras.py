"""Optional packages, which are imported when they are used; an error says how to install a missing one."""

from __future__ import annotations

import importlib
from types import ModuleType

from genre_gen.errors import MissingPackageError


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: the module, such as ``matplotlib.figure``.
        extra: the extra of ``genre-gen`` that installs it.
        purpose: what needs it, as the plural subject of the message, such as ``plots``.

    Raises:
        MissingPackageError: the package is missing; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        package = module.split(".", maxsplit=1)[0]
        raise MissingPackageError(
            f"{purpose} need the package {package} ({problem}); install it: pip install 'genre-gen[{extra}]'"
        ) from None
