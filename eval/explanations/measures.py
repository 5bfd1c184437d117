"""Measures of explanations, each with controls that must score worse."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eval.explanations.truth import Said, checker_of
from genre_gen.data.filters import Filters
from genre_gen.data.history import History
from genre_gen.evaluation.significance import interval
from genre_gen.explain.check import Checker
from genre_gen.explain.claims import ScoreClaims
from genre_gen.explain.explainer import Explanation
from genre_gen.explain.facts import labels
from genre_gen.recommender.state import RecommenderState

TOP = 3  # cited items should be among this many with the greatest effects
Pairs: TypeAlias = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class User:
    """One user's picks and their measurements.

    Attributes:
        said: the explanations.
        cited: the history items that each explanation cites.
        effects: float64 ``[2, picks, recent]``, effects of recent items on language model and blend.
        recent: catalog rows of the recent items.
        lost: removed items -> loss of language model and blend, ``[2, picks]``; NaN for a pick without cited items.
    """

    said: list[Said]
    cited: list[frozenset[int]]
    effects: NDArray[np.float64]
    recent: list[int]
    lost: dict[str, NDArray[np.float64]]


def allowed_of(state: RecommenderState, history: History) -> NDArray[np.bool_]:
    """Return the items that may be recommended."""
    return Filters(state.catalog, repeat=state.domain.repeat).allowed(history).mask


def cited_items(explanation: Explanation, history: History) -> frozenset[int]:
    """Return the items of a history that an explanation's facts are about."""
    named = {row for fact in explanation.facts for row in (fact.subject, fact.object)}
    return frozenset(row for row in named if row is not None) & frozenset(history.rows.tolist())


