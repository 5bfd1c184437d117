from types import SimpleNamespace

import numpy as np
import pytest

from genre_gen.blending.ratings import FEW, LLM, Raters, fit_raters, scale_of, tune_rating_blend
from genre_gen.collaborative import SVD, RatingBlend
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
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
def svd():
    return Constant(np.random.default_rng(0).uniform(1, 5, 100))


def raters(model, **weights):
    return Raters({"svd": model}, RatingBlend(weights, 0.0, SCALE))


def cases_of(values):
    return [Case(HISTORY, row, float(value)) for row, value in enumerate(values)]


def test_weights_are_those_that_made_the_ratings(svd):
    by_svd, by_llm = svd.values, np.random.default_rng(1).uniform(1, 5, 100)
    truth, unrated = 0.5 + 0.6 * by_svd + 0.2 * by_llm, Case(HISTORY, 0)
    blend = tune_rating_blend({"svd": svd}, generator(by_llm), [unrated, *cases_of(truth)], SCALE)
    assert blend.weights == pytest.approx({"svd": 0.6, LLM: 0.2}, abs=1e-3)  # less the penalty
    assert blend.intercept == pytest.approx(0.5, abs=5e-3)
    ratings, columns = Raters({"svd": svd}, blend).rate(generator(by_llm), [HISTORY] * 2, [7, 9])
    assert ratings == pytest.approx(truth[[7, 9]], abs=5e-3)
    assert {name: values.tolist() for name, values in columns.items()} == {
        "svd": by_svd[[7, 9]].tolist(),
        LLM: pytest.approx(by_llm[[7, 9]]),
    }


def test_many_cases_are_sampled(svd, monkeypatch):
    monkeypatch.setattr("genre_gen.blending.ratings.MANY", 60)
    asked = []
    monkeypatch.setattr(Constant, "rate", lambda self, _, rows: asked.extend(rows) or self.values[rows])
    tune_rating_blend({"svd": svd}, generator(None, rates=False), cases_of(svd.values), SCALE)
    assert len(asked) == len(set(asked)) == 60


def test_a_language_model_without_a_say_is_not_asked(svd):
    blend = tune_rating_blend({"svd": svd}, generator(None, rates=False), cases_of(svd.values), SCALE)
    assert set(blend.weights) == {"svd"}
    ratings, columns = raters(svd, svd=1.0, llm=0.0).rate(generator(None), [HISTORY], [3])
    assert ratings == pytest.approx(svd.values[[3]])
    assert set(columns) == {"svd"}


def test_few_cases_give_equal_weights(svd):
    cases = cases_of(range(FEW - 1))
    assert tune_rating_blend({"svd": svd}, generator(None), cases, SCALE) == RatingBlend({"svd": 1.0}, 0.0, SCALE)
    assert tune_rating_blend({}, generator([3.0]), cases, SCALE) == RatingBlend({LLM: 1.0}, 0.0, SCALE)


@pytest.mark.parametrize("broken", [generator([np.nan]), generator(None, rates=False)])
def test_other_raters_replace_a_language_model_that_fails(svd, caplog, broken):
    ratings, columns = raters(svd, svd=0.3, llm=0.7).rate(broken, [HISTORY], [5])
    assert ratings == columns[LLM] == pytest.approx(svd.values[[5]])
    assert "svd rates alone" in caplog.text
    with pytest.raises(DecodingError):
        Raters({}, RatingBlend({LLM: 1.0}, 0.0, SCALE)).rate(broken, [HISTORY], [5])


def test_without_ratings_there_are_no_raters(tiny_domain):
    unrated = Interactions.from_columns(["a", "a"], np.array([0, 1]), 3)
    nothing = Interactions.from_columns(["a"], np.array([0]), 3, np.array([np.nan], np.float32))
    free = tiny_domain.changed({"rating_scale": None, "liked_from": None})
    assert scale_of(free, unrated, nothing) is None
    assert fit_raters(tiny_domain, nothing, SCALE) == fit_raters(free, unrated, None) == ({}, {})
    assert tune_rating_blend({}, generator(None, rates=False), cases_of([3.0]), SCALE) is None
    with pytest.raises(UsageError, match="ratings cannot be predicted"):
        Raters().rate(generator(None), [HISTORY], [0])


def test_the_scale_is_the_domains_or_that_of_the_data(tiny_domain):
    free = tiny_domain.changed({"rating_scale": None, "liked_from": None})
    few = Interactions.from_columns(["a", "a"], np.array([0, 1]), 3, np.array([2, np.nan], np.float32))
    more = Interactions.from_columns(["a", "a"], np.array([0, 1]), 3, np.array([1, 9], np.float32))
    assert scale_of(tiny_domain, more) == (1, 5)
    assert scale_of(free, few, more) == (1, 9)
    assert scale_of(free, few) == (1.5, 2.5)
