"""The blend: comparable scores, allowed items only, and weights whose right values are known by construction."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen import metrics
from genre_gen.blending import blend as blend_module
from genre_gen.blending import weights as weights_module
from genre_gen.blending.blend import EXPECTED, Blend, shares, standardised
from genre_gen.blending.weights import Pool, choose_weights, fit_blend, fit_blends
from genre_gen.data.history import History
from genre_gen.data.splits import Case
from genre_gen.errors import ConfigError, UsageError

seeds = st.integers(0, 10_000)


def random_scores(seed, users=6, items=15):
    rng = np.random.default_rng(seed)
    allowed = rng.random((users, items)) < 0.7
    return {"a": rng.normal(size=(users, items)), "b": rng.exponential(size=(users, items))}, allowed


def signal(users=400, items=60, seed=0, **strengths):
    """Members that see the target through noise: a member of strength s adds s to the target's score."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, items, users)
    truth = np.eye(items)[targets]
    scores = {name: strength * truth + rng.normal(size=truth.shape) for name, strength in strengths.items()}
    return scores, targets, np.ones((users, items), dtype=bool)


def ndcg(blend, scores, targets, allowed):
    return metrics.ndcg_at(metrics.ranks(blend.combine(scores, allowed).total, targets, allowed), 10).mean()


@given(seeds)
def test_standardised_has_mean_0_and_deviation_1_over_allowed_items(seed):
    scores, allowed = random_scores(seed)
    for values in scores.values():
        result = standardised(values, allowed)
        assert (result[~allowed] == 0).all()
        for row, flags in zip(result, allowed, strict=True):
            if flags.sum() > 1:
                assert row[flags].mean() == pytest.approx(0, abs=1e-9)
                assert row[flags].std() == pytest.approx(1)


def test_standardised_without_differences_is_0():
    allowed = np.array([[True, True, True], [True, False, False], [False, False, False]])
    assert (standardised(np.full((3, 3), 0.1), allowed) == 0).all()
    assert (standardised(np.full((3, 3), -np.inf), allowed) == 0).all()


def test_standardised_fills_with_the_lowest():
    result = standardised(np.array([[3.0, 1.0, -np.inf, 100.0]]), np.array([[True] * 3 + [False]]))
    assert result[0, 1] == result[0, 2] < result[0, 0]


@given(seeds)
def test_standardised_leaves_out_missing_scores(seed):
    scores, allowed = random_scores(seed)
    known = np.random.default_rng(seed).random(allowed.shape) < 0.7
    for values in scores.values():
        result = standardised(np.where(known, values, np.nan), allowed)
        np.testing.assert_array_equal(result, standardised(values, allowed & known))


@given(seeds, st.floats(0.01, 100), st.floats(-100, 100))
def test_units_of_a_member_do_not_matter(seed, factor, shift):
    scores, allowed = random_scores(seed)
    blend = Blend({"a": 0.5, "b": 0.5})
    other = {"a": scores["a"] * factor + shift, "b": scores["b"]}
    np.testing.assert_allclose(blend.combine(other, allowed).total, blend.combine(scores, allowed).total, atol=1e-4)


@given(seeds)
def test_combine_is_restricted_to_allowed_items(seed):
    scores, allowed = random_scores(seed)
    combined = Blend({"a": 0.3, "b": 0.7}).combine(scores, allowed).total
    assert combined.dtype == np.float32
    assert (np.isneginf(combined) == ~allowed).all()


@given(seeds)
def test_one_member_alone_keeps_its_order(seed):
    scores, allowed = random_scores(seed)
    combined = Blend({"a": 1.0, "b": 0.0}).combine({"a": scores["a"]}, allowed).total  # b has no say: not needed
    for row, flags, before in zip(combined, allowed, scores["a"], strict=True):
        np.testing.assert_array_equal(np.argsort(row[flags]), np.argsort(before[flags]))


