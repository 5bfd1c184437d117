"""Rules in requests: whatever they ask for, a list keeps what is promised of lists, and says what it could not do."""

import numpy as np
import pytest
from fakes import altered, assert_alike, break_language_model, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_gen import Recommender, Request, Rules
from genre_gen.blending.blend import Blend
from genre_gen.errors import ConfigError, UsageError
from genre_gen.evaluation.guarantees import FilterRequest, check_guarantees
from genre_gen.evaluation.rule_promises import RulePromises
from genre_gen.recommender.answering import WITHOUT_LLM

IDS = [str(number) for number in range(1, 41)]
EXPRESSIONS = ("genre == 'Drama'", "year < 1980", "year >= 1990 and genre != 'Comedy'", "genre in ['Horror', 'Sci-Fi']",
               "title < 'h'", "year > 3000")  # fmt: skip
AMOUNTS = st.floats(-3, 3, width=16) | st.sampled_from([-100, 100])
COUNTS = st.integers(1, 6)


@st.composite
def some_rules(draw):
    """Return any rules for the sample."""
    at_most = draw(st.dictionaries(st.sampled_from([*EXPRESSIONS, "genre", "year"]), COUNTS, max_size=3))
    at_least = draw(st.dictionaries(st.sampled_from(EXPRESSIONS), COUNTS, max_size=2))
    ranks = draw(st.lists(st.integers(1, 12), unique=True, max_size=5))
    items = draw(st.lists(st.sampled_from(IDS), unique=True, min_size=len(ranks), max_size=len(ranks)))
    return Rules(
        boosts=draw(st.dictionaries(st.sampled_from(EXPRESSIONS), AMOUNTS, max_size=3)),
        pins=dict(zip(items, ranks, strict=True)),
        at_most=at_most,
        at_least={what: min(count, at_most.get(what, count)) for what, count in at_least.items()},
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), rules=some_rules(), n=st.integers(1, 50), method=st.sampled_from(["none", "mmr", "calibration"]))
def test_any_rules_keep_every_promise(tiny_recommender, data, rules, n, method):
    recommender = altered(tiny_recommender, {"rerank.method": method, "rerank.candidates": 8})
    catalog, some = recommender.state.catalog, st.lists(st.sampled_from(range(40)), max_size=30)
    histories = recommender.state.histories.histories()
    who = [data.draw(st.sampled_from(histories)), histories[0].slice(0, 0)]
    where = data.draw(st.sampled_from([None, *EXPRESSIONS]))
    exclude, include = data.draw(some), data.draw(st.none() | some)
    allowed = np.ones(40, bool) if where is None else catalog.where(where).copy()
    allowed[exclude] = False
    if include is not None:
        allowed &= np.isin(np.arange(40), include)
    names = None if include is None else [catalog[row].id for row in include]
    request = FilterRequest("any", allowed, where, [catalog[row].id for row in exclude], names, rules)
    report = check_guarantees(recommender, [n], requests=[request], histories=who)
    assert report.kept, report.broken


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=st.lists(some_rules(), min_size=2, max_size=5), n=st.integers(1, 12))
def test_each_of_a_batch_is_answered_as_alone(tiny_recommender, rules, n):
    users = tiny_recommender.state.histories.users
    requests = [Request(user, n, rules=each) for user, each in zip(users, [None, *rules, Rules()], strict=False)]
    for request, picks in zip(requests, tiny_recommender.answer_many(requests), strict=True):
        (alone,) = tiny_recommender.answer_many([request])
        assert_alike(picks, alone)
        assert [pick.pinned for pick in picks] == [pick.pinned for pick in alone]


def test_without_rules_the_answers_are_the_same_to_the_bit(mixed):
    ruled = altered(mixed, {"rules": {"at_most": {"genre": 1}, "pins": ["Casablanca"], "boosts": {"year < 1980": 2}}})
    nothing = Rules(boosts={"year < 1980": 0}, at_most={"year > 1900": 40}, at_least={"year > 1900": 1})
    for options in ({"n": 5}, {"n": 40, "where": "year > 1980"}, {"n": 6, "query": "funny"}, {"n": 3, "explain": True}):
        for user in (*mixed.state.histories.users[:5], None):
            plain = mixed.recommend(user, **options)
            for other in (
                mixed.recommend(user, rules=Rules(), **options),
                mixed.recommend(user, rules=nothing, **options),
                ruled.recommend(user, rules=Rules(), **options),
            ):
                assert [(p.item, p.score, p.parts, p.pinned) for p in other] == [
                    (p.item, p.score, p.parts, p.pinned) for p in plain
                ]
                assert [str(p.explanation) for p in other] == [str(p.explanation) for p in plain]
                assert other.notes == plain.notes


