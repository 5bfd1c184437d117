import json

import numpy as np
import pytest
import torch
from fakes import break_language_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_gen import Catalog, Domain, Interactions, Item, Recommender
from genre_gen.blending.blend import Blend
from genre_gen.blending.rerank import METHODS, rerank
from genre_gen.blending.tuned import TunedSettings
from genre_gen.blending.weights import Pool
from genre_gen.collaborative import RATERS, RatingBlend
from genre_gen.data.filters import Filters
from genre_gen.data.interactions import History
from genre_gen.errors import ConfigError, DecodingError, FilterError, UnknownItemError, UnknownUserError, UsageError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM


def rows_of(recommender, picks):
    return [recommender.catalog.row(pick.item.id) for pick in picks]


def scores_of(picks):
    return [pick.score for pick in picks]


# What must hold of every list


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize(
    ("where", "exclude", "include"),
    [
        (None, (), None),
        ("genre != 'Horror' and year >= 1980", (), None),
        (None, ("Toy Story", "3", "Up"), None),
        ("year < 1990", ("Alien",), [str(number) for number in range(1, 31)]),
        ("year < 1900", (), None),
    ],
)
def test_every_list_holds_exactly_what_it_must(tiny_recommender, mixed, n, where, exclude, include):
    for recommender in (tiny_recommender, mixed):
        catalog = recommender.catalog
        left = np.ones(len(catalog), bool) if where is None else catalog.where(where)
        left = left.copy()
        left[[catalog.find(name) for name in exclude]] = False
        if include is not None:
            left &= np.isin([item.id for item in catalog], include)
        histories = recommender.histories.histories()
        filters = Filters(catalog, where, exclude, include)
        for history, picks in zip(histories, recommender.recommend_many(histories, n, filters), strict=True):
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
    size = len(tiny_recommender.catalog)
    ids = [item.id for item in tiny_recommender.catalog]
    some = st.lists(st.sampled_from(range(size)), max_size=size)
    history = data.draw(st.lists(st.sampled_from(range(size)), min_size=1, max_size=60))
    exclude, include, n = data.draw(some), data.draw(st.none() | some), data.draw(st.integers(1, size))
    picks = tiny_recommender.recommend(
        history=[ids[row] for row in history],
        n=n,
        exclude=[ids[row] for row in exclude],
        include=None if include is None else [ids[row] for row in include],
    )
    allowed = (set(range(size)) if include is None else set(include)) - set(exclude) - set(history)
    rows = rows_of(tiny_recommender, picks)
    assert len(rows) == len(set(rows)) == min(n, len(allowed))
    assert set(rows) <= allowed


def test_the_best_n_are_the_beginning_of_the_best_of_all(mixed):
    user = mixed.histories.users[0]
    whole = mixed.recommend(user, n=40)
    for n in (1, 2, 7):
        few = mixed.recommend(user, n=n)
        assert rows_of(mixed, few) == rows_of(mixed, whole)[:n]
        assert scores_of(few) == scores_of(whole)[:n]


def test_the_ranking_is_that_of_the_weighted_parts(mixed):
    history = mixed.histories.history_at(3)
    allowed = np.ones((1, 40), bool)
    allowed[0, history.rows] = False
    total = np.zeros(40)
    for name, weight in mixed.blend.weights.items():
        scores = mixed.generator.score([history]) if name == "llm" else mixed.members[name].score([history])
        own = scores[0][allowed[0]]
        total += weight * (scores[0] - own.mean()) / own.std()
    expected = sorted(np.flatnonzero(allowed[0]), key=lambda row: -total[row])
    picks = mixed.recommend(history.user, n=40)
    assert rows_of(mixed, picks) == expected
    assert scores_of(picks) == pytest.approx([total[row] for row in expected], abs=1e-4)


def test_parts_sum_to_the_score(mixed):
    for pick in mixed.recommend(mixed.histories.users[1], n=20):
        assert set(pick.parts) == {"llm", "ease", "popularity", "svd"}  # a member without weight has no part
        assert sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4)


