"""Saving and loading a trained recommender: one folder of safetensors, JSON and templates, the manifest last."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from genre_gen.blending.tuned import TunedSettings
from genre_gen.codes.base import Codes
from genre_gen.collaborative import MEMBERS, RATERS, CollaborativeModel, RatingModel
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.summary import DataSummary
from genre_gen.domain import Domain
from genre_gen.downloads.models import link_or_copy
from genre_gen.downloads.repository import download_repository
from genre_gen.errors import CheckpointError, UsageError
from genre_gen.explain.shared_counts import SharedCounts
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.model_card import FILE as CARD
from genre_gen.recommender.model_card import model_card
from genre_gen.recommender.sharing import without_histories, without_paths
from genre_gen.recommender.state import RecommenderState, SharedData
from genre_gen.registry import TASKS
from genre_gen.training import checkpoint
from genre_gen.training.checkpoint import read_json, recover_folder, verify_folder, write_folder, write_json

if TYPE_CHECKING:
    from genre_gen.evaluation.report import Report
    from genre_gen.llm.model import LLM

log = logging.getLogger(__name__)
KIND = "recommender"
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
RUNS = Path("runs")  # where the command line keeps recommenders; nobody's name on the hub
CATALOG, HISTORIES, TRAINED_ON = "catalog.jsonl", "histories.safetensors", "trained_on.safetensors"
COUNTS = "counts.safetensors"  # only in a folder without histories
KNOWLEDGE = "knowledge.safetensors"  # only where there is any
WEIGHTS, CODES = "llm.safetensors", "codes.safetensors"
SETTINGS, PROMPTS, MEMBERS_FOLDER = "recommender.json", "prompts", "members"
NAMES = (
    CATALOG, HISTORIES, TRAINED_ON, COUNTS, KNOWLEDGE, WEIGHTS, CODES, SETTINGS, PROMPTS, MEMBERS_FOLDER, CARD,
)  # fmt: skip
FETCHED = ("*.safetensors", "*.json", "*.jsonl", "*.jinja", CARD)
"""What is downloaded of a repository: nothing that could run code."""


def check_place(folder: Path) -> None:
    """Refuse a folder that ``save`` would refuse, before hours of training; raises CheckpointError."""
    checkpoint.check_place(folder, (*NAMES, checkpoint.MANIFEST))
    checkpoint.check_own(folder, NAMES)


def save(
    state: RecommenderState,
    folder: Path,
    metrics: Report | Mapping[str, Any] | None = None,
    *,
    histories: bool = True,
    name: str | None = None,
) -> None:
    """Write a trained recommender; see :meth:`genre_gen.Recommender.save_pretrained`.

    ``name`` is what the card calls it, an id on the hub; None for the folder.
    """
    if state.llm.served != "none":
        raise UsageError(
            f"this recommender was loaded in {state.llm.served}, and its full weights are gone; load it with "
            'quantization = "none" to save it, or set serving.quantization before it is trained'
        )

    if not histories:
        state = without_histories(without_paths(state))
    if metrics is not None:
        state = replace(state, metrics=dict(metrics if isinstance(metrics, Mapping) else metrics.summary()))

    def fill(target: Path) -> None:
        state.catalog.save(target / CATALOG)
        if state.shared is None:
            _save_arrays(state.histories.arrays(), target / HISTORIES)
            _save_arrays(state.trained_on.arrays(), target / TRAINED_ON)
        else:
            _save_arrays(state.shared.counts.arrays(), target / COUNTS)
        if state.knowledge is not None:
            _save_arrays(state.knowledge.arrays(), target / KNOWLEDGE)
        _save_llm(state.llm, target)
        _save_members(state, target / MEMBERS_FOLDER)
        state.book.save(target / PROMPTS)
        write_json(target / SETTINGS, _settings(state))
        _write_card(state, target, name)

    write_folder(folder, fill, {"kind": KIND})
    log.info("saved in %s", folder)


def record_metrics(state: RecommenderState, folder: Path, metrics: Mapping[str, Any]) -> None:
    """Add what an evaluation measured to the folder of a recommender, and to its card; all else stays as it is.

    The folder is replaced as a whole, as when it is saved, so no moment leaves it invalid.

    Raises:
        CheckpointError: the folder is not whole, or cannot be written.
    """
    listed = verify_folder(folder)["files"]
    settings = {**read_json(folder / SETTINGS), "metrics": dict(metrics)}

    def fill(target: Path) -> None:
        for file in listed.keys() - {SETTINGS, CARD}:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(folder / file, target / file)
        write_json(target / SETTINGS, settings)
        _write_card(replace(state, metrics=settings["metrics"]), target)

    write_folder(folder, fill, {"kind": KIND})


def load(
    name: str | Path,
    quantization: str | None = None,
    plugins: Collection[str] = (),
    *,
    revision: str | None = None,
    token: str | bool | None = None,
) -> RecommenderState:
    """Read a trained recommender; see :meth:`genre_gen.Recommender.from_pretrained`."""
    from genre_gen.llm.quantize import quantize

    folder = _folder(name, revision, token)
    if verify_folder(folder).get("kind") != KIND:
        raise CheckpointError(f"{folder}: no saved recommender; give the folder that train wrote, not one inside it")
    settings = read_json(folder / SETTINGS)
    if "tuned" not in settings:
        raise CheckpointError(f"{folder}: saved by an earlier version ({settings.get('version')}); train it again")
    domain = Domain.from_settings(settings["domain"], where=str(folder / SETTINGS))
    domain = domain.model_copy(update={"catalog_folder": folder, "prompts_folder": folder / PROMPTS})
    domain.check_components(plugins, where=str(folder))
    if quantization is not None:
        domain = domain.changed({"serving.quantization": quantization})
    book = _book(folder, settings, domain, plugins)
    catalog = Catalog.from_file(folder / CATALOG, domain.name)
    shared = _load_shared(settings, folder)
    histories, trained_on = (
        Interactions.none(len(catalog)) if shared else Interactions.from_arrays(load_file(folder / file))
        for file in (HISTORIES, TRAINED_ON)
    )
    knowledge = folder / KNOWLEDGE
    members, rating_models = _load_members(settings, folder / MEMBERS_FOLDER, plugins)
    llm = _load_llm(domain, catalog, trained_on, settings, folder)
    quantize(llm, domain.serving.quantization)
    log.info("read %s, trained for %s by version %s", folder, domain.name, settings["version"])
    return RecommenderState(
        domain,
        book,
        catalog,
        histories,
        trained_on,
        llm,
        members,
        rating_models,
        TunedSettings.from_dict(settings["tuned"]),
        Knowledge.from_arrays(load_file(knowledge)) if knowledge.is_file() else None,
        settings["seconds"],
        settings["training_log"],
        settings.get("metrics") or {},
        shared,
    )


def _load_shared(settings: Mapping[str, Any], folder: Path) -> SharedData | None:
    """Return what stands in for interactions in a folder without them; None where they are there."""
    about = settings.get("shared")
    if about is None:
        return None
    counts = SharedCounts(load_file(folder / COUNTS))
    return SharedData(counts, DataSummary.from_dict(about["data"]), about["trained_on"])


def with_knowledge(state: RecommenderState, domain: str | Path | Domain) -> RecommenderState:
    """Return a state with a domain's knowledge; see :meth:`genre_gen.Recommender.load_knowledge`."""
    given = domain if isinstance(domain, Domain) else Domain.load(domain)
    knowledge, book = Knowledge.of_domain(given, state.catalog), state.book
    if given.prompts_folder != book.folder:
        newer = PromptBook.load(given)
        if all(newer.fingerprint(task) == book.fingerprint(task) for task in state.domain.tasks):
            book = newer
        else:
            log.warning("the words for explanations stay as they were: %s was changed since training", newer.folder)
    changed = state.domain.changed({"knowledge": given.settings()["knowledge"]})
    return replace(state, domain=changed, book=book, knowledge=knowledge)


