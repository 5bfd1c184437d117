"""Comparisons and what would change a pick: right by construction, and read back by the checker."""

import json

import numpy as np
import pytest

from genre_gen.blending.blend import Blend
from genre_gen.data.history import History
from genre_gen.errors import UsageError
from genre_gen.explain.attribution import Attributor
from genre_gen.explain.check import Checker
from genre_gen.explain.comparison import compare, describe, what_if
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.wording import vocabulary
from tests.explain.books import SHIPPED, shipped_book
from tests.explain.test_attribution import ALLOWED, MOVIES, SEEN, Language
from tests.explain.test_evidence import ALIEN, ALIENS, ANNIE, CATALOG, DATA, DOMAIN, HEAT, NEW, SOLARIS

EVIDENCE = Evidence(CATALOG, DATA, DOMAIN)
CHECKER = Checker(CATALOG, DATA, DOMAIN, vocabulary(MOVIES))


def attributor(*needed):
    """Return one under which Aliens is ahead of New as long as any of some items is in the history."""

    def score(histories):
        scores = np.zeros((len(histories), len(CATALOG)), np.float32)
        for row, one in enumerate(histories):
            scores[row, NEW] = 1.0
            scores[row, ALIENS] = 2.0 * bool({*needed} & {*one.rows.tolist()})
        return scores

    blend = Blend({"ease": 0.9, "llm": 0.1})
    return Attributor(CATALOG, blend, {"ease": score}, Language(SOLARIS, ALIENS), name="llm", window=50)


def test_one_item_without_which_the_pick_is_second():
    found = what_if(attributor(HEAT), SEEN, ALIENS, ALLOWED, None, None)
    assert (found.rank, found.new_rank, found.changed) == (1, 2, True)
    assert found.left_out == (CATALOG[HEAT],)
    assert found.first is CATALOG[NEW]
    text = describe(found, MOVIES, EVIDENCE)
    assert text == "Without Heat (1995), Aliens (1986) would be number 2, and not number 1."
    assert CHECKER.check(text, SEEN, ALIENS, scores=found.claims(CATALOG)).problems == ()
    for wrong in (text.replace("2,", "3,"), text.replace("Heat (1995)", "Solaris (1972)"), text + " It has 7 stars."):
        assert not CHECKER.check(wrong, SEEN, ALIENS, scores=found.claims(CATALOG)).ok


def test_two_items_that_replace_each_other_are_removed_together():
    found = what_if(attributor(HEAT, ANNIE), SEEN, ALIENS, ALLOWED, 1, None)
    assert found.changed
    assert {item.id for item in found.left_out} == {CATALOG[HEAT].id, CATALOG[ANNIE].id}  # and no third


def test_four_items_are_too_many_to_find():
    found = what_if(attributor(HEAT, ANNIE, SOLARIS, ALIEN), SEEN, ALIENS, ALLOWED, 1, None)
    assert not found.changed
    assert len(found.left_out) == 3
    text = describe(found, MOVIES, EVIDENCE)
    assert text.endswith("Aliens (1986) would be number 1.")
    assert CHECKER.check(text, SEEN, ALIENS, scores=found.claims(CATALOG)).problems == ()


def test_what_is_not_among_the_first_cannot_leave_them():
    with pytest.raises(UsageError, match=r"'New \(1998\)' is number 2, not among the first 1"):
        what_if(attributor(HEAT), SEEN, NEW, ALLOWED, 1, None)


def test_a_history_of_the_pick_alone_is_refused():
    with pytest.raises(UsageError, match=r"'Aliens \(1986\)' is the only item of the history"):
        what_if(attributor(ALIENS), History(np.array([ALIENS])), ALIENS, ALLOWED, None, None)


def test_a_comparison_names_what_speaks_for_one_and_against_the_other():
    found = compare(attributor(HEAT), SEEN, ALIENS, NEW, ALLOWED, None)
    assert found.scores == pytest.approx((1.0, -1.0))  # two items allowed: one standard deviation up, one down
    assert found.parts == {"ease": pytest.approx((0.9, -0.9)), "llm": pytest.approx((0.1, -0.1))}
    assert found.items[0].item is CATALOG[HEAT]
    assert found.items[0].blend == pytest.approx(3.6)
    assert found.items[0].without == pytest.approx((-0.8, 0.8))
    text = describe(found, MOVIES, EVIDENCE)
    assert text.startswith("Aliens (1986) scores 1 for you, and New (1998) -1.")
    assert "Without Heat (1995), Aliens (1986) would score -0.8, and New (1998) 0.8." in text
    claims = found.claims(CATALOG)
    assert CHECKER.check(text, SEEN, ALIENS, scores=claims).problems == ()
    first = text.split(". ")[0] + "."
    for wrong in (
        "Aliens (1986) scores 1 for you, and New (1998) 1.",
        "Aliens (1986) scores -1 for you, and New (1998) 1.",
        "New (1998) scores 1 for you, and Aliens (1986) -1.",
        first.replace("New (1998)", "Annie Hall (1977)"),
        text.replace("Without Heat (1995)", "Without Solaris (1972)"),
    ):
        assert not CHECKER.check(wrong, SEEN, ALIENS, scores=claims).ok, wrong
    assert not CHECKER.check(text, SEEN, ALIENS).ok


@pytest.mark.parametrize("name", SHIPPED)
def test_every_domain_has_words_for_all_that_is_measured(name):
    book = shipped_book(name)
    checker = Checker(CATALOG, DATA, DOMAIN, vocabulary(book))
    both = [
        compare(attributor(HEAT), SEEN, ALIENS, NEW, ALLOWED, None),
        what_if(attributor(HEAT), SEEN, ALIENS, ALLOWED, None, None),
        what_if(attributor(HEAT, ANNIE, SOLARIS, ALIEN), SEEN, ALIENS, ALLOWED, 1, None),
    ]
    for found in both:
        text = describe(found, book, EVIDENCE)
        assert text
        assert checker.check(text, SEEN, ALIENS, scores=found.claims(CATALOG)).problems == ()


def test_a_recommender_compares_items_and_finds_counterfactuals(mixed):
    state, (first, second) = mixed.state, mixed.recommend("17", n=2)
    checker = Checker(state.catalog, state.trained_on, state.domain, vocabulary(state.book))
    found, change = mixed.compare("17", first.item.title, second.item.id), mixed.what_if("17", first.item.title)
    assert sum(pair[0] for pair in found.parts.values()) == pytest.approx(first.score, abs=1e-5)
    seen, row = state.histories.history("17"), state.catalog.row(first.item.id)
    for told in (found, change):
        assert checker.check(told.text, seen, row, scores=told.claims(state.catalog)).problems == ()
        shown = json.loads(json.dumps(told.to_dict()))
        assert (shown["item"], shown["text"]) == ({"id": first.item.id, "title": first.item.title}, told.text)
    assert found.to_dict()["items"][0].keys() == {"id", "title", "llm", "blend", "without"}
    assert [item["id"] for item in change.to_dict()["left_out"]] == [item.id for item in change.left_out]
