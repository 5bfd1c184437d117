"""The predicting methods: a rating, whether an item fits, and the next intent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.ratings import LLM
from genre_gen.data.catalog import Item
from genre_gen.data.filters import check_mask, check_n
from genre_gen.data.history import History
from genre_gen.data.html_table import html_block, html_table, html_text
from genre_gen.errors import UsageError
from genre_gen.recommender.requests import Recommendation, Recommendations
from genre_gen.recommender.state import RecommenderState

NAMES = {
    "svd": "Surprise SVD",
    "svdpp": "Surprise SVD++",
    "knn_baseline": "Surprise KNNBaseline",
    LLM: "language model",
}

SHOWN_LABELS = 10
"""How many labels of an intent a notebook shows."""


@dataclass(frozen=True)
class Prediction:
    """A predicted rating with its parts and reason (as Surprise's ``Prediction``).

    Attributes:
        item: the rated item.
        rating: on the data's scale.
        parts: rater -> its own prediction.
        reason: in words: the blended predictions, and a remark if there is little data.

    Example:
        >>> prediction = recommender.predict("17", "Alien (1979)")
        >>> 1 <= prediction.rating <= 5, prediction.reason
        (True, '…')
    """

    item: Item
    rating: float
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def __float__(self) -> float:
        """Return the rating."""
        return self.rating

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        rows = [[NAMES.get(name, name), f"{value:.2f}"] for name, value in self.parts.items()]
        caption = f"{self.item.title}: {self.rating:.2f}"
        return html_block(
            html_table(["", "rating"], rows, numbers=(1,), caption=caption), html_text(self.reason, small=True)
        )


@dataclass(frozen=True)
class Fit:
    """The probability that an item fits a user, by the language model's task ``fits``."""

    item: Item
    probability: float

    def __float__(self) -> float:
        """Return the probability."""
        return self.probability

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        return html_block(html_text(f"{self.item.title} fits with probability {self.probability:.2f}"))


@dataclass(frozen=True)
class Intent:
    """The kind of item that a user wants next.

    Attributes:
        field: the list field that the labels are of, such as ``genre``.
        shares: label -> probability that the language model names it first, the likeliest first; they sum to 1.
    """

    field: str
    shares: Mapping[str, float]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, the likeliest first."""
        return tuple(self.shares)

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        rows = [[label, f"{share:.3f}"] for label, share in [*self.shares.items()][:SHOWN_LABELS]]
        return html_block(html_table([self.field, "probability"], rows, numbers=(1,)))


def predict(state: RecommenderState, history: History, row: int) -> Prediction:
    """Predict a rating; see :meth:`genre_gen.Recommender.predict`."""
    ratings, columns = state.raters.rate(state.generator, [history], [row])
    parts = {name: float(values[0]) for name, values in columns.items()}
    return Prediction(state.catalog[row], float(ratings[0]), parts, _reason(state, history, row, parts))


def _reason(state: RecommenderState, history: History, row: int, parts: Mapping[str, float]) -> str:
    weights = {} if state.raters.blend is None else state.raters.blend.weights
    clauses = [
        f"{NAMES.get(name, name)} {value:.2f} (weight {weights[name]:.2f})"
        for name, value in parts.items()
        if weights.get(name, 0.0) > 0
    ]
    if not history.rated:
        clauses.append("no rating of this user is known, so it rests on the item and the mean")
    if state.cold_items[row]:
        clauses.append("the item is cold: no interaction with it was learned from")
    return "; ".join(clauses)


def similar(state: RecommenderState, row: int, n: int, available: NDArray[np.bool_] | None = None) -> Recommendations:
    """Return the items closest to one; see :meth:`genre_gen.Recommender.similar`.

    Items that are not ``available`` (bool ``[n_items]``; None for all) are left out.
    """
    check_n(n)
    parts = state.neighbour_parts(row)
    if not any(values.any() for values in parts.values()):  # none of the models knows the item
        parts = {LLM: _by_code(state, row)}
    scores = np.mean(list(parts.values()), axis=0)
    others = np.ones(len(scores), bool)
    if available is not None:
        check_mask(available, len(scores))
        others &= available
    others[row] = False
    candidates = np.flatnonzero(others)
    best = candidates[np.argsort(-scores[candidates], kind="stable")[:n]]
    share = 1 / len(parts)
    picks = [
        Recommendation(
            rank + 1,
            state.catalog[int(item)],
            float(scores[item]),
            {name: float(values[item] * share) for name, values in parts.items()},
        )
        for rank, item in enumerate(best)
    ]
    gone = len(scores) - 1 - len(candidates)
    withdrawn = f", less {gone:,} not available" if gone else ""
    short = [f"{len(picks)} of {n} items: {len(scores):,} in the catalog, less the item itself{withdrawn}"]
    return Recommendations(picks, short if len(picks) < n else [])


def _by_code(state: RecommenderState, row: int) -> NDArray[np.float64]:
    """Return the cosine between items' code embeddings, for recommenders without a model of similarity."""
    llm = state.llm
    tokens = llm.codes.codes[:, 0].astype(np.int64)
    cosines = llm.code_cosines(int(tokens[row])).cpu().numpy()[tokens]
    return np.clip(cosines.astype(np.float64), 0.0, 1.0)


def fits(state: RecommenderState, history: History, row: int) -> Fit:
    """Return the probability that an item fits; see :meth:`genre_gen.Recommender.fits`."""
    data = state.generator.data
    variables = {"history": _entries(state, history), "item": data.entry(row)}
    yes_and_no = [_answer(state, "fits", answer, **variables) for answer in (True, False)]
    return Fit(state.catalog[row], float(_probabilities(state, "fits", yes_and_no, **variables)[0]))


def intent(state: RecommenderState, history: History) -> Intent:
    """Predict the labels that are wanted next; see :meth:`genre_gen.Recommender.intent`."""
    if state.labels is None:
        raise UsageError("no item has labels, so no intent can be predicted; give the domain a field of type list")
    variables = {"history": _entries(state, history)}
    words = state.generator.data.words
    names = [words.label(state.labels.field, label) for label in state.labels.names]
    answers = [_answer(state, "intent", (name,), **variables) for name in names]
    shares = _probabilities(state, "intent", answers, **variables)
    best = np.argsort(-shares, kind="stable")
    return Intent(state.labels.field, {state.labels.names[label]: float(shares[label]) for label in best})


def _entries(state: RecommenderState, history: History) -> Any:
    return state.generator.data.entries(history.last(state.domain.model.max_history))


def _answer(state: RecommenderState, task: str, answer: Any, **variables: Any) -> str:
    """Return the words of an answer, as the templates say it; raises UsageError for a task that was not learned."""
    if task not in state.domain.tasks or task not in state.llm.answers:
        raise UsageError(
            f"this recommender was not trained for the task {task}; give it a weight under [tasks] of domain.toml, "
            'with depth = "exit", and train again'
        )
    return state.book.render(task, answer=answer, domain=state.domain.name, **variables).messages[-1].text


def _probabilities(state: RecommenderState, task: str, answers: Sequence[str], **variables: Any) -> NDArray[np.float32]:
    prompt = state.book.render(task, open=True, domain=state.domain.name, **variables)
    return state.generator.answer_probabilities([prompt], answers)[0]
