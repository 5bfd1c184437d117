"""Loading a trained recommender: all bytes are verified, and contents are checked like any input."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from genre_gen.blending.tuned import TunedSettings
from genre_gen.codes.base import Codes
from genre_gen.collaborative import MEMBERS, RATERS, CollaborativeModel, RatingModel
from genre_gen.collaborative.base import check_fitted
from genre_gen.data.arguments import check_path
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.summary import DataSummary
from genre_gen.domain import Domain
from genre_gen.downloads.models import ensure_model, find_model, hub_id, is_shipped
from genre_gen.downloads.repository import download_repository
from genre_gen.errors import CheckpointError, SourceError
from genre_gen.explain.shared_counts import SharedCounts
from genre_gen.folders.allocator import return_freed_memory
from genre_gen.folders.arrays import LARGEST, check_numbers, contents_of
from genre_gen.folders.reading import SavedFolder, open_folder
from genre_gen.folders.writing import recover_folder
from genre_gen.languages.language import FOLDER as LANGUAGES
from genre_gen.languages.language import Language
from genre_gen.llm.model import LLM
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.model_card import FILE as CARD
from genre_gen.recommender.persistence import (
    CATALOG,
    CODES,
    COUNTS,
    HISTORIES,
    KIND,
    KNOWLEDGE,
    MEMBERS_FOLDER,
    PROMPTS,
    SETTINGS,
    SPOKEN_TASKS,
    TRAINED_ON,
    WEIGHTS,
    WORDING,
)
from genre_gen.recommender.state import LLM_MEMBER, RecommenderState, SharedData
from genre_gen.registry import TASKS
from genre_gen.settings import validation_problems

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
RUNS = Path("runs")  # where the command line keeps recommenders; not an owner on the hub
FETCHED = ("*.safetensors", "*.json", "*.jsonl", "*.jinja", CARD)
"""What is downloaded of a repository: nothing that could run code."""


class _Shared(BaseModel):
    """Settings that replace the interactions in a folder without them."""

    model_config = ConfigDict(extra="forbid", strict=True)
    data: dict[str, Any]
    trained_on: str


class SavedSettings(BaseModel):
    """The content of ``recommender.json``."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    version: str
    domain: dict[str, Any]
    codes: str
    answers: dict[str, list[list[int]]]
    members: dict[str, dict[str, Any]]
    tuned: dict[str, Any]
    raters: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    training_log: list[dict[str, Any]]
    prompts: dict[str, str]
    metrics: dict[str, Any]
    training: str
    shared: _Shared | None = None


def load(
    name: str | Path,
    quantization: str | None = None,
    plugins: Collection[str] = (),
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    allow_model: str | None = None,
) -> RecommenderState:
    """Read a trained recommender; see :meth:`genre_gen.Recommender.from_pretrained`."""
    folder, owner = _folder(name, revision, token)
    with open_folder(folder, KIND, links=owner is not None) as saved:
        settings = read_settings(saved)
        domain = Domain.from_settings(settings.domain, where=str(folder / SETTINGS))
        places = {"catalog_folder": folder, "prompts_folder": folder / PROMPTS, "is_saved": True}
        domain = domain.model_copy(update={**places, "tables": _tables(saved, domain)})
        domain.check_components(plugins, where=str(folder))
        _check_model(domain.model.llm, owner, allow_model, folder)
        if quantization is not None:
            domain = domain.changed({"serving.quantization": quantization})
        book = _book(saved, settings, domain, plugins)
        wording = _wording(saved, domain, book)
        with contents_of(folder / CATALOG):
            catalog = Catalog.from_text(saved.text(CATALOG), domain.name)
        shared = _shared(saved, settings, len(catalog))
        histories, trained_on = (
            Interactions.none(len(catalog)) if shared else _interactions(saved, file, len(catalog))
            for file in (HISTORIES, TRAINED_ON)
        )
        members, raters = _models(saved, settings, plugins, len(catalog))
        with contents_of(folder / SETTINGS):
            tuned = TunedSettings.from_dict(settings.tuned)
            _check_blends(tuned, members, raters)
        knowledge = _knowledge(saved, len(catalog)) if KNOWLEDGE in saved else None
        llm = _language_model(saved, settings, domain, catalog)
    return_freed_memory()
    log.info("read %s, trained for %s by version %s", folder, domain.name, settings.version)
    return RecommenderState(
        domain,
        book,
        catalog,
        histories,
        trained_on,
        llm,
        members,
        raters,
        tuned,
        knowledge,
        wording,
        settings.seconds,
        settings.training_log,
        settings.metrics,
        settings.training,
        shared,
    )


def read_settings(saved: SavedFolder) -> SavedSettings:
    """Return the content of ``recommender.json``; raises CheckpointError."""
    content, file = saved.json(SETTINGS), saved.path / SETTINGS
    if isinstance(content, dict) and "tuned" not in content:
        raise CheckpointError(
            f"{saved.path}: saved by an earlier version ({str(content.get('version'))[:20]}); train it again"
        )
    try:
        return SavedSettings.model_validate(content)
    except ValidationError as problem:
        first = validation_problems(problem, SavedSettings)[0]
        raise CheckpointError(f"{file}: is invalid: {first}; restore it from a copy or train again") from None