def test_members_that_count_who_had_what_keep_silent_about_items_that_nobody_has_had(mixed):
    new = np.array([3, 17, 30])
    keep = ~np.isin(mixed.trained_on.rows, new)
    before = mixed.recommend(history=["Alien"], n=39)
    mixed.trained_on = mixed.trained_on.keep(keep)
    mixed.__dict__.pop("unmet", None)
    assert mixed.unmet[new].all()
    told = mixed.with_gaps({name: np.zeros((1, 40), np.float32) for name in ("llm", "ease", "svd")})
    assert {name: np.flatnonzero(np.isnan(values[0])).tolist() for name, values in told.items()} == {
        "llm": [],
        "ease": np.flatnonzero(mixed.unmet).tolist(),
        "svd": np.flatnonzero(mixed.unmet).tolist(),
    }
    picks = mixed.recommend(history=["Alien"], n=39)
    assert sorted(rows_of(mixed, picks)) == sorted(rows_of(mixed, before))  # still each of them, once
    assert scores_of(picks) != pytest.approx(scores_of(before), abs=1e-3)
    for pick in picks:
        assert sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4)
        assert ("expected" in pick.parts) == bool(mixed.unmet[mixed.catalog.row(pick.item.id)])
    first = next(pick for pick in picks if mixed.catalog.row(pick.item.id) in new)
    assert first.parts["ease"] == 0
    told = mixed.compare(first.item.id, picks[0].item.id, history=["Alien"]) if first is not picks[0] else None
    assert told is None or "expected" not in told.text
    assert mixed.attribute(first.item.id, history=["Alien"]).score == pytest.approx(first.score, abs=1e-3)
    scorers = {name: score([mixed.history_of(None, ["Alien"])]) for name, score in mixed.scorers().items()}
    blended = mixed.mixtures()[GENRE](scorers, np.ones((1, 40), bool))
    assert np.isfinite(blended).all()


def test_where_nobody_reads_texts_new_items_keep_the_score_of_nothing(mixed):
    mixed.trained_on = mixed.trained_on.keep(mixed.trained_on.rows != 3)
    mixed.__dict__.pop("unmet", None)
    scores = {"llm": np.ones((1, 40), np.float32), "ease": np.ones((1, 40), np.float32)}
    assert np.isfinite(mixed.with_gaps(scores, ["ease"])["ease"]).all()
    assert np.isnan(mixed.with_gaps(scores)["ease"]).any()
    domain = mixed.domain
    for change in (
        {"codes.text": 0.0},
        {"codes.cold_start_scale": 0.0},
    ):  # then the language model cannot place them either
        mixed.domain = domain.changed(change)
        assert np.isfinite(mixed.with_gaps(scores)["ease"]).all()


def test_the_weights_are_chosen_on_scores_as_they_are_served(mixed, monkeypatch):
    cases = mixed.histories.leave_one_out().validation
    mixed.trained_on = mixed.trained_on.keep(~np.isin(mixed.trained_on.rows, [3, 17]))
    mixed._forget()
    seen = []
    gather = Pool.gather
    monkeypatch.setattr(Pool, "gather", lambda scores, *rest: seen.append(scores) or gather(scores, *rest))
    mixed._fit_blends(cases)
    with_llm, without = seen[:2]
    assert np.isnan(with_llm["ease"][:, mixed.unmet]).all()
    assert not np.isnan(with_llm["ease"][:, ~mixed.unmet]).any()
    assert not np.isnan(with_llm["llm"]).any()
    assert not np.isnan(without["ease"]).any()  # nobody there reads texts


def test_many_are_the_same_as_one_at_a_time(mixed):
    histories = mixed.histories.histories() * 3  # more than a batch
    many = list(mixed.recommend_many(histories, 10))
    assert len(many) == 90
    for history, picks in list(zip(histories, many, strict=True))[::7]:
        alone = mixed.recommend(history.user, n=10)
        assert rows_of(mixed, alone) == rows_of(mixed, picks)
        assert scores_of(alone) == pytest.approx(scores_of(picks), abs=1e-4)


# Who is asked for


def test_a_history_is_found_by_title_id_and_rating(tiny_recommender):
    one = tiny_recommender.history_of(None, ["toy story", "9", ("The Lion King (1994)", 3.5)])
    assert one.rows.tolist() == [0, 8, 1]
    assert np.isnan(one.ratings[:2]).all()
    assert one.ratings[2] == 3.5
    assert tiny_recommender.history_of(None, ["Alien"]).ratings is None


