"""Building the language model's part of a recommender: load, name the items, tune."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from genre_gen.catalog import Catalog
from genre_gen.codes import make_codes
from genre_gen.codes.base import CodeScheme
from genre_gen.collaborative.embeddings import cooccurrence_embeddings
from genre_gen.domain import Domain
from genre_gen.evaluation.metrics import ndcg_at, ranks
from genre_gen.interactions import Case, Interactions, allowed_items
from genre_gen.llm.batches import PRETRAINING, Mix
from genre_gen.llm.finetune import FineTuner
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.load import load_base
from genre_gen.llm.model import LLM, embed_texts
from genre_gen.llm.sources import ensure_model
from genre_gen.prompts import PromptBook
from genre_gen.tasks import TaskData

_BATCH = 64
_COLLABORATIVE = 256  # dimensions


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
        texts = embed_texts(base, tokenizer, [item.describe() for item in catalog])
        vectors = with_collaboration(texts, interactions, domain.codes.collaborative)
        llm = LLM(base, tokenizer, make_codes(domain.codes, catalog, vectors.numpy()), domain.model)
        llm.initialise_codes(vectors)
    return ItemGenerator(llm.to(base.device), book, TaskData(catalog, interactions, domain))


def with_collaboration(texts: torch.Tensor, interactions: Interactions, weight: float) -> torch.Tensor:
    """Add what the interactions say about items to what their texts say.

    Co-occurrence embeddings are turned into the model's space by a random rotation, where they are all but orthogonal
    to the texts, and scaled to their length. An item that nobody had keeps its text alone.

    Args:
        texts: ``[n_items, hidden]``.
        interactions: training interactions.
        weight: length of the collaborative part, in lengths of the texts; 0 leaves it out.
    """
    hidden = texts.shape[1]
    found = torch.from_numpy(cooccurrence_embeddings(interactions, min(_COLLABORATIVE, hidden)))
    known = found.any(dim=1)
    if weight == 0 or not known.any():
        return texts
    noise = torch.randn(hidden, found.shape[1], generator=torch.Generator().manual_seed(0))
    rotated = found @ torch.linalg.qr(noise).Q.T
    return texts + weight * rotated * (texts.norm(dim=1).mean() / rotated[known].norm(dim=1).mean())


def finetuner(generator: ItemGenerator, validation: Sequence[Case], folder: Path | None) -> FineTuner:
    """Prepare the fine-tuning of a generator's model, with early stopping on validation cases."""
    data, llm = generator.data, generator.llm
    depth_share = len(llm.tower.layers) / len(llm.base.model.layers)
    return FineTuner(
        llm,
        Mix(data, generator.book, generator.encoder, depth_share),
        data.domain.training,
        validate=_validation(generator, validation) if validation else None,
        exclude_seen=not data.domain.repeat,
        folder=folder,
        identity=identity(data, generator.book),
    )


def identity(data: TaskData, book: PromptBook) -> str:
    """Return a fingerprint of everything that a run of training depends on, but for how long it may take."""
    settings = data.domain.settings()
    for budget in ("max_minutes", "epochs"):
        settings["training"].pop(budget, None)
    settings.pop("blend", None)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(data.catalog.fingerprint().encode())
    for array in (data.interactions.offsets, data.interactions.rows, data.interactions.ratings):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    pretraining = {PRETRAINING} if data.domain.training.pretraining_epochs else set()
    for task in sorted({*data.domain.tasks, *pretraining}):
        digest.update(book.fingerprint(task).encode())
    return digest.hexdigest()


def _validation(generator: ItemGenerator, cases: Sequence[Case]) -> Callable[[], float]:
    """Return a function that computes NDCG@10 on the same sample of cases each time."""
    data = generator.data
    limit = data.domain.training.validation_users
    if len(cases) > limit:
        chosen = np.random.default_rng(0).choice(len(cases), limit, replace=False)
        cases = [cases[place] for place in sorted(chosen.tolist())]
    size = len(data.catalog)

    def ndcg() -> float:
        generator.forget()
        found = []
        for begin in range(0, len(cases), _BATCH):
            part = cases[begin : begin + _BATCH]
            histories, targets = [case.history for case in part], np.array([case.target for case in part])
            allowed = allowed_items(histories, size, data.domain.repeat)
            found.append(ranks(generator.score(histories), targets, allowed))
        generator.forget()
        return float(ndcg_at(np.concatenate(found), 10).mean())

    return ndcg
