"""Domain: the settings of one kind of catalog, as described in its ``domain.toml``.

Every key is documented in ``catalogs/movies/domain.toml``; this module defines the keys, their values and their
defaults, except those of the data (``data/settings.py``), of queries and of rules.
"""

from __future__ import annotations

import copy
import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator

from genre_gen.data.arguments import check_keys
from genre_gen.data.event_settings import Events, check_events
from genre_gen.data.settings import DataSettings, FieldSettings
from genre_gen.downloads.domains import FILE, domain_names, find_domain, find_prompts, read_toml
from genre_gen.errors import CheckpointError, ConfigError
from genre_gen.languages.language import Language
from genre_gen.languages.settings import ENGLISH, LANGUAGE, DomainWords, LanguageCode
from genre_gen.query.settings import QuerySettings
from genre_gen.registry import AUTO, CODE_SCHEMES, ENCODERS, MEMBERS, RATERS, READERS, TASKS, TRACKERS, Registry
from genre_gen.rules.settings import Rules
from genre_gen.settings import Names, Noun, Settings, Share, validation_problems

_NOT_SETTINGS = ("catalog_folder", "prompts_folder", "tables", "is_saved")

TaskName: TypeAlias = Annotated[str, TASKS.name_check()]


class TaskSettings(Settings):
    """A task's weight in training, and the depth of the model at which its loss is computed."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    depth: Literal["exit", "full"] = "full"


class CodeSettings(Settings):
    """The codes of items."""

    scheme: Annotated[str, CODE_SCHEMES.name_check()] = "atomic"
    encoder: Annotated[str, ENCODERS.name_check()] = "llm"
    length: Annotated[int, Field(ge=1, le=16)] = 3
    width: Annotated[int, Field(ge=2, le=65536)] = 256
    text: Annotated[float, Field(ge=0)] = 1.0
    collaborative: Annotated[float, Field(ge=0)] = 2.0
    cold_start_scale: Annotated[float, Field(ge=0)] = 0.9
    factors: Annotated[int, Field(ge=0)] | None = None


class ModelSettings(Settings):
    """The language model, and how it is tuned."""

    llm: str = "smollm2-135m"
    exit_layer: Annotated[int, Field(ge=1)] | None = None
    adapter: Literal["full", "lora"] = "full"
    quantization: Literal["none", "int8", "nf4"] = "none"
    near_identity_scale: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_history: Annotated[int, Field(ge=1)] = 200


class Training(Settings):
    """Duration, learning rates and further settings of training."""

    epochs: Annotated[int, Field(ge=1)] = 10
    pretraining_epochs: Annotated[int, Field(ge=0)] = 0
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    code_learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    batch_tokens: Annotated[int, Field(ge=1)] = 2048
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    warmup_share: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    window: Annotated[int, Field(ge=2)] = 200
    patience: Annotated[int, Field(ge=1)] = 3
    validations_per_epoch: Annotated[int, Field(ge=1)] = 1
    validation_users: Annotated[int, Field(ge=1)] = 500
    refit: Literal["continue", "from_scratch", "none"] = "continue"
    refit_epochs: Annotated[int, Field(ge=1)] = 1
    refit_rate: Annotated[float, Field(gt=0, le=1)] = 0.3
    distillation: Share = 0.0
    synthetic: Annotated[float, Field(ge=0)] = 0.0
    keep_optimizer: bool = False
    negatives: Annotated[int, Field(ge=0)] | None = None
    tracker: Annotated[str, TRACKERS.name_check(AUTO)] = AUTO
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class BlendSettings(Settings):
    """The collaborative models that are blended with the language model."""

    members: tuple[Annotated[str, MEMBERS.name_check()], ...] = ("sequential_rules", "ease", "popularity")
    tune: bool = True


class RerankSettings(Settings):
    """Re-ranking of lists, see :mod:`genre_gen.blending.rerank`."""

    method: Literal["none", "mmr", "calibration"] = "none"
    weight: Share = 0.3
    candidates: Annotated[int, Field(ge=1)] = 100


class ExplainSettings(Settings):
    """The style of explanations, and the number of recent items whose effect on a pick is measured (0: none).

    ``words`` are the words that a sentence of the ``free`` style may use in addition to data and the templates' words
    for the same facts. They must not state anything about the data.

    ``language`` is that of explanations, pages and requests, if it is not that of the prompts.
    """

    style: Literal["template", "llm", "free"] = "template"
    language: LanguageCode | None = None
    attribution: Annotated[int, Field(ge=0)] = 10
    words: tuple[str, ...] | None = None


class RelationSettings(Settings):
    """One relation of ``[knowledge]``: its name in the triples, and its name in explanations.

    ``items`` means that its tails are items; ``singular`` is then the head's relation to the tail.
    """

    relation: Names
    singular: str | None = None
    plural: str | None = None
    items: bool = False

    def called(self, name: str) -> tuple[str, str]:
        """Return its singular and plural; by default both are ``name``, the relation's key."""
        singular = self.singular or name.replace("_", " ")
        return singular, self.plural or singular


