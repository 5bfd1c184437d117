"""Quantities in requests: a field understands its unit and others of its kind, or they are told as not understood."""

import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.query.measures import Measure, measure_of
from genre_gen.query.parser import QueryParser

YEARS = (1950, 1972, 1988, 1994, 1999, 2004)


def parser(*fields, text="2 4 20 90 hours stars", unit=None):
    values = {"year": YEARS, "genre": ["Drama", "Comedy"] * 3}
    for name in fields:
        values.setdefault(name, [1, 2, 20, 60, 95, 130])
    items = [Item(str(row), f"T{row}", {name: values[name][row] for name in fields}, text) for row in range(6)]
    kinds = {"genre": "text"}
    settings = {name: {"type": kinds.get(name, "number")} for name in fields}
    if unit is not None:
        settings[fields[0]]["unit"] = unit
    domain = Domain.from_settings({"name": "x", "noun": "item", "fields": settings})
    return QueryParser(Catalog(items), domain.query, language=DomainLanguage.of(domain))


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("under 2 hours", "minutes < 120"),
        ("less than 90 minutes", "minutes < 90"),
        ("less than 90 min", "minutes < 90"),
        ("under two hours", "minutes < 120"),
        ("under 1h30", "minutes < 90"),
        ("under 1h 30min", "minutes < 90"),
        ("under 1 hour 30 minutes", "minutes < 90"),
        ("at most an hour and a half", "minutes <= 90"),
        ("under an hour", "minutes < 60"),
        ("over half an hour", "minutes > 30"),
        ("under 1.5 hours", "minutes < 90"),
        ("between 1 and 2 hours", "60 <= minutes <= 120"),
        ("at most 5400 seconds", "minutes <= 90"),
        ("longer than 2 hours", "minutes > 120"),
    ],
)
def test_times_in_every_unit(query, where):
    parsed = parser("minutes", "genre").parse(query)
    assert (parsed.where, parsed.preferences, parsed.unknown) == (where, (), ())


@pytest.mark.parametrize(
    ("field", "unit", "where"),
    [
        ("runtime", None, "runtime < 120"),
        ("duration_ms", None, "duration_ms < 7200000"),
        ("lengthHours", None, "lengthHours < 2"),
        ("play_time", "seconds", "play_time < 7200"),
        ("length", "hour", "length < 2"),
    ],
)
def test_the_unit_is_in_the_name_or_the_settings(field, unit, where):
    assert parser(field, unit=unit).parse("under 2 hours").where == where


@pytest.mark.parametrize(
    ("fields", "query", "where"),
    [
        (("price",), "cheaper than 20 euros", "price < 20"),
        (("price", "minutes"), "cheaper than 20 euros", "price < 20"),
        (("price", "minutes"), "under $20", "price < 20"),
        (("price_eur", "minutes"), "at most 20 €", "price_eur <= 20"),
        (("avg_rating", "minutes"), "at least 4 stars", "avg_rating >= 4"),
        (("num_pages", "minutes"), "under 100 pages", "num_pages < 100"),
        (("year", "minutes"), "before the nineties", "year < 1990"),
        (("year", "minutes"), "from the eighties", "1980 <= year < 1990"),
    ],
)
def test_other_units(fields, query, where):
    parsed = parser(*fields).parse(query)
    assert (parsed.where, parsed.preferences, parsed.unknown) == (where, (), ())


@pytest.mark.parametrize(
    ("fields", "query", "unknown"),
    [
        (("year",), "under 2 hours", "2 hours"),
        (("year", "price"), "under two hours", "2 hours"),
        (("genre",), "less than 90 minutes", "90 minutes"),
        (("minutes", "year"), "at least 4 stars", "4 stars"),
        (("minutes",), "cheaper than 20 euros", "20 euros"),
        (("price_eur",), "under 20 dollars", "20 dollars"),
        (("genre",), "under 2", "2"),
        (("duration",), "under 2 hours", "2 hours"),  # neither its name nor a setting tells the unit
        (("minutes", "hours"), "under 2 hours", ""),
        (("genre",), "4 stars", "4 stars"),
        (("genre",), "an hour and a half", "1.5 hour"),
    ],
)
def test_what_no_field_measures_is_told_instead_of_a_wish_for_a_word(fields, query, unknown):
    parsed = parser(*fields).parse(query)
    assert not any(term.value in {"2", "4", "20", "90"} for each in parsed.preferences for term in each.terms)
    if unknown:
        assert (parsed.where, unknown in " ".join(parsed.unknown)) == (None, True)
        assert "not understood" in str(parsed)


@pytest.mark.parametrize(
    ("fields", "query", "preferred"),
    [
        (("price",), "cheap", "price low"),
        (("price",), "expensive", "price high"),
        (("minutes",), "something short", "minutes low"),
        (("year",), "recent", "year high"),
        (("price", "shipping_cost"), "cheap", None),  # which one is not known
        (("genre",), "cheap", None),
    ],
)
def test_usual_words_of_usual_fields_need_no_setting(fields, query, preferred):
    parsed = parser(*fields).parse(query)
    assert ([str(each).split(" (")[0] for each in parsed.preferences] == [preferred]) == (preferred is not None)
    assert bool(parsed.unknown) == (preferred is None)


def test_titles_of_numbers_and_units_stay_titles():
    items = [Item("1", "Two Days", {"days": 2.0}), Item("2", "Seven", {"days": 7.0}), Item("3", "Other", {"days": 9.0})]
    found = QueryParser(Catalog(items))
    assert found.parse("like Seven").items == ("Seven",)
    assert found.parse("like Two Days").items == ("Two Days",)


def test_what_fields_measure():
    assert measure_of("min_players") == Measure("")
    assert measure_of("price_usd") == Measure("price", "dollar")
    assert measure_of("page_count") == Measure("size", "page")
    assert measure_of("runtimeMinutes") == Measure("time", "minute")
    with pytest.raises(ConfigError, match="unit works for number fields only"):
        Domain.from_settings({"name": "x", "noun": "y", "fields": {"a": {"type": "text", "unit": "hour"}}})
