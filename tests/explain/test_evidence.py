import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.explain.check import Checker
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.facts import Fact

ALIEN, ALIENS, HEAT, ANNIE, SOLARIS, NEW = range(6)
CATALOG = Catalog(
    [
        Item("1", "Alien (1979)", {"genre": ("Action", "Sci-Fi"), "studio": "Fox", "year": 1979}),
        Item("2", "Aliens (1986)", {"genre": ("Action", "Sci-Fi"), "studio": "Fox", "year": 1986}),
        Item("3", "Heat (1995)", {"genre": ("Crime",), "studio": "Warner", "year": 1995}),
        Item("4", "Annie Hall (1977)", {"genre": ("Comedy", "Romance"), "studio": "UA", "year": 1977}),
        Item("5", "Solaris (1972)", {"genre": ("Sci-Fi",), "studio": None, "year": 1972}),
        Item("6", "New (1998)", {"genre": (), "studio": None, "year": None}),
    ]
)
SETTINGS = {"name": "films", "data": {"path": "."}, "liked_from": 4, "rating_scale": [1, 5]}
DOMAIN = Domain.from_settings(SETTINGS)
UNRATED = Domain.from_settings({"name": "films", "data": {"path": "."}})


def interactions(*logs, times=True, ratings=True, n_items=6):
    """Build interactions from one list of (row, rating, time) per user."""
    flat = [(f"u{user}", *entry) for user, log in enumerate(logs) for entry in log]
    users, rows, stars, moments = zip(*flat, strict=True)
    return Interactions.from_columns(
        users,
        np.array(rows),
        n_items,
        np.array(stars, np.float32) if ratings else None,
        np.array(moments) if times else None,
    )


# Six people go from Alien to Aliens, two the other way, one has both at the same moment, one has Alien only.
LOGS = (
    *[[(ALIEN, 5, 1), (ALIENS, 4, 2)] for _ in range(6)],
    *[[(ALIENS, 4, 1), (ALIEN, 5, 2)] for _ in range(2)],
    [(ALIEN, 3, 1), (ALIENS, 3, 1)],
    [(ALIEN, 1, 1)],
    *[[(HEAT, 2, 1), (ANNIE, 5, 2)] for _ in range(20)],
)
DATA = interactions(*LOGS)


def history(*pairs):
    rows, ratings = zip(*pairs, strict=True)
    return History(np.array(rows), np.array(ratings, np.float32))


def facts(reasons):
    return [fact for reason in reasons for fact in reason.facts]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence(CATALOG, DATA, DOMAIN)


def test_people_who_went_on_are_those_who_had_the_pick_strictly_later(evidence):
    assert evidence.counts.followed(ALIENS)[ALIEN] == 6
    assert evidence.counts.followed(ALIEN)[ALIENS] == 2
    assert evidence.counts.users_with[ALIEN] == 10


def test_without_times_the_order_of_the_history_decides():
    data = interactions([(ALIEN, 5, 0), (ALIENS, 5, 0)], [(ALIENS, 5, 0), (ALIEN, 5, 0)], times=False)
    assert Evidence(CATALOG, data, DOMAIN).counts.followed(ALIENS)[ALIEN] == 1


def test_a_person_who_repeats_items_counts_once():
    data = interactions([(ALIEN, 5, 1), (ALIENS, 5, 2), (ALIEN, 5, 3), (ALIENS, 5, 4)])
    evidence = Evidence(CATALOG, data, DOMAIN)
    assert evidence.counts.followed(ALIENS)[ALIEN] == 1
    assert evidence.counts.users_with.tolist() == [1, 1, 0, 0, 0, 0]


def test_the_best_reason_says_rating_shared_values_and_counts(evidence):
    best = evidence.reasons(history((HEAT, 5), (ALIEN, 5)), ALIENS)[0]
    assert best.kind == "anchor"
    assert best.anchor == ALIEN
    assert best.facts == (
        Fact(None, "rated", ALIEN, numbers=(5.0,)),
        Fact(ALIENS, "shares", ALIEN, "genre", ("Action", "Sci-Fi")),
        Fact(ALIEN, "followed_by", ALIENS, numbers=(6, 10)),
    )


def test_numbers_are_not_labels(evidence):
    assert {fact.field for fact in facts(evidence.reasons(history((ALIEN, 5)), ALIENS))} <= {"", "genre", "studio"}


@pytest.mark.parametrize("rating", [1, 3, 3.9])
def test_items_the_user_did_not_like_are_never_cited(evidence, rating):
    reasons = evidence.reasons(history((ALIEN, rating)), ALIENS)
    assert reasons
    assert all(ALIEN not in (fact.subject, fact.object) for fact in facts(reasons))


