"""Sharing a recommender: without histories of users unless requested, and without paths of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PureWindowsPath

from genre_gen.collaborative import SVD
from genre_gen.data.interactions import Interactions
from genre_gen.downloads.models import hub_id
from genre_gen.errors import UsageError
from genre_gen.explain.shared_counts import SharedCounts
from genre_gen.recommender.state import RecommenderState, SharedData

PATHS = ("data.path", "data.items", "data.interactions", "knowledge.triples", "knowledge.links", "knowledge.items")
"""Settings that may be a path of the machine that trained."""


def without_histories(state: RecommenderState) -> RecommenderState:
    """Return a recommender without data about single users; its answers to histories given by hand are the same.

    Interactions are replaced by counts for explanations, see :mod:`genre_gen.explain.shared_counts`; models drop their
    parameters per user id. A model that scores by way of users has approximate weights instead, so scores change a
    little; it logs that.
    """
    if state.shared is not None:
        return state
    nobody = Interactions.none(len(state.catalog))
    members = {name: model.without_users() for name, model in state.members.items()}
    raters = {name: rater.without_users() for name, rater in state.rating_models.items()}
    for name, rater in raters.items():
        if state.rating_models[name] is state.members.get(name):  # one model may do both
            members[name] = rater
    models = [*state.members.values(), *state.rating_models.values()]
    counts = SharedCounts.of(
        state.trained_on, state.domain.liked_from, liked_too=any(isinstance(model, SVD) for model in models)
    )
    return replace(
        state,
        histories=nobody,
        trained_on=nobody,
        members=members,
        rating_models=raters,
        shared=SharedData(counts, state.data, state.trained_on.fingerprint()),
    )


def without_paths(state: RecommenderState) -> RecommenderState:
    """Return a recommender whose settings have no path of this machine, except for its pre-trained model's."""
    settings, changes = state.domain.settings(), dict[str, None]()
    for path in PATHS:
        section, key = path.split(".")
        if _leads_outside(settings[section].get(key) or ""):
            changes[path] = None
    return replace(state, domain=state.domain.changed(changes)) if changes else state


def with_base_model(state: RecommenderState, base_model: str | None) -> RecommenderState:
    """Return a recommender whose pre-trained model others can load, if necessary by its hub id ``base_model``.

    Raises:
        UsageError: it is a folder of this machine, and no id is given.
    """
    if base_model is not None:
        return replace(state, domain=state.domain.changed({"model.llm": base_model}))
    if hub_id(state.domain.model.llm) is None:
        raise UsageError(
            "the pre-trained model is a folder of this machine, which other machines cannot load; push it to the hub "
            "and give its id there as base_model"
        )
    return state


def _leads_outside(path: str) -> bool:
    """Tell whether a path is more than a name below the domain's own folder."""
    parts = Path(path.replace("\\", "/")).parts
    return PureWindowsPath(path).drive != "" or path[:1] in {"/", "\\", "~"} or ".." in parts
