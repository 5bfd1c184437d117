"""Train a recommender: collaborative models, the language model, and their blends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.ratings import fit_raters, scale_of, tune_rating_blend
from genre_gen.blending.tuned import TunedSettings
from genre_gen.blending.weights import fit_blends
from genre_gen.collaborative import MEMBERS, CollaborativeModel, EpochModel, ModelContext, RatingModel
from genre_gen.collaborative.tuning import tune
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import History, Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.splits import NO_CASES, Case, Split
from genre_gen.domain import Domain
from genre_gen.downloads.models import find_model
from genre_gen.errors import ConfigError, UsageError
from genre_gen.folders.locks import TRAINING, hold
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.state import LLM_MEMBER, RecommenderState, content_based, mask_cold_items
from genre_gen.rules.compiled import compile_rules
from genre_gen.tasks import TaskData
from genre_gen.training.distillation import Teacher
from genre_gen.training.progress import ProgressOption, Stages
from genre_gen.training.tracking import Tracking, final_results

if TYPE_CHECKING:
    from genre_gen.llm.model import LLM
    from genre_gen.training.finetune import FineTuner
    from genre_gen.training.llm_training import TrainingResult

log = logging.getLogger(__name__)
BATCH = 64
MEMBERS_STAGE, LLM_STAGE, BLEND_STAGE, REFIT_STAGE = (
    "collaborative models", "language model", "blend weights", "refit",
)  # fmt: skip


SOFT_TARGETS_SHARE = 0.2
"""The expected share of the language model's stage that making soft targets takes, if there are any."""


@dataclass
class Fitted:
    """The collaborative models of a training by name: members of the blend with chosen options, and raters."""

    models: dict[str, CollaborativeModel] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    raters: dict[str, RatingModel] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def took(self, name: str, begin: float) -> None:
        """Add the seconds since ``begin`` to those of a part."""
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


