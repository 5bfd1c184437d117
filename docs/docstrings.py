"""Docstrings as the site shows them: examples as code, and names in roles of other tools as plain code."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:(`)~?([^`]+)`")
EXAMPLE = re.compile(r"^( *)Example:$", re.M)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Make ``Example:`` the section that is known to hold code, and ``:class:`X``` plain code."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\2`", EXAMPLE.sub(r"\1Examples:", obj.docstring.value))
