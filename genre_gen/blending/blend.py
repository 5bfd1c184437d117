"""Blend: a weighted sum of several models' scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.errors import ConfigError, UsageError

Scores = Mapping[str, NDArray[np.floating]]
"""Member -> ``[B, n_items]``, higher is better; ``-inf`` becomes the member's lowest score, NaN is a missing one."""

SINGLE_ABOVE = 50_000
"""The number of items above which blends are computed in single precision."""

_LARGEST = np.finfo(np.float32).max
_NOISE = 1e-6  # spread of equal scores in single precision, as a share of the largest

EXPECTED = "expected"
"""The part of a score that is estimated for members without a score for an item."""


@dataclass(frozen=True)
class Blended:
    """Blended scores and the members' shares of them.

    Attributes:
        total: float32 ``[B, n_items]``; ``-inf`` if an item is not allowed or no member has a score for it.
        shares: member -> float ``[B, n_items]``; over the members they sum to ``total``.
        silent: member -> bool ``[B, n_items]``, True if it has no score and its share is estimated; members with scores
            for all items are left out.
    """

    total: NDArray[np.float32]
    shares: Mapping[str, NDArray[np.floating]]
    silent: Mapping[str, NDArray[np.bool_]]

    def parts(self, rows: NDArray[np.integer], history: int | None = None) -> dict[str, NDArray[np.float32]]:
        """Return each member's part of the scores of some items: member -> float32 of the shape of ``rows``.

        The parts of an allowed item sum to its total. Members without a score have part 0. Their estimated shares are a
        separate part, ``EXPECTED``, which is present only if it is not 0 for some item.

        Args:
            rows: catalog rows, ``[B, k]``; or ``[k]`` for one history.
            history: that history's position in the batch; None for all.
        """
        cells = (np.arange(len(rows))[:, None], rows) if history is None else (history, rows)
        parts, expected = {}, np.zeros(rows.shape)
        for name, share in self.shares.items():
            values = share[cells]
            if name in self.silent:
                silent = self.silent[name][cells]
                expected += np.where(silent, values, 0.0)
                values = np.where(silent, 0.0, values)
            parts[name] = values.astype(np.float32)
        return parts | {EXPECTED: expected.astype(np.float32)} if expected.any() else parts


@dataclass(frozen=True)
class Blend:
    """A weighted sum of members' standardised scores.

    A member's scores become standard deviations from their mean over the user's allowed items, so that its influence
    depends on its weight only, not on the unit or spread of its scores.

    Attributes:
        weights: member -> weight, >= 0, with a positive sum; members at 0 need no scores.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        """Make the weights read-only; raises ConfigError if one is invalid."""
        values = np.array(list(self.weights.values()), dtype=np.float64)
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
            raise ConfigError(f"blend: weights {dict(self.weights)}; each must be >= 0 and one at least > 0")
        object.__setattr__(self, "weights", MappingProxyType({name: float(w) for name, w in self.weights.items()}))

    @property
    def members(self) -> tuple[str, ...]:
        """Return the members with a weight above 0."""
        return tuple(name for name, weight in self.weights.items() if weight > 0)

    def combine(self, scores: Scores, allowed: NDArray[np.bool_]) -> Blended:
        """Blend the members' scores.

        Args:
            scores: scores of the blend's members; others are ignored.
            allowed: bool ``[B, n_items]``.

        Raises:
            UsageError: a member's scores are missing or of another shape than ``allowed``.
        """
        for name in self.members:
            if name not in scores:
                raise UsageError(f"blend: no scores of member {name!r}, only of {', '.join(scores) or 'none'}")
            if scores[name].shape != allowed.shape:
                raise UsageError(f"blend: {name} has scores of shape {scores[name].shape}, allowed is {allowed.shape}")
        return blended({name: scores[name] for name in self.members}, self.weights, allowed)

    def to_dict(self) -> dict[str, Any]:
        """Return the blend, ready for JSON."""
        return {"weights": dict(self.weights)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Restore a blend."""
        return cls(content["weights"])


def blended(scores: Scores, weights: Mapping[str, float], allowed: NDArray[np.bool_]) -> Blended:
    """Return the weighted sum of the members' standardised scores, see :func:`shares`.

    Above SINGLE_ABOVE items it is computed in single precision and in few passes, which gives the same up to rounding.
    """
    if allowed.shape[1] > SINGLE_ABOVE:
        return _blended_in_single(scores, weights, allowed)
    scored = np.zeros(allowed.shape, dtype=bool)
    for values in scores.values():
        scored |= np.isfinite(values)
    parts = shares(scores, weights, allowed)
    total = sum(parts.values(), np.zeros(allowed.shape))
    silent = {name: missing for name, values in scores.items() if (missing := np.isnan(values)).any()}
    return Blended(np.where(scored & allowed, total, -np.inf).astype(np.float32), parts, silent)


