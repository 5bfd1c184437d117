"""Re-ranking: trade some of the score for variety (MMR), or for the user's own mix of labels (calibration).

Off by default; ``[rerank]`` in ``domain.toml`` turns it on. Both pick greedily from the best candidates of one user,
and weigh score against the list so far. They decide which items are in the list; its order remains by score, so
scores keep their unit and parts, and the best item comes first. Showing a calibrated list in the order of picking costs
far more NDCG for the same mix of labels. ``eval.accuracy.trade_off`` measures the trade-off of each weight.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.quotas import Quotas, best_within
from genre_gen.data.history import History
from genre_gen.data.labels import Labels
from genre_gen.domain import RerankSettings
from genre_gen.errors import ConfigError
from genre_gen.metrics import SMOOTHING, divergence, label_shares
from genre_gen.ranking import Ranking

Reranker: TypeAlias = Callable[[Ranking, History, Labels, float, int, Quotas | None], Ranking]
"""From candidates, history, labels, weight, n and quotas to ``n`` candidates by score; weight 0 takes the first."""


def rerank(
    settings: RerankSettings,
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    history: History,
    n: int,
    labels: Labels | None,
    quotas: Quotas | None = None,
) -> Ranking:
    """Rank one user's items by the settings.

    Args:
        settings: method, weight (0 keeps the ranking, 1 ignores the scores) and candidates (the number of best-scored
            items to pick from; in longer lists, further items follow by score).
        scores: float32 ``[n_items]``, higher is better; items without a finite score are not ranked.
        allowed: bool ``[n_items]``.
        history: the user's history.
        n: number of items; fewer are returned only if fewer are allowed and scored.
        labels: labels of the catalog's items; needed by all methods except ``none``.
        quotas: counts of the list so far; items that they block are skipped, and picks are counted.

    Raises:
        ConfigError: the method needs labels, and there are none.
    """
    if settings.method == "none" or settings.weight == 0:
        return best_within(scores, n, allowed, quotas)
    if labels is None:
        raise ConfigError(
            f'rerank.method: {settings.method!r} needs items with labels; give the domain a field of type "list", or '
            'set rerank.method = "none"'
        )
    left = allowed.copy() if quotas is None else allowed & ~quotas.blocked
    candidates = Ranking.from_scores(scores, settings.candidates, left)
    best = METHODS[settings.method](candidates, history, labels, settings.weight, n, quotas)
    if len(best) == n:
        return best
    left[candidates.rows] = False  # lists longer than the candidates continue by score
    rest = best_within(scores, n - len(best), left, quotas)
    return Ranking(np.concatenate([best.rows, rest.rows]), np.concatenate([best.scores, rest.scores]))


def mmr(
    candidates: Ranking, similarity: NDArray[np.floating], weight: float, n: int, quotas: Quotas | None = None
) -> Ranking:
    """Pick items with high scores that differ from those picked before (Carbonell and Goldstein 1998, MMR).

    Each step takes the candidate with the greatest ``(1 - weight) * score - weight * similarity to the closest pick``.

    ``similarity`` is ``[n_candidates, n_candidates]``, 0 to 1 (``Labels.similarity``, ``cosine``); the paper's lambda
    is ``1 - weight``.
    """
    relevance = relative(candidates.scores)

    def worth(picked: list[int]) -> NDArray[np.float64]:
        return (1.0 - weight) * relevance - weight * similarity[picked].max(axis=0, initial=0.0)

    return _greedy(candidates, n, worth, quotas)


def calibrated(
    candidates: Ranking,
    shares: NDArray[np.float64],
    wanted: NDArray[np.float64],
    weight: float,
    n: int,
    quotas: Quotas | None = None,
) -> Ranking:
    """Pick items with high scores whose labels are in the user's own proportions (Steck 2018).

    Each step takes the candidate with the greatest ``(1 - weight) * score - weight * KL(wanted || list with it)``.

    ``shares`` are the candidates' label distributions ``[n_candidates, n_labels]``, zeros without labels; ``wanted`` is
    that of the history, ``[n_labels]``; if it is all zeros, the list is by score. ``weight`` is the paper's lambda.
    """
    relevance, labelled = relative(candidates.scores), shares.sum(axis=1)  # 1 with labels, 0 without
    asked = np.flatnonzero(wanted)  # other labels only take a share of the list and add nothing to the sum
    parts, target = shares[:, asked], wanted[asked]

    def worth(picked: list[int]) -> NDArray[np.float64]:
        size = labelled[picked].sum() + labelled
        shown = (parts[picked].sum(axis=0) + parts) / np.maximum(size, 1.0)[:, None]
        return (1.0 - weight) * relevance - weight * divergence(target, shown, SMOOTHING)

    return _greedy(candidates, n, worth if len(asked) else lambda _: relevance.copy(), quotas)


def relative(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return scores scaled to 0 (the last candidate) to 1 (the first): float64 of the same shape.

    Similarity and divergence have fixed ranges, while scores differ in spread and unit; on a fixed range, a weight has
    the same effect for all users. Equal scores become 0.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(values) == 0 or np.ptp(values) == 0:
        return np.zeros(len(values))
    return (values - values.min()) / np.ptp(values)


def cosine(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine similarity of item vectors ``[n, d]``, for MMR: float64 ``[n, n]`` of 0 to 1.

    Negative similarities become 0; a vector of zeros has similarity 0 to all.
    """
    values = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit = values / np.where(lengths > 0, lengths, 1.0)
    return np.clip(unit @ unit.T, 0.0, 1.0)


def _greedy(
    candidates: Ranking, n: int, worth: Callable[[list[int]], NDArray[np.float64]], quotas: Quotas | None
) -> Ranking:
    """Pick ``n`` candidates one by one, ties by score, and return them by score; fewer if quotas block the others.

    ``worth`` returns the value of each candidate given the positions picked so far: float64 ``[n_candidates]``.
    """
    picked: list[int] = []
    for _ in range(min(n, len(candidates))):
        now = worth(picked)
        now[picked] = -np.inf
        if quotas is not None:
            now[quotas.blocked[candidates.rows]] = -np.inf
        best = int(now.argmax())
        if now[best] == -np.inf:
            break
        picked.append(best)
        if quotas is not None:
            quotas.take(int(candidates.rows[best]))
    places = sorted(picked)
    return Ranking(candidates.rows[places], candidates.scores[places])


def _by_mmr(
    candidates: Ranking, history: History, labels: Labels, weight: float, n: int, quotas: Quotas | None = None
) -> Ranking:
    return mmr(candidates, labels.similarity(candidates.rows), weight, n, quotas)


def _by_calibration(
    candidates: Ranking, history: History, labels: Labels, weight: float, n: int, quotas: Quotas | None = None
) -> Ranking:
    wanted = label_shares(labels.shares[history.rows].sum(axis=0))
    return calibrated(candidates, labels.shares[candidates.rows].toarray(), wanted, weight, n, quotas)


METHODS: MappingProxyType[str, Reranker] = MappingProxyType({"mmr": _by_mmr, "calibration": _by_calibration})
"""The ways to re-rank, by their names in the settings."""
