"""Build and train the language model of a recommender: load it, add item codes, tune it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.blending.tuned import Steps
from genre_gen.blending.weights import fit_blend
from genre_gen.codes import make_codes
from genre_gen.codes.base import Codes
from genre_gen.collaborative.base import CollaborativeModel, EpochModel
from genre_gen.collaborative.embeddings import cooccurrence_embeddings
from genre_gen.collaborative.negatives import FULL_UP_TO, NEGATIVES, NegativeSampler
from genre_gen.data.batches import batches, histories_at_a_time
from genre_gen.data.catalog import Catalog
from genre_gen.data.history import allowed_items
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case, sample_cases
from genre_gen.decoding.onednn import forget_prepacked
from genre_gen.domain import CodeSettings, Domain
from genre_gen.downloads.models import ensure_model
from genre_gen.llm.encode import Encoder
from genre_gen.llm.factors import number_of_factors
from genre_gen.llm.fingerprint import weights_fingerprint
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.load import load_base
from genre_gen.llm.model import LLM
from genre_gen.llm.placement import Placement
from genre_gen.llm.task_mixture import TaskMixture
from genre_gen.llm.text_encoders import blocks, rotation, text_vectors
from genre_gen.metrics import case_ranks, ndcg_at
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.distillation import Teacher, fit_temperature
from genre_gen.training.finetune import FineTuner
from genre_gen.training.fingerprint import training_fingerprint
from genre_gen.training.run_options import WHOLE, RunOptions
from genre_gen.training.schedule import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)
_BATCH = 64
_SCORES, _LEAST_SAMPLE = 2**26, 64  # scores that the teacher's temperature is fitted to, and their least histories
_LOOKED_AT = 10  # cut-off of the validation metric
_COLLABORATIVE, _OF_MANY = 256, 64  # dimensions of co-occurrence embeddings, up to and above _MANY items
_MANY = 300_000


@dataclass(frozen=True)
class TrainingResult:
    """A run of the language model's training.

    Attributes:
        log: the validations in order.
        seconds: of all steps and validations, those before an interruption included.
        epochs: main epochs after which it was best, whole ones from 1 on; None without validation.
        steps: by which the run can be repeated.
        step_seconds: of one step, validations apart.
        interrupted: whether it was stopped before its end.
        cut: whether the clock allowed too few steps to learn anything, see ``LEAST_STEPS``.
    """

    log: list[dict[str, Any]]
    seconds: float
    epochs: float | None
    steps: Steps
    step_seconds: float = 0.0
    interrupted: bool = False
    cut: bool = False

    @classmethod
    def of(
        cls, progress: Progress, soft_target_users: int | None = None, *, interrupted: bool = False
    ) -> TrainingResult:
        """Return the result of a run."""
        judged = [entry for entry in progress.log if "ndcg@10" in entry and entry["epoch"] > 0]
        best = max(judged, key=lambda entry: entry["ndcg@10"]) if judged else None
        # Sums of fractions of epochs are inexact, which must not round up to one more epoch.
        epochs = None if best is None else round(best["epoch"], 2)
        steps = progress.step if best is None else best["step"]
        kept = Steps(tuple((begin, total) for begin, total in progress.schedule), steps, soft_target_users)
        return cls(
            progress.log,
            progress.seconds,
            epochs if epochs is None or epochs < 1 else math.ceil(epochs),
            kept,
            progress.step_seconds,
            interrupted,
            progress.is_cut and not interrupted,
        )


def build_llm(domain: Domain, catalog: Catalog, interactions: Interactions) -> LLM:
    """Load the pre-trained model and give it code tokens for the items, made from their texts and the interactions."""
    torch.manual_seed(domain.training.seed)  # adapters are initialised at random
    base, tokenizer = load_base(ensure_model(domain.model.llm), domain.model.quantization)
    vectors = item_vectors(base, tokenizer, catalog, interactions, domain.codes)
    codes = make_codes(domain.codes, catalog, vectors.numpy())
    llm = LLM(base, tokenizer, codes, domain.model, number_of_factors(domain.codes, codes.vocabulary))
    llm.initialise_codes(vectors)
    llm.to(base.device).near_identity_init()
    return llm.eval()


def item_vectors(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    catalog: Catalog,
    interactions: Interactions,
    settings: CodeSettings,
) -> torch.Tensor:
    """Return the initial vectors of item codes: vectors of their texts plus co-occurrence embeddings.

    Co-occurrence embeddings are rotated at random into the model's space, where they are nearly orthogonal to the
    texts, and scaled to the same mean length. A cold item only has its text vector, scaled to the usual length. The
    settings ``text`` and ``collaborative`` are the weights of the two parts; ``encoder`` makes the text vectors.

    Returns:
        float32 ``[n_items, hidden]``.
    """
    texts = text_vectors(base, tokenizer, [item.describe() for item in catalog], settings.encoder)
    hidden, length = texts.shape[1], texts.norm(dim=1).mean()
    dimensions = min(_COLLABORATIVE if len(catalog) <= _MANY else _OF_MANY, hidden)
    cooccurrence = torch.from_numpy(cooccurrence_embeddings(interactions, dimensions))
    warm = cooccurrence.any(dim=1)
    texts *= settings.text
    if settings.collaborative == 0 or not warm.any():
        return texts
    basis = rotation(cooccurrence.shape[1], hidden)
    lengths = [(cooccurrence[block] @ basis)[warm[block]].norm(dim=1) for block in blocks(len(texts))]
    scale = length / torch.cat(lengths).mean()
    for block in blocks(len(texts)):
        texts[block] += settings.collaborative * (cooccurrence[block] @ basis) * scale
    if settings.text > 0:  # a shorter vector would lose to all others
        texts[~warm] *= (settings.text**2 + settings.collaborative**2) ** 0.5 / settings.text
    return texts


def choose_teacher(
    domain: Domain,
    members: Mapping[str, Callable[[], CollaborativeModel]],
    fitted: Mapping[str, CollaborativeModel],
    cases: Sequence[Case],
    n_items: int,
    enough: Callable[[], bool] = lambda: False,
) -> Teacher | None:
    """Choose, on validation cases, a blend of collaborative models as teacher of the language model.

    ``members`` make new models; ``fitted`` are the same models fitted on the interactions before the cases. Models that
    are trained epoch by epoch are left out, since a teacher is fitted again for each fold of the users. Once ``enough``
    is true, no further cases are scored.

    Returns:
        The teacher; None without distillation or members.
    """
    fitted = {name: model for name, model in fitted.items() if not isinstance(model, EpochModel)}
    if domain.training.distillation == 0 or not fitted:
        return None
    blend = fit_blend(
        {name: model.score for name, model in fitted.items()}, cases, n_items, repeat=domain.repeat, enough=enough
    )
    users = min(domain.training.validation_users, max(_LEAST_SAMPLE, _SCORES // n_items))
    scores: list[NDArray[np.float32]] = []
    sample = sample_cases(cases, users)
    for part in batches(sample, histories_at_a_time(_BATCH, n_items)):
        if scores and enough():
            break
        histories = [case.history for case in part]
        by_member = {name: fitted[name].score(histories) for name in blend.members}
        scores.append(blend.combine(by_member, allowed_items(histories, n_items, domain.repeat)).total)
    totals = np.concatenate(scores)
    temperature = fit_temperature(totals, np.array([case.target for case in sample[: len(totals)]]))
    log.info("teacher: weights %s, temperature %.2f", dict(blend.weights), temperature)
    return Teacher(members, blend.weights, temperature, domain.repeat)


def make_finetuner(
    llm: LLM,
    book: PromptBook,
    data: TaskData,
    validation: Sequence[Case],
    folder: Path | None,
    options: RunOptions = WHOLE,
    *,
    start: str = "",
    refit: bool = False,
) -> FineTuner:
    """Prepare a training; see :func:`train_llm`, and :class:`FineTuner` for ``start`` and ``refit``."""
    depth_share = len(llm.item_backbone.layers) / llm.full_depth
    llm.cold_tokens = _cold_tokens(llm.codes, data)
    encoder = Encoder(llm.tokenizer, llm.codes, llm.text_vocabulary)
    return FineTuner(
        llm,
        TaskMixture(data, book, encoder, depth_share, packs=llm.packs, context=llm.context),
        data.domain.training,
        validate=_validation(ItemGenerator(llm, book, data), validation) if validation else None,
        exclude_seen=not data.domain.repeat,
        folder=folder,
        fingerprint=training_fingerprint(data, book, validation),
        start=start,
        soft_targets=None if options.teacher is None else partial(options.teacher, data.interactions),
        refit=refit,
        sampler=_sampler(llm.codes, data),
        options=options,
    )


def train_llm(
    llm: LLM,
    book: PromptBook,
    data: TaskData,
    validation: Sequence[Case],
    folder: Path | None,
    options: RunOptions = WHOLE,
) -> TrainingResult:
    """Tune a language model on its tasks, in place; it ends with its best weights.

    Validation cases, if any, stop it early. A run that was killed resumes from its checkpoint in the folder.

    Raises:
        ConfigError: the settings are invalid, or distillation has no teacher.
        CheckpointError: the folder's checkpoint is damaged or belongs to other data or settings.
    """
    return _run(make_finetuner(llm, book, data, validation, folder, options), data, options)


def refit_llm(
    llm: LLM,
    book: PromptBook,
    data: TaskData,
    folder: Path | None,
    options: RunOptions = WHOLE,
) -> tuple[LLM, TrainingResult]:
    """Learn from the interactions that were held out while settings were chosen.

    ``training.refit`` decides how. With "continue", the tuned model is trained further for ``refit_epochs`` at
    ``refit_rate``. With "from_scratch", a new model is trained on everything for ``options.epochs``. There is no
    validation. Checkpoints are in ``refit`` below the folder; that of a continued training whose first part has changed
    is discarded. Other arguments are those of :func:`train_llm`.

    Returns:
        The same model, changed in place, or the new one; and how far the run went.
    """
    training = data.domain.training
    if training.refit == "from_scratch":
        return train_from_scratch(book, data, folder, options)
    start = "" if folder is None else weights_fingerprint(llm)
    continued = {
        "epochs": training.refit_epochs,
        "pretraining_epochs": 0,
        "learning_rate": training.learning_rate * training.refit_rate,
        "code_learning_rate": training.code_learning_rate * training.refit_rate,
        "seed": training.seed + 1,  # so that the batches have another order than in the first epoch
    }
    return _run_refit(llm, book, data, folder, continued, replace(options, epochs=None), start)


def train_from_scratch(
    book: PromptBook,
    data: TaskData,
    folder: Path | None,
    options: RunOptions = WHOLE,
) -> tuple[LLM, TrainingResult]:
    """Build a language model and train it on all given interactions, without validation; see :func:`refit_llm`."""
    return _run_refit(build_llm(data.domain, data.catalog, data.interactions), book, data, folder, {}, options)


def _run_refit(
    llm: LLM,
    book: PromptBook,
    data: TaskData,
    folder: Path | None,
    changes: Mapping[str, Any],
    options: RunOptions,
    start: str = "",
) -> tuple[LLM, TrainingResult]:
    """Train on all given interactions, with some settings of ``[training]`` changed."""
    domain = data.domain.model_copy(update={"training": data.domain.training.model_copy(update=changes)})
    data, folder = replace(data, domain=domain), None if folder is None else folder / "refit"
    return llm, _run(make_finetuner(llm, book, data, (), folder, options, start=start, refit=True), data, options)


def _run(tuner: FineTuner, data: TaskData, options: RunOptions) -> TrainingResult:
    progress = tuner.run(options.on_step)
    place_cold_items(tuner.llm, data)
    forget_prepacked(tuner.llm.item_backbone)  # fused optimizers change weights without counting it
    return TrainingResult.of(progress, tuner.soft_target_users, interrupted=tuner.stopped)


def place_cold_items(llm: LLM, data: TaskData) -> None:
    """Move the vectors of cold items near those of trained items with similar texts.

    Training moves the vectors of warm items and lengthens those of popular ones, so vectors made of texts before
    training no longer fit. A cold item's vector becomes the mean of those of the items with the most similar texts
    (``TaskData.text_similarity``), weighted by the squared similarity and scaled to ``codes.cold_start_scale`` times
    their length. It depends on trained items only, so repeating this changes nothing. Unchanged are items without
    similar texts, all items of a domain without texts, and codes of several tokens, which others share.
    """
    settings, tokens = data.domain.codes, llm.codes.codes[:, 0].astype(np.int64)
    if settings.cold_start_scale == 0 or settings.text == 0 or llm.codes.codes.shape[1] > 1:
        return
    rows = np.flatnonzero(_cold_tokens(llm.codes, data).numpy()[tokens])
    if not len(rows):
        return
    similar = data.similar_texts(rows)
    described = np.diff(similar.indptr) > 0
    rows, similar = rows[described], similar[described]
    cells = similar.data**2, tokens[similar.indices], similar.indptr
    weights = sparse.csr_matrix(cells, (len(rows), llm.codes.vocabulary))
    placed = torch.from_numpy(Placement(llm).vectors(weights, settings.cold_start_scale)).to(llm.code_embedding)
    with torch.no_grad():
        llm.code_embedding[torch.from_numpy(tokens[rows])] = placed
    log.info("%d cold items were placed near items with similar texts", len(rows))


def _sampler(codes: Codes, data: TaskData) -> NegativeSampler | None:
    """Return what draws the negatives of the softmax over item codes; None if that is computed in full."""
    training = data.domain.training
    drawn = training.negatives
    if drawn is None:
        drawn = NEGATIVES if codes.vocabulary > FULL_UP_TO else 0
    if drawn == 0:
        return None
    # An item counts once more than it occurs, so that those of synthetic histories are drawn too.
    counts = np.bincount(data.interactions.rows, minlength=len(data.catalog)) + 1
    there = codes.codes >= 0
    weights = np.bincount(codes.codes[there], counts.repeat(there.sum(1)), codes.vocabulary)
    return NegativeSampler(np.where(_cold_tokens(codes, data).numpy(), 0, weights), drawn, training.seed)


def _cold_tokens(codes: Codes, data: TaskData) -> torch.Tensor:
    """Tell which code tokens occur in no training history: bool ``[code vocabulary]``."""
    warm = np.bincount(data.interactions.rows, minlength=len(data.catalog)) > 0
    if data.domain.training.synthetic:
        warm |= np.diff(data.text_similarity.indptr) > 0
    tokens = codes.codes[warm]
    cold = torch.ones(codes.vocabulary, dtype=torch.bool)
    cold[torch.from_numpy(tokens[tokens >= 0].astype(np.int64))] = False
    return cold


def _validation(generator: ItemGenerator, cases: Sequence[Case]) -> Callable[[], float]:
    """Return a function that computes NDCG@10 on the same sample of cases each time."""
    data = generator.data
    cases, size = sample_cases(cases, data.domain.training.validation_users), len(data.catalog)
    # Codes of several tokens need a search, which ends at the cut-off of the metric.
    score = partial(generator.score, candidates=_LOOKED_AT)

    def ndcg() -> float:
        ranks = case_ranks(score, cases, size, data.domain.repeat, _BATCH)
        generator.clear_caches()
        return float(ndcg_at(ranks, _LOOKED_AT).mean())

    return ndcg
