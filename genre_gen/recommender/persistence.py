"""Saving and loading a trained recommender: one folder of safetensors, JSON and templates, the manifest last."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from genre_gen.blending.tuned import TunedSettings
from genre_gen.codes.base import Codes
from genre_gen.collaborative import MEMBERS, RATERS, RatingModel
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.errors import CheckpointError, SourceError, UsageError
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.recommender import Recommender
from genre_gen.registry import TASKS, check_allowed
from genre_gen.training import checkpoint
from genre_gen.training.checkpoint import read_json, recover_folder, verify_folder, write_folder, write_json

KIND = "recommender"
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
RUNS = Path("runs")  # where the command line keeps recommenders; nobody's name on the hub
CATALOG, HISTORIES, TRAINED_ON = "catalog.jsonl", "histories.safetensors", "trained_on.safetensors"
KNOWLEDGE = "knowledge.safetensors"  # only where there is any
WEIGHTS, CODES, SETTINGS, PROMPTS, MEMBERS_FOLDER = (
    "llm.safetensors",
    "codes.safetensors",
    "recommender.json",
    "prompts",
    "members",
)
NAMES = (CATALOG, HISTORIES, TRAINED_ON, KNOWLEDGE, WEIGHTS, CODES, SETTINGS, PROMPTS, MEMBERS_FOLDER)


def check_place(folder: Path) -> None:
    """Refuse a folder that ``save`` would refuse, before hours of training; raises CheckpointError."""
    checkpoint.check_place(folder, (*NAMES, checkpoint.MANIFEST))


def save(recommender: Recommender, folder: Path, metrics: Mapping[str, Any] | None = None) -> None:
    """Write a recommender; see :meth:`Recommender.save_pretrained`."""
    if (served := recommender.generator.llm.served) != "none":
        raise UsageError(
            f"this recommender was loaded in {served}, and its full weights are gone; load it with "
            'quantization = "none" to save it, or set serving.quantization before it is trained'
        )

    def fill(target: Path) -> None:
        recommender.catalog.save(target / CATALOG)
        _save_arrays(recommender.histories.arrays(), target / HISTORIES)
        _save_arrays(recommender.trained_on.arrays(), target / TRAINED_ON)
        if recommender.knowledge is not None:
            _save_arrays(recommender.knowledge.arrays(), target / KNOWLEDGE)
        _save_llm(recommender, target)
        _save_members(recommender, target / MEMBERS_FOLDER)
        recommender.book.save(target / PROMPTS)
        write_json(target / SETTINGS, _settings(recommender, metrics))

    write_folder(folder, fill, {"kind": KIND})


def load(name: str | Path, quantization: str | None = None, plugins: Collection[str] = ()) -> Recommender:
    """Read a recommender; see :meth:`Recommender.from_pretrained`."""
    from genre_gen.llm.quantize import quantize
    from genre_gen.training.llm_training import build_generator

    folder = _folder(name)
    if verify_folder(folder).get("kind") != KIND:
        raise CheckpointError(f"{folder}: no saved recommender; give the folder that train wrote, not one inside it")
    settings = read_json(folder / SETTINGS)
    if "choices" not in settings:
        raise CheckpointError(f"{folder}: saved by an earlier version ({settings.get('version')}); train it again")
    domain = Domain.from_settings(settings["domain"], where=str(folder / SETTINGS))
    domain = domain.model_copy(update={"catalog_folder": folder, "prompts_folder": folder / PROMPTS})
    check_allowed(domain.components(), plugins, where=str(folder))
    if quantization is not None:
        domain = domain.changed({"serving.quantization": quantization})
    recommender = Recommender(domain, _book(folder, settings, domain))
    recommender.catalog = Catalog.from_file(folder / CATALOG, domain.name)
    recommender.histories = Interactions.from_arrays(load_file(folder / HISTORIES))
    recommender.trained_on = Interactions.from_arrays(load_file(folder / TRAINED_ON))
    if (folder / KNOWLEDGE).is_file():
        recommender.knowledge = Knowledge.from_arrays(load_file(folder / KNOWLEDGE))
    _load_members(recommender, settings, folder / MEMBERS_FOLDER, plugins)
    codes = Codes.from_arrays(settings["codes"], load_file(folder / CODES))
    recommender.generator = build_generator(
        domain, recommender.book, recommender.catalog, recommender.trained_on, codes
    )
    _load_llm(recommender, settings, folder)
    quantize(recommender.generator.llm, domain.serving.quantization)
    recommender.take(TunedSettings.from_dict(settings["choices"]))
    recommender.seconds = settings["seconds"]
    recommender.training_log = settings["training_log"]
    return recommender


def _book(folder: Path, settings: Mapping[str, Any], domain: Domain) -> PromptBook:
    """Read the templates; a model that is asked in other words than it was trained with answers something else."""
    book = PromptBook(folder / PROMPTS, TASKS.added(domain.tasks))
    changed = [task for task, fingerprint in settings["prompts"].items() if book.fingerprint(task) != fingerprint]
    if changed:
        raise CheckpointError(
            f"{folder / PROMPTS}: the templates of {', '.join(changed)} are not those of the training; "
            "take out what was added there, or train again"
        )
    return book


def _settings(recommender: Recommender, metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    from genre_gen import __version__

    return {
        "version": __version__,
        "domain": recommender.domain.settings(),
        "codes": recommender.generator.llm.codes.name,
        "answers": {task: ids.tolist() for task, ids in recommender.generator.llm.answers.items()},
        "members": {name: model.settings() for name, model in recommender.members.items()},
        "choices": recommender.choices.to_dict(),
        "raters": {name: model.settings() for name, model in recommender.raters.models.items()},
        "seconds": recommender.seconds,
        "training_log": recommender.training_log,
        "prompts": {task: recommender.book.fingerprint(task) for task in sorted(recommender.domain.tasks)},
        "metrics": dict(metrics or {}),
    }


def _save_arrays(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)


def _save_members(recommender: Recommender, folder: Path) -> None:
    folder.mkdir()
    for name, model in recommender.members.items():
        _save_arrays(model.arrays(), folder / f"{name}.safetensors")
    for name, rater in recommender.raters.models.items():
        if recommender.members.get(name) is not rater:  # one model may do both
            _save_arrays(rater.arrays(), folder / f"{name}.ratings.safetensors")


def _load_members(
    recommender: Recommender, settings: Mapping[str, Any], folder: Path, plugins: Collection[str]
) -> None:
    for name, options in settings["members"].items():
        arrays = load_file(folder / f"{name}.safetensors")
        recommender.members[name] = MEMBERS.load(name, plugins).from_arrays(arrays, options)
    for name, options in settings["raters"].items():
        file, member = folder / f"{name}.ratings.safetensors", recommender.members.get(name)
        if isinstance(member, RatingModel) and not file.is_file():
            recommender.raters.models[name] = member
        else:
            recommender.raters.models[name] = RATERS.load(name, plugins).from_arrays(load_file(file), options)


def _save_llm(recommender: Recommender, folder: Path) -> None:
    import safetensors.torch

    llm = recommender.generator.llm
    weights = {name: value.detach().cpu().contiguous() for name, value in llm.trainable()}
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    _save_arrays(llm.codes.arrays(), folder / CODES)


def _load_llm(recommender: Recommender, settings: Mapping[str, Any], folder: Path) -> None:
    import safetensors.torch
    import torch

    llm = recommender.generator.llm
    llm.add_answer_heads(
        {task: torch.tensor(ids, dtype=torch.int64, device=llm.device) for task, ids in settings["answers"].items()}
    )
    parameters = dict(llm.trainable())
    saved = safetensors.torch.load_file(folder / WEIGHTS)
    odd = sorted(parameters.keys() ^ saved.keys()) or [
        name for name, value in saved.items() if value.shape != parameters[name].shape
    ]
    if odd:
        raise CheckpointError(
            f"{folder}: its weights are not those of {recommender.domain.model.llm} as set here (first: {odd[0]}); "
            "it was trained over another pre-trained model"
        )
    with torch.no_grad():
        for name, value in saved.items():
            parameters[name].copy_(value)


def _folder(name: str | Path) -> Path:
    """Return the folder of a name: itself, or a copy of what the hub has under this id.

    A name is an id where it looks like one and there is no folder in which it could be a misspelt one.
    """
    folder = Path(name).expanduser()
    recover_folder(folder)
    if folder.is_dir():
        return folder
    elsewhere = isinstance(name, str) and HUB_ID.fullmatch(name) and not folder.parent.is_dir()
    if not elsewhere or folder.parent == RUNS:
        raise CheckpointError(f"{folder}: no such folder; train first: genre-gen train DOMAIN --out {folder}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        # Nothing that could run code is even downloaded.
        patterns = ["*.safetensors", "*.json", "*.jsonl", "*.jinja"]
        return Path(snapshot_download(str(name), allow_patterns=patterns))
    except (HfHubHTTPError, OSError, ValueError) as problem:
        first = str(problem).strip().splitlines()[0]
        raise SourceError(f"{name}: no folder here, and the hub does not answer for it: {first}") from None
