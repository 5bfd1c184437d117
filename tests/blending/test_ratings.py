from types import SimpleNamespace

import numpy as np
import pytest

from genre_gen.blending.ratings import FEW, LLM, Raters, scale_of
from genre_gen.collaborative import SVD, RatingBlend
from genre_gen.data.interactions import History, Interactions
from genre_gen.data.splits import Case
from genre_gen.errors import DecodingError, UsageError

SCALE = (1.0, 5.0)
HISTORY = History(np.array([0, 1]), np.array([4, 2], np.float32))


class Constant(SVD):
    """Predicts a rating by the item's row."""

    def __init__(self, values):
        super().__init__(rating_scale=SCALE)
        self.values = np.asarray(values, np.float64)

    def rate(self, who, rows):
        return self.values[rows]


def generator(values, rates=True):
    """Return a language model that rates by the item's row; one without values must not be asked."""

    def rate(histories, rows):
        assert values is not None
        if not np.isfinite(values).all():
            raise DecodingError("not finite")
        return np.asarray(values, np.float32)[np.asarray(rows)]

    return SimpleNamespace(rates=rates, rate=rate)


@pytest.fixture
def raters():
    found = Raters()
    found.models = {"svd": Constant(np.random.default_rng(0).uniform(1, 5, 100))}
    return found


def cases_of(values):
    return [Case(HISTORY, row, float(value)) for row, value in enumerate(values)]


def test_weights_are_those_that_made_the_ratings(raters):
    theirs, ours = raters.models["svd"].values, np.random.default_rng(1).uniform(1, 5, 100)
    unrated = Case(HISTORY, 0)
    raters.choose(generator(ours), [unrated, *cases_of(0.5 + 0.6 * theirs + 0.2 * ours)], SCALE)
    assert raters.blend.weights == pytest.approx({"svd": 0.6, LLM: 0.2}, abs=1e-3)  # less the penalty
    assert raters.blend.intercept == pytest.approx(0.5, abs=5e-3)
    found = raters.rate(generator(ours), [HISTORY] * 2, [7, 9])
    assert found == pytest.approx((0.5 + 0.6 * theirs + 0.2 * ours)[[7, 9]], abs=5e-3)


def test_many_cases_are_sampled(raters, monkeypatch):
    monkeypatch.setattr("genre_gen.blending.ratings.MANY", 60)
    asked = []
    monkeypatch.setattr(Constant, "rate", lambda self, _, rows: asked.extend(rows) or self.values[rows])
    raters.choose(generator(None, rates=False), cases_of(raters.models["svd"].values), SCALE)
    assert len(asked) == len(set(asked)) == 60


def test_a_language_model_without_a_say_is_not_asked(raters):
    raters.choose(generator(None, rates=False), cases_of(raters.models["svd"].values), SCALE)
    assert set(raters.blend.weights) == {"svd"}
    raters.blend = RatingBlend({"svd": 1.0, LLM: 0.0}, 0.0, SCALE)
    assert raters.rate(generator(None), [HISTORY], [3]) == pytest.approx(raters.models["svd"].values[[3]])


def test_few_cases_choose_nothing(raters):
    cases = cases_of(range(FEW - 1))
    raters.choose(generator(None), cases, SCALE)
    assert raters.blend == RatingBlend({"svd": 1.0}, 0.0, SCALE)
    raters.models = {}
    raters.choose(generator([3.0]), cases, SCALE)
    assert raters.blend == RatingBlend({LLM: 1.0}, 0.0, SCALE)


def test_where_the_language_model_fails_the_others_stand_in_for_it(raters, caplog):
    raters.blend = RatingBlend({"svd": 0.3, LLM: 0.7}, 0.0, SCALE)
    expected = raters.models["svd"].values[[5]]
    assert raters.rate(generator([np.nan]), [HISTORY], [5]) == pytest.approx(expected)
    assert "svd rates alone" in caplog.text
    raters.models = {}
    with pytest.raises(DecodingError):
        raters.rate(generator([np.nan]), [HISTORY], [5])


def test_without_ratings_nothing_rates(raters, tiny_domain):
    unrated = Interactions.from_columns(["a", "a"], np.array([0, 1]), 3)
    nothing = Interactions.from_columns(["a"], np.array([0]), 3, np.array([np.nan], np.float32))
    free = tiny_domain.changed({"rating_scale": None, "liked_from": None})
    assert scale_of(free, unrated, nothing) is None
    assert raters.fit(tiny_domain, nothing, SCALE) == {}
    assert raters.models == {}
    raters.choose(generator(None, rates=False), cases_of([3.0]), SCALE)
    assert raters.blend is None
    with pytest.raises(UsageError, match="nothing predicts ratings"):
        raters.rate(generator(None), [HISTORY], [0])


def test_the_scale_is_the_domains_or_that_of_the_data(tiny_domain):
    free = tiny_domain.changed({"rating_scale": None, "liked_from": None})
    few = Interactions.from_columns(["a", "a"], np.array([0, 1]), 3, np.array([2, np.nan], np.float32))
    more = Interactions.from_columns(["a", "a"], np.array([0, 1]), 3, np.array([1, 9], np.float32))
    assert scale_of(tiny_domain, more) == (1, 5)
    assert scale_of(free, few, more) == (1, 9)
    assert scale_of(free, few) == (1.5, 2.5)
