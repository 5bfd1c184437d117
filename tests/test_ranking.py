import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen import ranking
from genre_gen.ranking import Ranking


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.02, 0.5, 1.0]), st.sampled_from([1, 3, 50]))
@settings(max_examples=60, deadline=None)
def test_ranking_a_large_catalog_rules_out_no_item_that_belongs_to_the_list(seed, share, n):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 40, 900) / 8  # with many ties
    scores[rng.random(900) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    allowed = rng.random(900) < share
    expected = Ranking.from_scores(scores, None, allowed).top(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_LARGE", 16)
        found = Ranking.from_scores(scores, n, allowed)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.scores.tolist() == expected.scores.tolist()