def _book(folder: Path, settings: Mapping[str, Any], domain: Domain, plugins: Collection[str]) -> PromptBook:
    """Read the templates; a model that is asked in other words than it was trained with answers something else."""
    book = PromptBook(folder / PROMPTS, tasks=TASKS.added(domain.tasks, plugins))
    changed = [task for task, fingerprint in settings["prompts"].items() if book.fingerprint(task) != fingerprint]
    if changed:
        raise CheckpointError(
            f"{folder / PROMPTS}: the templates of {', '.join(changed)} are not those of the training; "
            "take out what was added there, or train again"
        )
    return book


def _write_card(state: RecommenderState, folder: Path, name: str | None = None) -> None:
    (folder / CARD).write_text(model_card(state, name), encoding="utf-8", newline="\n")


def _settings(state: RecommenderState) -> dict[str, Any]:
    from genre_gen import __version__

    shared = state.shared
    return {
        "version": __version__,
        "domain": state.domain.settings(),
        "codes": state.llm.codes.name,
        "answers": {task: ids.tolist() for task, ids in state.llm.answers.items()},
        "members": {name: model.settings() for name, model in state.members.items()},
        "tuned": state.tuned.to_dict(),
        "raters": {name: model.settings() for name, model in state.rating_models.items()},
        "seconds": dict(state.seconds),
        "training_log": list(state.training_log),
        "prompts": {task: state.book.fingerprint(task) for task in sorted(state.domain.tasks)},
        "metrics": dict(state.metrics),
    } | ({} if shared is None else {"shared": {"data": shared.summary.to_dict(), "trained_on": shared.trained_on}})


