"""Attribution: what is known to depend on one item is attributed to it, and to nothing else."""

import json

import numpy as np
import pytest

from genre_gen.blending.blend import Blend
from genre_gen.data.filters import Filters
from genre_gen.data.history import allowed_items
from genre_gen.explain.attribution import Attributor
from genre_gen.explain.check import Checker
from genre_gen.explain.claims import ScoreClaims
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.facts import Fact
from genre_gen.explain.wording import vocabulary
from tests.explain.books import shipped_book
from tests.explain.test_evidence import ALIEN, ALIENS, ANNIE, CATALOG, DATA, DOMAIN, HEAT, NEW, SOLARIS, history

SEEN = history((HEAT, 4), (SOLARIS, 4), (ANNIE, 2), (ALIEN, 5))
ALLOWED = allowed_items([SEEN], len(CATALOG))[0]
MOVIES = shipped_book("movies")
EVIDENCE = Evidence(CATALOG, DATA, DOMAIN)


def member(item, pick):
    """Return a scorer under which ``pick`` stands out if ``item`` is in the history."""

    def score(histories):
        scores = np.tile(np.arange(len(CATALOG), dtype=np.float32) / 10, (len(histories), 1))
        for row, one in enumerate(histories):
            scores[row, pick] += 5.0 * (item in one.rows)
        return scores

    return score


class Language:
    """A language model whose log-probability of the pick goes up by 2 with one item of the history."""

    def __init__(self, item, pick):
        self.item, self.pick, self.calls = item, pick, []

    def score(self, histories, allowed=None, candidates=200, *, shared_prefix=False):
        self.calls.append([one.rows.tolist() for one in histories])
        scores = np.zeros((len(histories), len(CATALOG)), np.float32)
        for row, one in enumerate(histories):
            scores[row, self.pick] += 2.0 * (self.item in one.rows)
            scores[row, ALIEN] += 50.0 * (ALIEN not in one.rows)  # what was left out would swallow everything
        return scores


def attributor(weights=None, window=50):
    language = Language(SOLARIS, ALIENS)
    members = {"ease": member(HEAT, ALIENS), "svd": member(ANNIE, ALIENS)}
    blend = Blend(weights or {"ease": 1.0, "svd": 0.0, "llm": 0.0})
    return Attributor(CATALOG, blend, members, language, name="llm", window=window), language


def test_each_model_is_attributed_to_the_item_that_it_depends_on():
    found = attributor()[0].attribute(SEEN, [ALIENS], ALLOWED)[0]
    blend = {effect.item.title: effect.blend for effect in found.items}
    assert found.items[0].item is CATALOG[HEAT]
    assert blend["Heat (1995)"] > 0.5
    assert [size for title, size in blend.items() if title != "Heat (1995)"] == pytest.approx([0, 0, 0])
    llm = {effect.item.title: effect.llm for effect in found.items}
    # Two items are allowed: log(e^2 / (e^2 + 1)) - log(1 / 2). The item that is left out stays out of the sum.
    assert llm.pop("Solaris (1972)") == pytest.approx(2 - np.log(np.exp(2) + 1) + np.log(2), abs=1e-5)
    assert list(llm.values()) == pytest.approx([0, 0, 0], abs=1e-6)
    assert found.log_probability == pytest.approx(2 - np.log(np.exp(2) + 1), abs=1e-5)
    assert sum(found.items[0].parts.values()) == found.items[0].blend


def test_all_items_with_a_value_are_left_out_together():
    found = attributor()[0].attribute(SEEN, [ALIENS], ALLOWED)[0]
    (value,) = found.values
    assert (value.field, value.value, value.items) == ("genre", "Sci-Fi", 2)
    assert value.llm == pytest.approx(2 - np.log(np.exp(2) + 1) + np.log(2), abs=1e-5)
    assert value.blend == pytest.approx(0)


