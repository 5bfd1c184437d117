"""Item codes: how the items of a catalog are named to the model."""

from __future__ import annotations

from genre_gen.codes.base import Codes
from genre_gen.codes.schemes import atomic, make_codes
from genre_gen.registry import CODE_SCHEMES

__all__ = ["CODE_SCHEMES", "Codes", "atomic", "make_codes"]
