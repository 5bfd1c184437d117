"""Saving and loading a trained recommender: one folder of safetensors, JSON and templates, the manifest last."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from genre_gen.data.arguments import check_keys, check_path
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.explain.profile import PROFILE
from genre_gen.explain.wording import EXPLAIN, PINNED, SCORES
from genre_gen.folders import writing
from genre_gen.folders.checkpoints import drop_checkpoints
from genre_gen.folders.locks import hold
from genre_gen.folders.manifest import MANIFEST
from genre_gen.folders.mapped import align
from genre_gen.folders.reading import open_folder
from genre_gen.folders.writing import write_folder, write_json
from genre_gen.languages.language import FOLDER as LANGUAGES
from genre_gen.languages.language import Language
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.templates import in_language
from genre_gen.recommender.model_card import FILE as CARD
from genre_gen.recommender.model_card import model_card
from genre_gen.recommender.sharing import without_histories, without_paths
from genre_gen.recommender.state import RecommenderState

if TYPE_CHECKING:
    from genre_gen.evaluation.report import Report
    from genre_gen.llm.model import LLM

log = logging.getLogger(__name__)
KIND = "recommender"
CATALOG, HISTORIES, TRAINED_ON = "catalog.jsonl", "histories.safetensors", "trained_on.safetensors"
COUNTS = "counts.safetensors"  # only in a folder without histories
KNOWLEDGE = "knowledge.safetensors"  # only with a graph
WEIGHTS, CODES = "llm.safetensors", "codes.safetensors"
SETTINGS, PROMPTS, MEMBERS_FOLDER = "recommender.json", "prompts", "members"
WORDING = "wording"  # templates of what people read, only where it is another language than the prompts'
NAMES = (
    CATALOG, HISTORIES, TRAINED_ON, COUNTS, KNOWLEDGE, WEIGHTS, CODES, SETTINGS, PROMPTS, WORDING, MEMBERS_FOLDER, CARD,
)  # fmt: skip

SPOKEN_TASKS = (EXPLAIN, SCORES, PINNED, PROFILE)
"""Tasks whose templates people read."""


def check_place(folder: Path) -> None:
    """Check, before hours of training, that ``save`` would accept a folder; raises CheckpointError."""
    writing.check_place(folder, (*NAMES, MANIFEST))
    writing.check_own(folder, NAMES)


def _check_is_whole(state: RecommenderState) -> None:
    """Raise UsageError where a folder cannot hold the recommender."""
    if state.llm.late_codes is not None:
        raise UsageError(
            "items came after training, which no folder of a recommender holds; save the trained recommender, and add "
            "the items to the one that is loaded from there"
        )
    if state.llm.served != "none":
        raise UsageError(
            f"this recommender was loaded in {state.llm.served}, and its full weights are gone; load it with "
            'quantization = "none" to save it, or set serving.quantization before it is trained'
        )


def save(
    state: RecommenderState,
    folder: str | Path,
    metrics: Report | Mapping[str, Any] | None = None,
    *,
    histories: bool = True,
    name: str | None = None,
) -> None:
    """Write a trained recommender; see :meth:`genre_gen.Recommender.save_pretrained`.

    ``name`` is the id on the hub, for the card; None for the folder.
    """
    folder = check_path(folder, "folder")
    if metrics is not None and not hasattr(metrics, "summary"):
        check_keys(metrics, "metrics", "the report of evaluate, or figures by name")
    _check_is_whole(state)

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
        if state.wording is not None:
            state.wording.save(target / WORDING)
        _save_languages(state.domain, target / PROMPTS)
        write_json(target / SETTINGS, _settings(state))
        _write_card(state, target, name)

    write_folder(folder, fill, KIND)
    log.info("saved in %s", folder)
    if state.training and state.tuned.ended != "interrupted" and not state.domain.training.keep_optimizer:
        drop_checkpoints(folder, state.training)


def record_metrics(state: RecommenderState, folder: Path, metrics: Mapping[str, Any]) -> None:
    """Add the figures of an evaluation to the folder of a recommender, and to its card.

    The folder is replaced as a whole, as when it is saved, so it is valid at every moment.

    Raises:
        CheckpointError: the folder is incomplete, or cannot be written.
    """
    with hold(folder), open_folder(folder, KIND) as saved:
        settings = {**saved.json(SETTINGS), "metrics": dict(metrics)}

        def fill(target: Path) -> None:
            for file in saved.manifest.files.keys() - {SETTINGS, CARD}:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                (target / file).write_bytes(saved.read(file))
            write_json(target / SETTINGS, settings)
            _write_card(replace(state, metrics=settings["metrics"]), target)

        write_folder(folder, fill, KIND)


def with_knowledge(state: RecommenderState, domain: str | Path | Domain) -> RecommenderState:
    """Return a state with a domain's knowledge; see :meth:`genre_gen.Recommender.load_knowledge`."""
    given = domain if isinstance(domain, Domain) else Domain.load(domain)
    knowledge, book = Knowledge.of_domain(given, state.catalog), state.book
    if given.prompts_folder != book.folder:
        newer = PromptBook.load(given)
        if all(newer.fingerprint(task) == book.fingerprint(task) for task in state.domain.tasks):
            book = newer
        else:
            log.warning("the wording of explanations is not updated: %s was changed since training", newer.folder)
    changes = {"knowledge": given.settings()["knowledge"]}
    changes |= {
        f"languages.{code}.relations": words.get("relations", {})
        for code, words in given.settings()["languages"].items()
    }
    return replace(state, domain=state.domain.changed(changes), book=book, knowledge=knowledge)