def test_an_item_without_a_rating_is_in_the_history(evidence):
    reasons = evidence.reasons(history((ALIEN, np.nan)), ALIENS)
    assert reasons[0].facts[0] == Fact(None, "had", ALIEN)
    assert evidence.reasons(History(np.array([ALIEN])), ALIENS)[0].facts[0] == Fact(None, "had", ALIEN)


def test_the_latest_rating_of_a_repeated_item_counts(evidence):
    assert evidence.reasons(history((ALIEN, 1), (ALIEN, 5)), ALIENS)[0].facts[0].numbers == (5.0,)
    assert evidence.reasons(history((ALIEN, 5), (ALIEN, 1)), ALIENS)[0].kind != "anchor"


def test_a_user_with_no_overlap_still_gets_a_true_fact(evidence):
    assert facts(evidence.reasons(history((ANNIE, 5)), SOLARIS)) == [Fact(SOLARIS, "had_by", numbers=(0, 30))]
    assert facts(evidence.reasons(history((ANNIE, 5)), NEW)) == [Fact(NEW, "had_by", numbers=(0, 30))]
    assert evidence.reasons(History(np.zeros(0, np.int64)), NEW)


def test_a_prediction_is_said_only_where_it_is_above_the_users_own_mean(evidence):
    seen = history((HEAT, 3), (ANNIE, 4))
    predicted = Fact(None, "predicted", ALIENS, numbers=(4.3, 3.5))
    assert predicted in facts(evidence.reasons(seen, ALIENS, predicted=4.26))
    assert "predicted" not in {fact.relation for fact in facts(evidence.reasons(seen, ALIENS, predicted=3.7))}
    assert "predicted" not in {fact.relation for fact in facts(evidence.reasons(seen, ALIENS))}


def test_no_rating_is_predicted_for_items_of_the_history():
    for repeat, rating, said in ((False, 3, False), (False, None, False), (True, 3, False), (True, None, True)):
        found = Evidence(CATALOG, DATA, DOMAIN.changed({"repeat": repeat}))
        reasons = found.reasons(history((HEAT, 3), (ALIENS, rating)), ALIENS, predicted=4.5)
        assert ("predicted" in {fact.relation for fact in facts(reasons)}) is said


def test_a_mean_rating_is_said_only_where_it_is_above_average(evidence):
    assert Fact(ALIEN, "average", numbers=(4.4, 10)) in facts(evidence.reasons(history((ANNIE, 5)), ALIEN))
    assert "average" not in {fact.relation for fact in facts(evidence.reasons(history((ANNIE, 5)), HEAT))}


def test_a_person_who_rates_an_item_again_counts_once_with_the_latest_rating():
    again = [(ALIEN, 1, moment) for moment in range(5)] + [(ALIEN, 5, 6), (ALIEN, np.nan, 7)]
    data = interactions(again, *[[(ALIEN, 4, 1)] for _ in range(4)], *[[(HEAT, 2, 1)] for _ in range(9)])
    average = Fact(ALIEN, "average", numbers=(4.2, 5))
    assert average in facts(Evidence(CATALOG, data, DOMAIN).reasons(history((ANNIE, 5)), ALIEN))
    checker = Checker(CATALOG, data, DOMAIN)
    assert checker.holds(average, history((ANNIE, 5)), ALIEN)
    assert not checker.holds(Fact(ALIEN, "average", numbers=(2.6, 10)), history((ANNIE, 5)), ALIEN)


def test_likings_count_the_rated_items_with_a_value():
    items = [Item(str(row), f"Film {row}", {"genre": ("War",) if row < 6 else ("Drama",)}) for row in range(12)]
    evidence = Evidence(Catalog(items), interactions([(0, 5, 1)], n_items=12), DOMAIN)
    seen = history(*[(row, 5 if row < 3 else 2) for row in range(1, 5)], *[(row, 1) for row in range(6, 10)])
    # 2 of 4 is no liking; with one more it is, and disliked or unrated items of other kinds do not matter.
    assert "liked" not in {reason.kind for reason in evidence.reasons(seen, 0)}
    seen = history(*[(row, 5 if row < 4 else 2) for row in range(1, 5)], *[(row, 1) for row in range(6, 10)])
    assert Fact(None, "liked", None, "genre", ("War",), (3, 4)) in facts(evidence.reasons(seen, 0))