def controls(users: Sequence[Sequence[Said]]) -> dict[str, list[list[Explanation]]]:
    """Return the users' explanations, and the controls that must score worse."""
    texts = [[said.explanation for said in user] for user in users]
    shifted = [texts[(number + 1 + len(texts) // 2) % len(texts)] for number in range(len(texts))]
    shuffled = [[other[k % len(other)] for k in range(len(mine))] for mine, other in zip(texts, shifted, strict=True)]
    generic = [[texts[0][0]] * len(mine) for mine in texts]
    return {"own": texts, "shuffled": shuffled, "generic": generic}


def judged(
    name: str, values: dict[str, NDArray[np.float64] | float], against: Sequence[str], *, less: bool = False
) -> dict[str, Any]:
    """Return a measure and its controls; its value is null if one of them does not score worse.

    Args:
        name: the measure's name.
        values: ``own`` and controls -> one figure per user, or a single one.
        against: the controls that must be worse.
        less: whether smaller is better.
    """
    means = {key: float(np.mean(value)) for key, value in values.items()}
    sign = -1 if less else 1
    holds = all(sign * means["own"] > sign * means[control] for control in against)
    own = values["own"]
    result: dict[str, Any] = {"measure": name, "value": means["own"] if holds else None, "less_is_better": less}
    if holds and isinstance(own, np.ndarray):
        result["interval"] = interval(own)
    return {**result, "controls": {control: means[control] for control in against}, "reported": holds}


def rates(state: RecommenderState, users: Sequence[User]) -> list[dict[str, Any]]:
    """Return grounding precision, and precision and recall of cited items among those with the greatest effects."""
    checker = checker_of(state)
    figures: dict[str, dict[str, NDArray[np.float64] | float]] = {}
    for version, texts in controls([user.said for user in users]).items():
        grounded, precision, recall = [], ([], []), ([], [])  # type: ignore[var-annotated]
        for user, told in zip(users, texts, strict=True):
            grounded.append(np.mean([_true(checker, said, text) for said, text in zip(user.said, told, strict=True)]))
            for model in range(2):
                shares = [_hits(user, pick, text, model) for pick, text in enumerate(told)]
                precision[model].append(_mean_of_known([share[0] for share in shares]))
                recall[model].append(np.mean([share[1] for share in shares]))
        figures.setdefault("grounding precision", {})[version] = np.array(grounded)
        for model, unit in enumerate(("LLM", "blend")):
            values = np.array(precision[model])
            figures.setdefault(f"citation precision@{TOP}, {unit}", {})[version] = values[np.isfinite(values)]
            figures.setdefault(f"citation recall@1, {unit}", {})[version] = np.array(recall[model])
    return [judged(name, values, ("shuffled", "generic")) for name, values in figures.items()]


def _mean_of_known(values: Sequence[float]) -> float:
    """Return the mean without NaN; NaN if all values are NaN."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _true(checker: Checker, said: Said, told: Explanation) -> bool:
    measured_here = ScoreClaims.of_effects(said.explanation.effects)
    return checker.check(told.text, said.history, said.row, said.predicted, measured_here).ok


def _hits(user: User, pick: int, told: Explanation, model: int) -> tuple[float, float]:
    """Return the share of the cited items among the TOP with the greatest effects, and whether the greatest is cited.

    Cited items are read from the explanation only, so an explanation of another user cites items outside the history.
    """
    row = user.said[pick].row
    order = [user.recent[k] for k in np.argsort(-user.effects[model, pick], kind="stable")]
    best = [other for other in order if other != row]
    anchors = {("rated", "had", "shares", "linked"): "object", ("weighed", "followed_by", "liked_too"): "subject"}
    cited = {
        getattr(fact, end) for fact in told.facts for relations, end in anchors.items() if fact.relation in relations
    }
    precision = len(cited & set(best[:TOP])) / len(cited) if cited else float("nan")
    return precision, float(bool(best) and best[0] in cited)


def variety(state: RecommenderState, users: Sequence[Sequence[Said]]) -> list[dict[str, Any]]:
    """Return FMR, FCR, DIV, USR and distinct-n of all explanations together."""
    catalog = state.catalog
    true_pairs = [frozenset(pairs(labels(catalog[said.row]))) for user in users for said in user]
    every = frozenset(pair for item in catalog for pair in pairs(labels(item)))
    figures: dict[str, dict[str, NDArray[np.float64] | float]] = {}
    for version, texts in controls(users).items():
        explanations = [explanation for user in texts for explanation in user]
        named: list[Pairs] = [
            frozenset((fact.field, value) for fact in explanation.facts for value in fact.values)
            for explanation in explanations
        ]
        words = [explanation.text.casefold().split() for explanation in explanations]
        values = {
            "FMR": float(np.mean([bool(told) and told <= true for told, true in zip(named, true_pairs, strict=True)])),
            "FCR": len(frozenset().union(*named)) / max(len(every), 1),
            "DIV": shared(named),
            "USR": len({explanation.text for explanation in explanations}) / len(explanations),
            "distinct-1": distinct([[(word,) for word in text] for text in words]),
            "distinct-2": distinct([list(pairwise(text)) for text in words]),
        }
        for name, value in values.items():
            figures.setdefault(name, {})[version] = value
    against = {"FMR": ("shuffled", "generic")}  # shuffling does not change the others
    return [
        judged(name, values, against.get(name, ("generic",)), less=name == "DIV") for name, values in figures.items()
    ]


def pairs(values: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return labels as pairs of field and value."""
    return [(field, value) for field, named in values.items() for value in named]


def shared(named: Sequence[Pairs]) -> float:
    """Return DIV: the mean number of features that two explanations share, over all pairs."""
    counts: dict[tuple[str, str], int] = {}
    for pair in (pair for features in named for pair in features):
        counts[pair] = counts.get(pair, 0) + 1
    return sum(count * (count - 1) for count in counts.values()) / max(len(named) * (len(named) - 1), 1)


def distinct(grams: Sequence[Sequence[Any]]) -> float:
    """Return the share of distinct n-grams."""
    flat = [gram for of_text in grams for gram in of_text]
    return len(set(flat)) / max(len(flat), 1)


def changes_of(state: RecommenderState, users: Sequence[User]) -> list[dict[str, Any]]:
    """Return how explanations of the same picks change with the history."""
    chance = random.Random(0)
    attributor, most = state.attributor, state.domain.explain.attribution

    def told(history: History, rows: Sequence[int]) -> list[Explanation]:
        effects = attributor.effects(history, rows, allowed_of(state, history), most) if most else None
        return state.explainer.explain_many(history, rows, None, None, effects)

    same: dict[str, list[float]] = {"again": [], "cited": [], "swapped text": [], "swapped cited": []}
    for number, user in enumerate(users):
        history, rows = user.said[0].history, [said.row for said in user.said]
        other = users[(number + 1 + len(users) // 2) % len(users)].said[0].history
        own, swapped, more = (
            told(history, rows),
            told(other, rows),
            told(_with_stranger(state, user, chance), rows),
        )
        again = told(history, rows[:1])  # for this pick only, without the other picks
        texts, cited = ([said.text for said in own], [cited_items(said, history) for said in own])
        same["again"].append(float(again[0].text == texts[0]))
        same["swapped text"].append(_share(texts, [said.text for said in swapped]))
        same["swapped cited"].append(_share(cited, [cited_items(said, other) for said in swapped]))
        same["cited"].append(_share(cited, [cited_items(said, history) for said in more]))
    each = {name: np.array(values) for name, values in same.items()}
    return [
        judged("personalisation", {"own": 1 - each["swapped text"], "generic": 0.0}, ("generic",)),
        judged("stability, same request", {"own": each["again"], "swapped": each["swapped text"]}, ("swapped",)),
        judged("stability, one item more", {"own": each["cited"], "swapped": each["swapped cited"]}, ("swapped",)),
    ]


def _share(texts: Sequence[Any], other: Sequence[Any]) -> float:
    return float(np.mean([left == right for left, right in zip(texts, other, strict=True)]))


def _with_stranger(state: RecommenderState, user: User, chance: random.Random) -> History:
    """Return a user's history with one more item at the beginning, which shares no attribute value with any pick."""
    history, catalog = user.said[0].history, state.catalog
    taken = {pair for said in user.said for pair in pairs(labels(catalog[said.row]))}
    excluded = {*history.rows.tolist(), *(said.row for said in user.said)}
    strangers = [
        row for row in range(len(catalog)) if row not in excluded and taken.isdisjoint(pairs(labels(catalog[row])))
    ]
    row = chance.choice(strangers or [row for row in range(len(catalog)) if row not in excluded])
    ratings = None if history.ratings is None else np.concatenate([np.full(1, np.nan, np.float32), history.ratings])
    return History(np.concatenate([[row], history.rows]), ratings)
