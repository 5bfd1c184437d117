"""The ratings that the language model's rating task predicts for the folds of ``eval.ratings.cross_validation``.

    python -m eval.ratings.llm_predictions FILE.npz [--domain eval/domains/ml-100k] [--folds 5] [--seed 0]
        [--minutes 6] [--set KEY=VALUE ...]
    python -m eval.ratings.cross_validation --llm-predictions FILE.npz

For each fold a language model is trained on ``inner_known``, on next items and ratings, and predicts the ratings of
``inner_asked``, on which blend weights are chosen, and of the fold itself. For the fold it has less training data than
the other models, which are fitted on the whole training part. This saves a second training, and can only overestimate
its error. No settings are chosen here. The file keeps the predictions of each fold. A later run adds the missing ones,
and rejects a file made with another seed, or with other minutes, settings, ratings, items or prompts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.bench.cases import digest, training_inputs
from eval.bench.script import assignments, new_parser, say, script
from eval.ratings.cross_validation import Columns, Part, load, of_folds, parts, read_llm, values_of
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers import load_catalog
from genre_gen.domain import Domain
from genre_gen.llm.generator import ItemGenerator
from genre_gen.metrics import rmse
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.llm_training import build_llm, train_llm

TASKS = {"next_item": {"weight": 1.0, "depth": "exit"}, "rating": {"weight": 1.0, "depth": "exit"}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and predict for the folds that the file lacks."""
    with script(parser(), arguments) as options:
        # Distillation is about next items, which ratings do not need.
        changes = {"tasks": TASKS, "training.distillation": 0.0, "training.seed": options.seed}
        changes |= {"training.max_minutes": options.minutes} | assignments(options.set)
        domain = Domain.load(options.domain).changed(changes)
        catalog, interactions = load_catalog(domain)[0], load(options.domain)
        run = digest(training_inputs(domain, catalog))  # seed and minutes are settings
        made_of = {"data": of_folds(interactions, options.folds, options.seed), "run": run}
        predictions = read_llm(options.file if options.file.exists() else None, **made_of)
        for part in parts(interactions, options.folds, options.seed):
            if f"fold{part.number}" in predictions:
                continue
            begin = time.perf_counter()
            predictions |= predicted(domain, catalog, part)
            keep(options.file, predictions, made_of)
            errors = [
                rmse(predictions[f"{name}{part.number}"], values_of(asked)) for name, asked in asked_of(part).items()
            ]
            took = time.perf_counter() - begin
            say(f"fold {part.number}: RMSE {errors[0]:.4f}, inner {errors[1]:.4f}, {took:,.0f} s")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "folds", "fold seed", "set")
    made.add_argument("file", type=Path, help="file of predictions, .npz")
    made.add_argument("--domain", default="eval/domains/ml-100k", help="domain whose ratings are predicted")
    made.add_argument("--minutes", type=float, default=6.0, help="limit of training for one fold")
    return made


def asked_of(part: Part) -> dict[str, Interactions]:
    """Return the ratings to predict, by their name in the file."""
    return {"fold": part.asked, "inner": part.inner_asked}


def predicted(domain: Domain, catalog: Catalog, part: Part) -> Columns:
    """Return the predictions of a model trained on ``inner_known`` for the fold and for the inner part."""
    book, data = PromptBook.load(domain), TaskData(catalog, part.inner_known, domain)
    llm = build_llm(domain, catalog, part.inner_known)
    train_llm(llm, book, data, (), None)
    generator = ItemGenerator(llm, book, data)
    return {f"{name}{part.number}": rate(generator, part.inner_known, asked) for name, asked in asked_of(part).items()}


def rate(generator: ItemGenerator, known: Interactions, asked: Interactions) -> NDArray[np.float64]:
    """Return the predicted ratings of all interactions in ``asked``, each after its user's history in ``known``."""
    row_of = {user: row for row, user in enumerate(known.users)}
    predictions = []
    for rated in asked.histories():
        history = known.history_at(row_of[rated.user]) if rated.user in row_of else rated.slice(0, 0)
        predictions.append(generator.rate([history] * len(rated), rated.rows.tolist()))
    return np.concatenate(predictions).astype(np.float64)


def keep(file: Path, predictions: Columns, made_of: Mapping[str, str]) -> None:
    """Write the predictions and the digests of their inputs atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    with unfinished.open("wb") as out:
        np.savez_compressed(out, **predictions, **made_of)  # type: ignore[arg-type]
    os.replace(unfinished, file)


if __name__ == "__main__":
    main()
