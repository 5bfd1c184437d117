"""Refusals: errors of the service that no part of the library has, without HTTP."""

from __future__ import annotations

from genre_gen.errors import GenreGenError


class NotFoundError(GenreGenError):
    """A domain, item, user, list or key that does not exist, or that the caller must not know of."""


class ConflictError(GenreGenError):
    """A request that does not fit the present state, such as the next page of a list with a withdrawn item."""


class GoneError(GenreGenError):
    """A list that was kept for its time and deleted."""
