"""What data is worth, by construction: logs drawn from a law whose worth is known, and files that give answers away."""

import json

import numpy as np
import pytest
from effort import bounded

from genre_gen import Catalog, Interactions, Item
from genre_gen.new_domain.validate import check
from genre_gen.new_domain.worth import EVENTS, DataWorth, data_worth

ITEMS, USERS, LENGTH = 200, 400, 20


def catalog(fields=None, texts=None):
    return Catalog(
        Item(str(row), f"item{row}" if texts is None else texts[row], {} if fields is None else fields(row))
        for row in range(ITEMS)
    )


def log(rows, times=None, ratings=None):
    users = np.repeat([f"u{user}" for user in range(len(rows))], [len(each) for each in rows])
    return Interactions.from_columns(users, np.concatenate(rows), ITEMS, ratings, times)


def transitions(seed=0, sure=0.7):
    """Draw histories in which a fixed other item mostly follows each."""
    rng = np.random.default_rng(seed)
    follower = rng.permutation(ITEMS)
    rows = []
    for _ in range(USERS):
        history = [int(rng.integers(ITEMS))]
        while len(history) < LENGTH:
            history.append(int(follower[history[-1]] if rng.random() < sure else rng.integers(ITEMS)))
        rows.append(np.array(history))
    return rows


def popular(seed=0):
    """Draw histories by popularity alone."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, ITEMS + 1)
    order = rng.permutation(ITEMS)
    return [order[rng.choice(ITEMS, LENGTH, replace=False, p=chances / chances.sum())] for _ in range(USERS)]


def groups(seed=0):
    """Draw histories of items of one group, in any order: the group is the remainder of the row by 10."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(np.arange(user % 10, ITEMS, 10))[: LENGTH // 2] for user in range(USERS)]


def shuffled(rows, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.permutation(row) for row in rows]


def test_a_law_of_transitions_is_sequential_and_its_shuffled_copy_is_not():
    found = data_worth(catalog(), log(transitions()))
    assert found.sequential
    assert found.in_order > 3 * found.shuffled
    assert "The order of items matters much: sequence models" in found.verdict
    copy = data_worth(catalog(), log(shuffled(transitions())))
    assert not copy.sequential
    assert "The order of items hardly matters" in copy.verdict


@pytest.mark.parametrize("seed", range(3))
def test_popularity_alone_is_called_so(seed):
    found = data_worth(catalog(), log(popular(seed)))
    assert not found.sequential
    assert found.popularity > 0.1
    assert "popularity is nearly as good as any count of pairs" in found.verdict


def test_groups_are_found_by_pairs_and_not_by_order():
    found = data_worth(catalog(), log(groups()))
    assert not found.sequential
    assert found.pairs > 3 * found.popularity
    assert "ease and item_knn are far ahead of popularity" in found.verdict


def test_texts_that_go_with_histories_are_told_from_texts_that_do_not():
    words = ["sea", "war", "love", "space", "sport", "food", "art", "crime", "magic", "city"]
    telling = [f"{words[row % 10]} story number{row}" for row in range(ITEMS)]
    mute = [f"{words[row // 20]} story number{row}" for row in range(ITEMS)]
    found = data_worth(catalog(texts=telling), log(groups()))
    assert found.texts_sure
    assert found.texts > 2
    assert "text_knn and the language model can rank new items" in found.verdict
    other = data_worth(catalog(texts=mute), log(groups()))
    assert not other.texts_sure
    assert other.texts < 1.1
    assert "Texts tell hardly anything" in other.verdict
    assert data_worth(catalog(), log(groups())).texts is None  # no two items share a word


def test_repeats_are_counted_also_those_that_were_dropped():
    rows = [np.repeat(row[:5], 2) for row in popular()]
    found = data_worth(catalog(), log(rows))
    assert found.repeats == pytest.approx(0.5)
    assert "set repeat = true and data.policies.duplicates" in found.verdict
    assert data_worth(catalog(), log(popular()), dropped=USERS * LENGTH).repeats == pytest.approx(0.5)
    assert data_worth(catalog(), log(popular())).repeats == 0