class RecommenderTraining:
    """Fits the parts of a recommender of one domain to a split."""

    def __init__(self, domain: Domain, *, folder: Path | None = None, progress: ProgressOption = False) -> None:
        """Read the templates; raises PromptError. The arguments are those of :meth:`genre_gen.Recommender.fit`."""
        self.domain, self.book, self.folder, self.progress = domain, PromptBook.load(domain), folder, progress
        self.wording = None if domain.spoken == domain.language else PromptBook.load(domain, domain.spoken)

    def fit(self, split: Split, tuned: TunedSettings | None = None) -> RecommenderState:
        """Train everything; see :meth:`genre_gen.Recommender.fit` for arguments and errors."""
        try:
            compile_rules(self.domain.rules, split.catalog)
        except UsageError as problem:  # said now, and not by the first list after hours of training
            raise ConfigError(f"domain {self.domain.name}: {problem}") from None
        find_model(self.domain.model.llm)  # a name that no model has is said now as well
        # Two trainings that wrote checkpoints into one folder would spoil each other's.
        alone = nullcontext() if self.folder is None else hold(self.folder, TRAINING, wait=0)
        with alone, Tracking(self.domain, self.folder) as tracking:
            state = self._choose(split, tracking) if tuned is None else self._train_again(split, tuned, tracking)
            tracking.results = final_results(state)
        return state

    def _choose(self, split: Split, tracking: Tracking) -> RecommenderState:
        """Learn from ``train``, choose settings on ``validation``, then refit on both."""
        if not split.validation:
            raise UsageError(f"training needs validation cases, and there are none: {NO_CASES}")
        context = self._context(split, split.train)
        self._check_teachers(self.domain.blend.members, split.train)
        stages = Stages(self._plan(), self.progress)
        with stages.stage(MEMBERS_STAGE):
            fitted = self._fit_members(context, split.train, split.validation, stages=stages)
        with stages.stage(LLM_STAGE):
            llm, teacher, trained = self._train_llm(split, fitted, context, _follow(stages, tracking))
        with stages.stage(BLEND_STAGE):
            tuned = self._tune_blends(split, fitted, llm, context.rating_scale)
        tuned = replace(
            tuned,
            epochs=trained.epochs,
            members=fitted.options,
            teacher={} if teacher is None else dict(teacher.weights),
            temperature=1.0 if teacher is None else teacher.temperature,
        )
        state = self._state(split.catalog, split.histories, split.train, llm, fitted, tuned, trained.log)
        if self.domain.training.refit == "none":
            return state
        with stages.stage(REFIT_STAGE):
            return self._refit(state, split.train_and_validation, context, teacher, _follow(stages, tracking))

    def _train_again(self, split: Split, tuned: TunedSettings, tracking: Tracking) -> RecommenderState:
        """Learn from all of ``train_and_validation`` with the settings that an earlier training chose."""
        from genre_gen.training.llm_training import train_from_scratch

        interactions, context = split.train_and_validation, self._context(split)
        if extra := tuned.members.keys() - set(self.domain.blend.members):
            raise UsageError(
                f"the tuned settings name {', '.join(sorted(extra))}, which blend.members lacks; add them there"
            )
        self._check_teachers(tuned.teacher, interactions)
        stages = Stages({MEMBERS_STAGE: 0.1, LLM_STAGE: 1.0}, self.progress)
        with stages.stage(MEMBERS_STAGE):
            fitted = self._fit_members(context, interactions, options=tuned.members, stages=stages)
        _check_fitted(tuned, fitted)
        makers = _makers(context, tuned.teacher, tuned.members)
        teacher = Teacher(makers, tuned.teacher, tuned.temperature, self.domain.repeat) if tuned.teacher else None
        with stages.stage(LLM_STAGE):
            begin = time.perf_counter()
            data = TaskData(split.catalog, interactions, self.domain)
            llm = train_from_scratch(
                self.book, data, self.folder, teacher=teacher, epochs=tuned.epochs, on_step=_follow(stages, tracking)
            )
            fitted.took(LLM_MEMBER, begin)
        return self._state(split.catalog, split.histories, interactions, llm, fitted, tuned)

    def _context(self, split: Split, *logs: Interactions) -> ModelContext:
        return ModelContext(split.catalog, scale_of(self.domain, split.histories, *logs), self.domain.training.seed)

    def _plan(self) -> dict[str, float]:
        """Return the expected durations of the stages, in units of the language model's training."""
        refit = {"continue": 1 / 3, "from_scratch": 1.0}.get(self.domain.training.refit)
        plan = {MEMBERS_STAGE: 0.1, LLM_STAGE: 1.0, BLEND_STAGE: 0.05}
        return plan if refit is None else {**plan, REFIT_STAGE: refit}

    def _state(
        self,
        catalog: Catalog,
        histories: Interactions,
        trained_on: Interactions,
        llm: LLM,
        fitted: Fitted,
        tuned: TunedSettings,
        training_log: Sequence[Mapping[str, Any]] = (),
    ) -> RecommenderState:
        return RecommenderState(
            self.domain,
            self.book,
            catalog,
            histories,
            trained_on,
            llm,
            fitted.models,
            fitted.raters,
            tuned,
            Knowledge.of_domain(self.domain, catalog),
            self.wording,
            fitted.seconds,
            training_log,
        )

    # Collaborative models

    def _fit_members(
        self,
        context: ModelContext,
        interactions: Interactions,
        validation: Sequence[Case] = (),
        *,
        names: Iterable[str] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        stages: Stages | None = None,
    ) -> Fitted:
        """Fit the domain's collaborative models or some of them; validation cases choose their hyper-parameters."""
        fitted = Fitted(options={name: dict(chosen) for name, chosen in (options or {}).items()})
        fitted.raters, fitted.seconds = fit_raters(self.domain, interactions, context.rating_scale)
        names = self.domain.blend.members if names is None else tuple(names)
        for number, name in enumerate(names):
            if stages is not None:
                stages.update(number / len(names))
            begin = time.perf_counter()
            if why := MEMBERS[name].cannot_learn(interactions):
                log.warning("%s is left out: %s", name, why)
            elif isinstance(fitted.raters.get(name), MEMBERS[name]):
                fitted.models[name] = fitted.raters[name]  # fitted once for both purposes
            else:
                make = partial(_make, name, context)
                if validation and self.domain.blend.tune:
                    fitted.models[name], fitted.options[name] = tune(
                        make, interactions, validation, repeat=self.domain.repeat
                    )
                else:
                    fitted.models[name] = make(fitted.options.get(name, {})).fit(interactions)
                fitted.took(name, begin)
        return fitted

    def _check_teachers(self, names: Iterable[str], interactions: Interactions) -> None:
        """Raise ConfigError, before anything is fitted, if distillation has no teacher."""
        weight = self.domain.training.distillation
        teachers = [MEMBERS[name] for name in names if not issubclass(MEMBERS[name], EpochModel)]
        if weight and all(model.cannot_learn(interactions) for model in teachers):
            epochs = {name for name, model in MEMBERS.built_in().items() if issubclass(model, EpochModel)}
            raise ConfigError(
                f"training.distillation = {weight:g} needs collaborative models to learn from; name some in "
                f"blend.members ({', '.join(sorted(epochs))} cannot be a teacher), or set training.distillation = 0"
            )

    # The language model

    def _train_llm(
        self, split: Split, fitted: Fitted, context: ModelContext, on_step: Callable[[FineTuner], None]
    ) -> tuple[LLM, Teacher | None, TrainingResult]:
        from genre_gen.training.llm_training import build_llm, choose_teacher, train_llm

        begin = time.perf_counter()
        llm = build_llm(self.domain, split.catalog, split.train)
        data = TaskData(split.catalog, split.train, self.domain)
        makers = _makers(context, fitted.models, fitted.options)
        teacher = choose_teacher(self.domain, makers, fitted.models, split.validation, len(split.catalog))
        trained = train_llm(llm, self.book, data, split.validation, self.folder, teacher=teacher, on_step=on_step)
        # If it resumed from a checkpoint, the time before is included.
        fitted.seconds[LLM_MEMBER] = max(time.perf_counter() - begin, trained.seconds)
        return llm, teacher, trained

    def _refit(
        self,
        state: RecommenderState,
        interactions: Interactions,
        context: ModelContext,
        teacher: Teacher | None,
        on_step: Callable[[FineTuner], None],
    ) -> RecommenderState:
        """Learn from the validation items too, after all settings are chosen."""
        from genre_gen.training.llm_training import refit_llm

        fitted = self._fit_members(context, interactions, names=state.members, options=state.tuned.members)
        _check_fitted(state.tuned, fitted)
        begin, tuned = time.perf_counter(), state.tuned
        data = TaskData(state.catalog, interactions, self.domain)
        llm = refit_llm(state.llm, self.book, data, self.folder, teacher=teacher, epochs=tuned.epochs, on_step=on_step)
        fitted.took(LLM_MEMBER, begin)
        for name, seconds in state.seconds.items():
            fitted.seconds[name] = fitted.seconds.get(name, 0.0) + seconds
        return self._state(state.catalog, state.histories, interactions, llm, fitted, tuned, state.training_log)

    # Blends

    def _tune_blends(self, split: Split, fitted: Fitted, llm: LLM, scale: tuple[float, float] | None) -> TunedSettings:
        from genre_gen.llm.generator import ItemGenerator

        members, size = fitted.models, len(split.catalog)
        generator = ItemGenerator(llm, self.book, TaskData(split.catalog, split.train, self.domain))
        scorers: dict[str, Callable[[Sequence[History]], NDArray[np.floating]]] = {LLM_MEMBER: generator.score}
        scorers |= {name: model.score for name, model in members.items()}
        cold = ~np.isin(np.arange(size), split.train.rows)
        masked = partial(
            mask_cold_items, members=None, cold=cold,
            content_based=content_based(self.domain, members, llm),
        )  # fmt: skip
        groups = [[LLM_MEMBER, *members], list(members) or [LLM_MEMBER]]
        blend, without_llm = fit_blends(
            scorers, groups, split.validation, size, repeat=self.domain.repeat, batch=BATCH, mask_cold_items=masked
        )
        ratings = tune_rating_blend(fitted.raters, generator, split.validation, scale)
        return TunedSettings(blend, without_llm, ratings=ratings)


