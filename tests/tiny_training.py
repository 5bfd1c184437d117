"""Tiny language models for tests of training: built once for each kind, and copied."""

import copy
import json
from dataclasses import replace

from genre_gen.data.splits import leave_one_out
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.llm_training import RunOptions, build_llm, make_finetuner

_built, _books = {}, {}


def book_of(domain):
    """Return a domain's templates, read once."""
    if domain.prompts_folder not in _books:
        _books[domain.prompts_folder] = PromptBook.load(domain)
    return _books[domain.prompts_folder]


def tiny_llm(domain, catalog, interactions):
    """Return what ``build_llm`` returns, a copy each time."""
    settings = domain.settings()
    parts = [settings["model"], settings["codes"], settings["training"]["seed"], interactions.rows.tolist()]
    key = json.dumps(parts)
    if key not in _built:
        _built[key] = build_llm(domain, catalog, interactions)
    return copy.deepcopy(_built[key])


def tiny_tuner(domain, sample, folder=None, *, teacher=None, validation=None, options=None, **changes):
    """Return a fine-tuner of a new tiny model on the sample's training part; ``changes`` are of ``[training]``."""
    catalog, interactions = sample
    split = leave_one_out(interactions, catalog)
    changes = {"batch_tokens": 160, **changes}  # small batches, so that there are some to be killed between
    domain = domain.changed({f"training.{key}": value for key, value in changes.items()})
    llm, data = tiny_llm(domain, catalog, split.train), TaskData(catalog, split.train, domain)
    validation = split.validation if validation is None else validation
    options = replace(options or RunOptions(), teacher=teacher)
    tuner = make_finetuner(llm, book_of(domain), data, validation, folder, options)
    tuner.checkpoint_seconds = 0
    return tuner
