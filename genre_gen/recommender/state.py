"""RecommenderState: all parts of a trained recommender, frozen; training returns it, a folder stores it."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import Blend
from genre_gen.blending.ratings import Raters
from genre_gen.blending.tuned import Ended, TunedSettings
from genre_gen.collaborative import SVD, CollaborativeModel, RatingModel
from genre_gen.collaborative.text_knn import TextVectors
from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.labels import Labels
from genre_gen.data.summary import DataSummary
from genre_gen.domain import Domain
from genre_gen.errors import DecodingError, UsageError
from genre_gen.explain.shared_counts import SharedCounts
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.book import PromptBook
from genre_gen.query.parser import QueryParser
from genre_gen.rules.compiled import RuleBook

if TYPE_CHECKING:
    from genre_gen.explain.attribution import Attributor
    from genre_gen.explain.evidence import Evidence
    from genre_gen.explain.explainer import Explainer
    from genre_gen.explain.profile import Profiler
    from genre_gen.llm.generator import ItemGenerator
    from genre_gen.llm.model import LLM

log = logging.getLogger(__name__)
LLM_MEMBER = "llm"
QUERY_MEMBER = "query"
"""The part of a score that says how well an item matches a request in free text."""

Value = TypeVar("Value")


class computed_once(Generic[Value]):  # noqa: N801 - a decorator, as functools.cached_property is
    """A property that is computed at its first use, once, also with several threads."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        """Decorate a method without arguments."""
        self._compute, self._lock, self.__doc__ = compute, threading.RLock(), compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the property's name, under which the instance keeps the value."""
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> computed_once[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> computed_once[Value] | Value:
        """Compute the value; afterwards, Python finds it in the instance."""
        if instance is None:
            return self
        with self._lock:
            values = instance.__dict__
            if self._name not in values:
                values[self._name] = self._compute(instance)
            return values[self._name]  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class SharedData:
    """What a recommender without histories keeps about its training data.

    Attributes:
        counts: by item and by pair of items, for explanations and unknown users.
        summary: of all interactions.
        trained_on: fingerprint of the training interactions, by which an evaluation recognises them.
    """

    counts: SharedCounts
    summary: DataSummary
    trained_on: str


class NotPickled:
    """Refuses pickling: reading a pickle can run code, and a model in it would not have been verified."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a shallow copy: a trained state never changes."""
        return copy.copy(self)

    def __reduce__(self) -> NoReturn:
        """Raise an error with the alternative."""
        raise UsageError(f"a {type(self).__name__} is not pickled; use save_pretrained and from_pretrained")


@dataclass(frozen=True, eq=False)
class RecommenderState(NotPickled):
    """The parts of a trained recommender, immutable; ``dataclasses.replace`` gives a copy with another part.

    Attributes:
        domain: settings.
        book: the templates.
        catalog: the items.
        histories: where a user's history is looked up.
        trained_on: the training interactions.
        llm: the tuned language model.
        members: the fitted collaborative models of the blend, by name.
        rating_models: the fitted models of ratings, by name.
        tuned: the settings chosen on validation cases, such as the weights of the blends.
        knowledge: links of the items in a graph, for explanations.
        wording: templates of explanations and profiles in the language that people read; None where it is the prompts'.
        seconds: duration of the training, by part.
        training_log: the log of the language model's training.
        metrics: figures of the evaluation, see ``Report.summary``; empty before one.
        training: fingerprint of the training that it came from, by which its folder is known again.
        shared: the counts that replace ``histories`` and ``trained_on`` (then empty) in a recommender that came without
            them; None in any other.

    Example:
        >>> state = recommender.state
        >>> len(state.catalog), sorted(state.members)
        (40, ['ease', 'popularity', 'sequential_rules', 'svd'])
    """

    domain: Domain
    book: PromptBook
    catalog: Catalog
    histories: Interactions
    trained_on: Interactions
    llm: LLM
    members: Mapping[str, CollaborativeModel]
    rating_models: Mapping[str, RatingModel]
    tuned: TunedSettings
    knowledge: Knowledge | None = None
    wording: PromptBook | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    training_log: Sequence[Mapping[str, Any]] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: str = ""
    shared: SharedData | None = None

    def __copy__(self) -> RecommenderState:
        """Return the state itself, which is immutable."""
        return self

    @property
    def blend(self) -> Blend:
        """Return the weights of the language model (``llm``) and the members."""
        return self.tuned.blend

    @property
    def spoken_book(self) -> PromptBook:
        """Return the templates of texts for people."""
        return self.wording or self.book

    @computed_once
    def language(self) -> DomainLanguage:
        """Return the domain's language for people."""
        return DomainLanguage.of(self.domain)

    @property
    def raters(self) -> Raters:
        """Return the models of ratings."""
        return Raters(self.rating_models, self.tuned.ratings)

    def with_blend(self, blend: Blend, without_llm: Blend | None = None) -> RecommenderState:
        """Return the same recommender with other weights."""
        tuned = replace(self.tuned, blend=blend, blend_without_llm=without_llm or self.tuned.blend_without_llm)
        return replace(self, tuned=tuned)

    def ended(self, how: Ended, left_out: Mapping[str, str] = MappingProxyType({})) -> RecommenderState:
        """Return the same recommender with how its training ended, and what else was left out."""
        tuned = replace(self.tuned, ended=how, left_out={**self.tuned.left_out, **left_out})
        return replace(self, tuned=tuned)

    @computed_once
    def generator(self) -> ItemGenerator:
        """Return the generator of the language model."""
        from genre_gen.llm.generator import ItemGenerator
        from genre_gen.tasks import TaskData

        return ItemGenerator(self.llm, self.book, TaskData(self.catalog, self.trained_on, self.domain))

    @computed_once
    def labels(self) -> Labels | None:
        """Return the labels for re-ranking; None if no item has labels."""
        return Labels.of_domain(self.catalog, self.domain)

    @computed_once
    def query_parser(self) -> QueryParser:
        """Return the parser of requests in free text, with the catalog's words and ``[query]`` of the domain."""
        similarity = self.neighbours if self.neighbour_models else None
        return QueryParser(self.catalog, self.domain.query, similarity, self.language)

    @computed_once
    def explainer(self) -> Explainer:
        """Return the explainer of picks, with the training data and the wording of ``[explain]``."""
        from genre_gen.explain.explainer import Explainer

        style = self.domain.explain.style
        language_model = None if style == "template" else self.llm
        return Explainer(self._evidence(), self.spoken_book, language_model=language_model, free=style == "free")

    def _evidence(self) -> Evidence:
        """Return what is true of picks."""
        from genre_gen.explain.evidence import Evidence

        svd = self.members.get(SVD.name) or self.rating_models.get(SVD.name)
        factors = svd.item_factors if isinstance(svd, SVD) else None
        relations = {name: model.relations for name, model in self.members.items()}
        counted = self.trained_on if self.shared is None else self.shared.counts
        return Evidence(self.catalog, counted, self.domain, self.knowledge, factors, relations)

    @computed_once
    def text_vectors(self) -> TextVectors:
        """Return the texts of the items as vectors, by which other texts are compared with them."""
        return TextVectors([item.describe() for item in self.catalog])

    @computed_once
    def profiler(self) -> Profiler:
        """Return the profiler of users."""
        from genre_gen.explain.profile import Profiler

        return Profiler(self.catalog, self.item_counts, self.domain, self.spoken_book)

    @computed_once
    def attributor(self) -> Attributor:
        """Return the attributor, which measures the influence of a history's items on picks."""
        from genre_gen.explain.attribution import Attributor

        def scorer(name: str) -> Callable[[Sequence[History]], NDArray[np.float32]]:
            def score(histories: Sequence[History]) -> NDArray[np.float32]:
                scores = self.members[name].score(histories)
                if not np.isfinite(scores).all():
                    raise DecodingError(f"the scores of {name} are not finite, so its contribution cannot be measured")
                return self.mask_cold_items({name: scores}, self.blend.members)[name]  # type: ignore[return-value]

            return score

        window = self.domain.model.max_history
        scorers = {name: scorer(name) for name in self.members}
        return Attributor(self.catalog, self.blend, scorers, self.generator, name=LLM_MEMBER, window=window)

    @computed_once
    def rule_book(self) -> RuleBook:
        """Return the rules of requests, including the domain's, compiled for the catalog."""
        return RuleBook(self.catalog, self.domain.rules)

    @property
    def neighbour_models(self) -> dict[str, CollaborativeModel]:
        """Return the members that measure the similarity of items."""
        return {name: model for name, model in self.members.items() if model.tells_neighbours}

    def neighbours(self, row: int) -> NDArray[np.float64]:
        """Return the similarity of each item to one, by interactions and texts: float64 ``[n_items]``, 0 to 1."""
        parts = self.neighbour_parts(row)
        return np.mean(list(parts.values()), axis=0) if parts else np.zeros(len(self.catalog))

    def neighbour_parts(self, row: int) -> dict[str, NDArray[np.float64]]:
        """Return the same model by model: each model's scores after that item alone, as shares of the largest."""
        parts = {}
        for name, model in self.neighbour_models.items():
            scores = model.score([History(np.array([row]))])[0].astype(np.float64)
            if not np.isfinite(scores).all():
                log.warning("the scores of %s are not finite; similarity is measured by the other models", name)
                continue
            scores = np.maximum(scores, 0.0)
            scores[row] = 0.0
            parts[name] = scores / max(float(scores.max()), 1e-12)
        return parts

    @computed_once
    def item_counts(self) -> NDArray[np.int64]:
        """Return the number of training interactions of each item: int64 ``[n_items]``."""
        if self.shared is not None:
            return self.shared.counts.interactions
        return np.bincount(self.trained_on.rows, minlength=len(self.catalog))

    @property
    def data(self) -> DataSummary:
        """Return the size and time span of all interactions."""
        return DataSummary.of(self.histories) if self.shared is None else self.shared.summary

    @computed_once
    def popularity(self) -> NDArray[np.float32]:
        """Return the logarithm of each item's interactions, float32 ``[n_items]``, a fallback for unknown users."""
        return np.log1p(self.item_counts).astype(np.float32)

    @computed_once
    def cold_items(self) -> NDArray[np.bool_]:
        """Return the items without training interactions: bool ``[n_items]``."""
        return self.item_counts == 0

    def mask_cold_items(
        self, scores: Mapping[str, NDArray[np.floating]], members: Iterable[str] | None = None
    ) -> dict[str, NDArray[np.floating]]:
        """Set the scores of members that count interactions to NaN for cold items, see ``blending.blend.shares``.

        A score of 0 would mean that these items are bad. Without a content-based member of the blend (by default
        all that have scores), nothing is changed. Scores are ``[B, n_items]``.
        """
        return mask_cold_items(scores, members, self.cold_items, content_based(self.domain, self.members, self.llm))

    def fingerprint(self) -> str:
        """Return a hash of all that answers depend on, to tell whether two states would answer the same."""
        return self._fingerprint

    @computed_once
    def _fingerprint(self) -> str:
        from genre_gen import __version__
        from genre_gen.llm.fingerprint import model_fingerprint

        about: dict[str, Any] = {
            "version": __version__,
            "domain": self.domain.settings(),
            "tuned": self.tuned.to_dict(),
            "templates": {task: self.book.fingerprint(task) for task in sorted(self.domain.tasks)},
            "catalog": self.catalog.fingerprint(),
            "model": model_fingerprint(self.llm),
        }
        parts: dict[str, Any] = {"histories": self.histories, "trained_on": self.trained_on}
        if self.knowledge is not None:
            parts["knowledge"] = self.knowledge
        if self.shared is not None:
            parts["counts"], about["data"] = self.shared.counts, self.shared.summary.to_dict()
        for name, model in (*self.members.items(), *((f"{name}.ratings", m) for name, m in self.rating_models.items())):
            parts[f"models/{name}"], about[f"models/{name}"] = model, model.settings()
        digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
        for part, holder in sorted(parts.items()):
            for name, array in sorted(holder.arrays().items()):
                digest.update(f"{part}.{name}:{array.dtype}:{array.shape}:".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def content_based(domain: Domain, members: Mapping[str, CollaborativeModel], llm: LLM) -> set[str]:
    """Return the content-based members, which distinguish cold items by their texts.

    The language model is one if cold items get vectors near similar trained items (``codes.cold_start_scale``).
    """
    names = {QUERY_MEMBER} | {name for name, model in members.items() if model.content_based}
    codes = domain.codes
    placed = codes.text > 0 and codes.cold_start_scale > 0 and llm.codes.codes.shape[1] == 1
    return names | {LLM_MEMBER} if placed else names


def mask_cold_items(
    scores: Mapping[str, NDArray[np.floating]],
    members: Iterable[str] | None,
    cold: NDArray[np.bool_],
    content_based: set[str],
) -> dict[str, NDArray[np.floating]]:
    """See :meth:`RecommenderState.mask_cold_items`; ``cold`` is bool ``[n_items]``, ``content_based`` names members."""
    if not content_based.intersection(scores if members is None else members) or not cold.any():
        return dict(scores)
    gaps = np.where(cold, np.float32(np.nan), np.float32(0.0))
    return {
        name: values if name in content_based or name == LLM_MEMBER else values + gaps
        for name, values in scores.items()
    }
