"""Every list holds what it must: allowed items only, best first, with parts that sum to the scores."""

import numpy as np
import pytest
from fakes import altered, rows_of, scores_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_gen import Request
from genre_gen.blending.rerank import METHODS, rerank
from genre_gen.errors import ConfigError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM, mixtures, scorers
from genre_gen.recommender.explaining import allowed_for


@pytest.mark.parametrize("n", [1, 5, 40, 1000])
@pytest.mark.parametrize(
    ("where", "exclude", "include"),
    [
        (None, (), None),
        ("genre != 'Horror' and year >= 1980", (), None),
        (None, ("Toy Story", "3", "Up"), None),
        ("year < 1990", ("Alien",), tuple(str(number) for number in range(1, 31))),
        ("year < 1900", (), None),
    ],
)
def test_every_list_holds_exactly_what_it_must(tiny_recommender, mixed, n, where, exclude, include):
    for recommender in (tiny_recommender, mixed):
        catalog, histories = recommender.state.catalog, recommender.state.histories.histories()
        left = np.ones(len(catalog), bool) if where is None else catalog.where(where).copy()
        left[[catalog.find(name) for name in exclude]] = False
        if include is not None:
            left &= np.isin([item.id for item in catalog], include)
        answers = recommender.answer_many([Request(each, n, None, where, exclude, include) for each in histories])
        for history, picks in zip(histories, answers, strict=True):
            allowed = set(np.flatnonzero(left)) - set(history.rows.tolist())
            rows = rows_of(recommender, picks)
            assert len(rows) == len(set(rows)) == min(n, len(allowed))
            assert set(rows) <= allowed
            assert all(catalog[row] is pick.item for row, pick in zip(rows, picks, strict=True))
            assert [pick.rank for pick in picks] == list(range(1, len(picks) + 1))
            assert scores_of(picks) == sorted(scores_of(picks), reverse=True)
            assert np.isfinite(scores_of(picks)).all()
            assert bool(picks.notes) == (len(picks) < n)
            if len(picks) < n:
                assert f"{len(picks)} of {n} items: 40 in the catalog" in picks.notes[0]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_history_and_any_lists_are_respected(tiny_recommender, data):
    catalog = tiny_recommender.state.catalog
    size, ids = len(catalog), [item.id for item in catalog]
    some = st.lists(st.sampled_from(range(size)), max_size=size)
    history = data.draw(st.lists(st.sampled_from(range(size)), max_size=60))
    exclude, include, n = data.draw(some), data.draw(st.none() | some), data.draw(st.integers(1, size))
    picks = tiny_recommender.recommend(
        [ids[row] for row in history],
        n,
        exclude=[ids[row] for row in exclude],
        include=None if include is None else [ids[row] for row in include],
    )
    allowed = (set(range(size)) if include is None else set(include)) - set(exclude) - set(history)
    rows = rows_of(tiny_recommender, picks)
    assert len(rows) == len(set(rows)) == min(n, len(allowed))
    assert set(rows) <= allowed


def test_the_best_n_are_the_beginning_of_the_best_of_all(mixed):
    whole = mixed.recommend("17", n=40)
    for n in (1, 2, 7):
        few = mixed.recommend("17", n=n)
        assert rows_of(mixed, few) == rows_of(mixed, whole)[:n]
        assert scores_of(few) == pytest.approx(scores_of(whole)[:n], abs=1e-5)


def test_the_ranking_is_that_of_the_weighted_parts(mixed):
    state = mixed.state
    history = state.histories.history_at(3)
    allowed = allowed_for(state, history)
    total = np.zeros(40)
    for name, weight in state.blend.weights.items():
        scores = state.generator.score([history]) if name == "llm" else state.members[name].score([history])
        of_allowed = scores[0][allowed]
        total += weight * (scores[0] - of_allowed.mean()) / of_allowed.std()
    expected = sorted(np.flatnonzero(allowed), key=lambda row: -total[row])
    picks = mixed.recommend(history.user, n=40)
    assert rows_of(mixed, picks) == expected
    assert scores_of(picks) == pytest.approx([total[row] for row in expected], abs=1e-4)
    for pick in picks:
        assert set(pick.parts) == {"llm", "ease", "popularity", "svd"}  # a member without weight has no part
        assert sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4)


def test_what_is_evaluated_is_what_is_recommended(mixed):
    history = mixed.state.histories.history_at(5)
    models, blends = scorers(mixed.state), mixtures(mixed.state)
    assert set(models) == {LLM_ALONE, *mixed.state.members}
    assert set(blends) == {GENRE, WITHOUT_LLM}
    scores = {name: score([history]) for name, score in models.items()}
    blended = blends[GENRE](scores, allowed_for(mixed.state, history)[None])[0]
    assert rows_of(mixed, mixed.recommend(history.user, n=10)) == np.argsort(-blended, kind="stable")[:10].tolist()