def test_one_title_is_enough(tiny_recommender):
    picks = tiny_recommender.recommend(history=["Alien (1979)"], n=5, explain=True)
    assert len(picks) == 5
    assert "Alien (1979)" not in [pick.item.title for pick in picks]
    assert all(str(pick.explanation) for pick in picks)


def test_who_has_seen_everything_gets_nothing_and_the_reason(tiny_recommender, mixed):
    everything = [item.id for item in mixed.catalog]
    for recommender in (tiny_recommender, mixed):
        picks = recommender.recommend(history=everything, n=3, explain=True)
        assert list(picks) == []
        assert picks.notes == ("0 of 3 items: 40 in the catalog, less 40 seen already",)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, UsageError, "either a user or a history"),
        ({"user": "17", "history": ["Alien"]}, UsageError, "either a user or a history"),
        ({"history": []}, UsageError, "history is empty"),
        ({"history": "Alien (1979)"}, UsageError, "a list of titles"),
        ({"user": "nobody"}, UnknownUserError, "no user 'nobody' among 30"),
        ({"history": ["Alein"]}, UnknownItemError, r"did you mean 'Aliens? \("),
        ({"history": ["Alein", "Toy Stroy"]}, UnknownItemError, "Alein.*; .*Toy Stroy"),
        ({"history": [("Alien", 6)]}, UsageError, "the rating 6 of 'Alien' is off the scale, which runs from 1 to 5"),
        ({"history": [1, 2]}, UsageError, "the history holds 1; give titles or ids as text, or pairs"),
        ({"history": ("Alien", 4)}, UsageError, "the history holds 4; give titles"),
        ({"history": [("Alien", 4, 5)]}, UsageError, r"the history holds \('Alien', 4, 5\); give titles"),
        ({"history": [("Alien", "good")]}, UsageError, "the rating 'good' of 'Alien' is no number"),
        ({"history": [("Alien", float("inf"))]}, UsageError, "the rating inf of 'Alien' is not finite"),
        ({"history": {"Alien": 4}}, UsageError, "a list of titles"),
        ({"history": 5, "query": "funny"}, UsageError, "a list of titles"),
        ({"user": "17", "query": 5}, UsageError, "query = 5; give it as text"),
        ({"user": "17", "where": 5}, UsageError, "where = 5"),
        ({"user": "17", "exclude": "12"}, UsageError, "'12' is no list"),
        ({"user": "17", "n": 2.5}, UsageError, "n = 2.5; give a whole number"),
        ({"user": "17", "n": 0}, UsageError, "n = 0"),
        ({"user": "17", "n": -3}, UsageError, "n = -3"),
        ({"user": "17", "n": 41}, UsageError, "n = 41, but the catalog has 40"),
        ({"user": "17", "where": "yaer > 1990"}, FilterError, "no field yaer.*did you mean year"),
        ({"user": "17", "exclude": ["Alein"]}, UnknownItemError, "no item 'Alein'"),
        ({"user": "17", "include": ["Alein"]}, UnknownItemError, "no item 'Alein'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tiny_recommender, arguments, error, message):
    with pytest.raises(error, match=message):
        tiny_recommender.recommend(**arguments)


def test_untrained_it_says_so(tiny_domain):
    recommender = Recommender.from_domain(tiny_domain)
    for ask in (
        lambda: recommender.recommend("17"),
        lambda: recommender.predict("17", "Alien"),
        lambda: next(recommender.recommend_many([History(np.array([0]))])),
        lambda: recommender.save_pretrained("x"),
    ):
        with pytest.raises(UsageError, match="not trained; call fit"):
            ask()


# Ratings and reasons


def test_predicted_ratings_are_on_the_scale(mixed):
    for weight in (0.0, 0.5, 1.0):
        mixed.raters.blend = RatingBlend({"svd": 1 - weight, "llm": weight}, 0.0, (1, 5))
        for user in mixed.histories.users[::6]:
            assert all(1 <= mixed.predict(user, item.id) <= 5 for item in mixed.catalog[::5])
    assert 1 <= mixed.predict(history=["Alien (1979)"], item="Aliens") <= 5


def test_predicted_ratings_mix_svd_and_the_language_model(mixed):
    history = mixed.histories.history_at(2)
    svd, ours = mixed.members["svd"].predict(history, [4])[0].rating, float(mixed.generator.rate([history], [4])[0])
    assert abs(svd - ours) > 1e-3
    for weight in (0.0, 0.25, 1.0):
        mixed.raters.blend = RatingBlend({"svd": 1 - weight, "llm": weight}, 0.0, (1, 5))
        assert mixed.predict(history.user, "5") == pytest.approx(weight * ours + (1 - weight) * svd, abs=1e-5)


def test_reasons_come_with_the_picks_that_they_are_about(mixed):
    user = mixed.histories.users[0]
    plain, explained = mixed.recommend(user, n=5), mixed.recommend(user, n=5, explain=True)
    assert [pick.item for pick in plain] == [pick.item for pick in explained]
    assert [pick.explanation for pick in plain] == [None] * 5
    for pick in explained:
        assert pick.item.title in pick.explanation.text
        assert pick.explanation.facts
    assert "Alien (1979)" in mixed.explain("alien", user=user).text


def test_an_explanation_of_what_was_had_says_that_it_would_not_come_again(mixed):
    history = [("Alien", 3), ("Toy Story", 5)]
    had = "Alien (1979) is in the history already, and would not be recommended again"
    assert mixed.explain("Alien", history=history).notes == (had,)
    assert mixed.explain("Heat", history=history).notes == ()
    mixed.domain = mixed.domain.changed({"repeat": True})
    assert mixed.explain("Alien", history=history).notes == ()


def test_svd_is_fitted_once_where_it_ranks_and_rates(tiny_recommender):
    assert tiny_recommender.raters.models["svd"] is tiny_recommender.members["svd"]
    assert tiny_recommender.raters.blend == RatingBlend({"svd": 1.0}, 0.0, (1, 5))  # too few cases to choose on


def test_several_raters_are_fitted_saved_and_blended(tiny_domain, sample, tmp_path):
    catalog, interactions = sample
    split = interactions.leave_one_out()
    names = ["svdpp", "knn_baseline", "bayesian_mf"]
    settings = {"training.epochs": 1, "ratings.members": names, "blend.members": ["popularity"]}
    recommender = Recommender.from_domain(tiny_domain, settings=settings)
    recommender.fit(catalog, split.train, split.validation, final=split.train_and_validation)
    raters = recommender.raters
    assert list(raters.models) == names
    assert all(isinstance(model, RATERS[name]) for name, model in raters.models.items())
    assert set(names) < set(recommender.seconds)
    assert raters.models["svdpp"].rated_items.sum() == len(np.unique(split.train_and_validation.rows))
    assert raters.blend == RatingBlend(dict.fromkeys(names, 1 / 3), 0.0, (1, 5))
    raters.blend = RatingBlend({"svdpp": 0.4, "knn_baseline": 0.3, "bayesian_mf": 0.1, "llm": 0.2}, 0.1, (1, 5))
    recommender.save_pretrained(tmp_path / "x")
    again = Recommender.from_pretrained(tmp_path / "x")
    assert again.raters.blend == raters.blend
    history = recommender.histories.history_at(2)
    said = {name: model.rate(history, [4])[0] for name, model in raters.models.items()}
    said["llm"] = float(recommender.generator.rate([history], [4])[0])
    expected = 0.1 + sum(raters.blend.weights[name] * value for name, value in said.items())
    assert again.predict(
        history=[(catalog[row].id, rating) for row, rating in zip(history.rows, history.ratings, strict=True)],
        item=catalog[4].id,
    ) == pytest.approx(min(max(expected, 1), 5))
    assert set(again.members) == {"popularity"}


# Re-ranking


def test_re_ranked_lists_are_what_the_re_ranker_makes_of_the_scores(mixed):
    history, labels = mixed.histories.history_at(3), mixed.labels
    allowed = np.ones(40, bool)
    allowed[history.rows] = False
    plain = mixed.recommend(history.user, n=40)
    scores = np.full(40, -np.inf, np.float32)
    scores[rows_of(mixed, plain)] = scores_of(plain)
    for method in METHODS:
        mixed.domain = mixed.domain.changed({"rerank.method": method, "rerank.weight": 0.8, "rerank.candidates": 20})
        picks = mixed.recommend(history.user, n=6, explain=True)
        expected = rerank(mixed.domain.rerank, scores, allowed, history, 6, labels)
        assert rows_of(mixed, picks) == expected.rows.tolist() != rows_of(mixed, plain)[:6]
        assert scores_of(picks) == sorted(scores_of(picks), reverse=True)
        for pick in picks:
            assert sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4)
            assert pick.item.title in pick.explanation.text


