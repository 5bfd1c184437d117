"""Small logs of interactions in which every entry can be told apart by its rating."""

import numpy as np
from hypothesis import strategies as st

from genre_gen import History, Interactions

N_ITEMS = 6


def make(log: list[tuple[str, int, int]], timed: bool = True) -> Interactions:
    """Build from (user, item, time); the rating is the entry's position, which tells entries apart."""
    users, rows, times = zip(*log, strict=True)
    ratings = np.arange(len(log), dtype=np.float32)
    stamps = np.array(times) if timed else None
    return Interactions.from_columns(users, np.array(rows), N_ITEMS, ratings, stamps)


LOGS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, N_ITEMS - 1), st.integers(0, 4)), min_size=1, max_size=40
)


def entries(history: History) -> list[int]:
    assert history.ratings is not None
    return history.ratings.astype(int).tolist()
