"""Data with what is awkward in files: marks of all kinds in texts, labels with spaces, missing values, cold items."""

import numpy as np

from genre_gen import Catalog, Dataset, Domain, Interactions, Item

FIELDS = {"kind": {"type": "list"}, "price": {"type": "number"}, "maker": {"type": "text"}}
TITLES = ['"Weird Al" live', "a, b; c", "Amélie 🎬", "tab\there", "'quoted'", 'end"', "null", "x | y", "plain"]


def odd_items(titles=TITLES):
    return [
        Item(
            f"i {number}",
            title,
            {
                "kind": [(), ("Science Fiction", "war"), ("one",)][number % 3],
                "price": [None, 1705, 0.1 + number][number % 3],
                "maker": None if number % 2 else f"M. {number}, Ltd.",
            },
            "" if number % 4 else f"It is {number}.",
        )
        for number, title in enumerate(titles)
    ]


def odd_dataset(titles=TITLES, rated=True, timed=True, repeats=1):
    """Return data in which each user has some items, so many times, and nobody has the last item."""
    rng = np.random.default_rng(3)
    columns = [(f"u{user}", row) for user in range(6) for row in rng.permutation(len(titles) - 1)[: 3 + user % 4]]
    columns *= repeats
    ratings = np.array([[np.nan, 3.3, 5.0][k % 3] for k in range(len(columns))], np.float32)
    times = np.arange(len(columns))[::-1] * 86_400 + 1_700_000_001
    domain = Domain.from_settings({"name": "odd", "data": {"path": "."}, "fields": FIELDS})
    interactions = Interactions.from_columns(
        [user for user, _ in columns],
        np.array([row for _, row in columns], np.int64),
        len(titles),
        ratings if rated else None,
        times if timed else None,
    )
    return Dataset(domain, Catalog(odd_items(titles), "odd"), interactions)


def same(one, other):
    """Check that two data sets hold the same, in the same types."""
    assert one.catalog.fingerprint() == other.catalog.fingerprint()
    assert one.interactions.users == other.interactions.users
    for name in ("offsets", "rows", "ratings", "times"):
        left, right = getattr(one.interactions, name), getattr(other.interactions, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right, err_msg=name)
