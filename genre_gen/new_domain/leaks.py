"""Leaks: what in data would tell a model the answers of an evaluation, or makes them no answers at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions

MOSTLY = 0.9
"""Share, or rank correlation, from which one thing counts as decided by another."""

LEAST = 50
"""Items, users or groups from which something is concluded."""

LONG = 5
"""Interactions of a history whose copy is not chance."""

FEW = 0.01
"""Share of users with the history of another, above which it is said."""


def leaks(catalog: Catalog, interactions: Interactions, sample: Interactions) -> Iterator[str]:
    """Yield what makes figures on this data doubtful, each in a sentence.

    Args:
        catalog: the items.
        interactions: of all users.
        sample: those of some users.
    """
    counts = np.bincount(interactions.rows, minlength=len(catalog))
    yield from _follows_popularity(catalog, counts)
    yield from _decided(sample)
    yield from _copies(sample)
    yield from _last_ratings(sample)
    yield from _sorted(sample)


def _follows_popularity(catalog: Catalog, counts: NDArray[np.int64]) -> Iterator[str]:
    """Yield the number fields in whose order the items' interactions are, those held out included."""
    for name in catalog.fields:
        values = [item.attributes[name] for item in catalog]
        if any(not isinstance(value, (int, float)) for value in values if value is not None):
            continue
        numbers = np.array([np.nan if value is None else value for value in values], np.float64)
        known = ~np.isnan(numbers)
        if known.sum() < LEAST or len(np.unique(numbers[known])) < LONG:
            continue
        correlation = _rank_correlation(numbers[known], counts[known])
        if abs(correlation) > MOSTLY:
            yield (
                f"the field {name} follows the number of interactions (rank correlation {correlation:.2f}); it counts "
                "those that are held out too: leave it out of the fields for an evaluation"
            )


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.int64]) -> float:
    from scipy.stats import spearmanr

    return float(np.nan_to_num(spearmanr(first, second).statistic))


def _decided(sample: Interactions) -> Iterator[str]:
    """Yield the columns of interactions that are a property of the item."""
    order = np.argsort(sample.rows, kind="stable")
    begins = np.flatnonzero(np.diff(sample.rows[order], prepend=-1))
    sizes = np.diff([*begins.tolist(), len(order)])
    often = sizes > 2  # noqa: PLR2004 two may agree by chance
    if often.sum() < LEAST:
        return
    remedies = {
        "time": "it belongs to the item, so histories are in the order of the items: name another column",
        "rating": "it does not come from the user: name another column, or none",
    }
    for name, values in (("time", sample.times), ("rating", sample.ratings)):
        if values is None or len(np.unique(values[~np.isnan(values)])) < LONG:
            continue
        same = np.maximum.reduceat(values[order], begins) == np.minimum.reduceat(values[order], begins)
        if (share := same[often].mean()) > MOSTLY:
            yield f"the {name} is the same for all users of an item ({share:.0%} of items); {remedies[name]}"


def _copies(sample: Interactions) -> Iterator[str]:
    """Yield how many users have the history of another."""
    histories = Counter(
        sample.rows[begin:end].tobytes()
        for begin, end in zip(sample.offsets[:-1].tolist(), sample.offsets[1:].tolist(), strict=True)
        if end - begin >= LONG
    )
    copies = sum(number - 1 for number in histories.values())
    if copies > FEW * len(sample.users):
        yield (
            f"{copies:,} of {len(sample.users):,} users have exactly the history of another: their held-out items are "
            "in the training data; keep one of each"
        )


def _last_ratings(sample: Interactions) -> Iterator[str]:
    """Yield that the last interaction of users is told by its rating: rated where others are not, or the reverse."""
    if sample.ratings is None or len(sample.users) < LEAST:
        return
    rated = ~np.isnan(sample.ratings)
    last = np.zeros(len(sample), bool)
    last[sample.offsets[1:] - 1] = True
    if last.all():
        return
    ends, others = float(rated[last].mean()), float(rated[~last].mean())
    if abs(ends - others) > MOSTLY:
        shares = f"{ends:.0%} of the users' last items have a rating, and {others:.0%} of the others"
        yield f"{shares}: a rating gives them away"


def _sorted(sample: Interactions) -> Iterator[str]:
    """Yield that histories are in the order of the catalog, up or down, where no times say otherwise."""
    steps = np.flatnonzero(sample.owners[1:] == sample.owners[:-1]) + 1
    if sample.times is not None:  # steps in time may go where new items are
        steps = steps[sample.times[steps] == sample.times[steps - 1]]
    moves = sample.rows[steps] - sample.rows[steps - 1]
    if (moves != 0).sum() < LEAST:
        return
    up = float((moves > 0).sum() / (moves != 0).sum())
    if max(up, 1 - up) > MOSTLY:
        where = "down" if up > MOSTLY else "up"
        yield (
            f"{max(up, 1 - up):.0%} of steps without a time of their own go {where} the list of items: histories seem "
            "to be sorted by item; name a column of times"
        )
