import re

import numpy as np
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.explain.check import Checker
from genre_gen.explain.facts import Fact
from tests.explain.test_evidence import ALIEN, ALIENS, ANNIE, CATALOG, DATA, DOMAIN, HEAT, SOLARIS, history

WORDS = frozenset(
    re.findall(
        r"\w+",
        """you gave watched stars or more to and is an a film films too of the people who went on it another like which
        all rated has been by here going your ratings would give about above average have from""",
    )
)
SEEN = history((HEAT, 3), (SOLARIS, 4), (ALIEN, 5))  # 3 items, mean rating 4
TRUE = (
    "You gave Alien (1979) 5 stars, and 6 of the 10 people who watched it went on to Aliens (1986).",
    "Of the 10 people who watched Alien (1979), 6 went on to it.",
    "Like Alien (1979), which you gave 5 stars, Aliens (1986) is an action and sci-fi film.",
    "You gave 4 stars or more to all 2 sci-fi films you have rated. It is a Fox film too.",
    "You gave 4 stars or more to 2 of the 2 sci-fi films you have rated.",
    "It is a sci-fi film, like 2 of the 3 you have watched.",
    "Going by your ratings, you would give it about 4.6 stars, above your average of 4.",
    "Aliens (1986) has 3.9 stars on average from 9 people.",
    "Aliens (1986) has been watched by 9 of the 30 people here.",
    "You gave Alien (1979) 5 stars. You gave Solaris (1972) 4 stars, another sci-fi film!",
)
FALSE = {
    "You gave Alien (1979) 4 stars, and 6 of the 10 people who watched it went on to Aliens (1986).": "numbers",
    "You gave Alien (1979) 5 stars, and 7 of the 10 people who watched it went on to Aliens (1986).": "numbers",
    "You gave Alien (1979) 5 stars, and 6 of the 11 people who watched it went on to Aliens (1986).": "numbers",
    "You gave Alien (1979) 5 stars, and 10 of the 6 people who watched it went on to 5.": "numbers",
    "You gave Solaris (1972) 5 stars.": "numbers",
    "You gave Annie Hall (1977) 5 stars.": "'Annie Hall (1977)' is neither the pick nor in the history",
    "Like Annie Hall (1977), Aliens (1986) is a film.": "'Annie Hall (1977)' is neither",
    "Like Solaris (1972), Aliens (1986) is an action film.": "'action' is not true",
    "Like Alien (1979), Aliens (1986) is a comedy film.": "'comedy' is not true",
    "Aliens (1986) is a Warner film.": "'Warner' is not true",
    "Like Alien (1979), Aliens (1986) is a cyberpunk film.": "'cyberpunk' is neither data",
    "Like Blade Runner, Aliens (1986) is an action film.": "'Blade' is neither data",
    "Like Alien (1980), Aliens (1986) is an action film.": "'Alien' is neither data",
    "You gave 4 stars or more to 3 of the 3 sci-fi films you have rated.": "numbers",
    "You gave 5 stars or more to all 2 sci-fi films you have rated.": "numbers",
    "Going by your ratings, you would give it about 4.7 stars, above your average of 4.": "numbers",
    "Going by your ratings, you would give it about 4.6 stars, above your average of 3.9.": "numbers",
    "Aliens (1986) has been watched by 10 of the 30 people here.": "numbers",
    "You gave Alien (1979) 5 stars and 5 stars.": "numbers",
    "Aliens (1986) is an action film, and 6 of the 10 people who watched it went on to Alien (1979).": "numbers",
    "You gave it 5 stars. Like Alien (1979), it is a film.": "numbers",  # nothing carries over from another sentence
}


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker(CATALOG, DATA, DOMAIN, WORDS)


@pytest.mark.parametrize("text", TRUE)
def test_true_texts_pass(checker, text):
    assert checker.check(text, SEEN, ALIENS, predicted=4.62).problems == ()


@pytest.mark.parametrize("text", FALSE)
def test_each_untruth_is_named(checker, text):
    report = checker.check(text, SEEN, ALIENS, predicted=4.62)
    assert not report.ok
    assert any(FALSE[text] in problem for problem in report.problems)


def test_the_report_counts_what_was_named(checker):
    report = checker.check(TRUE[0] + " " + TRUE[3], SEEN, ALIENS)
    assert (report.items, report.values, report.numbers) == (2, 2, 5)


def test_what_was_not_predicted_cannot_be_said(checker):
    assert not checker.check(TRUE[6], SEEN, ALIENS).ok


def test_without_a_list_of_words_any_word_may_stand(checker):
    free = Checker(CATALOG, DATA, DOMAIN)
    assert free.check("Wonderful! Alien (1979) earned 5 stars from you.", SEEN, ALIENS).ok
    assert not free.check("Wonderful! Alien (1979) earned 4 stars from you.", SEEN, ALIENS).ok