def _check_model(llm: str, owner: str | None, allowed: str | None, folder: Path) -> None:
    """Refuse a pre-trained model of another owner that would be fetched because the folder names it.

    Models of the built-in table have known checksums. A model in the cache, or in a folder here, was chosen by
    a user of this machine, unless the recommender itself was downloaded.

    Raises:
        CheckpointError: such a model, which ``allow_model`` does not name.
    """
    if allowed == llm or is_shipped(llm):
        return
    model_owner = (hub_id(llm) or "").partition("/")[0]
    with suppress(SourceError):
        if owner is None and (not model_owner or find_model(llm)):
            return
        if owner is not None and model_owner == owner:
            return
    origin = f"{hub_id(llm)} on the hub" if hub_id(llm) else f"the folder {llm}"
    raise CheckpointError(
        f"{folder}: is made over the pre-trained model of {origin}, which is not taken because a recommender names it; "
        f"if you trust it, load with allow_model={llm!r}"
    )


def _book(saved: SavedFolder, settings: SavedSettings, domain: Domain, plugins: Collection[str]) -> PromptBook:
    """Read the templates; they must be those of the training, since other prompts change the answers."""
    sources = {
        name: saved.text(file) for name, file in saved.below(PROMPTS).items() if not name.startswith(f"{LANGUAGES}/")
    }
    book = PromptBook.from_sources(saved.path / PROMPTS, sources, TASKS.added(domain.tasks, plugins))
    changed = [task for task, fingerprint in settings.prompts.items() if book.fingerprint(task) != fingerprint]
    changed += [task for task in domain.tasks if task not in settings.prompts]
    if changed:
        raise CheckpointError(
            f"{saved.path / PROMPTS}: the templates of {', '.join(changed)} are not those of the training; "
            "take out what was added there, or train again"
        )
    return book


def _tables(saved: SavedFolder, domain: Domain) -> dict[str, Language]:
    """Return the tables of the domain's languages that differ from the built-in ones."""
    files = {code: f"{PROMPTS}/{LANGUAGES}/{code}.json" for code in (domain.language, domain.spoken)}
    tables = {}
    for code, file in files.items():
        if file in saved:
            try:
                tables[code] = Language.model_validate(saved.json(file))
            except ValidationError as problem:
                first = validation_problems(problem, Language)[0]
                raise CheckpointError(
                    f"{saved.path / file}: is invalid: {first}; restore it from a copy or train again"
                ) from None
    return tables


def _wording(saved: SavedFolder, domain: Domain, book: PromptBook) -> PromptBook | None:
    """Read the templates of texts for people; None if they are in the language of the prompts."""
    sources = {name: saved.text(file) for name, file in saved.below(WORDING).items()}
    if domain.spoken == domain.language and not sources:
        return None
    wording = PromptBook.from_sources(saved.path / WORDING, sources, book.tasks)
    for task in SPOKEN_TASKS:
        wording.file(task)
    return wording


def _shared(saved: SavedFolder, settings: SavedSettings, n_items: int) -> SharedData | None:
    """Return the counts that replace interactions in a folder without them; None in a folder with interactions."""
    if settings.shared is None:
        return None
    with contents_of(saved.path / COUNTS):
        counts = SharedCounts.from_arrays(saved.arrays(COUNTS), n_items)
        return SharedData(counts, DataSummary.from_dict(settings.shared.data), settings.shared.trained_on)


def _interactions(saved: SavedFolder, file: str, n_items: int) -> Interactions:
    with contents_of(saved.path / file):
        interactions = Interactions.from_arrays(saved.arrays(file))
        _check_items(interactions.n_items, n_items)
        return interactions


def _knowledge(saved: SavedFolder, n_items: int) -> Knowledge:
    with contents_of(saved.path / KNOWLEDGE):
        knowledge = Knowledge.from_arrays(saved.arrays(KNOWLEDGE))
        _check_items(knowledge.n_items, n_items)
        return knowledge


def _models(
    saved: SavedFolder, settings: SavedSettings, plugins: Collection[str], n_items: int
) -> tuple[dict[str, CollaborativeModel], dict[str, RatingModel]]:
    unread = set(saved.below(MEMBERS_FOLDER).values())
    with contents_of(saved.path / SETTINGS):
        kinds = {name: MEMBERS.load(name, plugins) for name in settings.members}
        rating_kinds = {name: RATERS.load(name, plugins) for name in settings.raters}
    members: dict[str, CollaborativeModel] = {}
    for name, options in settings.members.items():
        file = f"{MEMBERS_FOLDER}/{name}.safetensors"
        members[name] = _model(saved, file, kinds[name], options, n_items)
        unread.discard(file)
    raters: dict[str, RatingModel] = {}
    for name, options in settings.raters.items():
        file, member = f"{MEMBERS_FOLDER}/{name}.ratings.safetensors", members.get(name)
        if isinstance(member, RatingModel) and file not in saved and options == settings.members[name]:
            raters[name] = member
        else:
            raters[name] = _model(saved, file, rating_kinds[name], options, n_items)
        unread.discard(file)
    if unread:
        raise CheckpointError(f"{saved.path / min(unread)}: belongs to no model of {SETTINGS}; take it out")
    return members, raters