def with_language(state: RecommenderState, language: str, domain: str | Path | Domain | None) -> RecommenderState:
    """Return a state with another language; see :meth:`genre_gen.Recommender.speak`."""
    trained, own = state.domain, Path.cwd() / "prompts" / state.domain.name
    if domain is not None:
        given = domain if isinstance(domain, Domain) else Domain.load(domain)
    elif trained.is_saved and language == trained.spoken and not in_language(own, language).is_dir():
        return state
    elif trained.is_saved or own.is_dir():
        newer = any((folder / LANGUAGES / f"{language}.toml").is_file() for folder in (own, own.parent))
        tables = {code: each for code, each in trained.tables.items() if code != language or not newer}
        given = trained.model_copy(update={"prompts_folder": own, "tables": tables, "is_saved": False})
    else:
        given = trained
    words = {**given.settings()["languages"]}
    if trained.language in trained.languages:  # prompts have these, whatever became of them since
        words[trained.language] = trained.settings()["languages"][trained.language]
    other = None if language == trained.language else language
    changed = trained.changed({"explain.language": other, "languages": words})
    if other is None:
        return replace(state, domain=changed, wording=None)
    given = given.changed({"languages": words})
    wording = PromptBook.load(given, other)
    for task in SPOKEN_TASKS:
        wording.file(task)  # what is missing shows now
    tables = {**trained.tables, other: DomainLanguage.of(given, other).tables}
    return replace(state, domain=changed.model_copy(update={"tables": tables}), wording=wording)


def _save_languages(domain: Domain, folder: Path) -> None:
    """Write the tables of a domain's languages, except for built-in ones."""
    for code in {domain.language, domain.spoken}:
        tables = DomainLanguage.of(domain, code).tables
        if tables != Language.shipped(code):
            (folder / LANGUAGES).mkdir(parents=True, exist_ok=True)
            write_json(folder / LANGUAGES / f"{code}.json", tables.model_dump())


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
        "training": state.training,
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


def _save_llm(llm: LLM, folder: Path) -> None:
    import safetensors.torch

    weights = {name: value.detach().cpu().contiguous() for name, value in llm.trainable()}
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    align(folder / WEIGHTS)
    _save_arrays(llm.codes.arrays(), folder / CODES)
