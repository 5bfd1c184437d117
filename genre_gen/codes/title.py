"""Title codes: the words of an item's title, so that a code can be read (GENRE of De Cao et al., 2021).

Each distinct word is a code token of its own, which admits exactly one token sequence per title; text tokens would
admit many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from genre_gen.codes.base import Codes

END = "<end>"
_PIECES = re.compile(r" ?\w+|\W")


def title(titles: Sequence[str]) -> Codes:
    """Split each title into words and signs, in lower case, and close it with ``<end>`` so that no code begins another.

    Args:
        titles: unique even in lower case, as a ``Catalog`` guarantees; so are the codes, since
            their pieces joined are the title.
    """
    pieces = [[*_PIECES.findall(text.casefold()), END] for text in titles]
    tokens = {piece: token for token, piece in enumerate(sorted({piece for line in pieces for piece in line}))}
    codes = np.full((len(pieces), max(map(len, pieces))), -1, dtype=np.int64)
    for row, line in enumerate(pieces):
        codes[row, : len(line)] = [tokens[piece] for piece in line]
    return Codes("title", codes, tuple(piece if piece == END else f"<word_{piece}>" for piece in tokens))