def test_boosts_move_items_by_what_they_say(mixed):
    plain = {pick.item.id: pick for pick in mixed.recommend("17", n=40)}
    rules = Rules(boosts={"genre == 'Drama'": 0.75, "year < 1980": -0.5})
    boosted = mixed.recommend("17", n=40, rules=rules)
    assert {pick.item.id for pick in boosted} == plain.keys()
    for pick in boosted:
        drama, old = "Drama" in pick.item.attributes["genre"], pick.item.attributes["year"] < 1980
        amount = 0.75 * drama - 0.5 * old
        assert pick.parts.get("boost", 0) == amount
        assert pick.score == pytest.approx(plain[pick.item.id].score + amount, abs=1e-5)
        assert {**plain[pick.item.id].parts, **({"boost": amount} if amount else {})} == pick.parts
    top = mixed.recommend("17", n=3, rules=Rules(boosts={"genre == 'Western'": 100}))
    assert all("Western" in pick.item.attributes["genre"] for pick in top[:1])


def test_pins_stand_at_their_ranks_and_the_others_follow_by_score(mixed):
    plain = mixed.recommend("17", n=40)
    last, other = plain[-1].item, plain[-2].item
    picks = mixed.recommend("17", n=5, rules=Rules(pins={last.title: 3, other.id: "first"}))
    assert [(pick.item.id, pick.rank) for pick in picks if pick.pinned] == [(other.id, 1), (last.id, 3)]
    assert [pick.item.id for pick in picks if not pick.pinned] == [pick.item.id for pick in plain[:3]]
    assert picks[2].score == plain[-1].score
    assert picks.notes == ()


def test_a_pin_that_may_not_be_shown_is_missed_and_it_is_said_why(mixed):
    seen = mixed.state.catalog[int(mixed.state.histories.history("17").rows[0])]
    rules = Rules(pins={seen.title: 1, "Alien": 2, "Casablanca": 9})
    picks = mixed.recommend("17", n=4, exclude=["Alien"], rules=rules)
    assert len(picks) == 4
    assert not any(pick.pinned for pick in picks)
    assert picks.notes == (
        f"{seen.title!r} is not pinned at rank 1: seen already",
        "'Alien (1979)' is not pinned at rank 2: outside the filters of the request",
        "'Casablanca (1942)' is not pinned at rank 9: the list has 4 items",
    )
    again = altered(mixed, {"repeat": True}).recommend("17", n=4, rules=Rules(pins=[seen.id]))
    assert (again[0].item, again[0].pinned) == (seen, True)


def test_a_pin_below_a_short_list_ranks_by_its_score(mixed):
    few = [pick.item.id for pick in mixed.recommend("17", n=4)]
    few = [pick.item.id for pick in mixed.recommend("17", include=few)]  # their order among themselves
    picks = mixed.recommend("17", n=10, include=few, rules=Rules(pins={few[0]: 8, few[3]: 2}))
    assert [pick.item.id for pick in picks] == [few[0], few[3], few[1], few[2]]
    assert [pick.pinned for pick in picks] == [False, True, False, False]
    assert "is not pinned at rank 8: the list has 4 items" in picks.notes[0]


def test_pins_count_for_quotas_and_do_not_break_them(mixed):
    dramas = [pick.item for pick in mixed.recommend("17", n=40) if "Drama" in pick.item.attributes["genre"]]
    rules = Rules(pins=[dramas[-1].id, dramas[-2].id], at_most={"genre == 'Drama'": 1})
    picks = mixed.recommend("17", n=6, rules=rules)
    assert [pick.item for pick in picks if "Drama" in pick.item.attributes["genre"]] == [dramas[-1]]
    assert picks.notes == (f"{dramas[-2].title!r} is not pinned at rank 2: at_most allows no more of its kind",)


def test_a_list_is_short_only_where_nothing_more_may_be_taken(mixed):
    picks = mixed.recommend("17", n=10, rules=Rules(at_most={"year >= 1980": 2, "year < 1980": 3}))
    assert sum(pick.item.attributes["year"] >= 1980 for pick in picks) == 2
    assert len(picks) == 5
    assert picks.notes[-1].startswith("5 of 10 items: 40 in the catalog, less")
    assert picks.notes[-1].endswith(" more would break at_most")
    assert "at_most" not in mixed.recommend("17", n=40).notes[-1]


