"""Template files: where a domain's lie, and copies of them to edit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from genre_gen.domain import Domain
from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import PromptError, UsageError
from genre_gen.languages.settings import ENGLISH, LANGUAGE
from genre_gen.prompting.budget import MAX_SOURCE
from genre_gen.settings import suggestion

GENERIC = "generic"
"""The folder of templates that a domain has where it brings none of its own."""


def template_folders(domain: Domain, language: str | None = None) -> tuple[Path, ...]:
    """Return the folders in which a template is looked for: the domain's, the shipped one of its name, the generic.

    Those of a language other than English lie in folders of its name inside these, and no English one takes the place
    of one that is missing: half of what it is included in would be English. ``language`` is by default the domain's.
    """
    shipped = assets_folder() / "prompts"
    folders = (domain.prompts_folder, shipped / domain.name, shipped / GENERIC)
    return tuple(dict.fromkeys(in_language(folder, language or domain.language) for folder in folders))


def in_language(folder: Path, language: str) -> Path:
    """Return where a folder of templates has those of a language."""
    return folder if language == ENGLISH else folder / language


def find_templates(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the templates of some folders by name; that of an earlier folder replaces that of a later one."""
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
        if file.stat().st_size > MAX_SOURCE:
            raise PromptError(f"{file}: larger than {MAX_SOURCE} bytes; a prompt should fit a screen")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(f"{file}: not UTF-8 text ({error})") from None
    except OSError as error:
        raise PromptError(f"{file}: {error.strerror}") from None


def copy_templates(domain: Domain, names: Iterable[str]) -> list[Path]:
    """Copy templates that a domain has from elsewhere into its own folder, to be edited there; return the copies.

    Names are those of tasks (all roles) or files, such as ``next_item`` and ``facts.jinja``. The folder is the domain's
    own; of a shipped domain, ``prompts/<name>`` in the working directory, which ``Domain.load`` looks in first.

    Raises:
        UsageError: a name of no template, or a template that is in the folder already. Nothing has been copied then.
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
            raise UsageError(f"{wanted}: {target} has it already; edit it there")
        copies |= new
    for copy, file in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return list(copies)