def test_a_domain_may_repeat_items(mixed):
    repeating = altered(mixed, {"repeat": True})
    assert sorted(rows_of(mixed, repeating.recommend("17", n=40))) == list(range(40))


# Cold items


def without_items(recommender, rows):
    trained_on = recommender.state.trained_on
    return altered(recommender, trained_on=trained_on.keep(~np.isin(trained_on.rows, rows)))


def test_members_that_count_interactions_do_not_score_cold_items(mixed):
    cold = np.array([3, 17, 30])
    before, mixed = mixed.recommend(["Alien"], n=39), without_items(mixed, cold)
    state = mixed.state
    assert state.cold_items[cold].all()
    masked = state.mask_cold_items({name: np.zeros((1, 40), np.float32) for name in ("llm", "ease", "svd")})
    silent = {name: np.flatnonzero(np.isnan(values[0])).tolist() for name, values in masked.items()}
    assert silent == {"llm": [], **dict.fromkeys(("ease", "svd"), np.flatnonzero(state.cold_items).tolist())}
    picks = mixed.recommend(["Alien"], n=39)
    assert sorted(rows_of(mixed, picks)) == sorted(rows_of(mixed, before))  # still each of them, once
    assert scores_of(picks) != pytest.approx(scores_of(before), abs=1e-3)
    for pick in picks:
        assert sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4)
        assert ("expected" in pick.parts) == bool(state.cold_items[state.catalog.row(pick.item.id)])
    of_cold, of_others = (
        [pick for pick, row in zip(picks, rows_of(mixed, picks), strict=True) if state.cold_items[row] == is_cold]
        for is_cold in (True, False)
    )
    assert of_cold[0].parts["ease"] == 0
    assert "expected" not in mixed.compare(["Alien"], of_cold[0].item.id, of_others[0].item.id).text
    assert mixed.attribute(["Alien"], of_cold[0].item.id).score == pytest.approx(of_cold[0].score, abs=1e-3)
    history = state.histories.history_at(0)
    scores = {name: score([history]) for name, score in scorers(state).items()}
    assert np.isfinite(mixtures(state)[GENRE](scores, np.ones((1, 40), bool))).all()


def test_where_no_member_is_content_based_cold_items_keep_their_scores(mixed):
    mixed = without_items(mixed, [3])
    scores = {name: np.ones((1, 40), np.float32) for name in ("llm", "ease")}
    assert np.isfinite(mixed.state.mask_cold_items(scores, ["ease"])["ease"]).all()
    assert np.isnan(mixed.state.mask_cold_items(scores)["ease"]).any()
    for key in ("codes.text", "codes.cold_start_scale"):  # without it the language model cannot place them either
        assert np.isfinite(altered(mixed, {key: 0.0}).state.mask_cold_items(scores)["ease"]).all()


# Re-ranking


@pytest.mark.parametrize("method", METHODS)
def test_re_ranked_lists_are_what_the_re_ranker_makes_of_the_scores(mixed, method):
    history, labels = mixed.state.histories.history_at(3), mixed.state.labels
    plain = mixed.recommend(history.user, n=40)
    scores = np.full(40, -np.inf, np.float32)
    scores[rows_of(mixed, plain)] = scores_of(plain)
    mixed = altered(mixed, {"rerank.method": method, "rerank.weight": 0.8, "rerank.candidates": 20})
    picks = mixed.recommend(history.user, n=6, explain=True)
    expected = rerank(mixed.domain.rerank, scores, allowed_for(mixed.state, history), history, 6, labels)
    assert rows_of(mixed, picks) == expected.rows.tolist() != rows_of(mixed, plain)[:6]
    assert scores_of(picks) == sorted(scores_of(picks), reverse=True)
    for pick in picks:
        assert sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4)
        assert pick.item.title in pick.explanation.text


def test_weight_0_or_no_method_keeps_the_ranking_but_changes_the_fingerprint(mixed):
    plain, fingerprints = mixed.recommend("17"), {mixed.state.fingerprint()}
    for changes in ({"rerank.weight": 0.9}, {"rerank.method": "mmr", "rerank.weight": 0}):
        same = altered(mixed, changes)
        assert rows_of(same, same.recommend("17")) == rows_of(mixed, plain)
        fingerprints.add(same.state.fingerprint())
    other = altered(mixed, {"rerank.method": "calibration", "rerank.weight": 0.9})
    assert len(fingerprints | {other.state.fingerprint()}) == 4


def test_re_ranking_without_labels_says_what_to_do(mixed):
    with pytest.raises(ConfigError, match="needs items with labels"):
        altered(mixed, {"rerank.method": "mmr", "fields": {}, "query.words": {}}).recommend("17")
