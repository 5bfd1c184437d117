"""Fit the collaborative models of a training, within their share of its budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from genre_gen.collaborative import MEMBERS, RATERS, CollaborativeModel, EpochModel, ModelContext, RatingModel
from genre_gen.collaborative.tuning import tune
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError
from genre_gen.training.progress import clock_time

log = logging.getLogger(__name__)
Maker = Callable[[Mapping[str, Any]], CollaborativeModel]

ESTIMATED_FROM = 20_000
"""The number of interactions from which the time of a fit is estimated before it begins."""

SAMPLE = 0.05
"""The share of the users whose fit estimates that of all."""

EPOCH_MODELS_SHARE = 0.6
"""The share of the time left after the quick models that those trained epoch by epoch may take, before tuning."""

NO_TIME = "no time is left of its share of the budget"


@dataclass
class Fitted:
    """The collaborative models of a training by name.

    Attributes:
        models: members of the blend.
        options: the members' chosen hyper-parameters.
        raters: models of ratings.
        seconds: the time each took, with its tuning.
        once: the time of one fit of each with what was chosen, which a refit takes again.
        left_out: name -> why it was not fitted; see :func:`of_ratings`.
    """

    models: dict[str, CollaborativeModel] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    raters: dict[str, RatingModel] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    once: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def took(self, name: str, begin: float) -> None:
        """Add the seconds since ``begin`` to those of a part."""
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


@dataclass(frozen=True)
class TimeShare:
    """The part of a budget that a stage may take.

    Attributes:
        left: returns the seconds left of it.
    """

    left: Callable[[], float] = lambda: float("inf")

    def over(self) -> bool:
        """Tell whether it is used up."""
        return self.left() <= 0


UNLIMITED = TimeShare()


class MemberFitting:
    """Fits models to interactions; one that would take longer than the time that is left is left out."""

    def __init__(
        self,
        domain: Domain,
        context: ModelContext,
        interactions: Interactions,
        time_share: TimeShare = TimeShare(),
    ) -> None:
        """Prepare; nothing is fitted yet."""
        self.domain, self.context, self.interactions, self.time_share = domain, context, interactions, time_share

    def fit(
        self,
        validation: Sequence[Case] = (),
        *,
        names: Iterable[str] | None = None,
        raters: Iterable[str] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        on_share: Callable[[float], None] = lambda _: None,
    ) -> Fitted:
        """Fit the domain's collaborative models or some of them; validation cases choose their hyper-parameters.

        ``names`` are members of the blend, ``raters`` models of ratings; None for all of the domain.
        """
        fitted = Fitted(options={name: dict(chosen) for name, chosen in (options or {}).items()})
        names = self.domain.blend.members if names is None else tuple(names)
        rated = self.context.rating_scale is not None and self.interactions.rated
        raters = tuple(self.domain.ratings.members if raters is None else raters) if rated else ()
        for number, name in enumerate(raters):
            on_share(number / (len(raters) + len(names)))
            self._fit_rater(fitted, name)
        tunes = bool(validation) and self.domain.blend.tune
        limited = self.time_share.left() < float("inf")
        for number, name in enumerate(names, len(raters)):
            on_share(number / (len(raters) + len(names)))
            if limited and tunes and issubclass(MEMBERS[name], EpochModel):
                continue
            self._fit_member(fitted, name, () if limited else validation)
        if limited and tunes:
            self._spend_rest(fitted, names, validation, on_share)
        fitted.models = {name: fitted.models[name] for name in names if name in fitted.models}
        for name, why in fitted.left_out.items():
            log.warning("%s is left out: %s", name, why)
        return fitted

    def _spend_rest(
        self, fitted: Fitted, names: Sequence[str], validation: Sequence[Case], on_share: Callable[[float], None]
    ) -> None:
        """With all quick models fitted, spend the rest of the time on those of many epochs, and on tuning."""
        epochs = [name for name in names if issubclass(MEMBERS[name], EpochModel)]
        end = self.time_share.left() * (1 - EPOCH_MODELS_SHARE)
        for name in epochs:
            self._fit_member(fitted, name, validation, TimeShare(lambda: self.time_share.left() - end))
        for name in names:
            on_share(1.0)
            shared = name in fitted.raters and fitted.raters[name] is fitted.models.get(name)
            if name in epochs or name not in fitted.models or shared:
                continue
            if fitted.once[name] < self.time_share.left():
                self._fit_member(fitted, name, validation)

    def _fit_rater(self, fitted: Fitted, name: str) -> None:
        begin = time.perf_counter()
        make = partial(_make_rater, name, self.context)
        if why := RATERS[name].cannot_learn(self.interactions) or self._too_long(make):
            fitted.left_out[of_ratings(name)] = why
            return
        fitted.raters[name] = make({}).fit(self.interactions)  # type: ignore[assignment]
        fitted.took(name, begin)
        fitted.once[name] = fitted.seconds[name]

    def _fit_member(
        self, fitted: Fitted, name: str, validation: Sequence[Case], time_share: TimeShare | None = None
    ) -> None:
        begin, made, time_share = time.perf_counter(), 0, time_share or self.time_share

        def make(options: Mapping[str, Any]) -> CollaborativeModel:
            nonlocal made
            made += 1
            return make_member(name, self.context, options)

        if isinstance(fitted.raters.get(name), MEMBERS[name]):
            fitted.models[name] = fitted.raters[name]  # fitted once for both purposes
            return
        why = MEMBERS[name].cannot_learn(self.interactions)
        if why is None and name not in fitted.models:
            why = self._too_long(partial(make_member, name, self.context))
        if why is not None:
            fitted.left_out[name] = why
            return
        if validation and self.domain.blend.tune:
            model, fitted.options[name] = tune(
                make, self.interactions, validation, repeat=self.domain.repeat, enough=time_share.over
            )
            if isinstance(model, EpochModel) and model.best_epoch == 0:
                del fitted.options[name]
                fitted.left_out[name] = NO_TIME
                return
            if isinstance(model, EpochModel):
                model.max_epochs = model.best_epoch  # so that it is what a refit by count makes
        else:
            model = make(fitted.options.get(name, {})).fit(self.interactions)
        fitted.models[name] = model
        fitted.took(name, begin)
        epochs = len(model.log) / model.best_epoch if isinstance(model, EpochModel) and model.log else 1.0
        fitted.once.setdefault(name, (time.perf_counter() - begin) / max(made, 1) / epochs)

    def _too_long(self, make: Maker) -> str | None:
        """Return why a fit does not fit into the time that is left; None if it does, or cannot be told."""
        left = self.time_share.left()
        if left <= 0:
            return NO_TIME
        if left == float("inf") or len(self.interactions) < ESTIMATED_FROM:
            return None
        model = make({})
        if isinstance(model, EpochModel):  # which stops within an epoch
            return None
        seconds = model.fit_seconds(self.interactions)
        if seconds is None:
            sample = self._sample()
            seconds = min(_timed(make({}), sample) for _ in range(2))  # the first one may import a library
            seconds *= len(self.interactions) / max(1, len(sample))
        if seconds <= left:
            return None
        return f"one fit takes about {clock_time(seconds)}, and {clock_time(left)} are left of its share of the budget"

    def _sample(self) -> Interactions:
        """Return the interactions of a few users."""
        users = np.arange(len(self.interactions.users)) % round(1 / SAMPLE) == 0
        return self.interactions.keep(users[self.interactions.owners])


def of_ratings(name: str) -> str:
    """Return what a model of ratings is called where it is left out; a member of the blend may have the same name."""
    return f"{name} of ratings"


def new_member(
    name: str, domain: Domain, catalog: Catalog, scale: tuple[float, float] | None = None, **options: Any
) -> CollaborativeModel:
    """Return an untrained member of the blend; raises ConfigError if there is no such model.

    ``scale`` is the lowest and highest rating, None for the domain's; ``options`` are hyper-parameters.
    """
    return make_member(name, ModelContext(catalog, scale or domain.rating_scale, domain.training.seed), options)


def make_member(name: str, context: ModelContext, options: Mapping[str, Any]) -> CollaborativeModel:
    """Return an untrained member with some hyper-parameters."""
    return MEMBERS[name].for_data(context, **options)


def makers(
    context: ModelContext, names: Iterable[str], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, Callable[[], CollaborativeModel]]:
    """Return functions that make untrained members."""
    return {name: partial(make_member, name, context, options.get(name, {})) for name in names}


def check_teachers(domain: Domain, names: Iterable[str], interactions: Interactions) -> None:
    """Raise ConfigError, before anything is fitted, if distillation cannot have a teacher."""
    weight = domain.training.distillation
    teachers = [MEMBERS[name] for name in names if not issubclass(MEMBERS[name], EpochModel)]
    if weight and all(model.cannot_learn(interactions) for model in teachers):
        epochs = {name for name, model in MEMBERS.built_in().items() if issubclass(model, EpochModel)}
        raise ConfigError(
            f"training.distillation = {weight:g} needs collaborative models to learn from; name some in "
            f"blend.members ({', '.join(sorted(epochs))} cannot be a teacher), or set training.distillation = 0"
        )


def _timed(model: CollaborativeModel, interactions: Interactions) -> float:
    """Return the seconds of a fit."""
    begin = time.perf_counter()
    model.fit(interactions)
    return time.perf_counter() - begin


def _make_rater(name: str, context: ModelContext, options: Mapping[str, Any]) -> RatingModel:
    return RATERS[name](rating_scale=context.rating_scale, duplicates="last", **options)
