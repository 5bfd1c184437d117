"""Text in other scripts and forms: read as what it says, or refused in one line; never silently something else."""

import unicodedata

import numpy as np
import polars as pl
import pytest

from genre_gen import Catalog, Dataset, Domain, Item
from genre_gen.data.filters import Filters
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.labels import Labels
from genre_gen.data.moments import to_moment
from genre_gen.data.readers import amounts, dates, values
from genre_gen.errors import ConfigError, DataError, FilterError, UsageError
from genre_gen.query.parser import QueryParser

SCRIPTS = {
    "arabic": "٠١٢٣٤٥٦٧٨٩",
    "devanagari": "०१२३४५६७८९",
    "full width": "０１２３４５６７８９",
    "bold": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
}


def written(text, script):
    return text.translate({ord(str(digit)): letter for digit, letter in enumerate(SCRIPTS[script])})


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "text", ["2024-01-05", "2024-01-05T18:05:09Z", "2024-01-05 06:05 PM", "05.01.2024", "2024-01-05T18:05:00+01:30"]
)
def test_dates_in_other_digits(script, text):
    column = pl.Series([text, written(text, script), text[:-1] + written(text[-1], script)])
    expected = dates.read_dates(column[:1]).seconds[0]
    assert expected is not None
    assert dates.read_dates(column).seconds.to_list() == [expected] * 3
    assert dates.read_times(column, "s").seconds.to_list() == [expected] * 3
    if text[:4].isdigit():  # a moment is ISO text
        assert to_moment(written(text, script)) == to_moment(text)


@pytest.mark.parametrize("text", ["²⁰²⁴-01-05", "2024-01-0½", "MMXXIV", "二〇二四-01-05", "2024-01-05T1²:00"])
def test_characters_that_resemble_digits_are_not_a_date(text):
    assert dates.read_dates(pl.Series([text])).seconds.to_list() == [None]
    with pytest.raises(UsageError, match="is not a moment"):
        to_moment(text)


@pytest.mark.parametrize("script", SCRIPTS)
def test_numbers_and_amounts_in_other_digits(script):
    plain = ["4", "3.5", "-12", "1e3"]
    assert values.numbers(pl.Series([written(text, script) for text in plain])).to_list() == [4, 3.5, -12, 1000]
    prices = pl.Series([written(text, script) for text in ("$1,705.85", "$5", "$1,000,000.00")])
    assert amounts.seem_amounts(prices).all()
    assert amounts.amounts(prices).to_list() == [1705.85, 5, 1_000_000]
    assert dates.read_times(pl.Series([written("1700000000", script)]), "s").seconds.to_list() == [1_700_000_000]


def test_ids_and_titles_keep_their_digits():
    assert values.text(pl.Series([" ٣ "])).to_list() == ["٣"]


FIELDS = ("µ", unicodedata.normalize("NFD", "café"), "ﬁeld", "Ｆull", "ſize")


@pytest.mark.parametrize("field", FIELDS)
def test_fields_in_any_form_can_be_named(field):
    catalog = Catalog([Item("a", "A", {field: 1}), Item("b", "B", {field: 2})])
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert catalog.where(f"{unicodedata.normalize(form, field)} == 1").tolist() == [True, False]
    assert catalog.where(f"{field} > 1").tolist() == [False, True]
    assert Domain.from_settings({"name": "x", "noun": "y", "fields": {field: {"type": "number"}}}).fields.keys() == {
        field
    }


def test_fields_that_where_cannot_tell_apart_are_refused():
    fields = {name: {"type": "number"} for name in ("µ", "μ")}
    with pytest.raises(ConfigError, match="differ only in how their letters are encoded; rename one"):
        Domain.from_settings({"name": "x", "noun": "y", "fields": fields})


