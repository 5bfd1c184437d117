"""Item codes: how the items of a catalog are named to the model, a file for each scheme."""

from __future__ import annotations

from genre_gen.codes.atomic import atomic
from genre_gen.codes.base import Codes, CodeScheme
from genre_gen.codes.schemes import make_codes
from genre_gen.registry import CODE_SCHEMES

__all__ = ["CODE_SCHEMES", "CodeScheme", "Codes", "atomic", "make_codes"]