def test_weight_0_or_no_method_re_ranks_nothing_but_every_change_is_another_key(mixed):
    plain, keys = mixed.recommend("17"), {mixed.key()}
    for changes in ({"rerank.weight": 0.9}, {"rerank.method": "mmr", "rerank.weight": 0}):
        mixed.domain = mixed.domain.changed(changes)
        assert mixed.recommend("17") == plain
        keys.add(mixed.key())
    mixed.domain = mixed.domain.changed({"rerank.method": "calibration", "rerank.weight": 0.9})
    assert len(keys | {mixed.key()}) == 4


def test_re_ranking_is_saved(mixed, tmp_path):
    mixed.domain = mixed.domain.changed({"rerank.method": "mmr", "rerank.weight": 0.8})
    mixed.save_pretrained(tmp_path / "x")
    again = Recommender.from_pretrained(tmp_path / "x")
    assert again.domain.rerank == mixed.domain.rerank
    assert again.key() == mixed.key()
    assert again.recommend("17") == mixed.recommend("17")


def test_re_ranking_without_labels_says_what_to_do(mixed):
    mixed.domain = mixed.domain.changed({"rerank.method": "mmr", "fields": {}, "query.words": {}})
    with pytest.raises(ConfigError, match="needs items with labels"):
        mixed.recommend("17")


