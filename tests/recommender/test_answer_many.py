"""Many requests in one go: each is answered as it would be alone, and one that fails does not spoil the others."""

import itertools

import pytest
from fakes import altered, assert_alike, break_language_model, rows_of

from genre_gen import Request
from genre_gen.blending.blend import Blend
from genre_gen.errors import DecodingError, UsageError
from genre_gen.recommender.answering import BATCH, NOT_UNDERSTOOD, WITHOUT_LLM

OPTIONS = (
    {"n": 3},
    {"n": 40},
    {"n": 500, "where": "year > 1990"},
    {"n": 5, "exclude": ["Alien", "1"]},
    {"n": 5, "include": [str(number) for number in range(5, 25)], "explain": True},
    {"n": 7, "query": "no horror, funny"},
    {"n": 2, "query": "like Alien", "where": "year < 2000", "explain": True},
    {"n": 4, "query": "zzz"},
    {"n": 6, "at": 1_700_000_000},
)


def test_each_of_a_mixed_batch_is_answered_as_alone(mixed):
    users = [*mixed.state.histories.users[:9], None, "nobody", ["Alien", ("Heat", 2)], []]
    requests = [
        Request(who, **options)
        for who, options in zip(itertools.cycle(users), itertools.chain(*[OPTIONS] * 8), strict=False)
        if isinstance(who, str) or "at" not in options  # titles alone have no times
    ]
    assert len(requests) > BATCH
    answers = mixed.answer_many(iter(requests))
    for request, picks in list(zip(requests, answers, strict=True))[::5]:
        (alone,) = mixed.answer_many([request])
        assert_alike(picks, alone)
        assert (picks.parsed_query is None) == (request.query is None)
        assert str(picks.parsed_query) == str(alone.parsed_query)
        assert (NOT_UNDERSTOOD in picks.notes) == (request.query == "zzz")
    assert mixed.answer_many([]) == []


def test_queries_weigh_in_a_batch_as_they_do_alone(mixed):
    plain, horror, only = mixed.answer_many(
        [Request("17", 40), Request("17", 40, "horror"), Request("17", 40, "only horror")]
    )
    assert "query" not in plain[0].parts
    assert all(pick.parts["query"] for pick in horror)
    assert {pick.item.id for pick in plain} == {pick.item.id for pick in horror} > {pick.item.id for pick in only}
    assert all("Horror" in pick.item.attributes["genre"] for pick in only)
    without = altered(mixed, {"query.weight": 0}).answer_many([Request("17", 40, "horror")])[0]
    assert rows_of(mixed, without) == rows_of(mixed, plain)


def test_recommending_to_many_is_an_iterator_that_answers_as_it_is_asked(mixed):
    users = [*mixed.state.histories.users, ["Alien"], None] * 3
    answers = mixed.recommend(users=iter(users), n=5, where="year >= 1980")
    pairs = [next(answers), next(answers), *answers]
    assert [user for user, _ in pairs] == users
    for user, picks in pairs[::13]:
        assert_alike(picks, mixed.recommend(user, n=5, where="year >= 1980"))


def test_an_invalid_request_is_refused_and_which_is_said(mixed):
    with pytest.raises(UsageError, match="n = 0"):
        mixed.answer_many([Request("17"), Request("17", n=0)])


# A language model that fails


def fail_for(recommender, user, monkeypatch):
    """Let the language model fail for each batch that a user's history is in."""
    generator = recommender.state.generator
    score = generator.score

    def failing(histories, *arguments, **options):
        if any(history.user == user for history in histories):
            raise DecodingError("the scores are not finite")
        return score(histories, *arguments, **options)

    monkeypatch.setattr(generator, "score", failing)


@pytest.mark.parametrize("explain", [False, True])
def test_one_history_that_fails_does_not_spoil_the_others(mixed, monkeypatch, explain):
    mixed = altered(mixed, tuned={"blend_without_llm": Blend({"ease": 0.7, "popularity": 0.3})})
    requests = [
        Request(user, 1 + number % 4, explain=explain) for number, user in enumerate(mixed.state.histories.users[:6])
    ]
    requests[3] = Request("17", 4, "funny", explain=explain)
    expected = mixed.answer_many(requests)
    fail_for(mixed, "17", monkeypatch)
    answers = mixed.answer_many(requests)
    for request, picks, before in zip(requests, answers, expected, strict=True):
        if request.who == "17":
            assert picks.notes == (WITHOUT_LLM,)
            assert len(picks) == request.n
            assert {"ease", "popularity"} <= set(picks[0].parts)
            assert "llm" not in picks[0].parts
        else:
            assert_alike(picks, before)


def test_where_the_language_model_fails_the_others_rank_and_it_is_said(mixed):
    without = Blend({"ease": 0.7, "popularity": 0.3})
    mixed = altered(mixed, tuned={"blend_without_llm": without})
    expected = altered(mixed, tuned={"blend": without})
    break_language_model(mixed)
    for user, picks in mixed.recommend(users=mixed.state.histories.users, n=10):
        alone = expected.recommend(user, n=10)
        assert picks.notes == (WITHOUT_LLM,)
        assert alone.notes == ()
        assert rows_of(mixed, picks) == rows_of(mixed, alone)
    picks = mixed.recommend("17", n=40, where="genre == 'Horror'", explain=True)
    assert picks
    assert all("Horror" in pick.item.attributes["genre"] for pick in picks)
    assert all(pick.item.title in pick.explanation.text for pick in picks)
    assert len(picks.notes) == 2


def test_where_it_fails_ratings_are_those_of_the_other_raters(mixed, caplog):
    break_language_model(mixed)
    state = mixed.state
    expected = state.rating_models["svd"].predict(state.histories.history("17"), [4])[0].rating
    assert float(mixed.predict("17", "5")) == pytest.approx(expected)
    assert "svd rates alone" in caplog.text


def test_if_all_members_fail_the_request_is_refused(mixed):
    alone = altered(mixed, tuned={"blend": Blend({"llm": 1.0})}, members={}, rating_models={})
    break_language_model(alone)
    for ask in (lambda: alone.recommend("17"), lambda: alone.predict("17", "5")):
        with pytest.raises(DecodingError, match="not finite"):
            ask()
