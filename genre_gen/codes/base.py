"""Codes: how the items of a catalog are named to the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.folders.arrays import expect, json_in, texts


@dataclass(frozen=True, eq=False)
class Codes:
    """A unique, prefix-free token sequence for each item, over a code vocabulary of its own.

    Attributes:
        name: the scheme's name in ``domain.toml``.
        codes: int64 ``[n_items, length]``, code tokens ``0 .. vocabulary - 1``; shorter codes are padded with -1. In
            the model's input, code token ``k`` has the id ``text vocabulary size + k``.
        names: the text form of each code token, such as ``<item_12>``.
    """

    name: str
    codes: NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def vocabulary(self) -> int:
        """Return the number of code tokens."""
        return len(self.names)

    def text(self, row: int) -> str:
        """Return an item's code as text, the names of its tokens one after the other."""
        return "".join(self.names[token] for token in self.codes[row] if token >= 0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to save with safetensors: the codes, and the names as UTF-8 JSON."""
        return {"codes": self.codes, "names": np.frombuffer(json.dumps(self.names).encode(), dtype=np.uint8)}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, NDArray[Any]]) -> Codes:
        """Build codes from the output of :meth:`arrays`.

        Raises:
            ValueError: arrays are missing, or codes are not unique and prefix-free.
        """
        names = texts(json_in(arrays, "names"), "names")
        if len(set(names)) < len(names):
            raise ValueError("names holds a name twice")
        codes = expect(arrays, "codes", "i", (None, None), (-1, len(names) - 1)).astype(np.int64)
        lengths = (codes >= 0).sum(axis=1)
        if codes.size == 0 or lengths.min() < 1 or (np.diff((codes >= 0).astype(np.int8), axis=1) > 0).any():
            raise ValueError("codes of items are empty, or have gaps")
        ordered = codes[np.lexsort(codes.T[::-1])]  # -1 sorts before every token: a prefix comes right before its code
        same = ordered[:-1] == ordered[1:]
        if (same | (ordered[:-1] < 0)).all(axis=1).any():
            raise ValueError("the code of an item is the code of another, or a prefix of it")
        return cls(str(name), codes, names)
