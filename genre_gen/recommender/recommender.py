"""Recommender: what users ask of the fitted parts."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import EXPECTED, Blend
from genre_gen.blending.rerank import rerank
from genre_gen.collaborative import SVD, CollaborativeModel
from genre_gen.data.catalog import Item
from genre_gen.data.filters import Filters, check_n, rows_of
from genre_gen.data.interactions import History
from genre_gen.data.labels import Labels
from genre_gen.domain import Domain
from genre_gen.errors import DecodingError, UsageError
from genre_gen.explain.attribution import RECENT, Attribution, Attributor
from genre_gen.prompting.book import PromptBook
from genre_gen.query import ParsedQuery, QueryReader
from genre_gen.ranking import Ranking
from genre_gen.training.recommender_training import BATCH, LLM_MEMBER, QUERY, Fitted

if TYPE_CHECKING:
    from genre_gen.evaluation.protocol import Mixture, Scorer
    from genre_gen.explain import Explainer, Explanation
    from genre_gen.explain.comparison import Comparison, Counterfactual

log = logging.getLogger(__name__)
TELLING = ("sequential_rules", "ease", "item_knn", "text_knn")  # models that tell what is near a single item
OURS, OURS_ALONE, WITHOUT_LLM = "GENRE", "GENRE, LLM alone", "blend without LLM"


@dataclass(frozen=True)
class Recommendation:
    """One pick.

    Attributes:
        rank: 1 for the best.
        item: what is recommended.
        score: the blend's score, in standard deviations above the user's mean over the allowed items; re-ranking
            chooses among items and leaves it as it is.
        parts: each blend member's share of the score; they sum to it. Of an item that nobody has had yet, ``expected``
            stands for the members that can say nothing of it.
        explanation: why, where it was asked for.
    """

    rank: int
    item: Item
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    explanation: Explanation | None = None


class Recommendations(tuple[Recommendation, ...]):
    """The picks of one user, best first, with what there is to say about them.

    Attributes:
        notes: why there are fewer than asked for, or that a part failed and others stood in.
        understood: what was made of a request in free text; None where there was none.
    """

    notes: tuple[str, ...]
    understood: ParsedQuery | None

    def __new__(
        cls, picks: Sequence[Recommendation], notes: Sequence[str] = (), understood: ParsedQuery | None = None
    ) -> Recommendations:
        """Hold picks, notes and what was understood."""
        self = super().__new__(cls, picks)
        self.notes, self.understood = tuple(notes), understood
        return self


class Recommender(Fitted):
    """Generates items of one catalog for users known or new. Build it with ``from_domain`` or ``from_pretrained``.

    How it is trained (``fit``, ``refit``), and what it holds then: ``Fitted``.
    """

    @classmethod
    def from_domain(
        cls,
        domain: str | Path | Domain,
        llm: str | None = None,
        quantization: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Recommender:
        """Set up an untrained recommender.

        Args:
            domain: a domain, its name or its folder.
            llm: a model's name, folder or id on the hub, instead of the domain's.
            quantization: in training: ``none``, ``int8`` or ``nf4``, instead of the domain's; the latter two tune LoRA
                adapters. ``from_pretrained`` has another, for answering.
            settings: further changes, such as ``{"training.max_minutes": 10}``.

        Raises:
            ConfigError: a domain or a setting that does not hold.
            PromptError: a template that does not hold.
        """
        loaded = domain if isinstance(domain, Domain) else Domain.load(domain)
        changes = dict(settings or {})
        if llm is not None:
            changes["model.llm"] = llm
        if quantization is not None:
            changes["model.quantization"] = quantization
            if quantization != "none":
                changes.setdefault("model.adapter", "lora")
        loaded = loaded.changed(changes) if changes else loaded
        return cls(loaded, PromptBook.load(loaded))

    @classmethod
    def from_pretrained(
        cls, name: str | Path, quantization: str | None = None, plugins: Collection[str] = ()
    ) -> Recommender:
        """Load a trained recommender from a folder, or from the hub by id.

        Args:
            name: the folder; or an id on the hub, such as ``owner/name``, where no folder of that owner lies here.
            quantization: in how many bits it answers: ``none``, ``bf16``, ``int8`` or ``nf4``, instead of the saved
                domain's ``serving.quantization``; for models trained in full precision.
            plugins: other packages that it may import components from; see :mod:`genre_gen.registry`.

        Raises:
            ConfigError: no such quantization, or a model that was trained quantized.
            CheckpointError: a folder that is incomplete or damaged, or has components of packages not in ``plugins``.
            SourceError: neither a folder nor an id that the hub answers for.
        """
        from genre_gen.recommender.persistence import load

        return load(name, quantization, plugins)

    def save_pretrained(self, folder: str | Path, metrics: Mapping[str, Any] | None = None) -> None:
        """Save everything but the pre-trained model itself: safetensors, JSON and templates, a manifest last.

        Raises:
            CheckpointError: the folder cannot be written, or something that was not saved there would be replaced.
        """
        from genre_gen.recommender.persistence import save

        self._check_trained()
        save(self, Path(folder), metrics)

    def recommend(
        self,
        user: str | None = None,
        history: Sequence[str | tuple[str, float]] | None = None,
        n: int = 10,
        *,
        query: str | None = None,
        where: str | None = None,
        exclude: Sequence[str] = (),
        include: Sequence[str] | None = None,
        explain: bool = False,
    ) -> Recommendations:
        """Recommend items to a known user, or to whoever has this history.

        Args:
            user: an id of the data.
            history: titles or ids, oldest first; or pairs of one and a rating.
            n: how many; fewer come only where fewer are allowed, and ``notes`` says why.
            query: what it should be like, in free text, see :mod:`genre_gen.query`; ``understood`` of the result says
                what was made of it. With a query neither user nor history is needed.
            where: filter on attributes, see :mod:`genre_gen.data.filter_expression`.
            exclude: titles or ids that shall not appear.
            include: the only titles or ids that may appear; None for all.
            explain: add an explanation to each pick.

        Raises:
            UsageError: n out of range, neither history nor query, both a user and a history, a query that is empty
                or too long, or an argument of another kind.
            UnknownUserError, UnknownItemError, FilterError: what the data does not have.
        """
        self._check_trained()
        if query is not None and not isinstance(query, str):
            raise UsageError(f"query = {query!r}; give it as text")
        understood = None if query is None else self.query_reader.understand(query)
        stranger = query is not None and user is None and (history is None or not _pairs(history))
        who = History(np.zeros(0, np.int64)) if stranger else self.history_of(user, history)
        filters = Filters(self.catalog, where, exclude, include, self.domain.repeat)
        if understood is not None and understood.where is not None:
            filters.narrow(understood.where)
        if understood is not None and understood.items:
            filters.leave_out(understood.items, "named in the query")
        return next(self.recommend_many([who], n, filters, explain=explain, understood=understood))

    def recommend_many(
        self,
        histories: Sequence[History],
        n: int = 10,
        filters: Filters | None = None,
        *,
        explain: bool = False,
        understood: ParsedQuery | None = None,
    ) -> Iterator[Recommendations]:
        """Recommend to many histories, in order; the same picks as one at a time, in batches.

        Args:
            histories: of known users (``histories.history(id)``) or any others.
            n: how many items each.
            filters: None leaves out only what each has seen, where the domain does not repeat items.
            explain: add an explanation to each pick.
            understood: a request whose soft wishes join the blend; the hard ones are the filters' business.
        """
        self._check_trained()
        check_n(n, len(self.catalog))
        settings = self.domain.rerank
        reranks = settings.method != "none"
        depth, labels = (max(n, settings.candidates), self.labels) if reranks else (n, None)
        filters = filters or Filters(self.catalog, repeat=self.domain.repeat)
        for begin in range(0, len(histories), BATCH):
            part = histories[begin : begin + BATCH]
            allowed = [filters.allowed(history) for history in part]
            mask = np.stack([one.mask for one in allowed])
            blend, scores, notes = self._scores(part, mask, depth)
            if understood is not None:
                blend, scores = self._with_wishes(blend, scores, understood, mask)
                notes = notes if understood else [*notes, "nothing of the query was understood; ranked as without it"]
            blended = blend.combine(scores, mask)
            for place, history in enumerate(part):
                ranking = rerank(settings, blended[place], mask[place], history, n, labels)
                shares = blend.contributions(
                    {name: values[[place]] for name, values in scores.items()}, mask[[place]], ranking.rows[None]
                )
                picks = self._picks(ranking, {name: values[0] for name, values in shares.items()})
                short = [f"{len(picks)} of {n} items: {allowed[place].reason}"] if len(picks) < n else []
                picks = self._explained(history, ranking, picks, mask[place]) if explain else picks
                yield Recommendations(picks, [*notes, *short], understood)

    def _with_wishes(
        self,
        blend: Blend,
        scores: dict[str, NDArray[np.float32]],
        understood: ParsedQuery,
        mask: NDArray[np.bool_],
    ) -> tuple[Blend, dict[str, NDArray[np.float32]]]:
        """Add a member to the blend: how far each item fulfils what was wished."""
        fulfilled, weight = self.query_reader.score(understood), self.domain.query.weight
        if fulfilled is None or weight == 0:
            return blend, scores
        return Blend({**blend.weights, QUERY: weight}), {**scores, QUERY: np.broadcast_to(fulfilled, mask.shape)}

    @cached_property
    def query_reader(self) -> QueryReader:
        """Return what reads requests in free text, by the catalog's words and ``[query]`` of the domain."""
        return QueryReader(self.catalog, self.domain.query, self._likeness if self._telling else None)

    @property
    def _telling(self) -> list[CollaborativeModel]:
        """Return the models that can tell what is near an item."""
        return [model for name, model in self.members.items() if name in TELLING]

    def _likeness(self, row: int) -> NDArray[np.float64]:
        """Return how near each item is to one by what people have beside it: mean of the models, each 0 to 1."""
        total = np.zeros(len(self.catalog))
        for model in self._telling:
            scores = np.maximum(model.score([History(np.array([row]))])[0].astype(np.float64), 0.0)
            scores[row] = 0.0
            total += scores / max(float(scores.max()), 1e-12)
        return total / len(self._telling)

    def _scores(
        self, histories: Sequence[History], mask: NDArray[np.bool_], n: int
    ) -> tuple[Blend, dict[str, NDArray[np.float32]], list[str]]:
        """Score with every member that has a say; without the language model where its scores are not finite."""
        from genre_gen.llm.generator import CANDIDATES

        blend, scores, notes = self.blend, {}, []
        try:
            if LLM_MEMBER in blend.members:
                scores[LLM_MEMBER] = self.generator.score(histories, mask, max(CANDIDATES, n))
        except DecodingError as problem:
            log.warning("the language model failed: %s", problem)
            if not self.members:
                raise
            blend, notes = self.blend_without_llm, ["the language model failed; ranked by the collaborative models"]
        scores |= {name: self.members[name].score(histories) for name in blend.members if name != LLM_MEMBER}
        return blend, self.with_gaps(scores), notes

    def _member_scores(self, name: str, histories: Sequence[History]) -> NDArray[np.float32]:
        return self.with_gaps({name: self.members[name].score(histories)}, self.blend.members)[name]

    @cached_property
    def labels(self) -> Labels | None:
        """Return the labels that re-ranking goes by; None where no item has any."""
        return Labels.of_domain(self.catalog, self.domain)

    def _picks(self, ranking: Ranking, shares: Mapping[str, NDArray[np.float32]]) -> list[Recommendation]:
        return [
            Recommendation(
                place + 1,
                self.catalog[int(row)],
                float(score),
                {name: float(own[place]) for name, own in shares.items() if name != EXPECTED or own[place]},
            )
            for place, (row, score) in enumerate(zip(ranking.rows, ranking.scores, strict=True))
        ]

    def _explained(
        self, history: History, ranking: Ranking, picks: Sequence[Recommendation], allowed: NDArray[np.bool_]
    ) -> list[Recommendation]:
        rows = ranking.rows.tolist()
        svd = self.members.get("svd")
        known = history.ratings is not None and not np.isnan(history.ratings).all()
        rated = isinstance(svd, SVD) and known
        expected = [one.rating for one in svd.predict(history, rows)] if rated else None  # type: ignore[union-attr]
        parts, effects = [pick.parts for pick in picks], self._effects(history, rows, allowed)
        explanations = self.explainer.explain_many(history, rows, parts, expected, effects)
        return [replace(pick, explanation=text) for pick, text in zip(picks, explanations, strict=True)]

    def _effects(
        self, history: History, rows: Sequence[int], allowed: NDArray[np.bool_]
    ) -> list[dict[int, float]] | None:
        """Return what recent items did for each pick; None where that is not asked for, or cannot be measured."""
        most = self.domain.explain.attribution
        try:
            return self.attributor().effects(history, rows, allowed, most) if most and rows else None
        except DecodingError:
            return None  # the picks came without the language model, and their notes say so

    @cached_property
    def explainer(self) -> Explainer:
        """Return what explains picks, over the training data, worded as ``[explain]`` says."""
        from genre_gen.explain import Explainer

        style = self.domain.explain.style
        writer = None if style == "template" else self.generator.llm
        svd = self.members.get(SVD.name) or self.raters.models.get(SVD.name)
        return Explainer(
            self.catalog,
            self.trained_on,
            self.domain,
            self.book,
            language_model=writer,
            free=style == "free",
            knowledge=self.knowledge,
            factors=svd.item_factors if isinstance(svd, SVD) else None,
        )

    def explain(
        self, item: str, user: str | None = None, history: Sequence[str | tuple[str, float]] | None = None
    ) -> Explanation:
        """Explain why an item, given by title or id, would be recommended to a user or a history.

        Where it would not be, since the history holds it already, ``notes`` of the explanation say so.
        """
        who, row = self.history_of(user, history), self.catalog.find(item)
        allowed = self._allowed(who)
        ranking = Ranking(np.array([row]), np.zeros(1, np.float32))
        pick = Recommendation(1, self.catalog[row], 0.0)
        explanation = self._explained(who, ranking, [pick], allowed)[0].explanation
        if explanation is None:
            raise UsageError(f"nothing is known about {item!r}")
        had = f"{self.catalog[row].title} is in the history already, and would not be recommended again"
        return explanation if allowed[row] else replace(explanation, notes=(had,))

    def attribute(
        self,
        item: str,
        user: str | None = None,
        history: Sequence[str | tuple[str, float]] | None = None,
        *,
        most: int | None = RECENT,
    ) -> Attribution:
        """Measure what of a user's history an item, given by title or id, owes its score to.

        Args:
            item: what is, or would be, recommended.
            user: an id of the data.
            history: as in ``recommend``.
            most: how many of the most recent items are left out one by one; None for all that the language model reads.

        Raises:
            UsageError: ``most`` is less than 1, no history, or both a user and a history.
            DecodingError: the language model's scores are not finite.
        """
        who, row = self.history_of(user, history), self.catalog.find(item)
        return self.attributor().attribute(who, [row], self._allowed(who), _most(most))[0]

    def compare(
        self,
        item: str,
        other: str,
        user: str | None = None,
        history: Sequence[str | tuple[str, float]] | None = None,
        *,
        most: int | None = RECENT,
    ) -> Comparison:
        """Say why one item is recommended and not another: by member of the blend, and by item of the history.

        Args:
            item: title or id.
            other: title or id of the other.
            user: as in ``attribute``.
            history: as in ``attribute``.
            most: as in ``attribute``.

        Raises:
            UsageError: an item compared with itself, and as in ``attribute``.
        """
        from genre_gen.explain.comparison import compare, said

        who, row, beside = self.history_of(user, history), self.catalog.find(item), self.catalog.find(other)
        if row == beside:
            raise UsageError(f"{item!r} and {other!r} are the same item; compare it with another")
        found = compare(self.attributor(), who, row, beside, self._allowed(who), _most(most))
        return replace(found, text=said(found, self.book, self.explainer.evidence))

    def what_if(
        self,
        item: str,
        user: str | None = None,
        history: Sequence[str | tuple[str, float]] | None = None,
        *,
        n: int | None = None,
        most: int | None = RECENT,
    ) -> Counterfactual:
        """Find at most three items of a user's history without which an item is no longer among the first ``n``.

        They are found one by one, each time the one that does most harm, so a smaller set may exist.

        Args:
            item: title or id.
            user: as in ``attribute``.
            history: as in ``attribute``.
            n: ranks that it shall lose; None for its present rank.
            most: as in ``attribute``.

        Raises:
            UsageError: the item is not among the first ``n``, or all of the history, and as in ``attribute``.
        """
        from genre_gen.explain.comparison import said, what_if

        who, row = self.history_of(user, history), self.catalog.find(item)
        found = what_if(self.attributor(), who, row, self._allowed(who), n, _most(most))
        return replace(found, text=said(found, self.book, self.explainer.evidence))

    def attributor(self) -> Attributor:
        """Return what measures dependence, over the blend as it is now."""
        scorers = {name: partial(self._member_scores, name) for name in self.members}
        window = self.domain.model.max_history
        return Attributor(self.catalog, self.blend, scorers, self.generator, name=LLM_MEMBER, window=window)

    def _allowed(self, history: History) -> NDArray[np.bool_]:
        return Filters(self.catalog, repeat=self.domain.repeat).allowed(history).mask

    def predict(
        self, user: str | None = None, item: str = "", history: Sequence[str | tuple[str, float]] | None = None
    ) -> float:
        """Predict a rating on the data's scale, by the models of ``[ratings]`` and the language model's rating task.

        Raises:
            UsageError: nothing predicts ratings, such as where the data has none.
        """
        who, row = self.history_of(user, history), self.catalog.find(item)
        return float(self.raters.rate(self.generator, [who], [row])[0])

    def history_of(self, user: str | None, history: Sequence[str | tuple[str, float]] | None) -> History:
        """Return a known user's history, or the one that titles (and ratings) describe.

        Raises:
            UsageError: neither or both given, a history that is empty or none, or a rating off the scale.
            UnknownUserError, UnknownItemError: what the data does not have.
        """
        self._check_trained()
        if (user is None) == (history is None):
            raise UsageError("give either a user or a history")
        if user is not None:
            return self.histories.history(user)
        pairs = _pairs(history)
        if not pairs:
            raise UsageError("the history is empty; give at least one title")
        ratings = np.array([rating for _, rating in pairs], np.float32)
        low, high = self.domain.rating_scale or (-np.inf, np.inf)
        for (name, rating), off in zip(pairs, (ratings < low) | (ratings > high), strict=True):
            if off:
                raise UsageError(
                    f"the rating {rating:g} of {name!r} is off the scale, which runs from {low:g} to {high:g}"
                )
        rows = np.array(rows_of(self.catalog, [name for name, _ in pairs]), np.int64)
        return History(rows, None if np.isnan(ratings).all() else ratings)

    def key(self) -> str:
        """Return a fingerprint of what its picks depend on, to tell whether two runs would recommend the same."""
        digest = hashlib.sha256(repr([sorted(self.blend.weights.items()), self.domain.settings()]).encode())
        digest.update(self.catalog.fingerprint().encode())
        digest.update(self.generator.llm.code_embedding.detach().cpu().numpy().tobytes())
        for known in (self.histories, self.trained_on):
            digest.update(known.offsets.tobytes() + known.rows.tobytes())
        return digest.hexdigest()[:16]

    def scorers(self) -> dict[str, Scorer]:
        """Return the parts as scorers, for evaluation."""
        self._check_trained()
        return {OURS_ALONE: self.generator.score, **{name: model.score for name, model in self.members.items()}}

    def mixtures(self) -> dict[str, Mixture]:
        """Return the blends as mixtures of the scorers, for evaluation; but one where there are no members."""

        def ours(scores: Mapping[str, NDArray[np.float32]], allowed: NDArray[np.bool_]) -> NDArray[np.float32]:
            return self._combined(self.blend, {LLM_MEMBER: scores[OURS_ALONE], **scores}, allowed)

        if LLM_MEMBER in self.blend_without_llm.members:  # there is nothing else to blend
            return {OURS: ours}
        return {OURS: ours, WITHOUT_LLM: partial(self._combined, self.blend_without_llm)}

    def _combined(
        self, blend: Blend, scores: Mapping[str, NDArray[np.float32]], allowed: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        return blend.combine(self.with_gaps({name: scores[name] for name in blend.members}), allowed)


def _pairs(history: Any) -> list[tuple[str, float]]:
    """Return a history given by hand as pairs of a title or id and a rating, NaN where there is none.

    Raises:
        UsageError: no list, an entry that is neither a text nor a pair, or a rating that is no number.
    """
    if isinstance(history, (str, Mapping)) or not isinstance(history, Iterable):
        raise UsageError(f"the history is {history!r}; give a list of titles or ids, or of pairs of one and a rating")
    found = []
    for entry in history:
        name, rating = entry if isinstance(entry, (tuple, list)) and len(entry) == 2 else (entry, None)  # noqa: PLR2004
        if not isinstance(name, str):
            raise UsageError(f"the history holds {entry!r}; give titles or ids as text, or pairs of one and a rating")
        try:
            number = math.nan if rating is None else float(rating)
        except (TypeError, ValueError):
            raise UsageError(f"the rating {rating!r} of {name!r} is no number") from None
        if math.isinf(number):
            raise UsageError(f"the rating {rating!r} of {name!r} is not finite")
        found.append((name, number))
    return found


def _most(most: int | None) -> int | None:
    if most is not None and most < 1:
        raise UsageError(f"most = {most}; ask for at least one item of the history")
    return most
