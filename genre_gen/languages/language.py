"""Language: the tables of one language, from ``prompts/_languages/<code>.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import ConfigError
from genre_gen.languages.settings import ENGLISH
from genre_gen.query.settings import GrammarWords, QuantityWords, Words
from genre_gen.settings import Settings, validation_problems

FOLDER = "_languages"  # in prompts/; no domain can have this name


class ParsedWords(Settings):
    """How a parsed request is told back; ``{}`` stands for what is put in."""

    only: str
    rather: str
    unknown: str
    nothing: str
    parts: str
    list: str
    either: str
    denied: str
    like: str
    word: str
    words: str
    asked: str
    near: str
    low: str
    high: str


class ExplainWords(Settings):
    """What explanations need next to their templates.

    Attributes:
        joint, stop: what separates two sentences, and what ends one.
        denials: words that no sentence of the free style has, together with the ``negations`` of requests.
        words: what a sentence of the free style may hold next to data and the words of the templates.
    """

    joint: str
    stop: str
    denials: Words
    words: Words


class FactWords(Settings):
    """How a fact is written in one line: the relations of :class:`genre_gen.explain.facts.Fact`, and what joins."""

    user: str
    colon: str
    of: str
    list: str
    rated: str
    had: str
    shares: str
    followed_by: str
    linked: str
    liked_too: str
    weighed: str
    liked: str
    often: str
    predicted: str
    average: str
    had_by: str


class TerminalWords(Settings):
    """What the command line prints around picks and explanations; ``{}`` stands for what is put in."""

    understood: str
    score: str
    pinned: str
    note: str
    fact: str
    measured: str
    language_model: str
    all_with: str


class Language(Settings):
    """All tables of one language.

    Attributes:
        name: what those who speak it call it.
        inflection: ``english`` where nouns have a plural and an article and adjectives a comparative as in English;
            ``none`` where words stay as they are, or nothing is known of that.
        query: the words that hold a request together.
        parsed, explain, facts, terminal: what is said next to the templates.
        quantities: words of units and numbers, and those for the ends of usual fields.

    Example:
        >>> Language.load("zh").name
        '中文'
    """

    name: str
    inflection: Literal["english", "none"] = "none"
    query: GrammarWords
    parsed: ParsedWords
    explain: ExplainWords
    facts: FactWords
    terminal: TerminalWords
    quantities: QuantityWords = QuantityWords()

    @classmethod
    def load(cls, code: str = ENGLISH, folders: Iterable[Path] = ()) -> Language:
        """Read a language by its two letters.

        Args:
            code: such as ``zh``.
            folders: folders of templates that may have ``_languages/<code>.toml``, looked in before ``./prompts`` and
                the shipped one.

        Raises:
            ConfigError: no such language, or every problem of its tables at once.
        """
        file = cls.file(code, folders)
        return _read(file.resolve(), file.stat().st_mtime_ns)

    @classmethod
    def shipped(cls, code: str) -> Language | None:
        """Return the tables that GENRE has for a language; None if it has none."""
        file = assets_folder() / "prompts" / FOLDER / f"{code}.toml"
        return _read(file.resolve(), file.stat().st_mtime_ns) if file.is_file() else None

    @staticmethod
    def file(code: str, folders: Iterable[Path] = ()) -> Path:
        """Return the file of a language's tables, looked for as by :meth:`load`; raises ConfigError."""
        shipped = assets_folder() / "prompts"
        places = (*folders, Path.cwd() / "prompts", shipped)
        for place in places:
            file = place / FOLDER / f"{code}.toml"
            if file.is_file():
                return file
        raise ConfigError(
            f"no language {code!r}; there are: {', '.join(available(folders))}. To add it, write its tables to "
            f"prompts/{FOLDER}/{code}.toml, like those in {shipped / FOLDER}"
        )


def available(folders: Iterable[Path] = ()) -> tuple[str, ...]:
    """Return the languages that :meth:`Language.load` finds."""
    places = (*folders, Path.cwd() / "prompts", assets_folder() / "prompts")
    return tuple(sorted({file.stem for place in places for file in (place / FOLDER).glob("*.toml")}))


def put(pattern: str, *values: str) -> str:
    """Return a pattern of the tables with each ``{}`` replaced in turn; values are text and nothing else."""
    first, *others = pattern.split("{}")
    return first + "".join(value + part for value, part in zip(values, others, strict=True))


@lru_cache(16)
def _read(file: Path, _changed: int) -> Language:
    try:
        return Language.model_validate(tomllib.loads(file.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{file}: not valid TOML: {problem}") from None
    except ValidationError as error:
        raise ConfigError(f"{file}: " + "; ".join(validation_problems(error, Language))) from None