class KnowledgeSettings(Settings):
    """Triples (head, relation, tail) about items that explanations may cite, see :mod:`genre_gen.data.knowledge`."""

    triples: str | None = None
    links: str | None = None
    items: str | None = None
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    relations: dict[str, RelationSettings] = Field(default_factory=dict)
    head: Names = ("head_id", "head")
    relation: Names = ("relation_id", "relation")
    tail: Names = ("tail_id", "tail")
    item: Names = ("item_id", "item")
    entity: Names = ("entity_id", "entity")


class ServingSettings(Settings):
    """The quantization for serving, see :mod:`genre_gen.llm.quantize`; it does not affect training."""

    quantization: Literal["none", "bf16", "int8", "nf4"] = "none"


class RatingSettings(Settings):
    """The models that predict ratings together with the language model."""

    members: tuple[Annotated[str, RATERS.name_check()], ...] = ("svd",)


class Domain(Settings):
    """All settings of a domain. Build one with :meth:`load`.

    Attributes:
        name: the domain's name, which also names its prompts.
        language: of the prompts, and of the words in ``domain.toml``.
        languages: language -> the words that differ in it.
        noun, nouns: the word for an item, such as movie, and its plural; None for the regular one.
        repeat: whether items of the history may be recommended again.
        liked_from: least rating of a liked item; None if the data has no ratings.
        rating_scale: lowest and highest possible rating; None if the data has no ratings.
        events: kind of event -> what it means; empty if the data has one kind.
        fields: attribute name -> its type and column, in display order.
        tasks: task name -> weight and depth.
        catalog_folder: the folder of ``domain.toml``.
        prompts_folder: the folder of the domain's own templates; missing ones are generic.
        tables: language -> its tables, for languages whose tables were read before; others are read from files.
        is_saved: whether it came with a saved recommender, in whose folder nothing is searched.

    Example:
        >>> domain = Domain.load("movies")
        >>> domain.noun, domain.tasks["rating"].weight, domain.blend.members
        ('movie', 0.15, ('sequential_rules', 'ease', 'popularity', 'svd'))
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    language: LanguageCode = ENGLISH
    noun: Noun = "item"
    nouns: Noun | None = None
    repeat: bool = False
    liked_from: float | None = None
    rating_scale: tuple[float, float] | None = None
    data: DataSettings = DataSettings()
    events: Events = Field(default_factory=dict)
    fields: dict[str, FieldSettings] = Field(default_factory=dict)
    tasks: dict[TaskName, TaskSettings] = Field(default={"next_item": TaskSettings(weight=1.0, depth="exit")})
    codes: CodeSettings = CodeSettings()
    model: ModelSettings = ModelSettings()
    training: Training = Training()
    blend: BlendSettings = BlendSettings()
    rerank: RerankSettings = RerankSettings()
    rules: Rules = Rules()
    ratings: RatingSettings = RatingSettings()
    query: QuerySettings = QuerySettings()
    explain: ExplainSettings = ExplainSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    serving: ServingSettings = ServingSettings()
    languages: dict[LanguageCode, DomainWords] = Field(default_factory=dict)
    catalog_folder: Path = Field(default=Path(), exclude=True)
    prompts_folder: Path = Field(default=Path(), exclude=True)
    tables: dict[LanguageCode, Language] = Field(default_factory=dict, exclude=True)
    is_saved: bool = Field(default=False, exclude=True)

    @field_validator("fields")
    @classmethod
    def _usable_field_names(cls, fields: dict[str, FieldSettings]) -> dict[str, FieldSettings]:
        for name in fields:
            if not name.isidentifier() or keyword.iskeyword(name) or name in ("id", "title"):
                raise ValueError(
                    f"{name!r} cannot name a field: use a plain word, not id, title or one of Python's own"
                )
        if len({unicodedata.normalize("NFKC", name) for name in fields}) < len(fields):
            raise ValueError("two fields have names that differ only in how their letters are encoded; rename one")
        return fields

    @model_validator(mode="after")
    def _ratings_agree(self) -> Self:
        if self.rating_scale is not None:
            low, high = self.rating_scale
            if not low < high:
                raise ValueError(f"rating_scale [{low:g}, {high:g}] must run from low to high")
            if self.liked_from is not None and not low <= self.liked_from <= high:
                raise ValueError(f"liked_from {self.liked_from:g} is outside rating_scale [{low:g}, {high:g}]")
        return self

    @model_validator(mode="after")
    def _events_agree(self) -> Self:
        check_events(self.events, is_named=self.data.columns.event is not None)
        return self

    @model_validator(mode="after")
    def _rules_name_fields(self) -> Self:
        self.rules.check_fields(self.fields)
        return self

    @model_validator(mode="after")
    def _words_name_number_fields(self) -> Self:
        numbers = [name for name, settings in self.fields.items() if settings.type == "number"]
        given = [("query.words", self.query.words)]
        spoken = {self.language, self.spoken}  # another language's words may be of fields that are not read here
        given += [(f"languages.{code}.query", self.languages[code].query) for code in spoken & self.languages.keys()]
        for where, word, meanings in ((where, *pair) for where, words in given for pair in words.items()):
            for meaning in meanings:
                if meaning[:1] in {"+", "-"} and meaning[1:] not in numbers:
                    known = ", ".join(numbers) or "none"
                    raise ValueError(f"{where}.{word}: {meaning!r} is not a number field; there are {known}")
        return self

    @property
    def spoken(self) -> str:
        """Return the language that people read.

        Example:
            >>> domain.spoken, domain.changed({"explain.language": "zh"}).spoken
            ('en', 'zh')
        """
        return self.explain.language or self.language

    @classmethod
    def load(cls, name: str | Path) -> Domain:
        """Read a domain by name, or from the folder of its ``domain.toml``.

        A file next to it that is named after a language, such as ``zh.toml``, is its section ``languages.zh``.

        A name is searched in ``./catalogs``, then among the shipped domains; its prompts in ``./prompts``, then among
        the shipped ones, so either can be changed separately. A folder (anything with a path separator, or a ``Path``)
        has its prompts in ``prompts/`` or ``../../prompts/<name>``, else those of its name. Missing templates are taken
        from the shipped domain of that name, or are generic.

        Raises:
            ConfigError: no such domain, or an invalid ``domain.toml``; the message lists all problems with their keys.

        Example:
            >>> Domain.load("movies").rating_scale
            (1.0, 5.0)
        """
        folder = find_domain(name)
        file = folder / FILE
        settings = read_toml(file)
        for other in sorted(folder.glob("*.toml")):
            if re.fullmatch(LANGUAGE, other.stem):
                settings.setdefault("languages", {}).setdefault(other.stem, read_toml(other))
        domain = cls.from_settings(settings, where=str(file))
        prompts = find_prompts(domain.name, folder)
        return domain.model_copy(update={"catalog_folder": folder, "prompts_folder": prompts})

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str = "settings") -> Domain:
        """Build a domain from settings as in ``domain.toml`` (or :meth:`settings`); ``where`` names them in messages.

        Raises:
            ConfigError: invalid settings; the message lists all problems.

        Example:
            >>> Domain.from_settings({"name": "books", "noun": "book", "training": {"seed": 3}}).training.seed
            3
        """
        check_keys(settings, "settings", "settings by their keys, as in domain.toml")
        problems = [f"{key}: unknown key" for key in _NOT_SETTINGS if key in settings]
        try:
            domain = cls.model_validate(settings)
        except ValidationError as error:
            problems += validation_problems(error, cls)
        if problems:
            raise ConfigError(f"{where}: " + "; ".join(problems))
        return domain

    def settings(self) -> dict[str, Any]:
        """Return all settings as JSON values; ``from_settings`` reads them.

        Example:
            >>> domain.settings()["blend"]["members"]
            ['sequential_rules', 'ease', 'popularity', 'svd']
        """
        return self.model_dump(mode="json", exclude_none=True)

    def changed(self, changes: Mapping[str, Any], where: str | None = None) -> Domain:
        """Return the domain with some settings replaced, such as ``{"training.epochs": 3, "model.llm": "my-model"}``.

        A value of None removes the key, which sets its default; ``where`` names the changes in messages.

        Raises:
            ConfigError: an unknown key or an invalid value.

        Example:
            >>> domain.changed({"training.epochs": 5, "blend.members": ["ease"]}).training.epochs
            5
        """
        check_keys(changes, "changes", 'settings by their keys, such as {"training.epochs": 3}')
        where = where or f"domain {self.name} with " + ", ".join(changes)
        settings = self.settings()
        for path, value in changes.items():
            *sections, key = path.split(".")
            section = settings
            for name in sections:
                section = section.setdefault(name, {})
                if not isinstance(section, dict):
                    raise ConfigError(f"{where}: {path}: {name} is a value, not a section of settings")
            if value is None:
                section.pop(key, None)
            else:
                section[key] = copy.deepcopy(value)  # a later path may change it
        changed = self.from_settings(settings, where)
        return changed.model_copy(update={name: getattr(self, name) for name in _NOT_SETTINGS})

    def check_components(self, allowed: Collection[str], where: str) -> None:
        """Check that settings name no components of packages other than ``allowed`` ones.

        Raises:
            ConfigError: a component does not exist.
            CheckpointError: a component belongs to another package; messages begin with ``where``.

        Example:
            >>> domain.check_components((), "runs/movies")  # all are built in, so nothing is raised
        """
        chosen: list[tuple[Registry[Any], Iterable[str]]] = [
            (CODE_SCHEMES, [self.codes.scheme]),
            (ENCODERS, [self.codes.encoder]),
            (READERS, [self.data.reader]),
            (TRACKERS, [self.training.tracker]),
            (TASKS, self.tasks),
            (MEMBERS, self.blend.members),
            (RATERS, self.ratings.members),
        ]
        for registry, names in chosen:
            for name in names:
                try:
                    if name != AUTO:
                        registry.check(name, allowed)
                except (ConfigError, CheckpointError) as problem:
                    raise type(problem)(f"{where}: {problem}") from None

    @staticmethod
    def available() -> tuple[str, ...]:
        """Return the names that :meth:`load` finds in the working directory and among the shipped domains.

        Example:
            >>> "movies" in Domain.available()
            True
        """
        return domain_names()
