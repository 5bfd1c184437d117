"""What was made of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Sense: TypeAlias = Literal["is", "low", "high", "near", "word", "item"]


@dataclass(frozen=True)
class Meaning:
    """What a word stands for.

    Attributes:
        sense: the field ``is`` the value (or holds it), its number is ``low``, ``high`` or ``near`` the value; or a
            ``word`` to look for in the item's text; or it is like the ``item``.
        value: label, number, word or title.
        field: empty for a word and an item.
    """

    sense: Sense
    value: str | float = ""
    field: str = ""

    def __str__(self) -> str:
        """Return it for people."""
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        if self.sense == "item":
            return f"like {value}"
        return " ".join(part for part in (self.field, self.sense if self.sense != "is" else "", value) if part)


@dataclass(frozen=True)
class Wish:
    """Something soft: items that fulfil it score higher.

    Attributes:
        said: the request's own words.
        meanings: any of them fulfils it.
        denied: items that fulfil it score lower instead.
    """

    said: str
    meanings: tuple[Meaning, ...]
    denied: bool = False

    def __str__(self) -> str:
        """Return it for people."""
        words = [str(one.value) for one in self.meanings if one.sense == "word"]
        told = [str(one) for one in self.meanings if one.sense != "word"]
        told += [f"the word{'s' * (len(words) > 1)} {', '.join(words)}"] if words else []
        meant = " or ".join(told)
        meant = meant if self.said.casefold() in meant.casefold() else f"{meant} ({self.said})"
        return f"not {meant}" if self.denied else meant


@dataclass(frozen=True)
class ParsedQuery:
    """What was made of a request.

    Attributes:
        where: hard wishes, an expression of :mod:`genre_gen.data.filter_expression`; None where there are none.
        wishes: soft wishes, in order.
        unknown: words that mean nothing here, with the closest known one.
    """

    where: str | None = None
    wishes: tuple[Wish, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """Return the titles of the items that were named, which are known and so not asked for."""
        named = [str(one.value) for wish in self.wishes for one in wish.meanings if one.sense == "item"]
        return tuple(dict.fromkeys(named))

    def __bool__(self) -> bool:
        """Tell whether anything was understood."""
        return self.where is not None or bool(self.wishes)

    def __str__(self) -> str:
        """Return it for people, in one line."""
        parts = [
            f"only {self.where}" if self.where else "",
            f"rather {', '.join(map(str, self.wishes))}" if self.wishes else "",
            f"not understood: {', '.join(self.unknown)}" if self.unknown else "",
        ]
        return "; ".join(part for part in parts if part) or "nothing"

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return {"where": self.where, "wishes": [str(wish) for wish in self.wishes], "unknown": list(self.unknown)}