def _model(saved: SavedFolder, file: str, kind: Any, options: Mapping[str, Any], n_items: int) -> Any:
    with contents_of(saved.path / SETTINGS):
        check_numbers(options, kind.name)
    with contents_of(saved.path / file):
        model = kind.from_arrays(saved.arrays(file), options)
        check_fitted(model, n_items)
        return model


def _check_blends(
    tuned: TunedSettings, members: Mapping[str, CollaborativeModel], raters: Mapping[str, RatingModel]
) -> None:
    """Raise ValueError if there are weights of missing models."""
    blends = [(tuned.blend.weights, members), (tuned.blend_without_llm.weights, members)]
    if tuned.ratings is not None:
        blends.append((tuned.ratings.weights, raters))
    for weights, models in blends:
        if unknown := [name for name in weights if name not in models and name != LLM_MEMBER]:
            raise ValueError(f"the blend has a weight for {unknown[0]!r}, which is not a member")


def _check_items(found: int, n_items: int) -> None:
    if found != n_items:
        raise ValueError(f"it is of {found:,} items, and the catalog has {n_items:,}")


def _language_model(saved: SavedFolder, settings: SavedSettings, domain: Domain, catalog: Catalog) -> LLM:
    from genre_gen.decoding.onednn import prepack
    from genre_gen.llm.quantize import quantize
    from genre_gen.llm.restore import without_weights

    with contents_of(saved.path / CODES):
        codes = Codes.from_arrays(settings.codes, saved.arrays(CODES))
        _check_items(len(codes.codes), len(catalog))
    llm = without_weights(ensure_model(domain.model.llm), codes, domain)
    with contents_of(saved.path / SETTINGS):
        llm.expect_answers({task: _answers(ids, llm.text_vocabulary) for task, ids in settings.answers.items()})
    weights, mapped = saved.mapped(WEIGHTS)
    _check_weights(llm, weights, saved.path, domain)
    llm.take(weights)
    quantize(llm, domain.serving.quantization)
    prepack(llm.item_backbone)  # now, since later the weights would be read from the file again
    mapped.release()
    return llm


def _answers(rows: list[list[int]], vocabulary: int) -> Tensor:
    """Return closed answers as ids, int64 ``[answers, longest]``; raises ValueError where they are invalid."""
    import torch

    ids = torch.tensor(rows, dtype=torch.int64)
    if ids.ndim != 2 or ids.numel() == 0 or ids.min() < -1 or ids.max() >= vocabulary:  # noqa: PLR2004
        raise ValueError("the answers contain ids that are not tokens of text")
    if (ids[:, 0] < 0).any() or ((ids[:, :-1] < 0) & (ids[:, 1:] >= 0)).any():
        raise ValueError("the answers are empty, or have gaps")
    return ids


def _check_weights(llm: LLM, weights: Mapping[str, Any], folder: Path, domain: Domain) -> None:
    parameters: dict[str, Any] = dict(llm.trainable())
    different = sorted(parameters.keys() ^ weights.keys()) or [
        name
        for name, value in weights.items()
        if (value.shape, value.dtype) != (parameters[name].shape, parameters[name].dtype)
    ]
    if different:
        raise CheckpointError(
            f"{folder}: its weights are not those of {domain.model.llm} as set here (first: {different[0]}); "
            "it was trained over another pre-trained model"
        )
    for name, value in weights.items():
        if value.numel() and not all(abs(float(end)) <= LARGEST for end in value.aminmax()):  # NaN is not
            raise CheckpointError(
                f"{folder / WEIGHTS}: is invalid: {name} is not finite; restore it from a copy or train again"
            )


def _folder(name: str | Path, revision: str | None, token: str | bool | None) -> tuple[Path, str | None]:
    """Return the local folder of a name, or a copy from the hub and its owner.

    A name that looks like an id is one unless a folder of the owner's name exists, since it could be a misspelt path.
    """
    folder = check_path(name, "the recommender's folder").expanduser()
    with suppress(CheckpointError):  # without write access, no saving was interrupted here
        recover_folder(folder)
    if folder.is_dir():
        return folder, None
    elsewhere = isinstance(name, str) and HUB_ID.fullmatch(name) and not folder.parent.is_dir()
    if not elsewhere or folder.parent == RUNS:
        raise CheckpointError(f"{folder}: no such folder; train a recommender and save it there first")
    return download_repository(str(name), FETCHED, revision, token), str(name).partition("/")[0]
