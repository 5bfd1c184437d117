"""Names of columns: the roles that they indicate, and the names of fields made from them."""

import pytest

from genre_gen.new_domain.names import field_name, named, words_of


def test_words_of_a_name():
    assert words_of("customerId") == words_of("Customer-ID") == ["customer", "id"]
    assert (words_of("ISBN"), words_of("Größe_2")) == (["isbn"], ["größe"])


@pytest.mark.parametrize(
    ("name", "role", "worth"),
    [
        ("user_id", "user", 1),
        ("first user", "user", 0.7),
        ("isbn", "user", 0),
        ("id", "item", 0.5),
        ("title_id", "title", 0),
    ],
)
def test_names_of_columns_indicate_roles(name, role, worth):
    assert named(name, role) == worth


def test_names_of_fields_can_be_used_in_templates():
    taken: dict[str, int] = {}
    for column in ("Price (EUR)", "rating", "class", "2nd", "title", "price-eur", "価格"):
        taken[field_name(column, taken)] = 1
    assert list(taken) == ["price_eur", "item_rating", "item_class", "item_2nd", "item_title", "price_eur_", "価格"]
