"""Fingerprints of a training's inputs, which tell whether a checkpoint belongs to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genre_gen.data.splits import Case, Split
from genre_gen.domain import Domain
from genre_gen.downloads.models import folder_fingerprint
from genre_gen.llm.task_mixture import PRETRAINING
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.tasks.users import Review

if TYPE_CHECKING:
    from hashlib import _Hash

    from numpy.typing import NDArray

_SCHEME = 3  # version of the content of checkpoints; those of another version are rejected


def training_fingerprint(data: TaskData, book: PromptBook, validation: Sequence[Case] = ()) -> str:
    """Return a fingerprint of everything that a training depends on, except for its budget, tracker and origin.

    The ``validation`` cases are included, since they choose the best weights and the teacher.
    """
    settings = data.domain.settings()
    for harmless in ("max_minutes", "epochs", "tracker", "keep_optimizer"):
        settings["training"].pop(harmless, None)
    for described in ("origin", "license", "license_url"):
        settings["data"].pop(described, None)
    settings["codes"].pop("cold_start_scale", None)  # cold items are placed after training
    # None of these affects the training of the language model.
    for part in ("rerank", "rules", "ratings", "query", "explain", "knowledge", "serving"):
        settings.pop(part, None)
    words = settings.pop("languages").get(data.domain.language, {})
    settings["labels"] = words.get("labels", {})  # as prompts call them; the noun is in the templates
    if data.domain.training.distillation == 0:
        settings.pop("blend", None)  # its members affect training only as teachers
    digest = hashlib.sha256(json.dumps([_SCHEME, settings], sort_keys=True).encode())
    digest.update(folder_fingerprint(data.domain.model.llm).encode())
    digest.update(data.catalog.fingerprint().encode())
    interactions = data.interactions
    _add(digest, interactions.offsets, interactions.rows, interactions.ratings, interactions.times)
    if Review.name in data.domain.tasks and interactions.reviews is not None:
        for position in range(len(interactions)):
            digest.update(json.dumps(interactions.review(position)).encode())
    digest.update(f"{len(validation)}:".encode())
    for case in validation:
        digest.update(f"{case.target}:".encode())
        _add(digest, case.history.rows, case.history.ratings)
    pretraining = {PRETRAINING} if data.domain.training.pretraining_epochs else set()
    for task in sorted({*data.domain.tasks, *pretraining}):
        digest.update(book.fingerprint(task).encode())
    return digest.hexdigest()


def recommender_fingerprint(
    domain: Domain, book: PromptBook, split: Split, tuned: Mapping[str, Any] | None = None
) -> str:
    """Return a fingerprint of a whole training on a split, except for its budget, by which its parts are known again.

    ``tuned`` are the settings that it follows, if it does.
    """
    settings, data = domain.settings(), TaskData(split.catalog, split.train, domain)
    parts = [settings.get(part) for part in ("blend", "ratings", "rating_scale")]
    content = [training_fingerprint(data, book, split.validation), parts, tuned]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _add(digest: _Hash, *arrays: NDArray | None) -> None:
    for array in arrays:
        digest.update(f"{-1 if array is None else array.size}:".encode())  # so that arrays do not run together
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
