"""What a domain lacks in a language: templates, and names of what its catalog holds."""

from __future__ import annotations

from collections.abc import Iterator

from genre_gen.data.catalog import Catalog
from genre_gen.domain import Domain
from genre_gen.downloads.paths import assets_folder
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.languages.settings import ENGLISH
from genre_gen.prompting.templates import GENERIC, find_templates, template_folders


def gaps(domain: Domain, catalog: Catalog | None = None, code: str | None = None) -> tuple[str, ...]:
    """Return what is missing for a domain to be in one language altogether; nothing for English.

    A template that is missing is an error as soon as it is needed. A label or relation without a name is shown as the
    data has it.

    Args:
        domain: the domain.
        catalog: its items, whose labels are looked at; None for no look.
        code: the language; by default the one that people read.

    Raises:
        ConfigError: no such language.

    Example:
        >>> gaps(Domain.load("movies"), code="zh")
        ()
    """
    words = DomainLanguage.of(domain, code)
    return () if words.code == ENGLISH else (*_templates(domain, words.code), *_names(domain, catalog, words))


def _templates(domain: Domain, code: str) -> Iterator[str]:
    present = find_templates(template_folders(domain, code))
    for name in find_templates([assets_folder() / "prompts" / GENERIC]):
        if name not in present:
            yield f"no template {name} in {code!r}; write it to {domain.prompts_folder / code}"


def _names(domain: Domain, catalog: Catalog | None, words: DomainLanguage) -> Iterator[str]:
    own = domain.languages.get(words.code)
    if own is None:  # the words in domain.toml are of this language
        return
    where = f"languages.{words.code}"
    if own.noun is None:
        yield f"{where}.noun is missing; {domain.noun!r} is used"
    for name in domain.knowledge.relations.keys() - own.relations:
        yield f"{where}.relations.{name} is missing; {words.relations[name][0]!r} is used"
    for name, field in domain.fields.items():
        if name not in own.fields:
            yield f"{where}.fields.{name} is missing; {name!r} is used"
        if catalog is None or field.type != "list":
            continue
        labels = {label for item in catalog for label in item.attributes.get(name) or ()}  # type: ignore[union-attr]
        if unnamed := sorted(labels - own.labels.get(name, {}).keys()):
            yield f"{where}.labels.{name} has no name for {', '.join(unnamed[:5])}{', ...' * (len(unnamed) > 5)}"  # noqa: PLR2004