def test_at_least_takes_the_best_that_there_are(mixed):
    plain = mixed.recommend("17", n=40)
    old = [pick.item for pick in plain if pick.item.attributes["year"] < 1970]
    wanted = max(sum(pick.item in old for pick in plain[:5]) + 1, 2)
    picks = mixed.recommend("17", n=5, rules=Rules(at_least={"year < 1970": wanted}))
    others = [pick.item for pick in plain if pick.item not in old]
    assert {pick.item for pick in picks} == {*old[:wanted], *others[: 5 - wanted]}
    assert picks.notes == ()
    picks = mixed.recommend("17", n=5, where="year >= 1980", rules=Rules(at_least={"year < 1970": 1}))
    assert picks.notes == ("0 of at least 1 items with year < 1970: no more may be taken",)


def test_strangers_and_queries_have_rules_too(mixed):
    rules = Rules(pins=["Casablanca"], at_most={"genre": 2}, boosts={"year < 1990": 1})
    for options in ({"who": None}, {"who": "nobody"}, {"who": "17", "query": "funny, no horror"}, {"query": "war"}):
        picks = mixed.recommend(**options, n=6, rules=rules)
        assert (picks[0].item.title, picks[0].pinned) == ("Casablanca (1942)", True)
        assert RulePromises(rules, mixed.state.catalog).over_quota([pick.item.id for pick in picks]) == 0
        assert all(sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4) for pick in picks)


def test_rules_hold_where_the_language_model_fails(mixed):
    mixed = altered(mixed, tuned={"blend_without_llm": Blend({"ease": 0.7, "popularity": 0.3})})
    break_language_model(mixed)
    rules = Rules(pins={"Casablanca": 2}, at_most={"genre": 1}, boosts={"year < 1990": 1})
    everything = np.ones(len(mixed.state.catalog), bool)
    assert check_guarantees(mixed, [6], requests=[FilterRequest("rules", everything, rules=rules)]).kept
    picks = mixed.recommend(None, n=6, rules=rules, explain=True)
    assert WITHOUT_LLM in picks.notes
    assert picks[1].pinned


def test_items_beyond_the_search_may_be_pinned_and_fill_quotas(mixed, monkeypatch):
    """Where the language model alone ranks, by codes of several tokens, it scores the best items only."""
    alone, score = altered(mixed, tuned={"blend": Blend({"llm": 1.0})}), mixed.state.generator.score

    def searched(histories, allowed, *arguments, **options):
        scores = score(histories, allowed, *arguments, **options)
        best = np.argsort(np.where(allowed, -scores, np.inf), axis=1)[:, :8]
        kept = np.zeros(scores.shape, bool)
        np.put_along_axis(kept, best, True, axis=1)
        return np.where(kept, scores, -np.inf).astype(np.float32)

    monkeypatch.setattr(alone.state.generator, "score", searched)
    plain = alone.recommend("17", n=40)
    assert len(plain) == 8
    item = next(each for each in alone.state.catalog if each.id not in {pick.item.id for pick in plain})
    history = alone.state.histories.history("17")
    if alone.state.catalog.row(item.id) in history.rows:
        item = next(
            each
            for row, each in enumerate(alone.state.catalog)
            if row not in history.rows and each.id not in {pick.item.id for pick in plain}
        )
    picks = alone.recommend("17", n=12, rules=Rules(pins=[item.id]))
    assert (picks[0].item, picks[0].pinned, len(picks)) == (item, True, 12)
    assert picks[0].score == min(pick.score for pick in picks)
    assert all(sum(pick.parts.values()) == pytest.approx(pick.score, abs=1e-4) for pick in picks)


def test_a_pinned_item_is_explained_by_the_pin_alone(mixed):
    picks = mixed.recommend("17", n=4, explain=True, rules=Rules(pins={"Casablanca": 2, "Alien": 4}))
    plain = mixed.recommend("17", n=4, explain=True)
    assert [str(picks[rank].explanation) for rank in (1, 3)] == [
        "An editor placed Casablanca (1942) here.",
        "An editor placed Alien (1979) here.",
    ]
    assert picks[1].explanation.facts == ()
    reasons = {pick.item.id: set(map(str, pick.explanation.facts)) for pick in plain}
    assert all(set(map(str, p.explanation.facts)) == reasons[p.item.id] for p in picks if not p.pinned)
    ruled = altered(mixed, {"rules.pins": {"Casablanca": 2}})
    assert ruled.explain("17", "Casablanca").notes == ("Casablanca (1942) is pinned at rank 2 by a rule",)
    assert mixed.explain("17", "Casablanca").notes == ()


