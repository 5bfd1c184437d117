"""A model whose scores are not finite is left out with a note; nothing is ranked by such scores."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from fakes import altered, assert_alike, break_language_model

from genre_gen import Recommender
from genre_gen.blending.blend import Blend
from genre_gen.errors import DecodingError
from genre_gen.recommender.state import LLM_MEMBER

VALUES = [np.nan, np.inf, -np.inf]


def broken(model, value, users=None):
    """Return a model with the same scores but for one value, or all, of some histories."""
    model = copy.copy(model)
    whole = type(model).score

    def score(histories):
        scores = whole(model, histories).copy()
        rows = [row for row, history in enumerate(histories) if users is None or history.user in users]
        scores[rows, : 1 if users is None else None] = value
        return scores

    model.score = score
    return model


def with_weights(recommender, members):
    names = [*members]
    blend = Blend({LLM_MEMBER: 0.5, **dict.fromkeys(names, 0.5 / len(names))})
    without = Blend(dict.fromkeys(names, 1 / len(names)))
    return Recommender.from_state(replace(recommender.state, members=members).with_blend(blend, without))


def without_llm(recommender):
    """Return the recommender with a language model of its own, which is broken."""
    recommender = altered(recommender, llm=copy.deepcopy(recommender.state.llm))
    break_language_model(recommender)
    return recommender


@pytest.mark.parametrize("value", VALUES)
def test_each_member_is_left_out_with_a_note(mixed, value):
    members = dict(mixed.state.members)
    for name, model in members.items():
        whole = with_weights(mixed, members)
        blend = Blend({key: weight for key, weight in whole.state.blend.weights.items() if key != name})
        expected = Recommender.from_state(whole.state.with_blend(blend))
        picks = altered(whole, members={**members, name: broken(model, value)}).recommend("17", explain=True)
        assert picks.notes == (f"the scores of {name} are not finite; ranked without",)
        assert [pick.item.id for pick in picks] == [pick.item.id for pick in expected.recommend("17")]
        assert all(np.isfinite(pick.score) and name not in pick.parts for pick in picks)
        assert all(pick.explanation.text for pick in picks)


def test_only_the_histories_concerned_lose_a_member(mixed):
    members = dict(mixed.state.members)
    name = next(iter(members))
    whole = with_weights(mixed, members)
    partly = altered(whole, members={**members, name: broken(members[name], np.nan, {"17"})})
    answers = dict(partly.recommend(users=["3", "17", "5"]))
    assert [len(answers[user].notes) for user in ("3", "17", "5")] == [0, 1, 0]
    for user in ("3", "5"):
        assert_alike(answers[user], whole.recommend(user))


def test_the_language_model_and_a_member_may_both_fail(mixed):
    members = dict(mixed.state.members)
    name = next(iter(members))
    recommender = without_llm(with_weights(mixed, {**members, name: broken(members[name], np.nan)}))
    picks = recommender.recommend("17", n=5)
    assert picks.notes == (
        "the language model failed; ranked by the collaborative models",
        f"the scores of {name} are not finite; ranked without",
    )
    assert len(picks) == 5


@pytest.mark.parametrize("value", VALUES)
def test_if_every_member_is_broken_the_request_is_refused(mixed, value):
    members = {name: broken(model, value) for name, model in mixed.state.members.items()}
    recommender = without_llm(with_weights(mixed, members))
    with pytest.raises(DecodingError, match=r"the scores of .* are not finite, and there is nothing else to rank by"):
        recommender.recommend("17")


def test_neighbours_of_a_broken_model_are_not_used(mixed):
    names = list(mixed.state.neighbour_models)
    members = {**mixed.state.members, names[0]: broken(mixed.state.members[names[0]], np.nan)}
    picks = altered(mixed, members=members).similar("Alien (1979)", n=3)
    assert all(np.isfinite(pick.score) and names[0] not in pick.parts for pick in picks)
    alone = {names[0]: members[names[0]]}
    assert len(altered(mixed, members=alone).similar("Alien (1979)", n=3)) == 3  # by the item codes