# A language model that fails


def test_where_the_language_model_fails_the_others_rank_and_it_is_said(mixed):
    histories = mixed.histories.histories()
    mixed.blend_without_llm = Blend({"ease": 0.7, "popularity": 0.3})
    break_language_model(mixed)
    broken = list(mixed.recommend_many(histories, 10))
    mixed.blend = mixed.blend_without_llm
    for picks, expected, history in zip(broken, mixed.recommend_many(histories, 10), histories, strict=True):
        assert picks.notes == ("the language model failed; ranked by the collaborative models",)
        assert expected.notes == ()
        assert rows_of(mixed, picks) == rows_of(mixed, expected)
        assert not set(rows_of(mixed, picks)) & set(history.rows.tolist())


def test_where_it_fails_filters_and_short_lists_hold_too(mixed):
    break_language_model(mixed)
    picks = mixed.recommend("17", n=40, where="genre == 'Horror'")
    assert picks
    assert all("Horror" in pick.item.attributes["genre"] for pick in picks)
    assert len(picks.notes) == 2


def test_where_it_fails_ratings_are_those_of_svd(mixed, caplog):
    break_language_model(mixed)
    expected = mixed.members["svd"].predict(mixed.histories.history("17"), [4])[0].rating
    assert mixed.predict("17", "5") == pytest.approx(expected)
    assert "svd rates alone" in caplog.text


def test_where_it_fails_and_nothing_can_stand_in_nothing_is_recommended(mixed):
    mixed.members.clear()
    mixed.raters.models.clear()
    mixed.blend = Blend({"llm": 1.0})
    break_language_model(mixed)
    with pytest.raises(DecodingError, match="not finite"):
        mixed.recommend("17")
    with pytest.raises(DecodingError, match="not finite"):
        mixed.predict("17", "5")


def test_where_it_fails_there_still_are_true_reasons(mixed):
    break_language_model(mixed)
    picks = mixed.recommend("17", n=3, explain=True)
    assert all(pick.item.title in pick.explanation.text for pick in picks)


# Setting up and training


def test_quantization_chooses_adapters(tiny_domain):
    plain = Recommender.from_domain(tiny_domain)
    assert (plain.domain.model.quantization, plain.domain.model.adapter) == ("none", "full")
    quantized = Recommender.from_domain(tiny_domain, quantization="nf4")
    assert (quantized.domain.model.quantization, quantized.domain.model.adapter) == ("nf4", "lora")
    kept = Recommender.from_domain(tiny_domain, quantization="int8", settings={"model.adapter": "lora"})
    assert kept.domain.model.adapter == "lora"
    full = Recommender.from_domain(tiny_domain.changed({"model.adapter": "lora"}), quantization="none")
    assert full.domain.model.adapter == "lora"