def new_member(
    name: str, domain: Domain, catalog: Catalog, scale: tuple[float, float] | None = None, **options: Any
) -> CollaborativeModel:
    """Return an untrained member of the blend; raises ConfigError if there is no such model.

    ``scale`` is the lowest and highest rating, None for the domain's; ``options`` are hyper-parameters.
    """
    return _make(name, ModelContext(catalog, scale or domain.rating_scale, domain.training.seed), options)


def _make(name: str, context: ModelContext, options: Mapping[str, Any]) -> CollaborativeModel:
    return MEMBERS[name].for_data(context, **options)


def _makers(
    context: ModelContext, names: Iterable[str], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, Callable[[], CollaborativeModel]]:
    """Return functions that make untrained members."""
    return {name: partial(_make, name, context, options.get(name, {})) for name in names}


def _check_fitted(tuned: TunedSettings, fitted: Fitted) -> None:
    """Raise UsageError if tuned settings have weights of models that are missing."""
    blends = (tuned.blend.weights, tuned.blend_without_llm.weights, tuned.teacher)
    wanted = {name for weights in blends for name, weight in weights.items() if weight > 0} - fitted.models.keys()
    rated = {} if tuned.ratings is None else tuned.ratings.weights
    wanted |= {name for name, weight in rated.items() if weight > 0} - fitted.raters.keys()
    if missing := wanted - {LLM_MEMBER}:
        raise UsageError(
            f"the tuned settings give {', '.join(sorted(missing))} a weight, and this training lacks them: name "
            "them in blend.members and ratings.members and give data that they can learn from, or fit without tuned "
            "settings"
        )


def _follow(stages: Stages, tracking: Tracking) -> Callable[[FineTuner], None]:
    """Return a function that reports the language model's progress to a stage, and its figures to the tracker."""

    def on_step(tuner: FineTuner) -> None:
        tracking.follow(tuner)
        if tuner.stage == "soft targets":
            stages.update(SOFT_TARGETS_SHARE * tuner.share(), part=tuner.stage)
            return
        before = SOFT_TARGETS_SHARE if tuner.training.distillation else 0.0
        best = {"NDCG@10": tuner.progress.best} if tuner.progress.best >= 0 else {}
        stages.update(before + (1 - before) * tuner.share(), {**best, **tuner.recent_losses()}, part=tuner.stage)

    return on_step
