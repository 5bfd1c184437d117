"""What the folder of a trained recommender says without its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.report import Report
from genre_gen.folders.arrays import contents_of
from genre_gen.folders.reading import SavedFolder, open_folder
from genre_gen.recommender import persistence
from genre_gen.recommender.loading import read_settings

EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class SavedRun:
    """A saved recommender, its model aside.

    Attributes:
        name: for messages.
        folder: where it is.
        settings: of its JSON.
        catalog: the items.
        trained_on: what it learned from; None if that was not saved.
        histories: of its users; None if they were not saved.
        report: the evaluation in the folder; None if it is missing or cannot be compared.
        problems: what is wrong with that evaluation, in words.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    catalog: Catalog
    trained_on: Interactions | None
    histories: Interactions | None
    report: Report | None
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path, name: str) -> Self:
        """Read a folder; raises CheckpointError if it is incomplete, damaged, or not a saved recommender."""
        with open_folder(folder, persistence.KIND) as saved:
            settings = read_settings(saved).model_dump()
            with contents_of(folder / persistence.CATALOG):
                catalog = Catalog.from_text(saved.text(persistence.CATALOG), settings["domain"]["name"])
            trained_on, histories = (
                _interactions(saved, file) for file in (persistence.TRAINED_ON, persistence.HISTORIES)
            )
        report, problems = _report(folder, settings, name)
        return cls(name, folder, settings, catalog, trained_on, histories, report, problems)

    @property
    def weights(self) -> Mapping[str, float]:
        """Return the weights of the blend."""
        return self.settings["tuned"]["blend"]["weights"]  # type: ignore[no-any-return]


def _interactions(saved: SavedFolder, file: str) -> Interactions | None:
    with contents_of(saved.path / file):
        return Interactions.from_arrays(saved.arrays(file)) if file in saved else None


def _report(folder: Path, settings: Mapping[str, Any], name: str) -> tuple[Report | None, tuple[str, ...]]:
    """Return the evaluation in a folder, or why there is none to compare."""
    file = folder / EVALUATION
    if not file.is_file():
        return None, (f"{name} has no {EVALUATION}: evaluate it first",)
    try:
        report = Report.from_json(file.read_text(encoding="utf-8"))
        report[GENRE]
    except (DataError, UsageError, UnicodeDecodeError) as problem:
        return None, (f"{name}: {EVALUATION} cannot be compared: {problem}",)
    if report.notes.get("blend") not in (None, settings["tuned"]["blend"]["weights"]):
        return report, (f"{name}: {EVALUATION} is of a blend with other weights; evaluate it again",)
    return report, ()
