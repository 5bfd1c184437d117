"""Checks of what a saved folder holds: a right checksum does not make contents valid."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.errors import CheckpointError, GenreGenError, quoted

LARGEST = 1e30
"""No number that is learned has a larger absolute value; sums of such numbers stay finite."""


@contextmanager
def contents_of(file: Path) -> Iterator[None]:
    """Turn whatever invalid contents of a file raise into one line; raises CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except (
        GenreGenError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as problem:
        reason = " ".join(str(problem).split())[:300] or type(problem).__name__
        raise CheckpointError(f"{file}: is invalid: {reason}; restore it from a copy or train again") from problem


def expect(
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    kinds: str,
    shape: tuple[int | None, ...],
    bounds: tuple[float, float] | None = None,
    *,
    missing: bool = False,
) -> NDArray[Any]:
    """Return an array that is as it must be.

    Args:
        arrays: by name.
        name: of the array.
        kinds: letters of NumPy's kinds that it may have: ``i`` whole numbers, ``f`` fractions, ``b`` truth values.
        shape: its lengths; None for any.
        bounds: the smallest and the largest value that it may have; None for finite.
        missing: whether values may be NaN.

    Raises:
        ValueError: it is not there, or otherwise.
    """
    if name not in arrays:
        raise ValueError(f"{name} is missing")
    array = arrays[name]
    if array.dtype.kind.replace("u", "i") not in kinds:
        raise ValueError(f"{name} holds {array.dtype}")
    wanted = [length if given is None else given for length, given in zip(array.shape, shape, strict=False)]
    if array.ndim != len(shape) or list(array.shape) != wanted:
        raise ValueError(f"{name} has the shape {array.shape}, not {tuple('any' if n is None else n for n in shape)}")
    low, high = bounds or (-LARGEST, LARGEST)
    compared = array.astype(np.float32) if array.dtype == np.float16 else array  # whose own limits are narrower
    valid = (compared >= low) & (compared <= high)
    if missing and array.dtype.kind == "f":
        valid |= np.isnan(array)
    if not valid.all():
        raise ValueError(f"{name} holds {array[~valid].flat[0]}, outside {low:g} to {high:g}")
    return array


def check_numbers(value: Any, name: str) -> None:
    """Check that no number in JSON, also within lists and objects, is NaN or out of range; raises ValueError."""
    if isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            check_numbers(inner, name)
    elif isinstance(value, (int, float)) and not abs(value) <= LARGEST:  # NaN is not
        raise ValueError(f"{name} holds {quoted(value)}, which is outside its limits")


def json_in(arrays: Mapping[str, NDArray[Any]], name: str) -> Any:
    """Return the JSON that an array of bytes holds; raises ValueError."""
    try:
        return json.loads(expect(arrays, name, "i", (None,)).tobytes())
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None


def texts(values: Any, name: str) -> tuple[str, ...]:
    """Return a list of texts; raises ValueError where it is anything else."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is not a list of texts")
    return tuple(values)


def count_in(arrays: Mapping[str, NDArray[Any]], name: str) -> int:
    """Return the one whole number, at least 1, that an array holds; raises ValueError."""
    return int(expect(arrays, name, "i", (1,), (1, 2**31))[0])
