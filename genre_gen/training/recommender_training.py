"""What a recommender learns: its collaborative models, its language model, and how they are blended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import Blend, fit_blends
from genre_gen.blending.ratings import Raters, scale_of
from genre_gen.blending.tuned import TunedSettings
from genre_gen.collaborative import MEMBERS, CollaborativeModel, EpochModel, ModelContext
from genre_gen.collaborative.tuning import tune
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import NO_CASES, Case, Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError, UsageError
from genre_gen.prompting.book import PromptBook
from genre_gen.training.distillation import Teacher

if TYPE_CHECKING:
    from typing_extensions import Self

    from genre_gen.evaluation.protocol import Scorer
    from genre_gen.llm.generator import ItemGenerator
    from genre_gen.training.finetune import FineTuner

log = logging.getLogger(__name__)
LLM_MEMBER = "llm"
QUERY = "query"  # the part of a score that says how far an item fulfils a request in free text
BATCH = 64


class Fitted:
    """The parts of a recommender, and how they are fitted to data.

    Attributes:
        domain: settings.
        book: the templates.
        catalog: the items.
        histories: whose histories ``user=`` finds.
        members: the collaborative models, by name.
        blend: weights of the language model (``llm``) and the members.
        blend_without_llm: weights that stand in where the language model fails, and a peer in evaluations.
        raters: what predicts ratings.
        knowledge: what a graph says of the items, for explanations; see ``know``.
        seconds: what training took, by part.
    """

    catalog: Catalog
    histories: Interactions
    trained_on: Interactions
    generator: ItemGenerator
    blend: Blend
    blend_without_llm: Blend

    def __init__(self, domain: Domain, book: PromptBook) -> None:
        """Hold the settings; see ``from_domain``."""
        self.domain, self.book = domain, book
        self.members: dict[str, CollaborativeModel] = {}
        self.member_options: dict[str, dict[str, Any]] = {}
        self.raters = Raters()
        self.knowledge: Knowledge | None = None
        self._teacher: Teacher | None = None
        self._epochs: int | None = None
        self.seconds: dict[str, float] = {}
        self.training_log: list[dict[str, Any]] = []

    def fit(
        self,
        catalog: Catalog,
        interactions: Interactions,
        validation: Sequence[Case] | None = None,
        *,
        final: Interactions | None = None,
        histories: Interactions | None = None,
        folder: str | Path | None = None,
        on_step: Callable[[FineTuner], None] | None = None,
    ) -> Self:
        """Train the collaborative models and the language model, and choose the weights of the blend.

        Args:
            catalog: the items.
            interactions: what is learned from.
            validation: cases for early stopping and for the weights; None holds each user's last interaction out.
            final: what is learned from once everything is chosen, such as ``split.train_and_validation``; None leaves
                it at ``interactions``, or at all of them where ``validation`` was held out of them.
            histories: where ``user=`` looks users up; by default ``interactions`` (and the held-out ones).
            folder: for checkpoints and logs; a run that was killed goes on from there.
            on_step: called after each training step.

        Returns:
            The recommender itself.

        Raises:
            UsageError: interactions of another catalog, or none to validate on.
            ConfigError: settings that do not hold, such as a model that does not exist, or nobody to distil from.
            DataError: data that a model cannot learn from.
        """
        known = histories or interactions
        _check_catalog(catalog, interactions, final, known)
        if validation is None:
            final = interactions if final is None else final
            interactions, validation = _hold_out(interactions)
        if not validation:
            raise UsageError(f"no validation cases, and training needs some: {NO_CASES}")
        self._begin(catalog, interactions, known)
        self.member_options = {}
        self._check_teachers(self.domain.blend.members)
        folder = None if folder is None else Path(folder)
        self._fit_members(self.domain.blend.members, validation)
        self._fit_llm(validation, folder, on_step)
        self._fit_blends(validation)
        if final is not None:
            self._fit_finally(final, folder, on_step)
        return self

    def refit(
        self,
        catalog: Catalog,
        interactions: Interactions,
        choices: TunedSettings,
        *,
        histories: Interactions | None = None,
        folder: str | Path | None = None,
        on_step: Callable[[FineTuner], None] | None = None,
    ) -> Self:
        """Train everything anew with what an earlier ``fit`` chose: for newer data, or for another seed.

        Nothing is held out and nothing chosen, so it takes about half as long as a ``fit`` with ``training.refit`` at
        ``anew``, and gives the same as its last part.

        Args:
            catalog: the items; others than before may be among them.
            interactions: what is learned from, all of it.
            choices: of a trained recommender, see ``choices``.
            histories: where ``user=`` looks users up; by default ``interactions``.
            folder: for checkpoints and logs; a run that was killed goes on from there.
            on_step: called after each training step.

        Returns:
            The recommender itself.

        Raises:
            UsageError: interactions of another catalog, or choices for other models than the domain has or the data
                allows.
            ConfigError, DataError: as in ``fit``.
        """
        from genre_gen.training.llm_training import train_anew

        known = histories or interactions
        _check_catalog(catalog, interactions, known)
        if extra := choices.members.keys() - set(self.domain.blend.members):
            raise UsageError(f"the choices speak of {', '.join(sorted(extra))}, which blend.members does not have")
        self._begin(catalog, interactions, known)
        self._check_teachers(choices.teacher)
        self.take(choices)
        self._fit_members(self.domain.blend.members)
        self._check_fitted()
        begin, folder = time.perf_counter(), None if folder is None else Path(folder)
        self.generator = train_anew(
            self.domain,
            self.book,
            catalog,
            interactions,
            folder,
            on_step,
            teacher=self._teacher,
            epochs=self._epochs,
        )
        self.seconds[LLM_MEMBER] = time.perf_counter() - begin
        return self

    def know(self, domain: str | Path | Domain) -> None:
        """Take over a domain's ``[knowledge]`` and read its triples, for explanations; ``fit`` does so with its own.

        For a trained recommender it may be called at any time, and nothing has to be trained again. Where the domain's
        templates are those that it was trained with, its words for explanations, which may be newer, come with it.

        Raises:
            DataError: files that cannot be read.
            PromptError: templates that do not hold.
        """
        given = Domain.load(domain) if isinstance(domain, (str, Path)) else domain
        self.knowledge = Knowledge.of_domain(given, self.catalog)
        changed = self.domain.changed({"knowledge": given.settings()["knowledge"]})
        if given.prompts_folder != self.book.folder:
            book = PromptBook.load(given)
            if all(book.fingerprint(task) == self.book.fingerprint(task) for task in self.domain.tasks):
                self.book = book
            else:
                log.warning("the words for explanations stay as they were: %s was changed since training", book.folder)
        self.domain = changed
        self._forget()

    def take(self, choices: TunedSettings) -> None:
        """Take over what was chosen; all but the blends' weights matters to the next training only."""
        self.member_options = {name: dict(options) for name, options in choices.members.items()}
        self._epochs, self.blend, self.blend_without_llm = choices.epochs, choices.blend, choices.blend_without_llm
        self.raters.blend = choices.ratings
        members = self._new_members(choices.teacher)
        repeat = self.domain.repeat
        self._teacher = Teacher(members, choices.teacher, choices.temperature, repeat) if choices.teacher else None

    @property
    def choices(self) -> TunedSettings:
        """Return what was chosen on validation cases."""
        self._check_trained()
        taught = {} if self._teacher is None else dict(self._teacher.weights)
        temperature = 1.0 if self._teacher is None else self._teacher.temperature
        blends = (self.blend, self.blend_without_llm)
        return TunedSettings(*blends, self._epochs, self.member_options, taught, temperature, self.raters.blend)

    def _begin(self, catalog: Catalog, interactions: Interactions, histories: Interactions) -> None:
        """Take the data of a training, and forget all of an earlier one's."""
        self.catalog, self.trained_on, self.histories = catalog, interactions, histories
        self.members, self.seconds, self.training_log = {}, {}, []
        for part in ("blend", "blend_without_llm", "generator"):
            self.__dict__.pop(part, None)
        self._forget()
        self.knowledge = Knowledge.of_domain(self.domain, catalog)

    def _forget(self) -> None:
        """Drop what was derived from the parts and kept: all cached properties."""
        for name in list(self.__dict__):
            if isinstance(getattr(type(self), name, None), cached_property):
                del self.__dict__[name]

    def _check_teachers(self, names: Iterable[str]) -> None:
        """Refuse to distil from nobody before anything is fitted; raises ConfigError."""
        weight = self.domain.training.distillation
        teachers = [name for name in names if not issubclass(MEMBERS[name], EpochModel)]
        if weight and all(MEMBERS[name].cannot_learn(self.trained_on) for name in teachers):
            epochs = [name for name, kind in MEMBERS.built_in().items() if issubclass(kind, EpochModel)]
            raise ConfigError(
                f"training.distillation = {weight:g} needs collaborative models to learn from; name some in "
                f"blend.members ({', '.join(epochs)} teaches nobody), or set training.distillation = 0"
            )

    def _check_fitted(self) -> None:
        """Refuse choices that count on models which are not there; raises UsageError."""
        taught = {} if self._teacher is None else self._teacher.weights
        rated = {} if self.raters.blend is None else self.raters.blend.weights
        weights = (self.blend.weights, self.blend_without_llm.weights, taught)
        wanted = {name for one in weights for name, weight in one.items() if weight > 0} - self.members.keys()
        wanted |= {name for name, weight in rated.items() if weight > 0} - self.raters.models.keys()
        if missing := wanted - {LLM_MEMBER}:
            raise UsageError(
                f"the choices give {', '.join(sorted(missing))} a weight, which this training does not have: name them "
                "in blend.members and ratings.members and give data that they can learn from, or choose anew (fit, or "
                "train without --like)"
            )

    def _fit_finally(
        self, final: Interactions, folder: Path | None, on_step: Callable[[FineTuner], None] | None
    ) -> None:
        """Learn from the validation items too, everything being chosen."""
        from genre_gen.training.llm_training import final_generator

        self.trained_on = final
        self._forget()
        self._fit_members(list(self.members))
        self._check_fitted()
        begin = time.perf_counter()
        self.generator = final_generator(self.generator, final, folder, on_step, self._teacher, self._epochs)
        self.seconds[LLM_MEMBER] += time.perf_counter() - begin

    def _fit_members(self, names: Iterable[str], validation: Sequence[Case] | None = None) -> None:
        """Fit the collaborative models; on validation cases, their hyper-parameters are chosen anew."""
        self.members = {}
        for name, seconds in self.raters.fit(self.domain, self.trained_on, self._rating_scale()).items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        for name in names:
            begin = time.perf_counter()
            if why := MEMBERS[name].cannot_learn(self.trained_on):
                log.warning("%s is left out: %s", name, why)
            elif isinstance(self.raters.models.get(name), MEMBERS[name]):
                self.members[name] = self.raters.models[name]  # fitted once, though it does two things
            else:
                self.members[name] = self._fit_member(name, validation)
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def _fit_member(self, name: str, validation: Sequence[Case] | None) -> CollaborativeModel:
        if not validation or not self.domain.blend.tune:
            return self.new_member(name, **self.member_options.get(name, {})).fit(self.trained_on)

        def make(options: Mapping[str, Any]) -> CollaborativeModel:
            return self.new_member(name, **options)

        repeat = self.domain.repeat
        model, self.member_options[name] = tune(make, self.trained_on, validation, repeat=repeat)
        return model

    def _fit_llm(
        self, validation: Sequence[Case], folder: Path | None, on_step: Callable[[FineTuner], None] | None
    ) -> None:
        from genre_gen.training.llm_training import build_generator, choose_teacher, train

        begin = time.perf_counter()
        self.generator = build_generator(self.domain, self.book, self.catalog, self.trained_on)
        self._teacher = choose_teacher(
            self.domain, self._new_members(self.members), self.members, validation, len(self.catalog)
        )
        trained = train(self.generator, validation, folder, on_step, teacher=self._teacher)
        self.training_log = trained.log
        self._epochs = trained.epochs
        # Where it went on from a checkpoint, the time before that counts too.
        self.seconds[LLM_MEMBER] = max(time.perf_counter() - begin, trained.seconds)

    def _new_members(self, names: Iterable[str]) -> dict[str, Callable[[], CollaborativeModel]]:
        """Return functions that make members anew, not fitted."""
        return {name: partial(self.new_member, name, **self.member_options.get(name, {})) for name in names}

    def new_member(self, name: str, **options: Any) -> CollaborativeModel:
        """Return an untrained collaborative model by its name, set up for the data; raises ConfigError."""
        return new_member(name, self.domain, self.catalog, self._rating_scale(), **options)

    def _fit_blends(self, validation: Sequence[Case]) -> None:
        groups = [[LLM_MEMBER, *self.members], list(self.members) or [LLM_MEMBER]]
        size, repeat = len(self.catalog), self.domain.repeat
        self.blend, self.blend_without_llm = fit_blends(
            self._members_scorers(), groups, validation, size, repeat=repeat, batch=BATCH, gaps=self.with_gaps
        )
        self.raters.choose(self.generator, validation, self._rating_scale())

    def with_gaps(
        self, scores: Mapping[str, NDArray[np.floating]], members: Iterable[str] | None = None
    ) -> dict[str, NDArray[np.floating]]:
        """Have members that count who had what say nothing (NaN) of items that nobody has had.

        What they would say of these is not that they are bad; see :func:`genre_gen.ranking.shares`. Where no member of
        the blend (``members``, or all that have scores) reads texts, all is left as it is.
        """
        reading = self._reading.intersection(scores if members is None else members)
        if not reading or not self.unmet.any():
            return dict(scores)
        return {
            name: values if name in {*reading, LLM_MEMBER} else np.where(self.unmet, np.float32(np.nan), values)
            for name, values in scores.items()
        }

    @cached_property
    def unmet(self) -> NDArray[np.bool_]:
        """Return which items nobody has had in what was learned from: bool ``[n_items]``."""
        return ~np.isin(np.arange(len(self.catalog)), self.trained_on.rows)

    @property
    def _reading(self) -> set[str]:
        """Return the members of blends that tell new items apart by their texts."""
        found = {QUERY} | {name for name, model in self.members.items() if model.content_based}
        codes = self.domain.codes
        placed = codes.text > 0 and codes.cold_start_scale > 0 and self.generator.trie.is_flat  # see place_new_items
        return found | {LLM_MEMBER} if placed else found

    def _rating_scale(self) -> tuple[float, float] | None:
        return scale_of(self.domain, self.histories, self.trained_on)

    def _check_trained(self) -> None:
        if not hasattr(self, "blend") or not hasattr(self, "generator"):
            raise UsageError("this recommender is not trained; call fit, or load one with Recommender.from_pretrained")

    def _members_scorers(self) -> dict[str, Scorer]:
        return {LLM_MEMBER: self.generator.score, **{name: model.score for name, model in self.members.items()}}


