"""View: what requests are answered with at one time, as one whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_gen.recommender.state import RecommenderState


@dataclass(frozen=True, eq=False)
class View:
    """A recommender's state with the items of now; it never changes, and a batch takes one.

    Attributes:
        domain: its name.
        generation: names the trained state: ``g-`` and the first 8 letters of its fingerprint.
        number: grows with each change of items or of the model.
        state: with the items that were added after training.
        available: bool ``[n_items]``; None if all items are.
        late_from: the first row that was added after training.

    Example:
        >>> view = View.of(recommender.state)
        >>> view.domain, view.number, view.late_from
        ('movies', 0, 40)
    """

    domain: str
    generation: str
    number: int
    state: RecommenderState
    available: NDArray[np.bool_] | None
    late_from: int

    @classmethod
    def of(cls, state: RecommenderState, *, domain: str | None = None, number: int = 0) -> View:
        """Return the view of a trained state, without other items; ``domain`` is by default the state's own."""
        generation = f"g-{state.fingerprint()[:8]}"
        return cls(domain or state.domain.name, generation, number, state, None, len(state.catalog))
