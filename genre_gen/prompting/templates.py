"""Template files: their folders, and copies of them for editing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from genre_gen.domain import Domain
from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import PromptError, UsageError
from genre_gen.folders.output import writing
from genre_gen.languages.settings import ENGLISH, LANGUAGE
from genre_gen.prompting.budget import MAX_SOURCE
from genre_gen.settings import suggestion

GENERIC = "generic"
"""The folder of templates for domains that lack their own."""


def template_folders(domain: Domain, language: str | None = None) -> tuple[Path, ...]:
    """Return the folders to search for a template: the domain's, the shipped one of its name, the generic one.

    Templates of a language other than English are in subfolders of its name. A missing one is not replaced by the
    English one, which would mix languages in a text. ``language`` is by default the domain's.
    """
    shipped = assets_folder() / "prompts"
    folders = (domain.prompts_folder, shipped / domain.name, shipped / GENERIC)
    return tuple(dict.fromkeys(in_language(folder, language or domain.language) for folder in folders))


def in_language(folder: Path, language: str) -> Path:
    """Return where a folder of templates has those of a language."""
    return folder if language == ENGLISH else folder / language


def find_templates(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the templates of some folders by name; earlier folders take precedence."""
    files: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*.jinja")):
            name = file.relative_to(folder)
            if len(name.parts) == 1 or not re.fullmatch(LANGUAGE, name.parts[0]):  # else of another language
                files.setdefault(name.as_posix(), file)
    return dict(sorted(files.items()))


def read_template(file: Path) -> str:
    """Return the source of a template; raises PromptError."""
    try:
        check_size(file.stat().st_size, str(file))
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(f"{file}: not UTF-8 text ({error})") from None
    except OSError as error:
        raise PromptError(f"{file}: {error.strerror}") from None


def check_size(size: int, file: str) -> None:
    """Raise PromptError for a template of too many bytes."""
    if size > MAX_SOURCE:
        raise PromptError(f"{file}: larger than {MAX_SOURCE} bytes; shorten it")


def copy_templates(domain: Domain, names: Iterable[str]) -> list[Path]:
    """Copy a domain's inherited templates into its own folder for editing; return the copies.

    Names are tasks (all roles) or files, such as ``next_item`` and ``facts.jinja``. The target is the domain's own
    folder; for a shipped domain it is ``prompts/<name>`` in the working directory, which ``Domain.load`` reads first.

    Raises:
        UsageError: there is no template of that name, or the folder already has it. Nothing is copied then.
    """
    available = find_templates(template_folders(domain))
    shipped = domain.prompts_folder.resolve().is_relative_to(assets_folder().resolve())
    target = in_language(Path.cwd() / "prompts" / domain.name if shipped else domain.prompts_folder, domain.language)
    tasks = {name.split(".")[0] for name in available if name.count(".") > 1}
    copies: dict[Path, Path] = {}
    for wanted in names:
        files = {name: file for name, file in available.items() if wanted in (name, name.split(".")[0])}
        if not files:
            raise UsageError(f"no template {wanted!r}{suggestion(wanted, [*tasks, *available])}")
        new = {target / name: file for name, file in files.items() if not (target / name).exists()}
        if not new:
            raise UsageError(f"{wanted}: {target} exists already; edit it there")
        copies |= new
    for copy, file in copies.items():
        with writing(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return list(copies)
