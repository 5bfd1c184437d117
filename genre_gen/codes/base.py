"""Codes: how the items of a catalog are named to the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.errors import CheckpointError


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
            CheckpointError: arrays are missing or invalid.
        """
        try:
            names = tuple(json.loads(arrays["names"].tobytes()))
            codes = arrays["codes"].astype(np.int64)
        except (KeyError, ValueError) as problem:
            raise CheckpointError(f"the saved {name} codes cannot be read ({problem}); train or save again") from None
        if codes.ndim != 2 or codes.max(initial=-1) >= len(names):  # noqa: PLR2004 - items by tokens
            raise CheckpointError(f"the saved {name} codes do not fit their {len(names)} token names; save them again")
        return cls(name, codes, names)