def test_a_domain_has_rules_that_requests_replace(mixed, tmp_path):
    ruled = altered(mixed, {"rules": {"pins": ["Casablanca"], "at_most": {"genre": 2}}})
    assert ruled.recommend("17", n=5)[0].pinned
    assert not any(pick.pinned for pick in ruled.recommend("17", n=5, rules=Rules()))
    both = ruled.recommend("17", n=2, rules=ruled.domain.rules | Rules(pins={"Alien": 2}))
    assert [pick.item.title for pick in both] == ["Casablanca (1942)", "Alien (1979)"]
    ruled.save_pretrained(tmp_path / "ruled")
    again = Recommender.from_pretrained(tmp_path / "ruled")
    assert again.domain.rules == ruled.domain.rules
    assert rows_of(again, again.recommend("17", n=5)) == rows_of(ruled, ruled.recommend("17", n=5))
    everything = np.ones(len(ruled.state.catalog), bool)
    assert check_guarantees(ruled, [5], requests=[FilterRequest("the domain's", everything)]).kept


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (Rules(boosts={"yeer > 1980": 1}), r"rules.boosts: where 'yeer > 1980': no field yeer; .* did you mean year"),
        (Rules(boosts={"year > and": 1}), "rules.boosts: where 'year > and': cannot be read at character 8"),
        (Rules(pins=["Alein"]), r"rules.pins: no item 'Alein' in .*did you mean 'Alien \(1979\)'"),
        (Rules(pins=["Alien", "Alien (1979)"]), r"rules.pins: 'Alien' and 'Alien \(1979\)' are the same item; pin it"),
        (Rules(at_most={"gerne": 1}), "rules.at_most.gerne: no such field, did you mean 'genre'"),
        (Rules(at_most={"genre = ": 1}), "rules.at_most: where 'genre = ': cannot be read at its end"),
        (Rules(at_least={"genre > 3": 1}), "rules.at_least: where 'genre > 3': genre holds text"),
        ({"at_most": {"genre": 1}}, r"rules = {'at_most': {'genre': 1}}; give Rules\(...\)"),
    ],
)
def test_rules_that_do_not_fit_the_catalog_are_refused(mixed, rules, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        mixed.recommend("17", rules=rules)
    assert "\n" not in str(caught.value)


def test_all_problems_of_rules_are_said_at_once(mixed):
    rules = Rules(boosts={"yeer > 1": 1}, pins=["Alein"], at_most={"gerne": 1}, at_least={"genre >": 1})
    with pytest.raises(UsageError) as caught:
        mixed.recommend("17", rules=rules)
    assert all(f"rules.{key}" in str(caught.value) for key in ("boosts", "pins", "at_most", "at_least"))


def test_rules_are_checked_before_training(tiny_domain, dataset):
    domain = tiny_domain.changed({"rules.boosts": {"yeer > 1980": 1.0}})
    with pytest.raises(ConfigError, match=r"domain movies: rules\.boosts: where 'yeer > 1980': no field yeer"):
        Recommender(domain).fit(dataset.leave_one_out())


def test_rules_are_compiled_once(mixed, monkeypatch):
    asked, where = [], type(mixed.state.catalog).where

    def counted(catalog, expression):
        asked.append(expression)
        return where(catalog, expression)

    monkeypatch.setattr(type(mixed.state.catalog), "where", counted)
    for _ in range(3):
        mixed.recommend("17", rules=Rules(boosts={"year > 1980": 1}))
        mixed.answer_many([Request(user, rules=Rules(boosts={"year > 1980": 1})) for user in ("17", "3", "5")])
    assert asked == ["year > 1980"]


def test_the_models_are_evaluated_and_compared_without_rules(mixed, dataset):
    ruled, split = altered(mixed, {"rules": {"pins": ["Casablanca"], "at_most": {"genre": 1}}}), dataset.leave_one_out()
    plain, other = (each.evaluate(split, 5, baselines=False) for each in (mixed, ruled))
    for one, same in zip(other.results, plain.results, strict=True):
        assert one.ranks.tolist() == same.ranks.tolist()
    last = ruled.recommend("17", n=40, rules=Rules())[-1]
    assert ruled.what_if("17", last.item.id).rank == last.rank
    assert ruled.attribute("17", last.item.id).score == pytest.approx(last.score, abs=1e-5)
