"""TitleIndex: what people type for a title."""

import pytest
from effort import bounded

from genre_gen.data.titles import TitleIndex, article_first

TITLES = (
    "Godfather, The (1972)",
    "Godfather: Part II, The (1974)",
    "Sabrina (1954)",
    "Sabrina (1995)",
    "Seven (Se7en) (1995)",
    "Misérables, Les (1995)",
    "Double vie de Véronique, La (Double Life of Veronique, The) (1991)",
    "Avventura, L' (1960)",
    "The Princess Bride",
    "Me, Myself, I",
    "1984 (1984)",
    "Мой (1950)",
    "Мои (1950)",
)
INDEX = TitleIndex(TITLES)


def found(text: str) -> list[str]:
    return [TITLES[row] for row in INDEX.exact(text) or INDEX.named(text)]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("godfather, the (1972)", "Godfather, The (1972)"),
        ("  The   Godfather (1972) ", "Godfather, The (1972)"),
        ("the godfather", "Godfather, The (1972)"),
        ("Godfather", "Godfather, The (1972)"),
        ("The Godfather: Part II", "Godfather: Part II, The (1974)"),
        ("Sabrina (1954)", "Sabrina (1954)"),
        ("Seven", "Seven (Se7en) (1995)"),
        ("se7en", "Seven (Se7en) (1995)"),
        ("Seven (1995)", "Seven (Se7en) (1995)"),
        ("Seven (Se7en)", "Seven (Se7en) (1995)"),
        ("Les Miserables", "Misérables, Les (1995)"),
        ("la double vie de veronique", "Double vie de Véronique, La (Double Life of Veronique, The) (1991)"),
        ("The Double Life of Véronique (1991)", "Double vie de Véronique, La (Double Life of Veronique, The) (1991)"),
        ("L\u2019Avventura", "Avventura, L' (1960)"),
        ("Princess Bride, The", "The Princess Bride"),
        ("princess bride", "The Princess Bride"),
        ("me, myself, i", "Me, Myself, I"),
        ("1984", "1984 (1984)"),
        ("мой (1950)", "Мой (1950)"),
        ("мои (1950)", "Мои (1950)"),
    ],
)
def test_a_text_names_one_title(text, title):
    assert found(text) == [title]


def test_no_title_or_several_are_meant():
    assert not any(map(found, ["The Godfather (1973)", "Bride", "", "(1995)", "xyzzy"]))
    assert found("Sabrina") == ["Sabrina (1954)", "Sabrina (1995)"]


def test_close_titles_come_closest_first():
    assert TITLES[INDEX.close("Sabrnia (1995)")[0]] == "Sabrina (1995)"
    assert TITLES[INDEX.close("princess")[0]] == "The Princess Bride"
    assert INDEX.close("xyzzy") == []
    assert INDEX.close("") == []

    index = TitleIndex([f"Film number {number}" for number in range(20_000)] + ["A Lonely Place"])
    assert index.close("A Lonly Place") == [20_000]


@pytest.mark.parametrize(
    "text",
    ["(" * 80_000, "()" * 40_000, "a (b)" * 16_000, " (b)" * 20_000, " " * 80_000 + "x", "x" + " " * 80_000 + ")",
     "a, the" * 13_000, "((" * 20_000 + "))" * 20_000, ")" * 80_000, "ﷺ" * 20_000],
)  # fmt: skip
def test_long_names_take_time_in_proportion(text):
    index = TitleIndex(["Toy Story (1995)", text[:-1] + "y", "Alien (1979)"])
    with bounded():
        index.named(text)
        index.close(text)
        article_first(text)


def test_brackets_beyond_the_eighth_are_part_of_the_name():
    title = "Name" + "".join(f" ({number})" for number in range(12))
    assert article_first(title) == title
    assert TitleIndex([title]).named("name" + title[4:].upper()) == (0,)