def test_batch_equals_single():
    scores, allowed = random_scores(0)
    blend = Blend({"a": 0.25, "b": 0.75})
    together = blend.combine(scores, allowed).total
    for row in range(len(allowed)):
        alone = blend.combine({name: values[[row]] for name, values in scores.items()}, allowed[[row]]).total
        np.testing.assert_array_equal(alone[0], together[row])


@given(seeds)
@settings(max_examples=40)
def test_blends_of_large_catalogs_are_the_same_up_to_rounding(seed):
    rng = np.random.default_rng(seed)
    members, allowed = random_scores(seed, users=4, items=40)
    members["b"] += 1000.0  # far from 0, where single precision is coarse
    members["gaps"] = np.where(rng.random(allowed.shape) < 0.7, rng.normal(size=allowed.shape), np.nan)
    members["search"] = np.where(rng.random(allowed.shape) < 0.3, rng.normal(size=allowed.shape), -np.inf)
    members["equal"] = np.full(allowed.shape, 0.1)
    members["gaps"][3] = np.nan  # no score at all
    members["search"][2] = -np.inf
    allowed[1] = False
    blend = Blend(dict(zip(members, (0.4, 0.1, 0.2, 0.2, 0.1), strict=True)))
    members = {name: values.astype(np.float32) for name, values in members.items()}
    expected = blend.combine(members, allowed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blend_module, "SINGLE_ABOVE", 0)
        found = blend.combine(members, allowed)
    assert found.total.dtype == np.float32
    np.testing.assert_allclose(found.total, expected.total, atol=2e-3)
    for name, share in expected.shares.items():
        np.testing.assert_allclose(found.shares[name], share, atol=2e-3 if name == "b" else 1e-4)
    assert found.silent.keys() == expected.silent.keys()
    rows = np.tile(np.arange(5), (4, 1))
    assert found.parts(rows).keys() == expected.parts(rows).keys()


def test_items_no_member_has_a_score_for_are_not_ranked():
    scores = {"a": np.array([[1.0, -np.inf, np.nan]]), "b": np.array([[np.nan, 2.0, -np.inf]])}
    combined = Blend({"a": 0.5, "b": 0.5}).combine(scores, np.ones((1, 3), dtype=bool)).total
    assert np.isfinite(combined[0, :2]).all()
    assert np.isneginf(combined[0, 2])


@given(seeds)
def test_contributions_sum_to_the_score(seed):
    scores, allowed = random_scores(seed)
    allowed[:, :2] = True
    blend = Blend({"a": 0.4, "b": 0.6})
    rows = np.tile([0, 1], (len(allowed), 1))
    parts = blend.combine(scores, allowed).parts(rows)
    assert set(parts) == {"a", "b"}
    np.testing.assert_allclose(sum(parts.values()), blend.combine(scores, allowed).total[:, :2], atol=1e-5)


@given(seeds, st.floats(-3, 3), st.floats(-2, 2))
def test_a_missing_share_is_estimated_from_the_other_members(seed, slope, shift):
    rng = np.random.default_rng(seed)
    reads, noise = rng.normal(size=(4, 30)), rng.normal(size=(4, 30))
    counts = slope * reads + shift + 0.1 * noise
    counts[:, 20:] = np.nan
    allowed = np.ones((4, 30), bool)
    allowed[:, 5] = False
    found = shares({"reads": reads, "counts": counts}, {"reads": 0.5, "counts": 0.5}, allowed)
    for row in range(4):
        known = allowed[row] & (np.arange(30) < 20)
        line = np.polyfit(found["reads"][row, known], found["counts"][row, known], 1)
        np.testing.assert_allclose(found["counts"][row, 20:], np.polyval(line, found["reads"][row, 20:]), atol=1e-9)
    combined = Blend({"reads": 0.5, "counts": 0.5}).combine({"reads": reads, "counts": counts}, allowed).total
    assert (np.isfinite(combined) == allowed).all()