def _blended_in_single(scores: Scores, weights: Mapping[str, float], allowed: NDArray[np.bool_]) -> Blended:
    parts = {name: np.array(values, np.float32) for name, values in scores.items()}
    silent = {name: missing for name, values in parts.items() if (missing := np.isnan(values)).any()}
    total = np.empty(allowed.shape, np.float32)
    for row in range(len(allowed)):
        scored = np.zeros(allowed.shape[1], bool)
        gaps, others = {}, np.zeros(allowed.shape[1], np.float32)
        for name, values in parts.items():
            kept = allowed[row]
            if name in silent and silent[name][row].any():
                gaps[name] = silent[name][row]
                kept = kept & ~gaps[name]
            _standardise(values[row], kept, weights[name], scored)
            if name not in gaps:
                others += values[row]
        total[row] = others
        for name, gap in gaps.items():
            _estimate(parts[name][row], others, gap & allowed[row], allowed[row] & ~gap)
            total[row] += parts[name][row]
        np.copyto(total[row], -np.inf, where=~(scored & allowed[row]))
    return Blended(total, parts, silent)


# Masks are applied by multiplication: a product with 0 and 1 takes a tenth of the time of a choice by a mask whose
# values alternate, as those of cold items do.


def _standardise(
    values: NDArray[np.float32], kept: NDArray[np.bool_], weight: float, scored: NDArray[np.bool_]
) -> None:
    """Replace one history's scores ``[n_items]`` by their share; add where they are finite to ``scored``."""
    finite = np.isfinite(values)
    scored |= finite
    if not finite.all():
        missing = kept & ~finite
        if missing.any():
            lowest = values.min(where=finite & kept, initial=np.inf)
            np.copyto(values, lowest if np.isfinite(lowest) else 0.0, where=missing)
        np.fmax(values, -_LARGEST, out=values)  # NaN becomes a number
        np.fmin(values, _LARGEST, out=values)
    of_kept = kept.astype(np.float32)
    values *= of_kept
    count, largest = max(1, int(np.count_nonzero(kept))), max(abs(values.min()), abs(values.max()))
    for _ in range(2):  # the second time for what the mean lost when it was rounded
        values -= values.sum() / np.float32(count)
        values *= of_kept
    spread = float(np.dot(values, values) / count) ** 0.5
    values *= np.float32(weight / spread) if spread > _NOISE * largest else 0.0


def _estimate(
    share: NDArray[np.float32], others: NDArray[np.float32], wanted: NDArray[np.bool_], known: NDArray[np.bool_]
) -> None:
    """Set the ``wanted`` items of a share to its linear regression on the others; its mean is 0 where it is known.

    The share is 0 where it is not known.
    """
    of_known = known.astype(np.float32)
    mean = np.float32(float((others * of_known).sum(dtype=np.float64)) / max(1, int(np.count_nonzero(known))))
    centred = others - mean
    of_known *= centred
    spread = float(np.dot(of_known, of_known))
    slope = float(np.dot(of_known, share)) / spread if spread > 0 else 0.0
    centred *= np.float32(slope)
    centred *= wanted
    share += centred


def standardised(scores: NDArray[np.floating], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return scores in standard deviations from the mean of each user's allowed items: float64 ``[B, n_items]``.

    ``-inf`` of an allowed item is replaced by the lowest finite score. NaN is not part of the mean and becomes 0, like
    all items that are not allowed, and scores that are all equal.
    """
    scored = allowed & ~np.isnan(scores)
    finite = scored & np.isfinite(scores)
    lowest = np.where(finite, scores, np.inf).min(axis=1, keepdims=True)
    filled = np.where(finite, scores, np.where(np.isfinite(lowest), lowest, 0.0)).astype(np.float64)
    count = np.maximum(scored.sum(axis=1, keepdims=True), 1)
    centred = np.where(scored, filled - np.where(scored, filled, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    # The rounding errors of equal scores must not be scaled up to standard deviations.
    noise = 1e-9 * np.abs(filled).max(axis=1, keepdims=True, initial=0.0)
    return np.where(spread > noise, centred / np.where(spread > noise, spread, 1.0), 0.0)


def shares(scores: Scores, weights: Mapping[str, float], allowed: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Return each member's share of the blended scores: member -> float64 ``[B, n_items]``.

    A share is the weight times the standardised score. A member has NaN for an item if it has no score (the item is
    cold, and the member counts interactions). Its share is then estimated by linear regression of its shares on those
    of members with scores for all items, over the allowed items that it scores. With a share of 0 instead, cold items
    would lose to all others; with its weight given to the others, they would beat them.
    """
    parts = {name: weights[name] * standardised(values, allowed) for name, values in scores.items()}
    gaps = {name: gap for name, values in scores.items() if (gap := np.isnan(values)).any()}
    others = sum((part for name, part in parts.items() if name not in gaps), np.zeros(allowed.shape))
    for name, gap in gaps.items():
        parts[name] = np.where(gap & allowed, _expected(parts[name], others, allowed & ~gap), parts[name])
    return parts


def _expected(
    share: NDArray[np.float64], others: NDArray[np.float64], scored: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a share's linear regression on the others, fitted where ``scored``, for all items: ``[B, n_items]``."""
    count = np.maximum(scored.sum(axis=1, keepdims=True), 1)
    share_mean, others_mean = (np.where(scored, x, 0.0).sum(axis=1, keepdims=True) / count for x in (share, others))
    deviation = np.where(scored, others - others_mean, 0.0)
    spread = (deviation**2).sum(axis=1, keepdims=True)
    slope = (deviation * (share - share_mean)).sum(axis=1, keepdims=True) / np.where(spread > 0, spread, 1.0)
    return share_mean + slope * (others - others_mean)
