"""The language model's rating task asked for the folds of ``eval/rating_cv.py``.

    python eval/rating_llm.py FILE.npz [--domain eval/domains/ml-100k] [--folds 5] [--seed 0] [--minutes 6]
        [--set KEY=VALUE ...]
    python eval/rating_cv.py --llm-predictions FILE.npz

For each fold a language model is trained on ``inner_known``, on next items and ratings alike, and asked for the ratings
of ``inner_asked``, which blends are weighed on, and of the fold itself. So for the fold it knows less than the models
beside it, which are fitted on the whole training part by then: one training instead of two, and an error that is too
large if anything. Nothing is chosen here. What a fold gave is kept in the file; a later run makes the missing ones,
and refuses a file made with another seed, or with other minutes, settings, ratings, items or prompts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from leaderboard import SERVED, assignment, say, told
from numpy.typing import NDArray
from rating_cv import Columns, Part, digest, load, of_folds, parts, read_llm, values_of

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
    """Train and ask for the folds that the file lacks."""
    options = parser().parse_args(arguments)
    with told():
        # Distillation teaches what comes next, which nobody asks for here.
        changes = {"tasks": TASKS, "training.distillation": 0.0, "training.seed": options.seed}
        changes |= {"training.max_minutes": options.minutes} | dict(assignment(text) for text in options.set)
        domain = Domain.load(options.domain).changed(changes)
        catalog, interactions = load_catalog(domain)[0], load(options.domain)
        made_of = {"data": of_folds(interactions, options.folds, options.seed), "run": of_run(domain, catalog)}
        found = read_llm(options.file if options.file.exists() else None, **made_of)
        for part in parts(interactions, options.folds, options.seed):
            if f"fold{part.number}" in found:
                continue
            begin = time.perf_counter()
            found |= predicted(domain, catalog, part)
            keep(options.file, found, made_of)
            errors = [rmse(found[f"{name}{part.number}"], values_of(asked)) for name, asked in asked_of(part).items()]
            took = time.perf_counter() - begin
            say(f"fold {part.number}: RMSE {errors[0]:.4f}, inner {errors[1]:.4f}, {took:,.0f} s")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("file", type=Path, help="where predictions are kept, .npz")
    made.add_argument("--domain", default="eval/domains/ml-100k", help="whose ratings are predicted")
    made.add_argument("--folds", type=int, default=5)
    made.add_argument("--seed", type=int, default=0, help="of the folds, as in eval/rating_cv.py, and of training")
    made.add_argument("--minutes", type=float, default=6.0, help="limit of training for one fold")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a changed setting")
    return made


def of_run(domain: Domain, catalog: Catalog) -> str:
    """Return a fingerprint of what a training depends on beside ratings and folds; seed and minutes are settings."""
    settings = {name: part for name, part in domain.settings().items() if name not in SERVED}
    book = PromptBook.load(domain)
    prompts = {name: book.fingerprint(name) for name, task in domain.tasks.items() if task.weight}
    return digest([settings, prompts, catalog.fingerprint()])


def asked_of(part: Part) -> dict[str, Interactions]:
    """Return the ratings asked for, by the name that ``eval/rating_cv.py`` knows them under."""
    return {"fold": part.asked, "inner": part.inner_asked}


def predicted(domain: Domain, catalog: Catalog, part: Part) -> Columns:
    """Return what a model trained on ``inner_known`` predicts for the fold and for the inner part."""
    book, data = PromptBook.load(domain), TaskData(catalog, part.inner_known, domain)
    llm = build_llm(domain, catalog, part.inner_known)
    train_llm(llm, book, data, (), None)
    generator = ItemGenerator(llm, book, data)
    return {f"{name}{part.number}": rate(generator, part.inner_known, asked) for name, asked in asked_of(part).items()}


def rate(generator: ItemGenerator, known: Interactions, asked: Interactions) -> NDArray[np.float64]:
    """Return the predicted ratings of all interactions asked for, each after what is known of its user."""
    place = {user: number for number, user in enumerate(known.users)}
    histories = [
        known.history_at(place[one.user]) if one.user in place else one.slice(0, 0) for one in asked.histories()
    ]
    found = [
        generator.rate([history] * len(one), one.rows.tolist())
        for history, one in zip(histories, asked.histories(), strict=True)
    ]
    return np.concatenate(found).astype(np.float64)


def keep(file: Path, found: Columns, made_of: Mapping[str, str]) -> None:
    """Write the predictions and the digests of what they are made of, all at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    with unfinished.open("wb") as out:
        np.savez_compressed(out, **found, **made_of)  # type: ignore[arg-type]
    os.replace(unfinished, file)


if __name__ == "__main__":
    main()