def test_effects_of_values_are_measured_only_if_wanted():
    both, language = attributor()
    whole, items_only = (both.attribute(SEEN, [ALIENS], ALLOWED, items_only=only)[0] for only in (False, True))
    assert (items_only.items, items_only.score) == (whole.items, whole.score)
    assert whole.values
    assert not items_only.values
    assert len(language.calls[0]) > len(language.calls[1])


def test_the_variants_are_scored_in_one_call():
    both, language = attributor()
    both.attribute(SEEN, [ALIENS, NEW], ALLOWED, max_items=2)
    assert len(language.calls) == 1
    assert language.calls[0][:3] == [SEEN.rows.tolist(), [HEAT, SOLARIS, ANNIE], [HEAT, SOLARIS, ALIEN]]
    assert both.effects(SEEN, [ALIENS], ALLOWED)[0].keys() == {HEAT, SOLARIS, ANNIE, ALIEN}
    assert len(language.calls) == 1  # it has no say in the blend


def test_the_language_model_does_not_read_an_older_item_instead_of_the_one_left_out():
    both, language = attributor(window=2)
    found = both.attribute(SEEN, [ALIENS], ALLOWED)[0]
    assert language.calls[0][:3] == [[ANNIE, ALIEN], [ANNIE], [ALIEN]]
    assert {effect.item.id for effect in found.items} == {CATALOG[ANNIE].id, CATALOG[ALIEN].id}


def test_the_pick_is_not_evidence_for_itself():
    found = attributor()[0].attribute(SEEN, [HEAT], ALLOWED)[0]
    assert CATALOG[HEAT] not in [effect.item for effect in found.items]


def test_no_other_item_did_most_where_the_pick_itself_did():
    both = attributor({"svd": 1.0, "ease": 0.2})[0]
    both.members = {"svd": member(ALIENS, ALIENS), "ease": member(HEAT, ALIENS)}
    seen = history((ALIENS, 4), (HEAT, 4), (ANNIE, 2))
    (effects,) = both.effects(seen, [ALIENS], ALLOWED)
    assert effects[ALIENS] > 2 * effects[HEAT] > 0.2
    without = {row: size for row, size in effects.items() if row != ALIENS}
    assert "weighed" in {reason.kind for reason in EVIDENCE.reasons(seen, ALIENS, effects=without)}
    assert "weighed" not in {reason.kind for reason in EVIDENCE.reasons(seen, ALIENS, effects=effects)}
    said = "Of the last 2 films you watched, Heat (1995) did most to bring up Aliens (1986)."
    checker = Checker(CATALOG, DATA, DOMAIN, vocabulary(MOVIES))
    assert checker.check(said, seen, ALIENS, scores=ScoreClaims.of_effects(without)).ok
    for text in (said, said.replace("2", "3")):
        assert not checker.check(text, seen, ALIENS, scores=ScoreClaims.of_effects(effects)).ok


def test_a_disliked_item_is_not_cited_and_no_other_said_to_have_done_most():
    effects = {HEAT: 0.5, SOLARIS: 0.0, ANNIE: 0.9, ALIEN: 0.0}
    assert "weighed" not in {reason.kind for reason in EVIDENCE.reasons(SEEN, ALIENS, effects=effects)}
    assert "weighed" in {reason.kind for reason in EVIDENCE.reasons(SEEN, ALIENS, effects={**effects, ANNIE: 0.4})}


def test_what_is_cited_follows_the_effect():
    usual = EVIDENCE.reasons(SEEN, ALIENS)
    assert usual[0].anchor == ALIEN
    other = EVIDENCE.reasons(SEEN, ALIENS, effects={HEAT: 0.0, SOLARIS: 0.5, ANNIE: -1.0, ALIEN: 0.1})
    assert {reason.anchor for reason in other if reason.kind == "anchor"} == {SOLARIS}
    assert not [reason for reason in other if reason.kind == "weighed"]