def test_titles_are_read_as_one_says_them_too():
    catalog = Catalog([Item("1", "Godfather, The (1972)"), Item("2", "It"), Item("3", "Go. Now! (1999)")])
    data = Interactions.from_columns(["a", "a"], np.array([0, 1]), 3)
    checker = Checker(catalog, data, DOMAIN, WORDS)
    seen = History(np.array([0]))
    assert checker.check("Like The Godfather (1972), it is a film.", seen, 2).items == 1
    assert checker.check("Like Godfather, The (1972), it is a film.", seen, 2).items == 1
    assert checker.check("Go. Now! (1999) is a film.", seen, 2).items == 1
    assert checker.check("It is a film.", seen, 2).ok  # the word, not the title
    rated = History(np.array([1]), np.array([5], np.float32))
    assert checker.check("You gave It 5 stars.", rated, 2).ok  # the title, not the word
    assert not checker.check("You gave It 4 stars.", rated, 2).ok


def test_scripts_without_spaces_are_read():
    catalog = Catalog(
        [Item("1", "千と千尋の神隠し", {"genre": ("アニメ",)}), Item("2", "もののけ姫", {"genre": ("アニメ",)})]
    )
    data = Interactions.from_columns(["a"], np.array([0]), 2)
    seen = History(np.array([0]), np.array([5], np.float32))
    checker = Checker(catalog, data, DOMAIN)
    report = checker.check("千と千尋の神隠しに5点。もののけ姫もアニメです。", seen, 1)
    assert (report.ok, report.items, report.values, report.numbers) == (True, 2, 1, 1)
    assert not checker.check("千と千尋の神隠しに4点。", seen, 1).ok


def test_values_that_differ_in_case_alone_are_told_apart_by_the_items():
    brands = {"1": "CMS", "2": "CMS", "3": "cms", "4": "cms", "5": "Cms"}
    catalog = Catalog([Item(key, f"Magnet {key}", {"studio": brand}) for key, brand in brands.items()])
    checker = Checker(catalog, DATA, DOMAIN)
    for row, other in ((0, 1), (2, 3)):
        text = f"You had {catalog[row].title}, and {catalog[other].title} is another one by "
        assert checker.check(text + "CMS.", History(np.array([row])), other).ok
        assert checker.check(text + "cms.", History(np.array([row])), other).ok
    assert not checker.check("You had Magnet 1, and Magnet 3 is another by CMS.", History(np.array([0])), 2).ok


def test_the_longest_title_is_meant():
    catalog = Catalog([Item("1", "Alien"), Item("2", "Alien 3"), Item("3", "Aliens")])
    data = Interactions.from_columns(["a"], np.array([0]), 3)
    checker = Checker(catalog, data, DOMAIN)
    seen = History(np.array([0]), np.array([5], np.float32))
    assert not checker.check("Alien 3 is a film.", seen, 2).ok
    assert checker.check("Alien is like Aliens.", seen, 2).items == 2


SHARES = Fact(ALIENS, "shares", ALIEN, "genre", ("Action",))
FOLLOWED = Fact(ALIEN, "followed_by", ALIENS, numbers=(6, 10))


@pytest.mark.parametrize(
    ("fact", "true"),
    [
        (Fact(None, "rated", ALIEN, numbers=(5.0,)), True),
        (Fact(None, "rated", ALIEN, numbers=(4.0,)), False),
        (Fact(None, "rated", ANNIE, numbers=(5.0,)), False),
        (Fact(None, "had", ALIEN), False),  # it is rated
        (SHARES, True),
        (Fact(ALIENS, "shares", ALIEN, "genre", ("Crime",)), False),
        (Fact(ALIENS, "shares", ALIEN, "studio", ("Action",)), False),
        (Fact(ALIENS, "shares", SOLARIS, "genre", ("Action",)), False),
        (Fact(HEAT, "shares", ALIEN, "genre", ("Action",)), False),
        (Fact(ALIENS, "shares", ALIEN, "genre", ()), False),
        (FOLLOWED, True),
        (Fact(ALIEN, "followed_by", ALIENS, numbers=(6, 11)), False),
        (Fact(ALIEN, "followed_by", HEAT, numbers=(6, 10)), False),
        (Fact(None, "liked", None, "genre", ("Sci-Fi",), (2, 2)), True),
        (Fact(None, "liked", None, "genre", ("Sci-Fi",), (1, 2)), False),
        (Fact(None, "liked", None, "genre", ("Crime",), (0, 1)), False),  # not true of the pick
        (Fact(None, "often", None, "genre", ("Sci-Fi",), (2, 3)), True),
        (Fact(None, "often", None, "genre", ("Sci-Fi",), (3, 3)), False),
        (Fact(None, "predicted", ALIENS, numbers=(4.6, 4.0)), True),
        (Fact(None, "predicted", ALIENS, numbers=(4.5, 4.0)), False),
        (Fact(None, "predicted", HEAT, numbers=(4.6, 4.0)), False),
        (Fact(ALIENS, "average", numbers=(3.9, 9)), True),
        (Fact(ALIENS, "average", numbers=(4.0, 9)), False),
        (Fact(ALIENS, "had_by", numbers=(9, 30)), True),
        (Fact(ALIENS, "had_by", numbers=(9, 31)), False),
    ],
)
def test_facts_are_checked(checker, fact, true):
    assert checker.holds(fact, SEEN, ALIENS, predicted=4.62) is true
