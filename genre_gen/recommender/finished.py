"""A training that is complete in its folder is not done again."""

from __future__ import annotations

import logging
from dataclasses import replace

from genre_gen.data.knowledge import Knowledge
from genre_gen.data.splits import Split, check_split
from genre_gen.errors import CheckpointError
from genre_gen.folders.writing import manifest_of
from genre_gen.recommender.loading import load
from genre_gen.recommender.state import RecommenderState
from genre_gen.training.recommender_training import RecommenderTraining

log = logging.getLogger(__name__)
BUDGET = ("max_minutes", "epochs", "keep_optimizer")
"""Settings of ``[training]`` that its fingerprint leaves out."""


def finished(training: RecommenderTraining, split: Split) -> RecommenderState | None:
    """Return the result of this very training if its folder has it; None if it is to be done.

    Settings that do not affect the training, such as those of explanations, are the present ones.
    """
    check_split(split)
    if training.folder is None or manifest_of(training.folder) is None:
        return None
    try:
        saved = load(training.folder, "none", allow_model=training.domain.model.llm)
    except CheckpointError as problem:
        log.info("%s: trained again: %s", training.folder, problem)
        return None
    now, then = training.domain.training, saved.domain.training
    same = saved.training == training.fingerprint(split) and all(
        getattr(now, key) == getattr(then, key) for key in BUDGET
    )
    if not same or saved.tuned.ended == "interrupted":
        return None
    log.warning("%s: this training is complete there; nothing is left to learn", training.folder)
    return replace(
        saved,
        domain=training.domain,
        book=training.book,
        wording=training.wording,
        histories=split.histories,
        trained_on=split.train if saved.tuned.refit is None else split.train_and_validation,
        knowledge=Knowledge.of_domain(training.domain, split.catalog),
    )