def test_the_estimate_of_a_missing_score_is_a_separate_part():
    scores, allowed = random_scores(3)
    allowed[:] = True
    scores["b"][:, 4] = np.nan
    blend = Blend({"a": 0.4, "b": 0.6})
    parts = blend.combine(scores, allowed).parts(np.tile([3, 4], (len(allowed), 1)))
    assert set(parts) == {"a", "b", EXPECTED}
    assert (parts["b"][:, 1] == 0).all()
    assert (parts[EXPECTED][:, 0] == 0).all()
    assert (parts[EXPECTED][:, 1] != 0).all()
    np.testing.assert_allclose(sum(parts.values()), blend.combine(scores, allowed).total[:, 3:5], atol=1e-5)


def test_a_new_item_neither_loses_nor_wins_for_being_new():
    rng = np.random.default_rng(0)
    taste = rng.normal(size=(200, 100))
    scores = {"reads": taste + rng.normal(size=taste.shape), "counts": taste + rng.normal(size=taste.shape)}
    new = np.arange(100) >= 80
    scores["counts"][:, new] = np.nan
    combined = Blend({"reads": 0.5, "counts": 0.5}).combine(scores, np.ones(taste.shape, bool)).total
    best = np.argsort(-combined, axis=1)[:, :10]
    wanted = np.argsort(-taste, axis=1)[:, :10]
    assert 0.05 < new[best].mean() < new[wanted].mean() + 0.05  # less is known of them, so fewer are among the first
    as_nothing = {**scores, "counts": np.where(new, -np.inf, scores["counts"])}
    assert (
        new[np.argsort(-Blend({"reads": 0.5, "counts": 0.5}).combine(as_nothing, np.ones(taste.shape, bool)).total)][
            :, :10
        ].mean()
        < new[best].mean()
    )