def _save_arrays(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)


def _save_members(state: RecommenderState, folder: Path) -> None:
    folder.mkdir()
    for name, model in state.members.items():
        _save_arrays(model.arrays(), folder / f"{name}.safetensors")
    for name, rater in state.rating_models.items():
        if state.members.get(name) is not rater:  # one model may do both
            _save_arrays(rater.arrays(), folder / f"{name}.ratings.safetensors")


def _load_members(
    settings: Mapping[str, Any], folder: Path, plugins: Collection[str]
) -> tuple[dict[str, CollaborativeModel], dict[str, RatingModel]]:
    members: dict[str, CollaborativeModel] = {}
    for name, options in settings["members"].items():
        arrays = load_file(folder / f"{name}.safetensors")
        members[name] = MEMBERS.load(name, plugins).from_arrays(arrays, options)
    raters: dict[str, RatingModel] = {}
    for name, options in settings["raters"].items():
        file, member = folder / f"{name}.ratings.safetensors", members.get(name)
        if isinstance(member, RatingModel) and not file.is_file():
            raters[name] = member
        else:
            raters[name] = RATERS.load(name, plugins).from_arrays(load_file(file), options)
    return members, raters


def _save_llm(llm: LLM, folder: Path) -> None:
    import safetensors.torch

    weights = {name: value.detach().cpu().contiguous() for name, value in llm.trainable()}
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    _save_arrays(llm.codes.arrays(), folder / CODES)


def _load_llm(
    domain: Domain, catalog: Catalog, trained_on: Interactions, settings: Mapping[str, Any], folder: Path
) -> LLM:
    import safetensors.torch
    import torch

    from genre_gen.training.llm_training import build_llm

    codes = Codes.from_arrays(settings["codes"], load_file(folder / CODES))
    llm = build_llm(domain, catalog, trained_on, codes)
    llm.add_answer_heads(
        {task: torch.tensor(ids, dtype=torch.int64, device=llm.device) for task, ids in settings["answers"].items()}
    )
    parameters = dict(llm.trainable())
    saved = safetensors.torch.load_file(folder / WEIGHTS)
    different = sorted(parameters.keys() ^ saved.keys()) or [
        name for name, value in saved.items() if value.shape != parameters[name].shape
    ]
    if different:
        raise CheckpointError(
            f"{folder}: its weights are not those of {domain.model.llm} as set here (first: {different[0]}); "
            "it was trained over another pre-trained model"
        )
    with torch.no_grad():
        for name, value in saved.items():
            parameters[name].copy_(value)
    return llm


def _folder(name: str | Path, revision: str | None, token: str | bool | None) -> Path:
    """Return the folder of a name: itself, or a copy of what the hub has under this id.

    A name is an id where it looks like one and there is no folder in which it could be a misspelt one.
    """
    folder = Path(name).expanduser()
    recover_folder(folder)
    if folder.is_dir():
        return folder
    elsewhere = isinstance(name, str) and HUB_ID.fullmatch(name) and not folder.parent.is_dir()
    if not elsewhere or folder.parent == RUNS:
        raise CheckpointError(f"{folder}: no such folder; train a recommender and save it there first")
    return download_repository(str(name), FETCHED, revision, token)