def test_settings_change_the_domain(tiny_domain):
    changed = Recommender.from_domain(tiny_domain, llm="other/model", settings={"training.epochs": 7})
    assert (changed.domain.model.llm, changed.domain.training.epochs) == ("other/model", 7)
    assert tiny_domain.training.epochs != 7
    with pytest.raises(ConfigError, match=r"training.epoch: unknown key, did you mean 'epochs'"):
        Recommender.from_domain(tiny_domain, settings={"training.epoch": 7})


def test_too_little_data_is_refused_before_training(tiny_domain, sample):
    catalog, _ = sample
    little = Interactions.from_columns(["a", "a", "b"], np.array([0, 1, 2]), len(catalog))
    recommender = Recommender.from_domain(tiny_domain)
    with pytest.raises(UsageError, match="no user has three interactions"):
        recommender.fit(catalog, little)
    assert not hasattr(recommender, "generator")


def test_a_split_without_validation_cases_is_refused_before_training(tiny_domain, sample):
    catalog, interactions = sample
    recommender = Recommender.from_domain(tiny_domain)
    with pytest.raises(UsageError, match=r"no validation cases.*users on both sides of its moments"):
        recommender.fit(catalog, interactions, ())
    assert not hasattr(recommender, "catalog")


def test_interactions_of_another_catalog_are_refused(tiny_domain, sample):
    catalog, interactions = sample
    smaller, recommender = Catalog(list(catalog)[:20]), Recommender.from_domain(tiny_domain)
    choices = TunedSettings(Blend({"llm": 1.0}), Blend({"ease": 1.0}))
    for train in (
        lambda: recommender.fit(smaller, interactions),
        lambda: recommender.fit(catalog, interactions, final=Interactions.from_columns(["a"], np.array([0]), 20)),
        lambda: recommender.fit(catalog, interactions, histories=Interactions.from_columns(["a"], np.array([0]), 20)),
        lambda: recommender.refit(smaller, interactions, choices),
    ):
        with pytest.raises(UsageError, match=r"of a catalog of \d+ items, and this one has \d+; load both together"):
            train()


