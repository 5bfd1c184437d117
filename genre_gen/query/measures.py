"""Number fields as quantities: which unit a field is in, by its setting or its name, and what its words are.

A field of minutes is asked for in hours too; one of prices without a currency in any currency; one of prices in euros
only in euros, since rates of exchange are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genre_gen.query.settings import QuantityWords
from genre_gen.query.words import stem_of

SECONDS = {"millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0, "week": 604_800.0}
"""The units of time."""

CURRENCIES = ("euro", "dollar", "pound", "yen", "rupee", "rupiah", "franc", "krona", "yuan")

# The word at the end of a field's name -> the unit of its numbers.
_UNITS = {
    word: unit
    for unit, words in {
        "millisecond": "millisecond milliseconds ms msec", "second": "second seconds sec secs",
        "minute": "minute minutes min mins runtime", "hour": "hour hours hr hrs", "day": "day days",
        "week": "week weeks", "euro": "euro euros eur", "dollar": "dollar dollars usd", "pound": "pound pounds gbp",
        "yen": "yen jpy", "rupee": "rupee rupees inr", "rupiah": "rupiah idr", "franc": "franc francs chf",
        "krona": "krona kronor sek", "yuan": "yuan cny rmb", "page": "page pages", "star": "star stars rating ratings",
    }.items()
    for word in words.split()
}  # fmt: skip
# A word of a field's name -> what is measured, without a unit.
_KINDS = {
    "price": "price", "prices": "price", "cost": "price", "fare": "price", "fee": "price", "year": "year",
    "duration": "time", "playtime": "time", "runtime": "time",
}  # fmt: skip
_KIND_OF_UNIT = dict.fromkeys(SECONDS, "time") | dict.fromkeys(CURRENCIES, "price") | {"page": "size", "star": "rating"}
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_COUNTS = {"count", "number", "n", "num", "total"}


@dataclass(frozen=True)
class Measure:
    """What a number field measures: its kind, such as price, and its unit; "" where that is not known."""

    kind: str
    unit: str = ""

    def many(self, unit: str) -> float | None:
        """Return how many of the field's numbers one of a unit is; None where they cannot be compared."""
        if self.unit in SECONDS and unit in SECONDS:
            return SECONDS[unit] / SECONDS[self.unit]
        free = self.unit == "" and self.kind == "price" and unit in CURRENCIES
        return 1.0 if free or (unit == self.unit and unit) else None


def measure_of(name: str, unit: str | None = None) -> Measure:
    """Return what a field measures by its name, or by the unit that is set.

    Example:
        >>> measure_of("runtime_min"), measure_of("price"), measure_of("length", "hour").kind
        (Measure(kind='time', unit='minute'), Measure(kind='price', unit=''), 'time')
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    named = [part for part in parts if part not in _COUNTS]
    unit = _UNITS.get(unit.lower(), unit.lower()) if unit else _UNITS.get(named[-1] if named else "", "")
    kinds = [_KINDS[part] for part in parts if part in _KINDS]
    return Measure(_KIND_OF_UNIT.get(unit, kinds[0] if kinds else ""), unit)


class QuantityVocabulary:
    """The units and usual words of the number fields of a catalog, in one language.

    Attributes:
        words: the language's words.
        units: stem of a word -> the canonical name of the unit, for all units of the language.
    """

    def __init__(self, fields: Iterable[str], set_units: Mapping[str, str], words: QuantityWords) -> None:
        """Find out what the fields measure; ``set_units`` are the units in ``domain.toml``."""
        self.words = words
        self.units = {stem_of(word): unit for unit, written in words.units.items() for word in written}
        self._measures = {name: measure_of(name, set_units.get(name)) for name in fields}

    def field(self, stem: str) -> tuple[str, float]:
        """Return the one field that is measured in a unit, or "", and how many of its numbers the unit is."""
        unit = self.units.get(stem)
        counted = {name: each.many(unit) for name, each in self._measures.items()} if unit else {}
        known = {name: many for name, many in counted.items() if many is not None}
        return next(iter(known.items())) if len(known) == 1 else ("", 1.0)

    def seconds(self, stem: str) -> float | None:
        """Return the seconds of a unit of time; None for another word."""
        return SECONDS.get(self.units.get(stem, ""))

    def ends(self) -> list[tuple[str, str, str]]:
        """Return the usual words for the low and high end of fields: word, ``low`` or ``high``, and the field.

        A kind that two fields have is left out: which one a word means is not known.
        """
        kinds = [each.kind for each in self._measures.values()]
        found = []
        for name, measure in self._measures.items():
            if kinds.count(measure.kind) == 1:
                for end in ("low", "high"):
                    found += [(word, end, name) for word in getattr(self.words, end).get(measure.kind, ())]
        return found
