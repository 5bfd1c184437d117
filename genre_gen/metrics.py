"""Metrics of rankings, ratings and lists, independent of models.

Lists are int ``[B, n]`` catalog rows, best first, -1 if a list is shorter; ``counts`` are the training interactions
of each item, ``[n_items]``.

A rank is 1 for the best. Items that tie with the target count half, so a rank may end in .5 and does not depend on
the order of the catalog. ``recall_at`` and similar functions return one value per user: tables have their mean, and
the intervals and tests of :mod:`genre_gen.evaluation.significance` need the single values.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from genre_gen.data.batches import batches, histories_at_a_time
from genre_gen.data.history import History, allowed_items
from genre_gen.data.splits import Case
from genre_gen.errors import UsageError

SMOOTHING = 0.01
"""Share of the history's labels mixed into a list's before they are compared (Steck 2018), so that the penalty for
labels that the list lacks is finite."""

CHUNK = 1024
"""Number of lists whose labels are compared at a time, which limits the memory for any number of users."""


def ranks(
    scores: NDArray[np.floating], targets: NDArray[np.integer], allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the rank of each target among the allowed items.

    Args:
        scores: ``[B, n_items]``, higher is better; items without a finite score are not ranked.
        targets: ``[B]`` catalog rows. A target is always ranked, allowed or not.
        allowed: bool ``[B, n_items]``; None allows all.

    Returns:
        float64 ``[B]``: ``1 + items above + tied items / 2``; infinite if the target's own score is not finite.
    """
    targets = np.asarray(targets)
    own = np.take_along_axis(scores, targets[:, None], axis=1)  # [B, 1]
    rivals = np.isfinite(scores)
    if allowed is not None:
        rivals &= allowed
    np.put_along_axis(rivals, targets[:, None], values=False, axis=1)
    above = ((scores > own) & rivals).sum(axis=1)
    tied = ((scores == own) & rivals).sum(axis=1)
    return np.where(np.isfinite(own[:, 0]), 1.0 + above + tied / 2, np.inf)


def case_ranks(
    score: Callable[[Sequence[History]], NDArray[np.float32]],
    cases: Sequence[Case],
    n_items: int,
    repeat: bool = False,
    batch: int = 256,
) -> NDArray[np.float64]:
    """Return the rank of each case's target among all items, or all unseen items unless ``repeat``.

    ``score`` returns ``[len(histories), n_items]`` for at most ``batch`` histories; the ranks are float64
    ``[len(cases)]``.
    """
    parts = [np.zeros(0)]
    for part in batches(cases, histories_at_a_time(batch, n_items)):
        histories, targets = [case.history for case in part], np.array([case.target for case in part], dtype=np.int64)
        parts.append(ranks(score(histories), targets, allowed_items(histories, n_items, repeat)))
    return np.concatenate(parts)


