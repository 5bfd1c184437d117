"""Train a recommender: collaborative models, the language model, and their blends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.ratings import scale_of, tune_rating_blend
from genre_gen.blending.tuned import Ended, Steps, TunedSettings
from genre_gen.blending.weights import fit_blends
from genre_gen.collaborative import ModelContext
from genre_gen.data.arguments import check_path, check_type
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.splits import NO_CASES, Split, check_split
from genre_gen.domain import Domain
from genre_gen.downloads.models import find_model
from genre_gen.errors import ConfigError, UsageError
from genre_gen.folders.locks import TRAINING, hold
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.state import LLM_MEMBER, RecommenderState, content_based, mask_cold_items
from genre_gen.rules.compiled import compile_rules
from genre_gen.tasks import TaskData
from genre_gen.training.budget import BLEND_SHARE, MEMBERS_SHARE, SOFT_TARGETS_SHARE, Budget
from genre_gen.training.distillation import OnShare, SoftTargets, Teacher
from genre_gen.training.fingerprint import recommender_fingerprint
from genre_gen.training.interruption import Interruption
from genre_gen.training.members import Fitted, MemberFitting, TimeShare, check_teachers, makers, of_ratings
from genre_gen.training.progress import ProgressOption, Stages, clock_time
from genre_gen.training.run import SOFT_TARGETS, Run
from genre_gen.training.stage_results import StageResults
from genre_gen.training.tracking import Tracking, final_results

if TYPE_CHECKING:
    from genre_gen.llm.model import LLM
    from genre_gen.training.llm_training import TrainingResult

log = logging.getLogger(__name__)
BATCH = 64
BUILD_STAGE, MEMBERS_STAGE, LLM_STAGE, BLEND_STAGE, REFIT_STAGE = (
    "item codes", "collaborative models", "language model", "blend weights", "refit",
)  # fmt: skip

LEAST_REFIT_STEPS = 10
"""A refit with fewer steps of the language model is left out."""


class RecommenderTraining:
    """Fits the parts of a recommender of one domain to a split."""

    def __init__(self, domain: Domain, *, folder: str | Path | None = None, progress: ProgressOption = False) -> None:
        """Read the templates; raises PromptError. The arguments are those of :meth:`genre_gen.Recommender.fit`."""
        self.domain, self.book, self.progress = domain, PromptBook.load(domain), progress
        self.folder = None if folder is None else check_path(folder, "folder")
        self.wording = None if domain.spoken == domain.language else PromptBook.load(domain, domain.spoken)

    def fit(self, split: Split, tuned: TunedSettings | None = None, *, exactly: bool = False) -> RecommenderState:
        """Train everything; see :meth:`genre_gen.Recommender.fit` for arguments and errors."""
        check_split(split)
        if tuned is not None:
            check_type(tuned, TunedSettings, "tuned", "state.tuned of an earlier training")
        try:
            compile_rules(self.domain.rules, split.catalog)
        except UsageError as problem:  # said now, and not by the first list after hours of training
            raise ConfigError(f"domain {self.domain.name}: {problem}") from None
        find_model(self.domain.model.llm)  # a name that no model has is said now as well
        # Two trainings that wrote checkpoints into one folder would spoil each other's.
        alone = nullcontext() if self.folder is None else hold(self.folder, TRAINING, wait=0)
        with alone, Tracking(self.domain, self.folder) as tracking:
            if tuned is None:
                state = self._choose(split, tracking)
            elif exactly:
                state = self._repeat(split, tuned, tracking)
            else:
                state = self._train_again(split, tuned, tracking)
            tracking.results = final_results(state)
        return state

    def fingerprint(self, split: Split) -> str:
        """Return a fingerprint of the training on a split, except for its budget."""
        return recommender_fingerprint(self.domain, self.book, split)

    def _choose(self, split: Split, tracking: Tracking) -> RecommenderState:
        """Learn from ``train``, choose settings on ``validation``, then refit on both."""
        if not split.validation:
            raise UsageError(f"training needs validation cases, and there are none: {NO_CASES}")
        context = self._context(split, split.train)
        check_teachers(self.domain, self.domain.blend.members, split.train)
        fingerprint = self.fingerprint(split)
        run = self._begin(fingerprint, tracking)
        with run.stages.stage(BUILD_STAGE):  # first, so that the others are planned with what it leaves
            llm = self._build_llm(split, run)
        with run.stages.stage(MEMBERS_STAGE):
            fitted = run.results.members()
            if fitted is None:
                share = TimeShare(run.budget.part(MEMBERS_SHARE))
                fitting = MemberFitting(self.domain, context, split.train, share)
                fitted = fitting.fit(split.validation, on_share=run.stages.update)
                run.results.keep_members(fitted, run.budget.spent)
        with run.stages.stage(LLM_STAGE), Interruption() as interrupted:
            teacher, trained = self._train_llm(llm, split, fitted, context, run, interrupted)
            if trained.cut:
                self._leave_out_llm(fitted, trained)
        with run.stages.stage(BLEND_STAGE):
            tuned = self._tune_blends(split, fitted, llm, context.rating_scale, run)
        tuned = replace(
            tuned,
            epochs=trained.epochs,
            members=fitted.options,
            teacher={} if teacher is None else dict(teacher.weights),
            temperature=1.0 if teacher is None else teacher.temperature,
            first=trained.steps,
            left_out=dict(fitted.left_out),
        )
        state = self._state(split, split.train, llm, fitted, tuned, trained.log)
        state = replace(state, training=fingerprint)
        return self._finish(state, split, context, teacher, trained, fitted, run)

    def _finish(
        self,
        state: RecommenderState,
        split: Split,
        context: ModelContext,
        teacher: Teacher | None,
        trained: TrainingResult,
        fitted: Fitted,
        run: Run,
    ) -> RecommenderState:
        """Refit on train and validation, if the settings, the time and an interruption allow."""
        if self.domain.training.refit == "none":
            return state.ended("interrupted") if trained.interrupted else state
        needed = run.refit_seconds(self.domain.training.refit, fitted) + run.spare
        needed += LEAST_REFIT_STEPS * trained.step_seconds
        ended: Ended = "time"
        if trained.interrupted:
            why, ended = "the training was interrupted", "interrupted"
        elif LLM_MEMBER in fitted.left_out:
            why = f"the {LLM_STAGE} is left out"
        elif run.budget.left < needed:
            why = f"it takes more than {clock_time(needed)}, and {clock_time(run.budget.left)} are left"
        else:
            with run.stages.stage(REFIT_STAGE):
                return self._refit(state, split.train_and_validation, context, teacher, run)
        log.warning("the %s is left out: %s", REFIT_STAGE, why)
        run.stages.end()
        return state.ended(ended, {REFIT_STAGE: why})

    def _train_again(self, split: Split, tuned: TunedSettings, tracking: Tracking) -> RecommenderState:
        """Learn from all of ``train_and_validation`` with the settings that an earlier training chose, by count."""
        from genre_gen.training.llm_training import RunOptions, train_from_scratch

        interactions, context = split.train_and_validation, self._context(split)
        self._check_names(tuned)
        if tuned.teacher:  # a budget may have left out all of them
            check_teachers(self.domain, tuned.teacher, interactions)
        run = self._counted(split, tuned, {MEMBERS_STAGE: 0.1, LLM_STAGE: 1.0}, tracking)
        with run.stages.stage(MEMBERS_STAGE):
            fitting = MemberFitting(self.domain, context, interactions)
            fitted = self._fit_as_before(fitting, tuned, run)
        _check_fitted(tuned, fitted)
        teacher = self._teacher(context, tuned)
        with run.stages.stage(LLM_STAGE):
            begin = time.perf_counter()
            data = TaskData(split.catalog, interactions, self.domain)
            options = RunOptions(teacher, epochs=tuned.epochs, on_step=run.follow, about=run.about)
            llm, _ = train_from_scratch(self.book, data, self.folder, options)
            fitted.took(LLM_MEMBER, begin)
        return replace(self._state(split, interactions, llm, fitted, tuned), training=run.results.fingerprint)

    def _repeat(self, split: Split, tuned: TunedSettings, tracking: Tracking) -> RecommenderState:
        """Do both parts of an earlier training again by its counts: the same data gives the same weights."""
        from genre_gen.training.llm_training import RunOptions, build_llm, train_llm

        if tuned.first is None:
            raise UsageError("these tuned settings lack the steps of their training; train once with this version")
        context = self._context(split, split.train)
        self._check_names(tuned)
        if tuned.teacher:
            check_teachers(self.domain, tuned.teacher, split.train)
        run = self._counted(split, tuned, self._plan(), tracking)
        with run.stages.stage(MEMBERS_STAGE):
            fitting = MemberFitting(self.domain, context, split.train)
            fitted = self._fit_as_before(fitting, tuned, run)
        _check_fitted(tuned, fitted)
        teacher = self._teacher(context, tuned)
        with run.stages.stage(LLM_STAGE):
            begin = time.perf_counter()
            llm = build_llm(self.domain, split.catalog, split.train)
            data = TaskData(split.catalog, split.train, self.domain)
            options = RunOptions(
                self._source(teacher, tuned.first), repeats=tuned.first, on_step=run.follow, about=run.about
            )
            trained = train_llm(llm, self.book, data, (), self.folder, options)
            fitted.took(LLM_MEMBER, begin)
        state = self._state(split, split.train, llm, fitted, tuned, trained.log)
        state = replace(state, training=run.results.fingerprint)
        if tuned.refit is None:
            return state
        with run.stages.stage(REFIT_STAGE):
            return self._refit(state, split.train_and_validation, context, teacher, run, repeats=tuned.refit)

    def _begin(self, fingerprint: str, tracking: Tracking) -> Run:
        """Start the clock of a training, after those before it that were interrupted, and say the plan."""
        minutes = self.domain.training.max_minutes
        results = StageResults(self.folder, fingerprint)
        budget = Budget(None if minutes is None else 60 * minutes, results.spent())
        stages = Stages(self._plan(), self.progress, budget=budget.seconds, spent=budget.spent)
        if budget.seconds is not None:
            spent = f", {clock_time(budget.spent)} of it spent before" if budget.spent >= 1 else ""
            shares = (f"{name} at most {clock_time(budget.share(share))}" for name, share in (
                (MEMBERS_STAGE, MEMBERS_SHARE), (SOFT_TARGETS, SOFT_TARGETS_SHARE), (BLEND_STAGE, BLEND_SHARE)
            ))  # fmt: skip
            stages.say(f"budget {clock_time(budget.seconds)}{spent}: {', '.join(shares)}; the rest for the {LLM_STAGE}")
        return Run(budget, stages, tracking, results)

    def _counted(self, split: Split, tuned: TunedSettings, plan: Mapping[str, float], tracking: Tracking) -> Run:
        """Start a training that follows tuned settings by count."""
        fingerprint = recommender_fingerprint(self.domain, self.book, split, tuned.to_dict())
        return Run(Budget(None), Stages(plan, self.progress), tracking, StageResults(None, fingerprint))

    def _check_names(self, tuned: TunedSettings) -> None:
        """Raise UsageError for tuned settings of members that the domain lacks."""
        if extra := tuned.members.keys() - set(self.domain.blend.members):
            raise UsageError(
                f"the tuned settings name {', '.join(sorted(extra))}, which blend.members lacks; add them there"
            )

    def _fit_as_before(self, fitting: MemberFitting, tuned: TunedSettings, run: Run) -> Fitted:
        """Fit the models that an earlier training did not leave out, with the hyper-parameters that it chose."""
        return fitting.fit(
            names=[name for name in self.domain.blend.members if name not in tuned.left_out],
            raters=[name for name in self.domain.ratings.members if of_ratings(name) not in tuned.left_out],
            options=tuned.members,
            on_share=run.stages.update,
        )

    def _context(self, split: Split, *logs: Interactions) -> ModelContext:
        return ModelContext(split.catalog, scale_of(self.domain, split.histories, *logs), self.domain.training.seed)

    def _plan(self) -> dict[str, float]:
        """Return the expected durations of the stages, in units of the language model's training."""
        refit = {"continue": 1 / 3, "from_scratch": 1.0}.get(self.domain.training.refit)
        plan = {BUILD_STAGE: 0.02, MEMBERS_STAGE: 0.1, LLM_STAGE: 1.0, BLEND_STAGE: 0.05}
        return plan if refit is None else {**plan, REFIT_STAGE: refit}

    def _state(
        self,
        split: Split,
        trained_on: Interactions,
        llm: LLM,
        fitted: Fitted,
        tuned: TunedSettings,
        training_log: Sequence[Mapping[str, Any]] = (),
    ) -> RecommenderState:
        return RecommenderState(
            self.domain,
            self.book,
            split.catalog,
            split.histories,
            trained_on,
            llm,
            fitted.models,
            fitted.raters,
            tuned,
            Knowledge.of_domain(self.domain, split.catalog),
            self.wording,
            fitted.seconds,
            training_log,
        )

    # The language model

    def _build_llm(self, split: Split, run: Run) -> LLM:
        from genre_gen.training.llm_training import build_llm

        begin = run.budget.spent
        llm = build_llm(self.domain, split.catalog, split.train)
        run.build_seconds = run.budget.spent - begin
        return llm

    def _leave_out_llm(self, fitted: Fitted, trained: TrainingResult) -> None:
        """Leave a language model out of the blends that had time for a few steps only, with a warning."""
        why = f"time was left for {trained.log[-1]['step']} steps only; give it a larger training.max_minutes"
        if fitted.models:
            fitted.left_out[LLM_MEMBER] = why
            log.warning("the %s is left out: %s", LLM_STAGE, why)
        else:
            log.warning("the %s has hardly learned, and there is nothing else: %s", LLM_STAGE, why)

    def _train_llm(
        self, llm: LLM, split: Split, fitted: Fitted, context: ModelContext, run: Run, interrupted: Callable[[], bool]
    ) -> tuple[Teacher | None, TrainingResult]:
        from genre_gen.training.llm_training import RunOptions, choose_teacher, train_llm

        begin = time.perf_counter() - run.build_seconds
        data = TaskData(split.catalog, split.train, self.domain)
        made = makers(context, fitted.models, fitted.options)
        teacher = choose_teacher(
            self.domain, made, fitted.models, run.cases(split.validation), len(split.catalog),
            run.within(SOFT_TARGETS_SHARE / 3),
        )  # fmt: skip
        options = RunOptions(
            None if teacher is None else partial(run.kept_soft_targets, teacher),
            time_left=None if run.budget.seconds is None else run.time_left(self.domain, fitted, len(split.validation)),
            interrupted=interrupted,
            on_step=run.follow,
            about=run.about,
        )
        trained = train_llm(llm, self.book, data, split.validation, self.folder, options)
        # If it resumed from a checkpoint, the time before is included.
        fitted.seconds[LLM_MEMBER] = max(time.perf_counter() - begin, trained.seconds)
        return teacher, trained

    def _teacher(self, context: ModelContext, tuned: TunedSettings) -> Teacher | None:
        made = makers(context, tuned.teacher, tuned.members)
        return Teacher(made, tuned.teacher, tuned.temperature, self.domain.repeat) if tuned.teacher else None

    def _source(self, teacher: Teacher | None, steps: Steps) -> Callable[[Interactions, OnShare], SoftTargets] | None:
        """Return what makes the soft targets of an earlier run again."""
        return None if teacher is None else partial(teacher, users=steps.soft_target_users)

    def _refit(
        self,
        state: RecommenderState,
        interactions: Interactions,
        context: ModelContext,
        teacher: Teacher | None,
        run: Run,
        repeats: Steps | None = None,
    ) -> RecommenderState:
        """Learn from the validation items too, after all settings are chosen."""
        from genre_gen.training.llm_training import RunOptions, refit_llm

        fitting = MemberFitting(self.domain, context, interactions)
        fitted = fitting.fit(names=state.members, raters=state.rating_models, options=state.tuned.members)
        _check_fitted(state.tuned, fitted)
        begin, tuned = time.perf_counter(), state.tuned
        data = TaskData(state.catalog, interactions, self.domain)
        if repeats is not None:
            source = self._source(teacher, repeats)
        elif teacher is not None:
            source = partial(run.soft_targets, teacher, run.budget.left / 2)
        else:
            source = None
        limited = run.budget.seconds is not None and repeats is None
        options = RunOptions(
            source,
            epochs=tuned.epochs,
            time_left=(lambda _: run.budget.left - run.spare) if limited else None,
            repeats=repeats,
            on_step=run.follow,
            about=run.about,
        )
        llm, trained = refit_llm(state.llm, self.book, data, self.folder, options)
        fitted.took(LLM_MEMBER, begin)
        for name, seconds in state.seconds.items():
            fitted.seconds[name] = fitted.seconds.get(name, 0.0) + seconds
        tuned = tuned if repeats is not None else replace(tuned, refit=trained.steps)
        return replace(
            state,
            trained_on=interactions,
            llm=llm,
            members=fitted.models,
            rating_models=fitted.raters,
            tuned=tuned,
            seconds=fitted.seconds,
        )

    # Blends

    def _tune_blends(
        self,
        split: Split,
        fitted: Fitted,
        llm: LLM,
        scale: tuple[float, float] | None,
        run: Run,
    ) -> TunedSettings:
        from genre_gen.llm.generator import ItemGenerator

        members, size = fitted.models, len(split.catalog)
        generator = ItemGenerator(llm, self.book, TaskData(split.catalog, split.train, self.domain))
        scorers: dict[str, Callable[[Sequence[History]], NDArray[np.floating]]] = {LLM_MEMBER: generator.score}
        if LLM_MEMBER in fitted.left_out:
            scorers.clear()
        scorers |= {name: model.score for name, model in members.items()}
        cold = ~np.isin(np.arange(size), split.train.rows)
        cases, limited = run.cases(split.validation), run.budget.seconds is not None
        masked = partial(
            mask_cold_items, members=None, cold=cold,
            content_based=content_based(self.domain, members, llm),
        )  # fmt: skip
        groups = [[*scorers], list(members) or [LLM_MEMBER]]
        blend, without_llm = fit_blends(
            scorers, groups, cases, size, repeat=self.domain.repeat, batch=BATCH, mask_cold_items=masked,
            enough=run.within(BLEND_SHARE * 2 / 3),
        )  # fmt: skip
        ratings = tune_rating_blend(
            fitted.raters, generator, cases, scale, run.within(BLEND_SHARE / 3) if limited else None
        )
        return TunedSettings(blend, without_llm, ratings=ratings)


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
