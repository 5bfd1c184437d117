"""Files of results: whatever the disk says is one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genre_gen.errors import OutputError


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what writing a file or folder raises into one line.

    Raises:
        OutputError: the disk is full, the place is read-only, or is a folder where a file is to be.
    """
    try:
        yield
    except Exception as problem:
        polars = sys.modules.get("polars.exceptions")  # an error of polars is raised after polars was imported
        if not isinstance(problem, (OSError, *([polars.PolarsError] if polars else []))):
            raise
        reason = " ".join(str(getattr(problem, "strerror", None) or problem).split())
        raise OutputError(f"{place}: cannot be written ({reason}); free space or choose another place") from problem
