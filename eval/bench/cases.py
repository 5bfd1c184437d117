"""Bench: the data, the split and its cases."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.script import ROOT
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers import load_catalog, load_data
from genre_gen.data.splits import SPLITS, Case, Split, leave_one_out, sample_cases
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.prompting.book import PromptBook

ONE_STEP_BACK = "one-step-back"
TUNED_ON = 5000  # the largest number of validation users for choosing settings; the same sample for all models
FORMAT = 1
NOT_SCORED = ("rerank", "rules", "query", "explain", "serving")  # parts of a domain that do not affect scores


def digest(values: Any) -> str:
    """Return a fingerprint of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def training_inputs(domain: Domain, catalog: Catalog) -> list[Any]:
    """Return the inputs of our training, except for interactions and code, as JSON values."""
    settings = {name: part for name, part in domain.settings().items() if name not in NOT_SCORED}
    book = PromptBook.load(domain)
    prompts = {name: book.fingerprint(name) for name, task in domain.tasks.items() if task.weight}
    return [settings, prompts, catalog.fingerprint()]


def data_place(name: str) -> str | None:
    """Return the folder of a data set below ``GENRE_DATA``, if it has one; None for the place that its domain names."""
    folder = Path(os.environ["GENRE_DATA"]) / name if os.environ.get("GENRE_DATA") else None
    return None if folder is None or not folder.is_dir() else str(folder.resolve())


def named_split(name: str, interactions: Interactions, catalog: Catalog) -> Split:
    """Split by name; raises UsageError for another."""
    if name not in SPLITS:
        raise UsageError(f"no split {name!r}; choose {', '.join(SPLITS)}")
    return SPLITS[name](interactions, catalog)


@dataclass(frozen=True)
class Bench:
    """The data, the split and the folder of runs.

    Attributes:
        name: name of the data in file names and captions.
        domain: its settings.
        split_name: ``leave-one-out``, ``global-time``, or ``one-step-back``, which is leave-one-out without the test
            items, for comparing settings.
        runs: folder of the runs of this data and split.
        users: size of the fixed sample of validation and test users; None for all. Only for ``one-step-back``, since
            a table of models tests all users.
        source: the name or path of the data.
    """

    name: str
    domain: Domain
    split_name: str
    runs: Path
    users: int | None = None
    source: str = ""

    @classmethod
    def open(cls, data: str, split: str = "leave-one-out", runs: Path = Path(), users: int | None = None) -> Bench:
        """Find the data: a folder of ``eval/domains``, or any folder with a ``domain.toml``."""
        if users is not None and (users < 1 or split != ONE_STEP_BACK):
            raise UsageError(f"--users {users}: give 1 or more, and only with --split {ONE_STEP_BACK}")
        folder = ROOT / "eval" / "domains" / data
        if not (folder / "domain.toml").is_file():
            folder = Path(data)
        name = folder.resolve().name
        sample = "" if users is None else f"-{users}-users"
        return cls(name, Domain.load(folder), split, runs / f"{name}-{split}{sample}", users, data)

    @cached_property
    def catalog(self) -> Catalog:
        """Return the items."""
        return load_catalog(self.domain, data_place(self.name))[0]

    @cached_property
    def interactions(self) -> Interactions:
        """Return all interactions."""
        return load_data(self.domain, data_place(self.name), self.catalog).interactions

    @cached_property
    def split(self) -> Split:
        """Return the split; raises UsageError if it has no validation or test cases."""
        if self.split_name == ONE_STEP_BACK:
            before = leave_one_out(self.interactions, self.catalog).train_and_validation
            split = leave_one_out(before, self.catalog)
        else:
            split = named_split(self.split_name, self.interactions, self.catalog)
        if self.users is not None:
            validation, test = (tuple(sample_cases(cases, self.users)) for cases in (split.validation, split.test))
            split = replace(split, validation=validation, test=test)
        if not (split.validation and split.test):
            raise UsageError(f"{self.name}: the {self.split_name} split leaves no cases; give users more interactions")
        return split

    @cached_property
    def tuning(self) -> tuple[Case, ...]:
        """Return the validation cases that settings are chosen on."""
        return tuple(sample_cases(self.split.validation, TUNED_ON))

    @cached_property
    def fingerprint(self) -> str:
        """Return a fingerprint of interactions, split and protocol."""
        arrays = {
            name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
            for name, array in self.interactions.arrays().items()
        }
        return digest([FORMAT, arrays, self.split_name, self.domain.repeat, TUNED_ON, self.users])