def new_member(
    name: str, domain: Domain, catalog: Catalog, scale: tuple[float, float] | None = None, **options: Any
) -> CollaborativeModel:
    """Return an untrained member of the blend.

    Args:
        name: as in ``domain.toml``.
        domain: its settings.
        catalog: the items.
        scale: lowest and highest rating, see :func:`genre_gen.blending.ratings.scale_of`; None for the domain's.
        options: hyper-parameters.

    Raises:
        ConfigError: no such model.
    """
    context = ModelContext(catalog, scale or domain.rating_scale, domain.training.seed)
    return MEMBERS[name].for_data(context, **options)


def _check_catalog(catalog: Catalog, *known: Interactions | None) -> None:
    """Refuse interactions whose rows are not those of a catalog; raises UsageError."""
    for one in known:
        if one is not None and one.n_items != len(catalog):
            raise UsageError(
                f"the interactions are of a catalog of {one.n_items:,} items, and this one has {len(catalog):,}; load "
                "both together, as with Interactions.load(..., catalog=catalog)"
            )


def _hold_out(interactions: Interactions) -> tuple[Interactions, tuple[Case, ...]]:
    """Take each user's last interaction out as a validation case (users with three or more).

    Raises:
        UsageError: there are no such users.
    """
    lengths = np.diff(interactions.offsets)
    if lengths.max(initial=0) < 3:  # noqa: PLR2004 - as leave_one_out does
        raise UsageError("no user has three interactions, and training needs some to validate on; give more data")
    last = np.zeros(len(interactions), bool)
    last[interactions.offsets[1:][lengths >= 3] - 1] = True  # noqa: PLR2004 - as leave_one_out does
    return interactions.keep(~last), interactions.leave_one_out().test
