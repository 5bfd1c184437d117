"""Whether the order of a file is told to be another than that in time."""

import re

import numpy as np
import pytest

from genre_gen.data.order import OrderShares
from genre_gen.data.readers import load_data
from tests.data.readers.reader_files import domain, write

RNG = np.random.default_rng(0)
ITEMS = range(1, 40)


def load(folder, lines, names="user_id,item_id,timestamp"):
    log = names + "\n" + "".join(",".join(map(str, line)) + "\n" for line in lines)
    return load_data(domain("shop", {}), write(folder, interactions__csv=log))


def logs():
    """Yield logs of five users, with the words of the remark on them."""
    shuffled = {user: RNG.permutation(ITEMS) for user in range(5)}
    yield "by item", [(user, item) for user in range(5) for item in ITEMS], "no times, .* 100% .* to a higher item id"
    yield "by item, then user", [(user, item) for item in ITEMS for user in range(5)], "100% .* to a higher item id"
    yield "from the last item", [(user, -item) for user in range(5) for item in ITEMS], "to a (higher|lower) item id"
    yield "unsorted", [(user, item) for user in range(5) for item in shuffled[user]], ""
    timed = [(user, item, 86400 * (day // 4)) for user in range(5) for day, item in enumerate(shuffled[user])]
    yield "in time", [(user, item, n) for n, (user, item, _) in enumerate(timed)], ""
    yield "days", timed, "7[0-9]% of a user's steps tie in time and keep the file's order; name a column with the time"
    yield "newest first", timed[::-1], "but the file runs from new to old, so these are probably reversed; name"
    by_day = [(user, item, 86400 * (item // 4)) for user in range(5) for item in ITEMS]
    yield "days, by item", by_day, r"7\d% .* tie .*, and 100% of these go to a higher item id: it seems sorted by item"
    yield "one time", [(user, item, 7) for user, item, _ in timed], "100% of a user's steps tie in time"
    yield "too few to say", [(1, item) for item in range(5)], ""


@pytest.mark.parametrize(("lines", "words"), [log[1:] for log in logs()], ids=[log[0] for log in logs()])
def test_another_order_than_that_in_time_is_told(tmp_path, lines, words):
    names = "user_id,item_id,timestamp" if len(lines[0]) > 2 else "user_id,item_id"
    remarks = load(tmp_path, lines, names).report.remarks
    assert len(remarks) == bool(words)
    if words:
        assert re.search(words, remarks[0])
        assert "\n" not in remarks[0]


def test_shares(tmp_path):
    data = load(tmp_path, [("u", 1, 5), ("u", 10, 5), ("u", 9, 5), ("u", 2, 6), ("v", 1, 1)])
    shares = OrderShares.of(data.interactions, data.catalog)
    assert shares == OrderShares(3, 2 / 3, 2, 0.5, 0.5)  # 10 is above 9: ids are compared as numbers
    assert shares.text(timed=True).startswith("67% of 3 steps within users tie in time and keep the file's order, 50%")
    single = load(tmp_path, [("u", 1)], "user_id,item_id")
    assert OrderShares.of(single.interactions, single.catalog).text(timed=False) == "no user has two interactions"


def test_fractions_of_seconds_decide_the_order_without_ties(tmp_path):
    lines = [(user, item, f"2024-01-01T10:00:00.{999 - item:03}") for user in range(5) for item in ITEMS]
    data = load(tmp_path, lines)
    assert [data.catalog[row].id for row in data.interactions.history("1").rows[:2]] == ["39", "38"]
    assert not data.report.remarks
    assert data.report.order.text(timed=True) == "no two interactions of a user have the same time"
    tied = load(tmp_path, [(user, item, when[:-1]) for user, item, when in lines])
    assert data.report.order.ties < tied.report.order.ties < 1
