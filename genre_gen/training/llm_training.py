"""Building the language model's part of a recommender: load, name the items, tune."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from genre_gen.blending.blend import fit_blend
from genre_gen.codes import make_codes
from genre_gen.codes.base import CodeScheme
from genre_gen.collaborative.base import CollaborativeModel, EpochModel
from genre_gen.collaborative.embeddings import cooccurrence_embeddings
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Case, Interactions, allowed_items, sample_cases
from genre_gen.domain import CodeSettings, Domain, Training
from genre_gen.downloads.models import ensure_model
from genre_gen.llm.averaging import Trained, train_averaged
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.load import load_base
from genre_gen.llm.model import LLM
from genre_gen.llm.task_mixture import TaskMixture
from genre_gen.llm.text_encoders import rotated, text_vectors
from genre_gen.metrics import case_ranks, ndcg_at
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.distillation import Lessons, Teacher, fit_temperature
from genre_gen.training.finetune import FineTuner
from genre_gen.training.fingerprint import identity, start_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)
_BATCH = 64
_LOOKED_AT = 10  # ranks that training is validated by
_COLLABORATIVE = 256  # dimensions

_SEED_STRIDE = 7919  # between the seeds of trainings from one start, so that other seeds' do not meet them

FINAL_TIME = 1 / 3
"""Time for the final epochs, as a share of ``training.max_minutes``."""


def build_generator(
    domain: Domain,
    book: PromptBook,
    catalog: Catalog,
    interactions: Interactions,
    codes: CodeScheme | None = None,
) -> ItemGenerator:
    """Load the pre-trained model and teach it the names of the items.

    Args:
        domain: says which model, codes and adapters.
        book: the templates.
        catalog: the items; each code starts from its item's own text.
        interactions: what examples are made from.
        codes: ready ones (of a saved recommender, whose embeddings are loaded later); None makes them.
    """
    torch.manual_seed(domain.training.seed)  # adapters start from random numbers
    base, tokenizer = load_base(ensure_model(domain.model.llm), domain.model.quantization)
    if codes is not None:
        llm = LLM(base, tokenizer, codes, domain.model)
    else:
        vectors = item_vectors(base, tokenizer, catalog, interactions, domain.codes)
        llm = LLM(base, tokenizer, make_codes(domain.codes, catalog, vectors.numpy()), domain.model)
        llm.initialise_codes(vectors)
        llm.to(base.device).near_identity_init()
    return ItemGenerator(llm.to(base.device), book, TaskData(catalog, interactions, domain))


def item_vectors(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    catalog: Catalog,
    interactions: Interactions,
    settings: CodeSettings,
) -> torch.Tensor:
    """Return what item codes start from: what texts say about items plus what the interactions say.

    Co-occurrence embeddings are turned into the model's space by a random rotation, where they are all but orthogonal
    to the texts, and given the same mean length. An item that nobody had keeps its text alone, made as long as others.

    Args:
        base: its input embeddings are the space of the vectors.
        tokenizer: its own.
        catalog: the items.
        interactions: training interactions.
        settings: ``text`` and ``collaborative`` weigh the two parts; ``encoder`` makes the vectors of the texts.

    Returns:
        float32 ``[n_items, hidden]``.
    """
    texts = text_vectors(base, tokenizer, [item.describe() for item in catalog], settings.encoder)
    hidden, length = texts.shape[1], texts.norm(dim=1).mean()
    found = torch.from_numpy(cooccurrence_embeddings(interactions, min(_COLLABORATIVE, hidden)))
    known = found.any(dim=1)
    vectors = settings.text * texts
    if settings.collaborative == 0 or not known.any():
        return vectors
    collaborative = rotated(found, hidden)
    vectors += settings.collaborative * collaborative * (length / collaborative[known].norm(dim=1).mean())
    if settings.text > 0:  # with half a vector an item would lose to all others
        vectors[~known] *= (settings.text**2 + settings.collaborative**2) ** 0.5 / settings.text
    return vectors


def choose_teacher(
    domain: Domain,
    members: Mapping[str, Callable[[], CollaborativeModel]],
    fitted: Mapping[str, CollaborativeModel],
    cases: Sequence[Case],
    n_items: int,
) -> Teacher | None:
    """Choose on validation cases how collaborative models are blended into a teacher of the language model.

    Models that are trained epoch by epoch take no part: a teacher is fitted anew for each fold of the users.

    Args:
        domain: says whether anything is distilled.
        members: name -> function that returns a new model, not fitted.
        fitted: the same models, fitted on what came before the cases.
        cases: validation cases.
        n_items: size of the catalog.

    Returns:
        The teacher; None where nothing is distilled or there are no members.
    """
    fitted = {name: model for name, model in fitted.items() if not isinstance(model, EpochModel)}
    if domain.training.distillation == 0 or not fitted:
        return None
    blend = fit_blend({name: model.score for name, model in fitted.items()}, cases, n_items, repeat=domain.repeat)
    scores, sample = [], sample_cases(cases, domain.training.validation_users)
    for begin in range(0, len(sample), _BATCH):
        histories = [case.history for case in sample[begin : begin + _BATCH]]
        own = {name: fitted[name].score(histories) for name in blend.members}
        scores.append(blend.combine(own, allowed_items(histories, n_items, domain.repeat)))
    temperature = fit_temperature(np.concatenate(scores), np.array([case.target for case in sample]))
    log.info("teacher: weights %s, temperature %.2f", dict(blend.weights), temperature)
    return Teacher(members, blend.weights, temperature, domain.repeat)


def finetuner(
    generator: ItemGenerator,
    validation: Sequence[Case],
    folder: Path | None,
    training: Training | None = None,
    teacher: Callable[[Interactions], Lessons] | None = None,
    start: str = "",
) -> FineTuner:
    """Prepare the fine-tuning of a generator's model, with early stopping on validation cases where there are any.

    Args:
        generator: its model is changed in place, once the run begins.
        validation: cases for early stopping; may be empty.
        folder: of the run, for checkpoints.
        training: settings that stand in for the domain's.
        teacher: see ``choose_teacher``; used where ``training.distillation`` is above 0.
        start: fingerprint of the weights that it begins with, where they do not follow from the rest.
    """
    data, llm = generator.data, generator.llm
    if training is not None:
        data = replace(data, domain=data.domain.model_copy(update={"training": training}))
    depth_share = len(llm.tower.layers) / len(llm.base.model.layers)
    llm.unmet = _unmet(llm.codes, data)
    return FineTuner(
        llm,
        TaskMixture(data, generator.book, generator.encoder, depth_share, packs=llm.packs, context=llm.context),
        data.domain.training,
        validate=_validation(generator, validation) if validation else None,
        exclude_seen=not data.domain.repeat,
        folder=folder,
        identity=identity(data, generator.book, validation),
        start=start,
        teach=None if teacher is None else partial(teacher, data.interactions),
    )


def train(
    generator: ItemGenerator,
    validation: Sequence[Case],
    folder: Path | None,
    on_step: Callable[[FineTuner], None] | None = None,
    *,
    training: Training | None = None,
    teacher: Teacher | None = None,
    start: str = "",
) -> Trained:
    """Tune a generator's model, ``training.runs`` times from the same start, and leave it with the mean of the weights.

    Args:
        generator: its model is changed in place.
        validation: as in ``finetuner``.
        folder: of the run, for checkpoints; those of a second and third training lie in folders below it.
        on_step: called after each step.
        training: as in ``finetuner``.
        teacher: as in ``finetuner``; asked once for all runs.
        start: as in ``finetuner``.
    """
    training, teach = training or generator.data.domain.training, None if teacher is None else _once(teacher)

    def tuner(number: int) -> FineTuner:
        limit = training.max_minutes
        changes = {
            "seed": training.seed + number * _SEED_STRIDE,
            "max_minutes": None if limit is None else limit / training.runs,
        }
        below = None if folder is None else folder / f"run-{number + 1}" if number else folder
        return finetuner(generator, validation, below, training.model_copy(update=changes), teach, start)

    trained = train_averaged(generator.llm, training.runs, tuner, on_step)
    place_new_items(generator)
    generator.forget()
    return trained


def _once(teacher: Teacher) -> Callable[[Interactions], Lessons]:
    """Return a teacher that is asked once and says the same again: all trainings learn from the same data."""
    said: list[Lessons] = []

    def teach(interactions: Interactions) -> Lessons:
        if not said:
            said.append(teacher(interactions))
        return said[0]

    return teach


def final_generator(
    generator: ItemGenerator,
    interactions: Interactions,
    folder: Path | None,
    on_step: Callable[[FineTuner], None] | None = None,
    teacher: Teacher | None = None,
    epochs: int | None = None,
) -> ItemGenerator:
    """Learn from interactions that were held out so far, everything being chosen.

    ``training.refit`` says how: a tuned model goes on ("continue") for ``refit_epochs`` at ``refit_rate``, within
    FINAL_TIME of the time budget; or a new one learns everything from the beginning ("from_scratch"), within the
    whole budget once more. Nothing is left to validate on. A checkpoint of a model that
    went on from other weights, as when the
    training before it was prolonged, is given up.

    Args:
        generator: its model is changed in place, or given up for the new one.
        interactions: all that may be learned from.
        folder: of the run; checkpoints go into ``final`` below it.
        on_step: called after each step.
        teacher: see ``choose_teacher``.
        epochs: of a new model; those after which the tuned one was best. By default ``training.epochs``.
    """
    data, training = generator.data, generator.data.domain.training
    if training.refit_epochs == 0:
        return ItemGenerator(generator.llm, generator.book, replace(data, interactions=interactions))
    if training.refit == "from_scratch":
        return train_anew(
            data.domain, generator.book, data.catalog, interactions, folder, on_step, teacher=teacher, epochs=epochs
        )
    final = ItemGenerator(generator.llm, generator.book, replace(data, interactions=interactions))
    start = "" if folder is None else start_of(generator.llm)
    return _train_finally(final, _slower(training), folder, on_step, teacher, start)


def train_anew(
    domain: Domain,
    book: PromptBook,
    catalog: Catalog,
    interactions: Interactions,
    folder: Path | None,
    on_step: Callable[[FineTuner], None] | None = None,
    *,
    teacher: Teacher | None = None,
    epochs: int | None = None,
) -> ItemGenerator:
    """Build a language model and train it on all that may be learned from; nothing is left to validate on.

    Args:
        domain: says which model, codes, adapters and training.
        book: the templates.
        catalog: the items.
        interactions: all that may be learned from.
        folder: of the run; checkpoints go into ``final`` below it.
        on_step: called after each step.
        teacher: see ``choose_teacher``.
        epochs: how many; by default ``training.epochs``.
    """
    settings = domain.training.model_copy(update={"epochs": epochs or domain.training.epochs})
    final = build_generator(domain, book, catalog, interactions)
    return _train_finally(final, settings, folder, on_step, teacher)


def _train_finally(
    generator: ItemGenerator,
    training: Training,
    folder: Path | None,
    on_step: Callable[[FineTuner], None] | None,
    teacher: Teacher | None,
    start: str = "",
) -> ItemGenerator:
    below = None if folder is None else folder / "final"
    train(generator, (), below, on_step, training=training, teacher=teacher, start=start)
    return generator


def place_new_items(generator: ItemGenerator) -> None:
    """Give items that no training history has a place among the trained ones, next to those described alike.

    Training moves the vectors of the items it meets, and makes those long that many take; what an item's text alone
    said before training does not keep up. A new item's vector is the mean of those of the items that are described most
    like it (``TaskData.text_similarity``), weighed by the square of how much, and made ``codes.cold_start_scale`` times
    as long as theirs. It depends on trained items alone, so that doing it again changes nothing. Left as they are:
    items described like none, all items where the domain says that there are no texts, and codes of several tokens,
    which others share.

    Args:
        generator: trained; its code embeddings are changed in place.
    """
    llm, data = generator.llm, generator.data
    settings, tokens = data.domain.codes, llm.codes.codes[:, 0]
    new = llm.unmet.numpy()[tokens] if llm.codes.codes.shape[1] == 1 else np.zeros(len(tokens), bool)
    if settings.cold_start_scale == 0 or settings.text == 0 or not new.any():
        return
    rows = np.flatnonzero(new)
    similar = data.similar_texts(rows)
    described = np.diff(similar.indptr) > 0
    rows, similar = rows[described], similar[described]
    vectors = llm.code_embedding.detach().float().cpu().numpy()[tokens]
    shares = similar.power(2)
    shares = sparse.diags(1 / shares.sum(1).A1) @ shares
    mean, lengths = shares @ vectors, shares @ np.linalg.norm(vectors, axis=1)
    scale = settings.cold_start_scale * lengths / np.linalg.norm(mean, axis=1).clip(min=1e-12)
    placed = torch.from_numpy(mean * scale[:, None]).to(llm.code_embedding)
    llm.code_embedding.data[torch.from_numpy(tokens[rows].astype(np.int64))] = placed
    log.info("%d items that nobody has had were placed beside those described alike", len(rows))


def _slower(training: Training) -> Training:
    """Return the settings under which a tuned model goes on."""
    return training.model_copy(
        update={
            "epochs": training.refit_epochs,
            "runs": 1,
            "pretraining_epochs": 0,
            "max_minutes": None if training.max_minutes is None else training.max_minutes * FINAL_TIME,
            "learning_rate": training.learning_rate * training.refit_rate,
            "code_learning_rate": training.code_learning_rate * training.refit_rate,
            "seed": training.seed + 1,  # or the first epoch's batches would come in the same order again
        }
    )


def _unmet(codes: CodeScheme, data: TaskData) -> torch.Tensor:
    """Tell which code tokens no history trained on has: bool ``[code vocabulary]``."""
    met = np.bincount(data.interactions.rows, minlength=len(data.catalog)) > 0
    if data.domain.training.synthetic:
        met |= np.diff(data.text_similarity.indptr) > 0
    tokens = codes.codes[met]
    unmet = torch.ones(codes.vocabulary, dtype=torch.bool)
    unmet[torch.from_numpy(tokens[tokens >= 0].astype(np.int64))] = False
    return unmet


def _validation(generator: ItemGenerator, cases: Sequence[Case]) -> Callable[[], float]:
    """Return a function that computes NDCG@10 on the same sample of cases each time."""
    data = generator.data
    cases, size = sample_cases(cases, data.domain.training.validation_users), len(data.catalog)
    # Codes of several tokens are searched for, and no further than to where the figure looks.
    score = partial(generator.score, candidates=_LOOKED_AT)

    def ndcg() -> float:
        generator.forget()
        found = case_ranks(score, cases, size, data.domain.repeat, _BATCH)
        generator.forget()
        return float(ndcg_at(found, _LOOKED_AT).mean())

    return ndcg
