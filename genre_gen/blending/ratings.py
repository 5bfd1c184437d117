"""Raters: models of ratings and the language model's rating task, blended into one predicted rating."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative import RATERS, RatingBlend, RatingModel
from genre_gen.data.interactions import Case, History, Interactions
from genre_gen.domain import Domain
from genre_gen.errors import DecodingError, UsageError

if TYPE_CHECKING:
    from genre_gen.llm.generator import ItemGenerator

log = logging.getLogger(__name__)
LLM = "llm"
Columns = dict[str, NDArray[np.float64]]

FEW = 50
"""So few rated validation cases would give weights that fit their noise; the models then count alike."""

MANY = 2000
"""Of more rated validation cases a fixed sample is used: the language model reads a history for each."""


class Raters:
    """Predicts ratings.

    Attributes:
        models: fitted models of ratings, by name.
        blend: of them and the language model; None where nothing predicts ratings.
    """

    def __init__(self) -> None:
        """Begin without any; see ``fit`` and ``choose``."""
        self.models: dict[str, RatingModel] = {}
        self.blend: RatingBlend | None = None

    def fit(self, domain: Domain, interactions: Interactions, scale: tuple[float, float] | None) -> dict[str, float]:
        """Fit the domain's models of ratings; there are none where the data has no ratings.

        Args:
            domain: names them.
            interactions: what is learned from.
            scale: lowest and highest rating, see ``scale_of``.

        Returns:
            The seconds that each took.

        Raises:
            ConfigError: a model that does not exist.
        """
        self.models, seconds = {}, {}
        if scale is None or not interactions.rated:
            return {}
        for name in domain.ratings.members:
            begin = time.perf_counter()
            self.models[name] = RATERS[name](rating_scale=scale, duplicates="last").fit(interactions)
            seconds[name] = time.perf_counter() - begin
        return seconds

    def choose(self, generator: ItemGenerator, cases: Sequence[Case], scale: tuple[float, float] | None) -> None:
        """Choose the blend of least squared error on the rated ones among validation cases."""
        self.blend = None
        if scale is None or not (self.models or generator.rates):
            return
        rated = [case for case in cases if not np.isnan(case.rating)]
        if len(rated) < FEW:
            equal = list(self.models) or [LLM]
            self.blend = RatingBlend({name: 1 / len(equal) for name in equal}, 0.0, scale)
            return
        if len(rated) > MANY:
            rated = [rated[place] for place in np.random.default_rng(0).choice(len(rated), MANY, replace=False)]
        columns = self.columns(generator, [case.history for case in rated], [case.target for case in rated])
        self.blend = RatingBlend.learn(columns, np.array([case.rating for case in rated]), scale)

    def columns(self, generator: ItemGenerator, histories: Sequence[History], rows: Sequence[int]) -> Columns:
        """Return what each way to predict says of one item for each history: name -> ``[len(histories)]``.

        Raises:
            DecodingError: the language model's ratings are not finite.
        """
        columns = self._by_models(histories, rows)
        if generator.rates:
            columns[LLM] = generator.rate(histories, rows).astype(np.float64)
        return columns

    def rate(self, generator: ItemGenerator, histories: Sequence[History], rows: Sequence[int]) -> NDArray[np.float64]:
        """Return the blended rating of one item for each history, ``[len(histories)]``.

        The language model is asked only where it has a say. Where it fails, the others stand in for it.

        Raises:
            UsageError: nothing predicts ratings.
            DecodingError: the language model failed, and it alone predicts ratings.
        """
        if self.blend is None:
            raise UsageError("nothing predicts ratings here: the data has none, or ratings.members is empty")
        columns, weight = self._by_models(histories, rows), self.blend.weights.get(LLM)
        if weight is not None and (weight > 0 or not columns):
            try:
                if not generator.rates:
                    raise DecodingError("it has learned no words that are ratings")
                columns[LLM] = generator.rate(histories, rows).astype(np.float64)
            except DecodingError as problem:
                if not columns:
                    raise
                log.warning("the language model failed, so %s rates alone: %s", ", ".join(columns), problem)
                # Leaving it out would lack its share of the weight; their mean is on the same scale.
                columns[LLM] = np.mean(list(columns.values()), axis=0)
        return self.blend.combine(columns)

    def _by_models(self, histories: Sequence[History], rows: Sequence[int]) -> Columns:
        return {
            name: np.array([model.rate(history, [row])[0] for history, row in zip(histories, rows, strict=True)])
            for name, model in self.models.items()
        }


def scale_of(domain: Domain, *known: Interactions) -> tuple[float, float] | None:
    """Return the lowest and highest rating: the domain's, or those of the data; None where nothing is rated."""
    if domain.rating_scale is not None:
        return domain.rating_scale
    rated = [one.ratings for one in known if one.ratings is not None and one.rated]
    if not rated:
        return None
    low, high = (float(one) for one in (min(map(np.nanmin, rated)), max(map(np.nanmax, rated))))
    return (low, high) if low < high else (low - 0.5, high + 0.5)  # as the models take it
