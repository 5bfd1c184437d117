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
from genre_gen.domain import Domain
from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import CheckpointError, SourceError, UsageError
from genre_gen.explain.profile import PROFILE
from genre_gen.explain.wording import EXPLAIN, SCORES
from genre_gen.languages.language import FOLDER as LANGUAGES
from genre_gen.languages.language import Language
from genre_gen.languages.resolved import DomainLanguage, folders_of
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.state import RecommenderState
from genre_gen.registry import TASKS
from genre_gen.training import checkpoint
from genre_gen.training.checkpoint import read_json, recover_folder, verify_folder, write_folder, write_json

if TYPE_CHECKING:
    from genre_gen.llm.model import LLM

log = logging.getLogger(__name__)
KIND = "recommender"
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
RUNS = Path("runs")  # where the command line keeps recommenders; nobody's name on the hub
CATALOG, HISTORIES, TRAINED_ON = "catalog.jsonl", "histories.safetensors", "trained_on.safetensors"
KNOWLEDGE = "knowledge.safetensors"  # only where there is any
WEIGHTS, CODES = "llm.safetensors", "codes.safetensors"
SETTINGS, PROMPTS, MEMBERS_FOLDER = "recommender.json", "prompts", "members"
WORDING = "wording"  # templates of what people read, only where it is another language than the prompts'
NAMES = (CATALOG, HISTORIES, TRAINED_ON, KNOWLEDGE, WEIGHTS, CODES, SETTINGS, PROMPTS, WORDING, MEMBERS_FOLDER)


def check_place(folder: Path) -> None:
    """Refuse a folder that ``save`` would refuse, before hours of training; raises CheckpointError."""
    checkpoint.check_place(folder, (*NAMES, checkpoint.MANIFEST))


def save(state: RecommenderState, folder: Path, metrics: Mapping[str, Any] | None = None) -> None:
    """Write a trained recommender; see :meth:`genre_gen.Recommender.save_pretrained`."""
    if state.llm.served != "none":
        raise UsageError(
            f"this recommender was loaded in {state.llm.served}, and its full weights are gone; load it with "
            'quantization = "none" to save it, or set serving.quantization before it is trained'
        )

    def fill(target: Path) -> None:
        state.catalog.save(target / CATALOG)
        _save_arrays(state.histories.arrays(), target / HISTORIES)
        _save_arrays(state.trained_on.arrays(), target / TRAINED_ON)
        if state.knowledge is not None:
            _save_arrays(state.knowledge.arrays(), target / KNOWLEDGE)
        _save_llm(state.llm, target)
        _save_members(state, target / MEMBERS_FOLDER)
        state.book.save(target / PROMPTS)
        if state.wording is not None:
            state.wording.save(target / WORDING)
        _save_languages(state.domain, target / PROMPTS)
        write_json(target / SETTINGS, _settings(state, metrics))

    write_folder(folder, fill, {"kind": KIND})


def load(name: str | Path, quantization: str | None = None, plugins: Collection[str] = ()) -> RecommenderState:
    """Read a trained recommender; see :meth:`genre_gen.Recommender.from_pretrained`."""
    from genre_gen.llm.quantize import quantize

    folder = _folder(name)
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
    trained_on = Interactions.from_arrays(load_file(folder / TRAINED_ON))
    knowledge, wording = folder / KNOWLEDGE, folder / WORDING
    members, rating_models = _load_members(settings, folder / MEMBERS_FOLDER, plugins)
    llm = _load_llm(domain, catalog, trained_on, settings, folder)
    quantize(llm, domain.serving.quantization)
    return RecommenderState(
        domain,
        book,
        catalog,
        Interactions.from_arrays(load_file(folder / HISTORIES)),
        trained_on,
        llm,
        members,
        rating_models,
        TunedSettings.from_dict(settings["tuned"]),
        Knowledge.from_arrays(load_file(knowledge)) if knowledge.is_file() else None,
        PromptBook(wording, tasks=book.tasks) if wording.is_dir() else None,
        settings["seconds"],
        settings["training_log"],
    )


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
    changes = {"knowledge": given.settings()["knowledge"]}
    changes |= {
        f"languages.{code}.relations": words.get("relations", {})
        for code, words in given.settings()["languages"].items()
    }
    return replace(state, domain=state.domain.changed(changes), book=book, knowledge=knowledge)


def with_language(state: RecommenderState, language: str, domain: str | Path | Domain | None) -> RecommenderState:
    """Return a state that speaks another language; see :meth:`genre_gen.Recommender.speak`."""
    trained, own = state.domain, Path.cwd() / "prompts" / state.domain.name
    given = trained.model_copy(update={"prompts_folder": own}) if domain is None and own.is_dir() else trained
    if domain is not None:
        given = domain if isinstance(domain, Domain) else Domain.load(domain)
    words = {**given.settings()["languages"]}
    if trained.language in trained.languages:  # prompts have these, whatever became of them since
        words[trained.language] = trained.settings()["languages"][trained.language]
    other = None if language == trained.language else language
    changed = trained.changed({"explain.language": other, "languages": words})
    if other is None:
        return replace(state, domain=changed, wording=None)
    wording = PromptBook.load(given.changed({"languages": words}), other)
    for task in (EXPLAIN, SCORES, PROFILE):
        wording.file(task)  # what is missing shows now
    return replace(state, domain=changed, wording=wording)


def _save_languages(domain: Domain, folder: Path) -> None:
    """Write the tables of the languages that a domain speaks, but for shipped ones."""
    for code in {domain.language, domain.spoken}:
        file = Language.file(code, folders_of(domain))
        if not file.resolve().is_relative_to(assets_folder().resolve()):
            (folder / LANGUAGES).mkdir(parents=True, exist_ok=True)
            write_json(folder / LANGUAGES / f"{code}.json", DomainLanguage.of(domain, code).tables.model_dump())


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


def _settings(state: RecommenderState, metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    from genre_gen import __version__

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
        "metrics": dict(metrics or {}),
    }


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
        raise CheckpointError(f"{folder}: no such folder; train a recommender and save it there first")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        # Nothing that could run code is even downloaded.
        patterns = ["*.safetensors", "*.json", "*.jsonl", "*.jinja"]
        return Path(snapshot_download(str(name), allow_patterns=patterns))
    except (HfHubHTTPError, OSError, ValueError) as problem:
        first = str(problem).strip().splitlines()[0]
        raise SourceError(f"{name}: no folder here, and the hub does not answer for it: {first}") from None
