"""Nouns: a domain's word for an item, in the forms that templates print."""

from __future__ import annotations

import re
from dataclasses import dataclass

PATTERN = r"^[^\W\d_]+(?:[ '-][^\W\d_]+)*$"
"""One or more words of letters only, since a noun becomes part of the trusted templates."""

DEFAULT = "item"


def plural(noun: str) -> str:
    """Return the regular English plural of a noun."""
    if re.search(r"(s|x|ch|sh)$", noun):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", noun) else noun + "s"


def with_article(noun: str) -> str:
    """Return a noun with ``a`` or ``an``, chosen by its first letter."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


@dataclass(frozen=True)
class Noun:
    """The word for an item of a domain.

    Attributes:
        singular: such as ``movie``.
        plural: its plural; empty for the regular one.
        inflected: whether it has a plural and an article, as in English.
    """

    singular: str = DEFAULT
    plural: str = ""
    inflected: bool = True

    def put_into(self, template: str) -> str:
        """Return a template's source with ``{{ noun }}``, ``{{ nouns }}`` and ``{{ a_noun }}`` filled in.

        They become the template's own words, which are trusted. Printed by Jinja they would be untrusted data.
        """
        forms = {
            "noun": self.singular,
            "nouns": self.plural or (plural(self.singular) if self.inflected else self.singular),
            "a_noun": with_article(self.singular) if self.inflected else self.singular,
        }
        return re.sub(r"{{ *(a_noun|nouns?) *}}", lambda match: forms[match[1]], template)