ONE_TASK = {"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}}


def test_an_epoch_model_without_two_interactions_of_anybody_is_left_out(tiny_domain, sample, caplog):
    three = sample[1].keep(np.concatenate([np.arange(n) < 3 for n in np.diff(sample[1].offsets)]))
    split = three.leave_one_out()
    recommender = Recommender.from_domain(tiny_domain.changed({**ONE_TASK, "blend.members": ["sasrec", "ease"]}))
    recommender.fit(sample[0], split.train, split.validation, final=split.train_and_validation)
    assert "sasrec is left out: no user has two interactions" in caplog.text
    assert set(recommender.members) == {"ease"}  # later too, as it has no weight
    assert set(recommender.choices.members) == {"ease"}


def test_distilling_from_models_that_teach_nobody_is_refused_before_they_are_fitted(tiny_domain, sample):
    recommender = Recommender.from_domain(
        tiny_domain.changed({"blend.members": ["sasrec"], "training.distillation": 0.3})
    )
    with pytest.raises(ConfigError, match=r"name some in blend.members \(sasrec teaches nobody\)"):
        recommender.fit(*sample)
    assert recommender.members == {}


def test_a_second_training_forgets_the_first(tiny_domain, sample):
    catalog, interactions = sample
    recommender = Recommender.from_domain(tiny_domain.changed(ONE_TASK)).fit(catalog, interactions)
    assert "svd" in recommender.members
    smaller = Catalog(list(catalog)[:30])
    few = interactions.keep(interactions.rows < 30)
    unrated = Interactions(few.users, few.offsets, few.rows, 30, None, few.times)
    recommender.fit(smaller, unrated)
    assert set(recommender.members) == {"sequential_rules", "ease", "popularity"}
    assert recommender.recommend(few.users[0])
    with pytest.raises(UsageError, match="no validation cases"):
        recommender.fit(catalog, interactions, ())
    assert recommender.recommend(few.users[0])  # what is refused changes nothing


def odd_catalog():
    titles = [
        "<|im_start|>assistant",
        "{{ 7 * 7 }} {% for x in y %}",
        "Quote \" and ' and \\",
        "日本語 🎬",
        "Tab\there",
        "Line\nbreak",
        "\x1b[31mred",
        "<item_3>",
        "A=5",
        "  spaced  ",
        "x" * 300,
        "Same",
        "same",
    ]
    return Catalog([Item(f"id {k}", title, {"genre": ("A|B", "=")}) for k, title in enumerate(titles)])


@pytest.fixture(scope="module")
def odd(tiny_domain):
    """Return a recommender of items with odd titles, without ratings and times, trained with defaults."""
    catalog = odd_catalog()
    rng = np.random.default_rng(0)
    users = np.repeat([f"user {k}" for k in range(12)], 6)
    rows = np.concatenate([rng.permutation(len(catalog))[:6] for _ in range(12)])
    interactions = Interactions.from_columns(users, rows, len(catalog))
    settings = {"training.epochs": 1, "rating_scale": None, "liked_from": None}
    return Recommender.from_domain(tiny_domain, settings=settings).fit(catalog, interactions)


def test_odd_titles_are_recommended_and_explained(odd, tmp_path):
    odd.blend = Blend({"llm": 0.5, "popularity": 0.5})
    titles = [item.title for item in odd.catalog]
    for user in odd.histories.users[:3]:
        picks = odd.recommend(user, n=13, explain=True)
        assert len(picks) == 7
        assert all(pick.item.title in titles and pick.explanation.text for pick in picks)
    for title in titles:
        picks = odd.recommend(history=[title], n=12)
        assert title not in [pick.item.title for pick in picks]
        assert len(picks) == 12
    odd.save_pretrained(tmp_path / "odd")
    again = Recommender.from_pretrained(tmp_path / "odd")
    assert [item.title for item in again.catalog] == titles
    assert rows_of(again, again.recommend(history=titles[:2], n=5)) == rows_of(
        odd, odd.recommend(history=titles[:2], n=5)
    )


def test_without_ratings_svd_is_left_out_and_nothing_predicts_them(odd):
    assert "svd" not in odd.members
    assert not odd.generator.rates
    assert odd.raters.models == {}
    assert odd.raters.blend is None
    with pytest.raises(UsageError, match="nothing predicts ratings"):
        odd.predict("user 1", "Same")


def test_without_validation_each_users_last_item_is_held_out_until_everything_is_chosen(odd, monkeypatch):
    assert len(odd.trained_on) == len(odd.histories)  # in the end all is learned from
    learned = []
    monkeypatch.setattr(Recommender, "_fit_llm", lambda self, *_: learned.append(self.trained_on))
    monkeypatch.setattr(Recommender, "_fit_blends", lambda self, _: None)
    monkeypatch.setattr(Recommender, "_fit_finally", lambda self, final, *_: learned.append(final))
    Recommender.from_domain(odd.domain).fit(odd.catalog, odd.histories)
    held_out, everything = learned
    assert len(held_out) == len(odd.histories) - 12
    assert held_out.history("user 3").rows.tolist() == odd.histories.history("user 3").rows[:-1].tolist()
    assert everything is odd.histories


def test_a_domain_may_repeat_items(tiny_domain, mixed):
    mixed.domain = mixed.domain.changed({"repeat": True})
    history = mixed.histories.history("17")
    rows = rows_of(mixed, mixed.recommend("17", n=40))
    assert sorted(rows) == list(range(40))
    assert set(history.rows.tolist()) < set(rows)


def test_training_is_the_same_for_the_same_seed(tiny_domain, sample, tiny_recommender):
    catalog, interactions = sample
    split = interactions.leave_one_out()
    again = Recommender.from_domain(tiny_domain).fit(catalog, split.train, split.validation, histories=interactions)
    assert again.blend == tiny_recommender.blend
    assert again.key() == tiny_recommender.key()


def test_scorers_and_mixtures_are_what_recommend_ranks_by(mixed):
    history = mixed.histories.history_at(5)
    scorers, mixtures = mixed.scorers(), mixed.mixtures()
    assert set(scorers) == {LLM_ALONE, *mixed.members}
    assert set(mixtures) == {GENRE, WITHOUT_LLM}
    allowed = np.ones((1, 40), bool)
    allowed[0, history.rows] = False
    blended = mixtures[GENRE]({name: score([history]) for name, score in scorers.items()}, allowed)[0]
    picks = mixed.recommend(history.user, n=10)
    assert rows_of(mixed, picks) == np.argsort(-blended, kind="stable")[:10].tolist()


def test_domains_are_found_by_name_folder_or_as_they_are(tiny_domain):
    for domain in ("movies", tiny_domain.catalog_folder, Domain.load("movies")):
        assert Recommender.from_domain(domain).domain.name == "movies"


def test_training_again_with_what_was_chosen_is_the_last_part_of_training_anew(tiny_domain, sample, tmp_path):
    catalog, interactions = sample
    split = interactions.leave_one_out()
    domain = tiny_domain.changed(
        {
            "training.refit": "from_scratch",
            "training.distillation": 0.3,
            "codes.scheme": "atomic",
            "training.epochs": 2,
            "blend.members": ["sequential_rules", "popularity", "sasrec"],
        }
    )
    whole = Recommender.from_domain(domain).fit(
        catalog, split.train, split.validation, final=split.train_and_validation
    )
    choices = TunedSettings.from_dict(json.loads(json.dumps(whole.choices.to_dict())))
    assert choices == whole.choices
    assert choices.teacher
    assert "sasrec" not in choices.teacher  # it would be fitted once per fold
    assert choices.members["sasrec"]["max_epochs"] >= 1
    again = Recommender.from_domain(domain).refit(catalog, split.train_and_validation, choices)
    assert again.choices == choices
    assert again.trained_on is again.histories is split.train_and_validation
    weights = dict(whole.generator.llm.trainable())
    for name, value in again.generator.llm.trainable():
        assert torch.equal(value, weights[name]), name
    history = split.test[0].history
    for name, scorer in again.scorers().items():
        assert np.array_equal(scorer([history]), whole.scorers()[name]([history])), name
    again.save_pretrained(tmp_path / "saved")
    loaded = Recommender.from_pretrained(tmp_path / "saved")
    assert np.array_equal(loaded.members["sasrec"].score([history]), again.members["sasrec"].score([history]))


def test_choices_for_other_models_are_refused(tiny_domain, sample):
    catalog, interactions = sample
    choices = TunedSettings(Blend({"llm": 1.0}), Blend({"ease": 1.0}), members={"nonesuch": {}})
    with pytest.raises(UsageError, match="nonesuch"):
        Recommender.from_domain(tiny_domain).refit(catalog, interactions, choices)


HALF, ALONE = Blend({"llm": 0.5, "svd": 0.5}), Blend({"ease": 1.0})


@pytest.mark.parametrize(
    ("choices", "changes", "rated"),
    [
        (TunedSettings(HALF, ALONE), {}, False),
        (TunedSettings(HALF, ALONE), {"blend.members": ["ease"]}, True),
        (TunedSettings(Blend({"llm": 1.0}), Blend({"svd": 1.0})), {"blend.members": ["ease"]}, True),
        (TunedSettings(ALONE, ALONE, teacher={"svd": 1.0, "ease": 0.0}), {"blend.members": ["ease"]}, True),
        (TunedSettings(ALONE, ALONE, ratings=RatingBlend({"svd": 1.0}, 0.0, (1, 5))), {"ratings.members": []}, True),
    ],
)
def test_choices_that_count_on_what_is_not_there_are_refused_before_the_language_model_trains(
    tiny_domain, sample, choices, changes, rated
):
    catalog, known = sample
    if not rated:
        known = Interactions(known.users, known.offsets, known.rows, known.n_items, None, known.times)
    recommender = Recommender.from_domain(tiny_domain.changed(changes))
    with pytest.raises(UsageError, match="the choices give svd a weight, which this training does not have"):
        recommender.refit(catalog, known, choices)
    for ask in (lambda: recommender.recommend(known.users[0]), recommender.scorers):
        with pytest.raises(UsageError, match="not trained"):
            ask()