def test_without_ratings_the_share_of_the_history_is_told():
    evidence = Evidence(CATALOG, interactions(*LOGS, ratings=False), UNRATED)
    reasons = evidence.reasons(History(np.array([ALIEN, SOLARIS, ALIENS, HEAT])), ALIENS)
    assert {reason.kind for reason in reasons} <= {"anchor", "often", "popular"}
    items = [Item(str(row), f"Film {row}", {"genre": ("War",) if row < 6 else ("Drama",)}) for row in range(12)]
    evidence = Evidence(Catalog(items), interactions([(0, 5, 1)], ratings=False, n_items=12), UNRATED)
    often = Fact(None, "often", None, "genre", ("War",), (3, 4))
    assert often in facts(evidence.reasons(History(np.array([1, 2, 3, 6])), 0))


def test_reasons_are_limited_ordered_and_repeatable(evidence):
    seen = history((HEAT, 5), (ALIEN, 5), (SOLARIS, 5), (ANNIE, 4))
    reasons = evidence.reasons(seen, ALIENS, predicted=5.0)
    assert reasons == evidence.reasons(seen, ALIENS, predicted=5.0)
    assert len(reasons) > 2
    assert evidence.reasons(seen, ALIENS, predicted=5.0, n=2) == reasons[:2]


def test_parts_of_the_score_move_the_reasons_that_show_them(evidence):
    seen = history((ALIEN, 4), (ANNIE, 3))
    weights = {
        part: {reason.kind: reason.weight for reason in evidence.reasons(seen, ALIENS, 4.5, {part: 2.0, "llm": -1.0})}
        for part in ("svd", "sequential_rules", "unknown")
    }
    assert weights["svd"]["predicted"] == pytest.approx(2 * weights["unknown"]["predicted"])
    assert weights["sequential_rules"]["anchor"] == pytest.approx(2 * weights["unknown"]["anchor"])
    assert weights["sequential_rules"]["predicted"] == weights["unknown"]["predicted"]


def test_a_value_that_one_reason_names_is_not_repeated_where_more_is_to_say():
    logs = [[(ALIEN, 5, 1), (SOLARIS, 5, 2), (ALIENS, 5, 3)] for _ in range(8)] + [[(HEAT, 3, 1)] for _ in range(40)]
    same = Catalog(
        Item(item.id, item.title, {"genre": ("Sci-Fi",) if row in (ALIEN, ALIENS, SOLARIS) else ("Crime",)})
        for row, item in enumerate(CATALOG)
    )
    reasons = Evidence(same, interactions(*logs), DOMAIN).reasons(history((ALIEN, 5), (SOLARIS, 5)), ALIENS)
    anchors = [reason for reason in reasons if reason.kind == "anchor"]
    assert [reason.anchor for reason in anchors] == [SOLARIS, ALIEN]  # the more recent one first
    assert [bool(reason.values) for reason in anchors] == [True, False]


def test_interactions_of_another_catalog_are_refused():
    with pytest.raises(UsageError, match="6 items, but the interactions are of 12"):
        Evidence(CATALOG, interactions([(0, 5, 1)], n_items=12), DOMAIN)


def test_a_fact_reads_as_a_triple():
    assert Fact(ALIENS, "shares", ALIEN, "genre", ("Action",)).text(CATALOG) == (
        "Aliens (1986) | shares genre Action | Alien (1979)"
    )
    assert Fact(ALIEN, "followed_by", ALIENS, numbers=(6, 10)).text(CATALOG) == (
        "Alien (1979) | followed_by | Aliens (1986) | 6 of 10"
    )
    assert Fact(None, "rated", ALIEN, numbers=(4.5,)).text(CATALOG) == "user | rated | Alien (1979) | 4.5"


entries = st.tuples(
    st.integers(0, len(CATALOG) - 1), st.sampled_from([1, 2, 3.5, 4, 5, float("nan")]), st.integers(0, 5)
)


@settings(max_examples=80, deadline=None)
@given(
    logs=st.lists(st.lists(entries, min_size=1, max_size=8), min_size=1, max_size=30),
    seen=st.lists(entries, max_size=6),
    row=st.integers(0, len(CATALOG) - 1),
    predicted=st.none() | st.floats(1, 5),
    kind=st.tuples(st.booleans(), st.booleans()),
)
def test_every_fact_agrees_with_a_plain_recount(logs, seen, row, predicted, kind):
    rated, timed = kind
    data, domain = interactions(*logs, times=timed, ratings=rated), DOMAIN if rated else UNRATED
    rows = np.array([entry[0] for entry in seen], dtype=np.int64)
    mine = History(rows, np.array([entry[1] for entry in seen], np.float32) if rated else None)
    reasons = Evidence(CATALOG, data, domain).reasons(mine, row, predicted, n=20)
    checker = Checker(CATALOG, data, domain)
    assert reasons
    assert all(checker.holds(fact, mine, row, predicted) for fact in facts(reasons))