def test_labels_and_texts_in_any_form_are_equal():
    composed, decomposed = (unicodedata.normalize(form, "Café Été") for form in ("NFC", "NFD"))
    catalog = Catalog([Item("a", decomposed, {"genre": (decomposed,), "place": composed})])
    for text in (composed, decomposed, composed.upper()):
        for expression in ("genre == '{}'", "'{}' in genre", "place == '{}'", "'{}' in title", "genre in ['{}']"):
            assert catalog.where(expression.format(text)).tolist() == [True], (expression, text)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_ids_titles_and_users_in_any_form_are_equal(form, tmp_path):
    """The file is in one form, and what is asked for in the other."""
    other = "NFD" if form == "NFC" else "NFC"
    title, user, genre = "Amélie à Zoé", "zoé", "été"

    def written(text, normal=form):
        return unicodedata.normalize(normal, text)

    items, log = tmp_path / "items.csv", tmp_path / "log.csv"
    lines = [f"{title},{title},{genre}", f"b,B,{genre}|x", "c,C,x"]
    items.write_text(written("item_id,title,genre\n" + "\n".join(lines)), encoding="utf-8")
    entries = [("zoé", title), ("zoé", "b"), ("ann", title), ("ann", "c"), ("ben", "b")]
    mixed = "\n".join(",".join(written(part, other) for part in entry) for entry in entries)
    log.write_text("user_id,item_id\n" + mixed + "\n" + written("zoé,c"), encoding="utf-8")
    data = Dataset.from_tables(items, log)
    assert len(data.interactions) == 6
    for asked in (written(title), written(title, other)):
        assert data.catalog.find(asked) == data.catalog.row(asked) == 0
        assert data.catalog.where(f"id == '{asked}'").tolist() == [True, False, False]
    for asked in (written(user), written(user, other)):
        assert len(data.interactions.history(asked)) == 3
    assert len(data.interactions.users) == 3
    assert Labels.of(data.catalog, "genre").names == ("x", unicodedata.normalize("NFC", genre))
    parser = QueryParser(data.catalog)
    assert str(parser.parse(f"no {written(genre, other)}")) == str(parser.parse(f"no {written(genre)}"))
    assert parser.parse(f"no {written(genre, other)}").where


def test_ids_in_two_forms_are_one_user():
    users = [unicodedata.normalize(form, "zoé") for form in ("NFC", "NFD", "NFD")] + ["ann"]
    log = Interactions.from_columns(users, np.array([0, 1, 2, 0]), 3)
    assert log.users == (users[0], "ann")
    assert log.history(users[1]).rows.tolist() == [0, 1, 2]


def test_labels_of_items_made_in_python_have_one_form():
    forms = [unicodedata.normalize(form, "été") for form in ("NFC", "NFD")]
    catalog = Catalog([Item(str(place), f"T{place}", {"genre": (form,)}) for place, form in enumerate(forms)])
    assert Labels.of(catalog, "genre").names == (forms[0],)
    with pytest.raises(DataError, match="is repeated"):
        Catalog([Item(form, form) for form in forms])


def test_halves_of_surrogates_are_replaced_where_they_come_in(tmp_path):
    catalog = Catalog([Item("a", "A\ud800", {"genre": ("x\udc00",), "note": "\ud83d\ude00"}, "t\udfff")])
    catalog.save(tmp_path / "c.jsonl")
    assert Catalog.from_file(tmp_path / "c.jsonl")[0] == catalog[0]
    assert catalog.to_frame()["title"].to_list() == [catalog[0].title]
    assert catalog[0].attributes["note"] == "😀"


def test_a_request_of_many_labels_is_answered():
    """A request within its limit may make an expression beyond that of expressions that people write."""
    labels = [f"{number} {'x' * 190}" for number in range(70)]
    catalog = Catalog([Item(label[:2], label, {"genre": (label,)}) for label in labels])
    where = f"genre not in {labels}"
    with pytest.raises(FilterError, match="at most 2000 are allowed"):
        catalog.where(where)
    filters = Filters(catalog)
    filters.narrow(where)
    assert not filters.allowed(History(np.zeros(0, np.int64))).mask.any()
