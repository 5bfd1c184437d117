"""Users and the items of their histories, with a bound on the pairs of items that are counted."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.interactions import Interactions

log = logging.getLogger(__name__)
LONGEST = 1000
"""The number of a user's most recent interactions whose pairs are counted: a history of L items has L^2 of them."""
PAIRS = 2**31
"""The number of pairs that all users together may have; with more, fewer of a user's interactions are counted."""


def seen_matrix(interactions: Interactions, pairs: int = PAIRS) -> sparse.csr_matrix:
    """Return 1 for each item of a user: float64 ``[users, items]``, sorted.

    With kinds of events, it is the weight of the user's strongest event with the item.

    Of each user the ``LONGEST`` most recent interactions count, or fewer where the users would otherwise have more than
    ``pairs`` pairs together. So work that grows with a history's squared length is linear in interactions.
    """
    lengths = np.diff(interactions.offsets)
    longest = bounded_length(lengths, pairs)
    rows, owners, weights = interactions.rows, interactions.owners, interactions.weights
    if longest < lengths.max(initial=0):
        log.info("the last %d interactions of each user are counted for pairs of items", longest)
        recent = np.arange(len(rows)) >= interactions.offsets[owners + 1] - longest
        rows, owners = rows[recent], owners[recent]
        weights = None if weights is None else weights[recent]
    shape = (len(interactions.users), interactions.n_items)
    seen = sparse.csr_matrix((np.ones(len(rows)), (owners, rows)), shape=shape)  # adds up repeated items
    seen.data[:] = 1.0
    if weights is not None:
        pairs_of = owners * interactions.n_items + rows
        order = np.lexsort((weights, pairs_of))
        seen.data[:] = weights[order][np.diff(pairs_of[order], append=-1) != 0]  # the largest of each pair
    return seen


def bounded_length(lengths: NDArray[np.int64], pairs: int) -> int:
    """Return the largest length, up to ``LONGEST``, at which histories cut to it have at most ``pairs`` pairs."""
    low, high = 1, LONGEST
    while low < high:
        middle = (low + high + 1) // 2
        within = int((np.minimum(lengths, middle) ** 2).sum()) <= pairs
        low, high = (middle, high) if within else (low, middle - 1)
    return low
