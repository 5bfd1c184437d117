"""The verbs that explain, of a whole recommender; what they measure is tested next to the modules that measure."""

import pytest
from fakes import altered

from genre_gen.errors import UnknownItemError, UsageError


def test_reasons_come_with_the_picks_that_they_are_about(mixed):
    plain, explained = mixed.recommend("17", n=5), mixed.recommend("17", n=5, explain=True)
    assert [pick.item for pick in plain] == [pick.item for pick in explained]
    assert [pick.explanation for pick in plain] == [None] * 5
    for pick in explained:
        assert pick.item.title in pick.explanation.text
        assert pick.explanation.facts
        assert pick.explanation.effects
    assert "Alien (1979)" in mixed.explain("17", "alien").text


def test_an_explanation_of_a_seen_item_notes_that_it_would_not_be_recommended(mixed):
    history = [("Alien", 3), ("Toy Story", 5)]
    note = "Alien (1979) is in the history already, and would not be recommended again"
    assert mixed.explain(history, "Alien").notes == (note,)
    assert mixed.explain(history, "Heat").notes == ()
    assert altered(mixed, {"repeat": True}).explain(history, "Alien").notes == ()


@pytest.mark.parametrize("style", ["template", "llm", "free"])
def test_every_style_writes_true_sentences(mixed, style):
    styled = altered(mixed, {"explain.style": style})
    for pick in styled.recommend("17", n=2, explain=True):
        assert pick.explanation.method == style
        assert pick.item.title in pick.explanation.text
        assert pick.explanation.facts


def test_nothing_is_measured_where_that_is_turned_off(mixed):
    quick = altered(mixed, {"explain.attribution": 0})
    assert all(not pick.explanation.effects for pick in quick.recommend("17", n=2, explain=True))


def test_the_score_of_an_attribution_is_that_of_the_pick(mixed):
    pick, other = mixed.recommend("17", n=2)
    told = mixed.attribute("17", pick.item.id)
    assert told.score == pytest.approx(pick.score, abs=1e-4)
    assert len(mixed.attribute("17", pick.item.id, limit=2).items) == 2
    history = mixed.state.histories.history("17")
    assert len(mixed.attribute("17", pick.item.id, limit=None).items) == len(set(history.rows.tolist())) > 2
    comparison = mixed.compare("17", pick.item.id, other.item.id)
    assert comparison.scores == pytest.approx((pick.score, other.score), abs=1e-4)
    assert mixed.what_if("17", pick.item.id).rank == 1
    for verb, items in (("attribute", 1), ("compare", 2), ("what_if", 1)):
        with pytest.raises(UsageError, match="limit = 0; ask for at least one"):
            getattr(mixed, verb)("17", *[pick.item.id, other.item.id][:items], limit=0)
        with pytest.raises(UnknownItemError, match="did you mean"):
            getattr(mixed, verb)("17", *["Alein", "Up"][:items])
    with pytest.raises(UsageError, match="is compared with itself; name another item"):
        mixed.compare("17", "alien", "Alien (1979)")
    with pytest.raises(UsageError, match="is number 2, not among the first 1"):
        mixed.what_if("17", other.item.id, n=1)
