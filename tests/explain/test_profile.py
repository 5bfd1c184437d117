"""Profiles: what is known of a user by construction is what is told, and nothing else."""

import json

import numpy as np
import pytest

from genre_gen.data.history import History
from genre_gen.explain.profile import LabelShare, Profiler, UsualRange
from tests.explain.books import SHIPPED, shipped_book
from tests.explain.test_evidence import ALIEN, ALIENS, ANNIE, CATALOG, DATA, DOMAIN, HEAT, SOLARIS, UNRATED, history

# All 59 interactions: Alien 10, Aliens 9, Heat 20, Annie Hall 20; so Sci-Fi and Action 19 each.
TOTAL = 59
SEEN = history((HEAT, 3), (SOLARIS, 4), (ALIENS, 5), (ALIEN, np.nan))


def profiler(domain=DOMAIN, name="movies"):
    return Profiler(CATALOG, np.bincount(DATA.rows, minlength=len(CATALOG)), domain, shipped_book(name))


def test_labels_have_counts_shares_and_lift():
    found = profiler().profile(SEEN)
    assert found.interactions == 4
    assert found.labels == {
        "genre": (
            LabelShare("Sci-Fi", 3, 0.75, pytest.approx(0.75 / (19 / TOTAL))),
            LabelShare("Action", 2, 0.5, pytest.approx(0.5 / (19 / TOTAL))),
        ),
        "studio": (LabelShare("Fox", 2, 0.5, pytest.approx(0.5 / (19 / TOTAL))),),
    }


def test_ratings_ranges_and_liked_titles():
    found = profiler().profile(SEEN)
    assert found.mean_rating == 4.0
    assert found.ranges == {"year": UsualRange(1979, 1986, 1986)}
    assert found.liked == ("Alien (1979)", "Aliens (1986)", "Solaris (1972)")


def test_an_item_that_comes_back_counts_each_time_and_is_named_once():
    found = profiler(UNRATED).profile(History(np.array([ANNIE, ALIEN, ANNIE])))
    assert found.interactions == 3
    assert [share.count for share in found.labels["genre"]] == [2, 2]
    assert found.liked == ("Annie Hall (1977)", "Alien (1979)")
    assert found.mean_rating is None


def test_labels_of_one_user_only_have_infinite_lift():
    counts = np.bincount(DATA.rows[DATA.rows != HEAT], minlength=len(CATALOG))
    others = Profiler(CATALOG, counts, DOMAIN, shipped_book("movies"))
    found = others.profile(history((HEAT, 5), (HEAT, 4)))
    assert [share.lift for share in found.labels["genre"]] == [np.inf]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["labels"]["genre"][0]["lift"] is None
    assert "Crime 2 times (nobody else did)" in found.text


def test_the_profile_of_an_unknown_user_is_empty():
    found = profiler().profile(History(np.zeros(0, np.int64)))
    assert (found.labels, found.ranges, found.liked, found.mean_rating) == ({}, {}, (), None)
    assert found.text == "You watched 0 films."


def test_the_text_says_it_in_the_domains_words():
    assert profiler().profile(SEEN).text == (
        "You watched 4 films, and rated them 4 on average. By genre: Sci-Fi 3 times (2.3 times the usual share), "
        "Action 2 times (1.6 times the usual share). By studio: Fox 2 times (1.6 times the usual share). "
        "Usual year: 1979 to 1986. You last liked Alien (1979), Aliens (1986), Solaris (1972)."
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_every_domain_has_words_for_a_profile(name):
    assert "Alien (1979)" in profiler(name=name).profile(history((ALIEN, 5))).text


def test_a_title_stays_data():
    book = shipped_book("movies")
    message = book.say("profile", domain="x", history=(), profile=profiler().profile(SEEN))
    assert all("Sci-Fi" not in span.text for span in message.spans if span.kind == "text")