def test_ties_in_time():
    rows = popular()
    times = np.tile(np.repeat(np.arange(LENGTH // 4), 4), USERS)
    found = data_worth(catalog(), log(rows, times))
    assert found.ties == pytest.approx(15 / 19)
    assert found.last_ties == 1
    assert "the last two items have the same time" in found.verdict
    apart = data_worth(catalog(), log(rows, np.tile(np.arange(LENGTH), USERS)))
    assert (apart.ties, apart.last_ties) == (0, 0)
    assert data_worth(catalog(), log(rows)).ties is None


def leaks_of(*parts):
    return " ".join(data_worth(*parts).leaks)


def test_leaks():
    rows = popular()
    plain = catalog(lambda row: {"year": 1900 + row * 7 % 100})
    times = np.random.default_rng(0).permutation(USERS * LENGTH)
    stars = np.random.default_rng(1).integers(1, 11, USERS * LENGTH).astype(np.float32)
    assert not leaks_of(plain, log(rows, times, stars))

    counts = np.bincount(np.concatenate(rows), minlength=ITEMS)
    counted = catalog(lambda row: {"votes": int(counts[row]) * 3 + 1, "year": 1900 + row * 7 % 100})
    assert "field votes follows the number of interactions" in leaks_of(counted, log(rows, times))
    assert "year" not in leaks_of(counted, log(rows, times))

    of_item = np.concatenate(rows) * 1000
    assert "the time is the same for all users of an item" in leaks_of(plain, log(rows, of_item))
    means = (np.concatenate(rows) % 11).astype(np.float32)
    assert "the rating is the same for all users of an item" in leaks_of(plain, log(rows, times, means))

    assert f"{USERS // 2} of {USERS} users have exactly the history of another" in leaks_of(
        plain, log(rows[: USERS // 2] * 2)
    )
    last = np.where(np.arange(USERS * LENGTH) % LENGTH == LENGTH - 1, np.nan, stars).astype(np.float32)
    assert "0% of the users' last items have a rating, and 100% of the others" in leaks_of(plain, log(rows, None, last))
    assert "go down the list of items" in leaks_of(plain, log([np.sort(row) for row in rows]))
    assert "go up the list of items" in leaks_of(plain, log([np.sort(row)[::-1] for row in rows]))


def test_a_large_log_is_sampled():
    """A log of a million lines takes the work of a sample."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    users = [str(user) for user in range(n // 10)]
    large = Interactions(users, np.arange(0, n + 1, 10), rng.integers(0, ITEMS, n), ITEMS)
    with bounded(60):
        found = data_worth(catalog(), large)
    assert found.interactions <= EVENTS
    assert found.cases == 1000


def test_data_about_which_nothing_can_be_said():
    found = data_worth(catalog(), log([np.array([0]), np.array([1])]))
    assert found.cases == 0
    assert found.lines() == ["No user has two items, so nothing can be said about the data."]
    few = data_worth(catalog(), log(transitions()[:5]))
    assert not few.sequential
    assert "With 5 users to test on, all of this is a guess." in few.verdict


def test_the_check_of_a_domain_tells_it(tiny_model):
    found = check("travel", llm=str(tiny_model))
    assert isinstance(found.worth, DataWorth)
    assert "what the data is worth, by" in found.text()
    assert found.worth.verdict in found.text()
    told = json.loads(found.to_json())["worth"]
    assert told["verdict"] == found.worth.verdict
    assert told["cases"] == found.worth.cases


def test_times_that_fractions_of_seconds_told_apart_do_not_tie():
    tied = log(transitions(), np.zeros(USERS * LENGTH, np.int64))
    assert data_worth(catalog(), tied).last_ties == 1
    worth = data_worth(catalog(), tied, decided=True)
    assert (worth.ties, worth.last_ties) == (0, 0)
    assert "same time" not in worth.verdict