def ranks_in_lists(lists: NDArray[np.integer], targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the rank of each target ``[B]`` in its list: float64 ``[B]``, infinite if the list lacks the target."""
    found = np.asarray(lists) == np.asarray(targets)[:, None]
    return np.where(found.any(axis=1), 1.0 + found.argmax(axis=1), np.inf)


def recall_at(ranks: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return 1 for each target within the first ``k``, else 0 (with one target per user also the hit rate)."""
    return (ranks <= k).astype(np.float64)


def ndcg_at(ranks: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return ``1 / log2(1 + rank)`` for each target within the first ``k``, else 0; one target, so the ideal is 1."""
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


def mrr_at(ranks: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return ``1 / rank`` for each target within the first ``k``, else 0."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def overlap(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Return the share of common items in two lists, of the longer one's length; 1 for two empty lists."""
    size = max(len(first), len(second))
    return len(set(first) & set(second)) / size if size else 1.0


def rank_biased_overlap(first: Sequence[Hashable], second: Sequence[Hashable], persistence: float = 0.9) -> float:
    """Return the similarity of two rankings, 0 to 1, most weight on the top (Webber, Moffat, Zobel 2010, RBO_ext).

    Beyond their end, the lists are assumed to agree as they do there; 1 for equal lists, and for two empty ones.

    Args:
        first: items, best first, each once.
        second: the same of another list.
        persistence: chance to read on after an item; at .9, the first ten items have 86 % of the weight.
    """
    short, long = sorted((first, second), key=len)
    if not short:
        return float(not long)
    depths = range(1, len(long) + 1)
    common = [len(set(long[:depth]) & set(short[:depth])) for depth in depths]
    at_short, p = common[len(short) - 1], persistence
    seen = sum(shared / depth * p**depth for shared, depth in zip(common, depths, strict=True))
    # Beyond its end, the shorter list is assumed to agree as it does there.
    unseen = sum(at_short * (depth - len(short)) / (len(short) * depth) * p**depth for depth in depths[len(short) :])
    end = (common[-1] - at_short) / len(long) + at_short / len(short)
    return (1 - p) / p * (seen + unseen) + end * p ** len(long)


def rmse(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Return the root mean squared error of predicted ratings; raises UsageError if it is undefined."""
    return float(np.sqrt(np.mean(_errors(predicted, actual) ** 2)))


def mae(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Return the mean absolute error of predicted ratings; raises UsageError if it is undefined."""
    return float(np.mean(np.abs(_errors(predicted, actual))))


def _errors(predicted: ArrayLike, actual: ArrayLike) -> NDArray[np.float64]:
    guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if guess.shape != truth.shape or guess.size == 0:
        raise UsageError(f"{guess.shape} predictions for {truth.shape} ratings; give one for each rating")
    if not (np.isfinite(guess).all() and np.isfinite(truth).all()):
        raise UsageError("a prediction or a rating is not a finite number; drop the unrated cases first")
    return guess - truth


def coverage(lists: NDArray[np.integer], n_items: int) -> float:
    """Return the share of the catalog that appears in any list."""
    return len(np.unique(lists[lists >= 0])) / n_items


def novelty(lists: NDArray[np.integer], counts: NDArray[np.integer]) -> float:
    """Return the mean self-information of the recommended items in bits: ``-log2(share of interactions)``.

    1 is added to the counts, so that the value is finite for cold items. Higher is more novel; nan for empty lists.
    """
    shown = lists[lists >= 0]
    if len(shown) == 0:
        return float("nan")
    smoothed = np.asarray(counts, dtype=np.float64) + 1.0
    return float(-np.log2(smoothed[shown] / smoothed.sum()).mean())


def mean_popularity(lists: NDArray[np.integer], counts: NDArray[np.integer]) -> float:
    """Return the mean number of training interactions of the recommended items; nan for empty lists."""
    shown = lists[lists >= 0]
    return float(np.asarray(counts)[shown].mean()) if len(shown) else float("nan")


def gini(lists: NDArray[np.integer], n_items: int) -> float:
    """Return the Gini index of the numbers of recommendations of items (Fleder and Hosanagar 2009).

    It is 0 if all items are recommended equally often, and ``1 - 1 / n_items`` if all lists contain the same single
    item; nan for empty lists.
    """
    shown = lists[lists >= 0]
    if len(shown) == 0:
        return float("nan")
    exposure = np.sort(np.bincount(shown, minlength=n_items))
    return float((2 * np.arange(1, n_items + 1) - n_items - 1) @ exposure / (n_items * exposure.sum()))


def popularity_lift(lists: NDArray[np.integer], histories: Sequence[History], counts: NDArray[np.integer]) -> float:
    """Return the relative popularity of recommended items over those of the histories (Abdollahpouri et al. 2020).

    ``popularity of the lists / popularity of the histories - 1``, both averaged over each user's items and then over
    users: 0 for the same popularity as in the histories, 1 for twice the popularity. Users with an empty history or
    list are left out; nan without other users.
    """
    popularity = np.asarray(counts, dtype=np.float64)
    ours, theirs = _members(lists, len(popularity)), _histories(histories, len(popularity))
    both = (ours.sum(axis=1) > 0) & (theirs.sum(axis=1) > 0)
    means = [((items @ popularity)[both] / items.sum(axis=1)[both]).sum() for items in (ours, theirs)]
    return float(means[0] / means[1] - 1.0) if both.any() and means[1] > 0 else float("nan")


def diversity(lists: NDArray[np.integer], labels: sparse.csr_array) -> NDArray[np.float64]:
    """Return each list's mean pairwise distance of items by labels (intra-list diversity, Ziegler et al. 2005).

    Labels are ``[n_items, n_labels]``, 1 if an item has a label. The mean of ``1 - Jaccard`` is float64 ``[B]``, from 0
    (all items have the same labels, or none) to 1 (no two items share a label); nan for lists of fewer than two items.
    """
    sizes = np.diff(labels.indptr)
    first, second = np.triu_indices(lists.shape[1], 1)
    values = [np.zeros(0)]
    for part in _chunks(len(lists)):
        left, right = lists[part][:, first], lists[part][:, second]
        owner, place = np.nonzero((left >= 0) & (right >= 0))
        one, other = left[owner, place], right[owner, place]
        common = np.asarray(labels[one].multiply(labels[other]).sum(axis=1)).ravel()
        union = sizes[one] + sizes[other] - common
        distances = np.where(union > 0, 1.0 - common / np.maximum(union, 1.0), 0.0)
        pairs = np.bincount(owner, minlength=len(left))
        total = np.bincount(owner, weights=distances, minlength=len(left))
        values.append(np.where(pairs > 0, total / np.maximum(pairs, 1), np.nan))
    return np.concatenate(values)


def calibration(
    lists: NDArray[np.integer], histories: Sequence[History], shares: sparse.csr_array, smoothing: float = SMOOTHING
) -> NDArray[np.float64]:
    """Return the divergence of each list's labels from those of the user's history (Steck 2018).

    This is the KL divergence of the list's from the history's mean label distribution, float64 ``[B]`` in nats: 0 for
    the same mix of labels, ``log(1 / smoothing)`` (4.6) without common labels; nan if the history has no labels.

    Args:
        lists: ``B`` lists.
        histories: ``B`` users' histories.
        shares: ``[n_items, n_labels]``, each item's label distribution; zeros for items without labels, which are left
            out.
        smoothing: see :data:`SMOOTHING`.
    """
    values = [np.zeros(0)]
    for part in _chunks(len(lists)):
        wanted = label_shares(_histories(histories[part], shares.shape[0]) @ shares)
        shown = label_shares(_members(lists[part], shares.shape[0]) @ shares)
        values.append(np.where(wanted.any(axis=1), divergence(wanted, shown, smoothing), np.nan))
    return np.concatenate(values)


def label_shares(sums: NDArray[np.float64] | sparse.csr_array) -> NDArray[np.float64]:
    """Normalise summed label distributions: float64 ``[..., n_labels]``; zeros stay zeros."""
    dense = sums.toarray() if isinstance(sums, sparse.csr_array) else np.asarray(sums)
    total = dense.sum(axis=-1, keepdims=True)
    return dense / np.where(total > 0, total, 1.0)


def divergence(
    wanted: NDArray[np.float64], shown: NDArray[np.float64], smoothing: float = SMOOTHING
) -> NDArray[np.float64]:
    """Return ``KL(wanted || (1 - smoothing) shown + smoothing wanted)`` in nats, over the last axis; shapes broadcast.

    Distributions are ``[..., n_labels]``; all zeros (no shown item has a label) have the largest divergence,
    ``log(1 / smoothing)``.
    """
    from scipy.special import rel_entr

    # Rounding must not make the distance of equal distributions negative.
    return np.maximum(rel_entr(wanted, (1.0 - smoothing) * shown + smoothing * wanted).sum(axis=-1), 0.0)


def _chunks(size: int) -> Iterator[slice]:
    for begin in range(0, size, CHUNK):
        yield slice(begin, begin + CHUNK)


def _members(lists: NDArray[np.integer], n_items: int) -> sparse.csr_array:
    """Return the count of each item in each list: float64 ``[B, n_items]``."""
    return _counted(lists[lists >= 0], (lists >= 0).sum(axis=1), n_items)


def _histories(histories: Sequence[History], n_items: int) -> sparse.csr_array:
    """Return the count of each item in each history: float64 ``[B, n_items]``."""
    rows = np.concatenate([np.zeros(0, np.int64), *(history.rows for history in histories)])
    return _counted(rows, np.array([len(history) for history in histories], np.int64), n_items)


def _counted(rows: NDArray[np.integer], sizes: NDArray[np.integer], n_items: int) -> sparse.csr_array:
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return sparse.csr_array((np.ones(len(rows)), rows, offsets), shape=(len(sizes), n_items))