def test_an_item_without_a_link_that_did_far_more_is_named_for_that():
    effects = {HEAT: 0.9, SOLARIS: 0.5, ANNIE: -1.0, ALIEN: 0.1}
    first = EVIDENCE.reasons(SEEN, ALIENS, effects=effects)[0]
    assert (first.kind, first.anchor) == ("weighed", HEAT)
    assert first.facts == (Fact(HEAT, "weighed", ALIENS, numbers=(4,)),)
    for little in ({**effects, HEAT: 0.7}, {HEAT: 0.09, ALIEN: 0.01}, {HEAT: 0.9}):
        assert EVIDENCE.reasons(SEEN, ALIENS, effects=little)[0].kind != "weighed"


def test_that_an_item_weighed_most_is_said_and_checked():
    effects = {HEAT: 0.9, SOLARIS: 0.5, ANNIE: -1.0}
    (told,) = Explainer(EVIDENCE, MOVIES).explain_many(SEEN, [ALIENS], effects=[effects])
    assert told.text.startswith("Of the last 3 films you watched, Heat (1995) did most to bring up Aliens (1986).")
    assert told.effects == effects
    checker, claims = Checker(CATALOG, DATA, DOMAIN, vocabulary(MOVIES)), ScoreClaims.of_effects(effects)
    assert checker.check(told.text, SEEN, ALIENS, scores=claims).problems == ()
    assert all(checker.holds(fact, SEEN, ALIENS, scores=claims) for fact in told.facts)
    assert not checker.check(told.text, SEEN, ALIENS).ok
    for wrong in (told.text.replace("Heat (1995)", "Solaris (1972)"), told.text.replace("last 3", "last 5")):
        assert not checker.check(wrong, SEEN, ALIENS, scores=claims).ok
    assert not checker.holds(Fact(SOLARIS, "weighed", ALIENS, numbers=(3,)), SEEN, ALIENS, scores=claims)


def test_a_recommender_attributes_its_picks(mixed):
    state, (pick,) = mixed.state, mixed.recommend("17", n=1)
    found = mixed.attribute("17", pick.item.title)
    seen, row = state.histories.history("17"), state.catalog.row(pick.item.id)
    assert {effect.item.id for effect in found.items} == {state.catalog[row].id for row in seen.rows.tolist()}
    assert [effect.blend for effect in found.items] == sorted((effect.blend for effect in found.items), reverse=True)
    allowed = Filters(state.catalog).allowed(seen).mask[None]
    for effect in found.items[:3]:
        less = [seen.without([state.catalog.row(effect.item.id)])]
        scores = {name: model.score(less) for name, model in state.members.items()}
        scores["llm"] = state.generator.score(less, allowed)
        without = state.blend.combine(scores, allowed).total[0, row]
        assert pick.score - effect.blend == pytest.approx(without, abs=1e-4)
    shown = json.loads(json.dumps(found.to_dict()))
    assert shown["items"][0]["parts"].keys() == set(state.blend.members)
    assert (shown["title"], shown["items"][0]["id"]) == (pick.item.title, found.items[0].item.id)


def test_one_item_is_enough_of_a_history(mixed):
    (effect,) = mixed.attribute(["Aliens"], "Alien").items
    assert np.isfinite([effect.llm, effect.blend]).all()


def test_longer_codes_are_asked_about_by_themselves():
    class Searching(Language):
        def score(self, histories, allowed=None, candidates=200, *, shared_prefix=False):
            scores = super().score(histories, allowed, candidates)
            return np.where(scores >= (candidates > 1), scores, -np.inf)  # a search leaves out what is unlikely

    both = attributor({"ease": 1.0})[0]
    both.language_model = Searching(SOLARIS, ALIENS)
    found = both.attribute(SEEN, [ALIENS], ALLOWED)[0]
    assert found.log_probability == 2
    assert {effect.item.title: effect.llm for effect in found.items}["Solaris (1972)"] == 2


def test_a_broken_language_model_does_not_stop_explanations(mixed):
    from fakes import break_language_model

    break_language_model(mixed)
    picks = mixed.recommend("17", n=2, explain=True)
    assert picks.notes
    assert all(pick.explanation and not pick.explanation.effects for pick in picks)
