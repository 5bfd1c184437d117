"""Selection: lists by rules over plain arrays, compared with what a search over all lists finds."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genre_gen import Catalog, Item, Rules
from genre_gen.blending.quotas import best_within
from genre_gen.rules.compiled import compile_rules
from genre_gen.rules.selection import select

SIZE = 7
ITEMS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), min_size=SIZE, max_size=SIZE)
SCORES = st.lists(st.integers(-9, 9), min_size=SIZE, max_size=SIZE, unique=True)


def shop(items):
    """Return a catalog of items with these brands and prices."""
    return Catalog(Item(str(row), f"Item {row}", {"brand": b, "price": price}) for row, (b, price) in enumerate(items))


def chosen(rules, catalog, scores, n):
    scores = np.array(scores, np.float32)

    def rank(n, allowed, quotas):
        return best_within(scores, n, allowed, quotas)

    compiled = compile_rules(rules, catalog)
    return select(compiled, scores, np.ones(len(catalog), bool), n, rank, catalog, np.zeros(0, np.int64))


@given(ITEMS, SCORES, st.integers(1, SIZE), st.integers(1, 3))
def test_at_least_costs_no_more_score_than_it_must(items, scores, n, count):
    catalog = shop(items)
    selection = chosen(Rules(at_least={"price == 0": count}), catalog, scores, n)
    free = [row for row, (_, price) in enumerate(items) if price == 0]
    expected = min(count, len(free), n)
    lists = [some for some in itertools.combinations(range(SIZE), n) if len({*some} & {*free}) >= expected]
    assert sum(scores[row] for row in selection.rows) == max(sum(scores[row] for row in some) for some in lists)
    assert bool(selection.notes) == (expected < count)


@given(ITEMS, SCORES, st.integers(1, SIZE), st.integers(1, 3), st.integers(1, 3))
def test_at_least_is_kept_within_a_quota_wherever_it_can_be(items, scores, n, most, least):
    catalog = shop(items)
    selection = chosen(Rules(at_most={"brand": most}, at_least={"price == 0": least}), catalog, scores, n)
    counts = [sum(items[row][0] == brand and items[row][1] == 0 for row in range(SIZE)) for brand in "ab"]
    possible = min(sum(min(most, count) for count in counts), n)
    found = sum(items[row][1] == 0 for row in selection.rows)
    assert found >= min(least, possible)
    assert bool(selection.notes) == (found < least)
    assert max(sum(items[row][0] == brand for row in selection.rows) for brand in "ab") <= most


@given(ITEMS, SCORES, st.integers(1, SIZE), st.dictionaries(st.integers(1, SIZE), st.integers(0, SIZE - 1), max_size=3))
def test_pins_stand_at_their_ranks(items, scores, n, pins):
    pins = {str(row): rank for rank, row in pins.items()}
    selection = chosen(Rules(pins=pins), shop(items), scores, n)
    assert len(selection.rows) == n
    for item, rank in pins.items():
        assert (rank <= n) == any(selection.rows[selection.pinned] == int(item))
        assert rank > n or selection.rows[rank - 1] == int(item)
    others = [scores[row] for row in selection.rows[~selection.pinned]]
    assert others == sorted(others, reverse=True)
    assert len(selection.notes) == sum(rank > n for rank in pins.values())


def test_items_of_no_brand_count_for_none():
    catalog = Catalog(
        [Item(str(row), f"Item {row}", {"brand": brand}) for row, brand in enumerate([None, None, "A", "a"])]
    )
    selection = chosen(Rules(at_most={"brand": 1}), catalog, [4, 3, 2, 1], 4)
    assert selection.rows.tolist() == [0, 1, 2]  # upper and lower case are one brand, as in expressions


def test_the_first_of_two_rules_that_cannot_both_be_kept_is():
    catalog = shop([("a", 0), ("b", 1), ("a", 2)])
    selection = chosen(Rules(at_least={"price == 2": 1, "price == 0": 1}), catalog, [3, 2, 1], 1)
    assert selection.rows.tolist() == [2]
    assert selection.notes == ("0 of at least 1 items with price == 0: no more may be taken",)