def test_wrong_use():
    scores, allowed = random_scores(0)
    with pytest.raises(UsageError, match="no scores of member 'c', only of a, b"):
        Blend({"a": 0.5, "c": 0.5}).combine(scores, allowed)
    with pytest.raises(UsageError, match=r"a has scores of shape \(6, 15\), allowed is \(6, 14\)"):
        Blend({"a": 1.0}).combine(scores, allowed[:, 1:])
    for weights in ({}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": float("nan")}):
        with pytest.raises(ConfigError, match="weights"):
            Blend(weights)


def test_json_roundtrip():
    blend = Blend({"a": 0.25, "b": 0.75})
    assert Blend.from_dict(json.loads(json.dumps(blend.to_dict()))) == blend
    with pytest.raises(TypeError):
        blend.weights["a"] = 1.0


def test_noise_gets_no_weight():
    scores, targets, allowed = signal(good=3.0, noise=0.0)
    assert choose_weights(scores, targets, allowed).weights["good"] > 0.9


def test_equal_members_share_the_weight_and_beat_each_of_them():
    scores, targets, allowed = signal(a=2.0, b=2.0)
    blend = choose_weights(scores, targets, allowed)
    assert blend.weights["a"] == pytest.approx(0.5, abs=0.1)
    fresh, answers, allowed = signal(seed=1, a=2.0, b=2.0)
    alone = max(ndcg(Blend({name: 1.0}), fresh, answers, allowed) for name in "ab")
    assert ndcg(blend, fresh, answers, allowed) > alone + 0.1


def test_stronger_member_weighs_more():
    scores, targets, allowed = signal(strong=3.0, weak=1.5)
    weights = choose_weights(scores, targets, allowed).weights
    assert weights["strong"] > weights["weak"] > 0


def test_copies_share_their_weight():
    scores, targets, allowed = signal(a=2.0)
    both = choose_weights({"a": scores["a"], "copy": 10 * scores["a"]}, targets, allowed)
    assert both.members == ("a",)  # the pair is no better than one: fewer members


def test_weights_are_steps_and_deterministic():
    scores, targets, allowed = signal(a=2.0, b=1.5, c=1.0, d=0.0)
    blend = choose_weights(scores, targets, allowed)
    steps = np.array(list(blend.weights.values())) * 20
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert blend == choose_weights(scores, targets, allowed)


def test_a_lucky_member_on_few_cases_does_not_get_all_weight():
    """On other cases the blend is better than whichever member was best on those that it was chosen on."""
    chosen, lucky = [], []
    for seed in range(30):
        scores, targets, allowed = signal(users=40, seed=seed, a=1.0, b=0.8)
        blend = choose_weights(scores, targets, allowed)
        best = max("ab", key=lambda name: ndcg(Blend({name: 1.0}), scores, targets, allowed))
        fresh = signal(users=500, seed=1000 + seed, a=1.0, b=0.8)
        chosen.append(ndcg(blend, *fresh))
        lucky.append(ndcg(Blend({best: 1.0}), *fresh))
    assert np.mean(chosen) > np.mean(lucky) + 0.03
    assert np.mean([one == other for one, other in zip(chosen, lucky, strict=True)]) < 0.2


def test_a_member_that_is_surely_better_takes_all(monkeypatch):
    """Whatever likelihood has said: weights that waste what the better member knows give way to it."""
    scores, targets, allowed = signal(users=400, a=3.0, b=0.0)
    monkeypatch.setattr(weights_module, "_most_likely", lambda pool: np.array([0.05, 0.95]))
    assert choose_weights(scores, targets, allowed).members == ("a",)
    scores, targets, allowed = signal(users=400, a=2.0, b=2.0)
    monkeypatch.setattr(weights_module, "_most_likely", lambda pool: np.array([0.95, 0.05]))
    assert choose_weights(scores, targets, allowed).members == ("a", "b")


def test_members_without_scores():
    scores = {"a": np.zeros((5, 10)), "b": np.zeros((5, 10))}
    blend = choose_weights(scores, np.arange(5), np.ones((5, 10), dtype=bool))
    assert blend.members == ("a",)


def test_a_perfect_member():
    scores, targets, allowed = signal(perfect=100.0, noise=0.0)
    assert choose_weights(scores, targets, allowed).weights["perfect"] > 0.9


def test_no_cases_or_members():
    with pytest.raises(UsageError, match="no members"):
        choose_weights({}, np.zeros(1, dtype=int), np.ones((1, 3), dtype=bool))
    with pytest.raises(UsageError, match="no cases"):
        choose_weights({"a": np.zeros((0, 3))}, np.zeros(0, dtype=int), np.ones((0, 3), dtype=bool))
    with pytest.raises(UsageError, match="no cases"):
        fit_blend({"a": lambda histories: np.zeros((len(histories), 3))}, [], 3)


@given(seeds)
@settings(max_examples=30)
def test_a_pool_gives_the_ranks_of_the_full_catalog(seed):
    """With at most POOL items nothing is left out, so the pool's NDCG must be the blend's."""
    scores, allowed = random_scores(seed)
    targets = np.random.default_rng(seed).integers(0, 15, 6)
    np.put_along_axis(allowed, targets[:, None], values=True, axis=1)
    pool = Pool.gather(scores, targets, allowed)
    for weights in ([1, 0], [0, 1], [0.5, 0.5]):
        combined = Blend(dict(zip("ab", weights, strict=True))).combine(scores, allowed).total
        expected = metrics.ndcg_at(metrics.ranks(combined, targets, allowed), 10)
        np.testing.assert_allclose(pool.ndcg(np.array(weights), 10), expected, atol=1e-6)


def test_pool_of_a_large_catalog():
    scores, targets, allowed = signal(users=50, items=1000, a=6.0, b=6.0)
    pool = Pool.gather(scores, targets, allowed)
    assert pool.rivals.shape == (50, 200, 2)
    assert pool.reachable.all()
    blend = Blend({"a": 0.5, "b": 0.5})
    assert pool.ndcg(np.array([0.5, 0.5]), 10).mean() == pytest.approx(ndcg(blend, scores, targets, allowed))


@pytest.mark.parametrize("batch", [7, 256])
def test_fit_blend_in_batches_equals_choose_weights_at_once(batch):
    scores, targets, allowed = signal(users=60, a=2.0, b=1.5)
    allowed = allowed.copy()
    seen = (targets + 1) % 60
    allowed[np.arange(60), seen] = False
    cases = [Case(History(np.array([seen[u]]), user=str(u)), int(targets[u])) for u in range(60)]
    scorers = {
        name: lambda histories, values=values: values[[int(history.user) for history in histories]]
        for name, values in scores.items()
    }
    assert fit_blend(scorers, cases, 60, batch=batch) == choose_weights(scores, targets, allowed)


def test_several_blends_score_each_case_once_batch_by_batch():
    scores, targets, _ = signal(users=60, a=2.0, b=1.5, c=1.0)
    cases = [Case(History(np.array([], np.int64), user=str(u)), int(targets[u])) for u in range(60)]
    asked = {name: [] for name in scores}

    def scorer(name):
        def score(histories):
            asked[name].append([int(history.user) for history in histories])
            return scores[name][asked[name][-1]]

        return score

    groups = [["a", "b", "c"], ["b", "c"], ["a"]]
    blends = fit_blends({name: scorer(name) for name in scores}, groups, cases, 60, batch=25)
    assert all([user for part in parts for user in part] == list(range(60)) for parts in asked.values())
    assert all(max(map(len, parts)) == 25 for parts in asked.values())
    for group, blend in zip(groups, blends, strict=True):
        alone = {name: lambda histories, name=name: scores[name][[int(h.user) for h in histories]] for name in group}
        assert blend == fit_blend(alone, cases, 60, batch=25)


def test_recognising_cold_items_gets_no_weight_if_it_does_not_help():
    rng, n, count = np.random.default_rng(0), 400, 300
    targets = rng.integers(n // 2, size=count)  # the other half is new, and nobody had any of it
    truth, noise = rng.normal(size=(2, count, n))
    truth[np.arange(count), targets] += 2.2
    noise += 3.0
    noise[:, n // 2 :] = 0.0
    allowed = np.ones((count, n), bool)
    assert choose_weights({"text_knn": truth, "ease": noise}, targets, allowed).weights["ease"] > 0.1
    noise[:, n // 2 :] = np.nan  # as it is served
    assert choose_weights({"text_knn": truth, "ease": noise}, targets, allowed).weights["ease"] == 0.0


def test_a_gap_is_filled_as_in_a_blend_of_equal_weights():
    rng = np.random.default_rng(1)
    scores = {"a": rng.normal(size=(3, 12)), "b": rng.normal(size=(3, 12))}
    scores["b"][:, 5:] = np.nan
    allowed, targets = np.ones((3, 12), bool), np.array([1, 6, 11])
    pool = Pool.gather(scores, targets, allowed)
    ranked = metrics.ranks(Blend({"a": 1.0, "b": 1.0}).combine(scores, allowed).total, targets, allowed)
    assert pool.ndcg(np.array([0.5, 0.5]), 10) == pytest.approx(metrics.ndcg_at(ranked, 10))


def test_of_many_cases_a_fixed_sample_chooses_the_weights(monkeypatch):
    monkeypatch.setattr(weights_module, "CASES", 30)
    rng, asked = np.random.default_rng(0), []
    cases = [Case(History(rng.integers(0, 50, 3)), int(rng.integers(50))) for _ in range(200)]

    def score(histories):
        asked.extend(history.rows.tobytes() for history in histories)
        return rng.normal(size=(len(histories), 50))

    fit_blend({"a": score, "b": score}, cases, 50, batch=7)
    assert len(asked) == 60
    assert len(set(asked)) == 30
