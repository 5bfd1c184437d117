"""Raters: models of ratings and the language model's rating task, blended into one predicted rating."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative import RATERS, RatingBlend, RatingModel
from genre_gen.data.batches import batches
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case
from genre_gen.domain import Domain
from genre_gen.errors import DecodingError, UsageError

if TYPE_CHECKING:
    from genre_gen.llm.generator import ItemGenerator

log = logging.getLogger(__name__)
LLM = "llm"
Columns = dict[str, NDArray[np.float64]]

FEW = 50
"""With fewer rated validation cases, weights would fit noise; the models then have equal weights."""

MANY = 2000
"""Limit of rated validation cases; of more a fixed sample is used, since the language model reads a history each."""


@dataclass(frozen=True)
class Raters:
    """Fitted models of ratings by name, and the blend of them and the language model (None without ratings)."""

    models: Mapping[str, RatingModel] = field(default_factory=dict)
    blend: RatingBlend | None = None

    def columns(self, language_model: ItemGenerator, histories: Sequence[History], rows: Sequence[int]) -> Columns:
        """Return each rater's prediction of one item for each history: name -> ``[len(histories)]``.

        Raises:
            DecodingError: the language model's ratings are not finite.
        """
        columns = self._of_models(histories, rows)
        if language_model.rates:
            columns[LLM] = language_model.rate(histories, rows).astype(np.float64)
        return columns

    def rate(
        self, language_model: ItemGenerator, histories: Sequence[History], rows: Sequence[int]
    ) -> tuple[NDArray[np.float64], Columns]:
        """Return the blended rating of one item for each history, ``[len(histories)]``, and the raters' predictions.

        The language model is used only if it has a weight. If it fails, the mean of the others replaces it.

        Raises:
            UsageError: there are no raters.
            DecodingError: the language model failed, and it is the only rater.
        """
        if self.blend is None:
            raise UsageError(
                "ratings cannot be predicted: the data has none, or ratings.members is empty and the task rating is "
                "not trained; give data with ratings"
            )
        columns, weight = self._of_models(histories, rows), self.blend.weights.get(LLM)
        if weight is not None and (weight > 0 or not columns):
            columns[LLM] = self._by_language_model(language_model, histories, rows, columns)
        return self.blend.combine(columns), columns

    def _by_language_model(
        self, language_model: ItemGenerator, histories: Sequence[History], rows: Sequence[int], others: Columns
    ) -> NDArray[np.float64]:
        try:
            if not language_model.rates:
                raise DecodingError("the language model has not learned any ratings; train it again")
            return language_model.rate(histories, rows).astype(np.float64)
        except DecodingError as problem:
            if not others:
                raise
            log.warning("the language model failed, so %s rates alone: %s", ", ".join(others), problem)
            # Without it, its share of the weight would be missing; the others' mean is on the same scale.
            return np.mean(list(others.values()), axis=0)

    def _of_models(self, histories: Sequence[History], rows: Sequence[int]) -> Columns:
        return {
            name: np.array([model.rate(history, [row])[0] for history, row in zip(histories, rows, strict=True)])
            for name, model in self.models.items()
        }


def fit_raters(
    domain: Domain, interactions: Interactions, scale: tuple[float, float] | None
) -> tuple[dict[str, RatingModel], dict[str, float]]:
    """Fit the domain's models of ratings, and return them with the seconds of each; none without ratings."""
    models: dict[str, RatingModel] = {}
    seconds = {}
    for name in domain.ratings.members if scale is not None and interactions.rated else ():
        if why := RATERS[name].cannot_learn(interactions):
            log.warning("%s is left out: %s", name, why)
            continue
        begin = time.perf_counter()
        models[name] = RATERS[name](rating_scale=scale, duplicates="last").fit(interactions)
        seconds[name] = time.perf_counter() - begin
    return models, seconds


def tune_rating_blend(
    models: Mapping[str, RatingModel],
    language_model: ItemGenerator,
    cases: Sequence[Case],
    scale: tuple[float, float] | None,
    enough: Callable[[], bool] | None = None,
) -> RatingBlend | None:
    """Return the blend with least squared error on the rated validation cases; None without raters.

    ``enough``, if given, is asked between batches of FEW cases; the other cases are then left out.
    """
    if scale is None or not (models or language_model.rates):
        return None
    rated = [case for case in cases if not np.isnan(case.rating)]
    if len(rated) < FEW:
        names = list(models) or [LLM]
        return RatingBlend({name: 1 / len(names) for name in names}, 0.0, scale)
    if len(rated) > MANY:
        rated = [rated[position] for position in np.random.default_rng(0).choice(len(rated), MANY, replace=False)]
    parts: list[Columns] = []
    for part in batches(rated, len(rated) if enough is None else FEW):
        if parts and enough is not None and enough():
            break
        histories, rows = [case.history for case in part], [case.target for case in part]
        parts.append(Raters(models).columns(language_model, histories, rows))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    count = len(next(iter(columns.values())))
    return RatingBlend.learn(columns, np.array([case.rating for case in rated[:count]]), scale)


def scale_of(domain: Domain, *logs: Interactions) -> tuple[float, float] | None:
    """Return the lowest and highest rating of the domain, else of the data; None without ratings."""
    if domain.rating_scale is not None:
        return domain.rating_scale
    rated = [log.ratings for log in logs if log.ratings is not None and log.rated]
    if not rated:
        return None
    low, high = float(min(map(np.nanmin, rated))), float(max(map(np.nanmax, rated)))
    return (low, high) if low < high else (low - 0.5, high + 0.5)  # as the models expect
