"""The files of domains: in the working directory, then among the shipped ones."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import ConfigError, UsageError
from genre_gen.settings import suggestion

FILE = "domain.toml"


def read_toml(file: Path) -> dict[str, Any]:
    """Return the content of a TOML file; raises ConfigError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{file}: not valid TOML: {problem}") from None


def roots(kind: Literal["catalogs", "prompts"]) -> tuple[Path, Path]:
    """Return the folders of all domains: in the working directory, and shipped."""
    return Path.cwd() / kind, assets_folder() / kind


def domain_names() -> tuple[str, ...]:
    """Return the names of all domains."""
    files = (file for root in roots("catalogs") for file in root.glob(f"*/{FILE}"))
    return tuple(sorted({file.parent.name for file in files}))


def find_domain(name: str | Path) -> Path:
    """Return the folder of the ``domain.toml`` of a name or path; raises ConfigError."""
    if not isinstance(name, (str, Path)):
        raise UsageError(f"the domain is of type {type(name).__name__}; give a domain, its name or its folder")
    if isinstance(name, Path) or "/" in name or "\\" in name:
        folder = Path(name).expanduser()
        if (folder / FILE).is_file():
            return folder
        raise ConfigError(f"{folder / FILE}: no such file; a domain's folder needs a {FILE}")
    for root in roots("catalogs"):
        if (root / name / FILE).is_file():
            return root / name
    names = domain_names()
    raise ConfigError(f"no domain {name!r}{suggestion(name, names)}; there are: {', '.join(names) or 'none'}")


def find_prompts(name: str, folder: Path) -> Path:
    """Return the prompts folder of a domain. It may not exist; then all templates are generic."""
    own, shipped = (root / name for root in roots("prompts"))
    near = folder.resolve().parent.parent / "prompts" / name  # where `domains new` writes them
    places = (folder / "prompts", near, own)
    return next((place for place in places if place.is_dir() and place != shipped.resolve()), shipped)
