import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import break_language_model

from genre_gen import Recommender
from genre_gen.blending.blend import Blend
from genre_gen.data.splits import leave_one_out
from genre_gen.decoding.search import score_items
from genre_gen.errors import DecodingError, PromptError, UsageError
from genre_gen.llm import model
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.model import LLM
from genre_gen.ranking import Ranking
from genre_gen.tasks import TASKS

SEMANTIC = {"codes.scheme": "semantic", "codes.length": 2, "codes.width": 8}


@pytest.fixture(scope="module")
def semantic(tiny_domain, sample):
    """Return a recommender that names items by two tokens each; the language model has the main say."""
    catalog, interactions = sample
    split = leave_one_out(interactions, catalog)
    recommender = Recommender(tiny_domain, settings=SEMANTIC).fit(split)
    return Recommender.from_state(recommender.state.with_blend(Blend({"llm": 0.8, "ease": 0.2})))


@pytest.fixture(params=["atomic", "semantic"])
def generator(request, tiny_recommender, semantic):
    return (tiny_recommender if request.param == "atomic" else semantic).state.generator


@pytest.fixture
def atomic(tiny_recommender):
    return tiny_recommender.state.generator


@pytest.fixture
def histories(sample):
    return sample[1].histories()


def brute_force(generator, history):
    """Return the log-probability of every item by plain forward passes, one item at a time."""
    llm, prompt = generator.llm, torch.from_numpy(generator.encode(history).ids.astype(np.int64))
    scores = []
    for code in llm.codes.codes:
        tokens = torch.tensor([token for token in code if token >= 0])
        ids = torch.cat([prompt, tokens + llm.text_vocabulary])[None]
        with torch.no_grad():
            hidden = llm.item_backbone(inputs_embeds=generator.model.embed(ids), use_cache=False).last_hidden_state
            logits = llm.code_logits(hidden[0, len(prompt) - 1 : -1]).log_softmax(-1)
        scores.append(float(logits.gather(1, tokens[:, None]).sum()))
    return np.array(scores, np.float32)


def test_scores_are_those_of_plain_forward_passes(generator, histories):
    scores = score_items(generator.model, generator._prompts(histories[:3]), generator.trie)
    for history, found in zip(histories[:3], scores, strict=True):
        np.testing.assert_allclose(found, brute_force(generator, history), atol=1e-4)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_generated_items_are_the_best_by_brute_force(generator, histories, n):
    rng = np.random.default_rng(0)
    for history in histories[:8]:
        allowed = rng.random(40) < 0.6
        expected = Ranking.from_scores(brute_force(generator, history), n, allowed)
        found = generator.generate(history, n, allowed)
        assert found.rows.tolist() == expected.rows.tolist()
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
        assert len(found) == min(n, allowed.sum())


def test_many_histories_get_the_scores_of_single_ones(generator, histories):
    allowed = np.random.default_rng(1).random((len(histories), 40)) < 0.5
    many = generator.score(histories, allowed)
    for history, own, found in zip(histories, allowed, many, strict=True):
        alone = generator.generate(history, 5, own)
        best = Ranking.from_scores(found, 5, own)
        assert best.rows.tolist() == alone.rows.tolist()
        np.testing.assert_allclose(best.scores, alone.scores, atol=1e-4)


def test_scores_of_longer_codes_are_the_best_candidates_only(semantic, histories):
    generator = semantic.state.generator
    few = generator.score(histories[:4], candidates=5)
    allowed = np.ones((4, 40), bool)
    for row, history in enumerate(histories[:4]):
        allowed[row, history.rows] = False
        expected = Ranking.from_scores(brute_force(generator, history), 5, allowed[row])
        assert set(np.flatnonzero(np.isfinite(few[row]))) == set(expected.rows.tolist())
        assert np.isneginf(few[row, history.rows]).all()
    every = generator.score(histories[:4], np.ones((4, 40), bool), candidates=40)
    assert np.isfinite(every).all()


def test_a_history_is_cut_to_its_most_recent_items(tiny_recommender, histories):
    ours = tiny_recommender.state.generator
    short = replace(ours.data, domain=ours.data.domain.changed({"model.max_history": 3}))
    limited = ItemGenerator(ours.llm, ours.book, short)
    long = histories[0]
    assert len(long) > 3
    np.testing.assert_array_equal(limited.encode(long).ids, ours.encode(long.last(3)).ids)
    np.testing.assert_allclose(limited.score([long]), ours.score([long.last(3)]), atol=1e-5)


@pytest.mark.parametrize("items", [0, 1, 4])
def test_a_history_is_cut_to_the_context(mixed, histories, monkeypatch, items):
    generator, long = mixed.state.generator, histories[0]
    whole = [len(generator.encode(long.last(n))) for n in range(len(long) + 1)]
    assert whole == sorted(set(whole))
    assert len(long) > 4
    expected = generator.encode(long.last(items)), generator.encode(long)
    monkeypatch.setattr(LLM, "context", whole[items] + 1)  # and the code of what is searched for
    np.testing.assert_array_equal(generator.encode(long).ids, expected[0].ids)
    monkeypatch.setattr(LLM, "context", whole[-1] + 1)
    np.testing.assert_array_equal(generator.encode(long).ids, expected[1].ids)
    monkeypatch.setattr(LLM, "context", whole[0])
    with pytest.raises(PromptError, match=r"next_item has \d+ tokens, more than"):
        generator.encode(long)


def test_histories_of_ratings_are_cut_to_the_context(mixed, histories, monkeypatch):
    generator, long = mixed.state.generator, histories[0]
    prompt = TASKS["rating"].prompt(generator.data, generator.book, long.last(2), 3)
    expected = generator.rate([long.last(2)], [3])
    assert generator.rate([long], [3]) != expected
    monkeypatch.setattr(LLM, "context", len(generator.encoder.encode(prompt)) + 1)
    np.testing.assert_allclose(generator.rate([long], [3]), expected, atol=1e-5)


# Codes of several tokens, end to end


def test_several_tokens_per_item_recommend_within_all_filters(semantic):
    assert semantic.state.generator.llm.codes.codes.shape == (40, 2)
    assert not semantic.state.generator.trie.is_flat
    catalog, where = semantic.state.catalog, "genre != 'Comedy' and year >= 1970"
    matching = set(np.flatnonzero(catalog.where(where)))
    for history in semantic.state.histories.histories():
        for n in (1, 5, 40):
            for filtered in (False, True):
                picks = semantic.recommend(
                    history.user, n=n, where=where if filtered else None, exclude=["Heat"] if filtered else ()
                )
                rows = [catalog.row(pick.item.id) for pick in picks]
                allowed = matching - {catalog.find("Heat")} if filtered else set(range(40))
                allowed -= set(history.rows.tolist())
                assert len(rows) == len(set(rows)) == min(n, len(allowed))
                assert set(rows) <= allowed
                assert bool(picks.notes) == (len(rows) < n)


def test_several_tokens_per_item_explain_predict_and_learn(semantic):
    picks = semantic.recommend("17", n=2, explain=True)
    assert all(pick.item.title in str(pick.explanation) for pick in picks)
    assert 1 <= semantic.predict("17", "Alien").rating <= 5
    losses = [entry["losses"]["next_item"] for entry in semantic.state.training_log]
    assert losses[-1] < losses[0]


def test_the_language_model_alone_ranks_like_it_generates(semantic):
    history = semantic.state.histories.history("17")
    allowed = np.ones(40, bool)
    allowed[history.rows] = False
    generated = semantic.state.generator.generate(history, 10, allowed)
    picks = Recommender.from_state(semantic.state.with_blend(Blend({"llm": 1.0}))).recommend("17", n=10)
    assert [semantic.state.catalog.row(pick.item.id) for pick in picks] == generated.rows.tolist()


# Weights that are not finite


@pytest.mark.parametrize("settings", [{}, SEMANTIC])
def test_broken_weights_never_make_an_item(tiny_domain, sample, settings, histories):
    recommender = Recommender(tiny_domain, settings={"training.epochs": 1, **settings})
    state = recommender.fit(leave_one_out(sample[1], sample[0])).state
    recommender = Recommender.from_state(state.with_blend(Blend({"llm": 1.0}), Blend({"ease": 1.0})))
    break_language_model(recommender)
    for ask in (
        lambda: recommender.state.generator.generate(histories[0], 5),
        lambda: recommender.state.generator.score(histories),
        lambda: recommender.state.generator.rate(histories[:1], [0]),
    ):
        with pytest.raises(DecodingError, match="not finite"):
            ask()
    picks = recommender.recommend("17", n=5)
    assert picks.notes == ("the language model failed; ranked by the collaborative models",)
    history = recommender.state.histories.history("17")
    allowed = np.ones(40, bool)
    allowed[history.rows] = False
    expected = Ranking.from_scores(recommender.state.members["ease"].score([history])[0], 5, allowed)
    assert [recommender.state.catalog.row(pick.item.id) for pick in picks] == expected.rows.tolist()


def test_one_broken_item_is_noticed(mixed, histories):
    mixed.state.generator.llm.code_embedding.data[7, 0] = float("nan")
    mixed.state.generator.clear_caches()
    with pytest.raises(DecodingError):
        mixed.state.generator.score(histories[:2])


# Ratings


def test_ratings_are_on_the_scale_and_depend_on_user_and_item(atomic, histories):
    assert atomic.rates
    ratings = atomic.rate(histories, [4] * len(histories))
    assert ratings.shape == (len(histories),)
    assert ((ratings >= 1) & (ratings <= 5)).all()
    assert len(set(np.round(ratings, 4))) > 1
    assert len(set(np.round(atomic.rate(histories[:1] * 10, list(range(10))), 4))) > 1


def test_a_batch_of_ratings_equals_single_ones(atomic, histories):
    together = atomic.rate(histories, list(range(len(histories))))
    alone = [atomic.rate([history], [row])[0] for row, history in enumerate(histories)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    after_one = atomic.rate(histories[:1] * 10, list(range(10)))  # which is read once
    apart = atomic.rate([copy.copy(histories[0]) for _ in range(10)], list(range(10)))
    np.testing.assert_allclose(after_one, apart, atol=1e-4)


def test_a_rating_is_the_mean_of_the_scale_weighted_by_the_models_chances(tiny_recommender, histories):
    generator, history = tiny_recommender.state.generator, histories[0]
    llm = generator.llm
    prompt = TASKS["rating"].prompt(generator.data, generator.book, history, 4)
    ids = torch.from_numpy(generator.encoder.encode(prompt, "data").ids.astype(np.int64))[None]
    with torch.no_grad():
        state = llm.item_backbone(inputs_embeds=generator.model.embed(ids), use_cache=False).last_hidden_state[0, -1]
        words = llm.answers["rating"]
        chances = llm.answer_logits(state, "rating").softmax(-1)
    values = torch.tensor([float(llm.tokenizer.decode(word)) for word in words.tolist()])
    assert values.tolist() == [1, 2, 3, 4, 5]
    assert generator.rate([history], [4])[0] == pytest.approx(float(chances @ values), abs=1e-4)


def test_a_model_that_has_learned_no_numbers_does_not_rate(mixed):
    llm = mixed.state.generator.llm
    word = llm.tokenizer("x", add_special_tokens=False).input_ids
    llm.add_answer_heads({"rating": torch.tensor([word])})
    assert not mixed.state.generator.rates
    svd = np.array([mixed.state.members["svd"].predict(mixed.state.histories.history("17"), [4])[0].rating])
    assert mixed.predict("17", "5").rating == pytest.approx(
        float(mixed.state.raters.blend.combine({"svd": svd, "llm": svd})[0])
    )


def test_numbers_off_the_scale_do_not_leave_it(mixed, histories):
    llm = mixed.state.generator.llm
    nine = llm.tokenizer("9", add_special_tokens=False).input_ids
    llm.add_answer_heads({"rating": torch.tensor([nine])})
    assert mixed.state.generator.rate(histories[:2], [0, 1]).tolist() == [5, 5]


@pytest.mark.parametrize("said", [("1", "10"), (".5", "0.25"), ("-1", "-2.5"), ("4", "4.5")])
def test_ratings_with_a_common_first_token_are_distinguished(mixed, histories, said):
    llm = mixed.state.generator.llm
    rows = [llm.tokenizer(word, add_special_tokens=False).input_ids for word in said]
    longest = max(map(len, rows))
    llm.add_answer_heads({"rating": torch.tensor([row + [-1] * (longest - len(row)) for row in rows])})
    places, values = mixed.state.generator._rating_values
    assert places.tolist() == [0, 1]
    assert values.tolist() == [float(word) for word in said]
    low, high = sorted(float(word) for word in said)
    mixed.state.generator.data = replace(
        mixed.state.generator.data, domain=mixed.domain.changed({"rating_scale": (-100, 100)})
    )
    assert ((mixed.state.generator.rate(histories[:2], [0, 1]) - low) * (high - low) > 0).all()


# Words


def test_written_text_equals_plain_greedy_decoding(atomic):
    llm = atomic.llm
    examples = TASKS["title"].examples(atomic.data, atomic.book, np.random.default_rng(0), open=True)
    prompt = next(iter(examples)).prompt
    ids = atomic.encoder.encode(prompt).ids.tolist()
    written = atomic.write(prompt, max_tokens=6)
    own = []
    for _ in range(6):
        with torch.no_grad():
            hidden = llm.base.model(inputs_embeds=llm.embed(torch.tensor([ids + own])), use_cache=False)
        token = int(llm.text_logits(hidden.last_hidden_state[0, -1]).argmax())
        if token in llm.tokenizer.all_special_ids:
            break
        own.append(token)
    assert written == llm.tokenizer.decode(own, skip_special_tokens=True).strip()


def test_closed_tasks_are_answered_in_their_words(atomic, histories):
    examples = TASKS["fits"].examples(atomic.data, atomic.book, np.random.default_rng(0), open=True)
    alphabet = set(atomic.llm.tokenizer.decode(atomic.llm.answers["fits"].flatten().tolist()))
    for _, example in zip(range(5), examples, strict=False):
        assert set(atomic.write(example.prompt, max_tokens=8)) <= alphabet


def first_question(generator, task):
    """Return the open prompt of a task's first example."""
    return next(TASKS[task].examples(generator.data, generator.book, np.random.default_rng(0), open=True)).prompt


def chance_of(generator, prompt, answer):
    """Return the probability that the answer begins so, by one plain forward pass."""
    llm = generator.llm
    asked, said = (
        generator.encoder.encode(prompt).ids.tolist(),
        llm.tokenizer(answer, add_special_tokens=False).input_ids,
    )
    numbers = {row[0]: number for number, row in enumerate(llm.answers[prompt.task].tolist())}
    with torch.no_grad():
        embeddings = llm.embed_items(torch.tensor([asked + said]))
        states = llm.item_backbone(inputs_embeds=embeddings, use_cache=False).last_hidden_state[0, len(asked) - 1 :]
        chances = llm.answer_logits(states, prompt.task).softmax(-1)
    return float(np.prod([chances[place, numbers[token]] for place, token in enumerate(said)]))


@pytest.mark.parametrize("task", ["fits", "intent"])
def test_probabilities_of_answers_are_those_of_plain_forward_passes(atomic, task):
    answers = {"fits": ["yes", "no"], "intent": ["Drama", "Comedy", "Sci-Fi"]}[task]
    prompt = first_question(atomic, task)
    expected = np.array([chance_of(atomic, prompt, answer) for answer in answers])
    found = atomic.answer_probabilities([prompt, prompt], answers)
    assert found.shape == (2, len(answers))
    np.testing.assert_allclose(found, [expected / expected.sum()] * 2, rtol=1e-4)


def test_an_answer_does_not_count_for_another_that_it_begins_with(atomic):
    prompt = first_question(atomic, "intent")
    short, long, other = (chance_of(atomic, prompt, answer) for answer in ("Com", "Comedy", "Drama"))
    found = atomic.answer_probabilities([prompt], ["Com", "Comedy", "Drama"])[0]
    expected = np.array([short - long, long, other])
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-3)


def test_answers_that_were_not_learned_cannot_be_compared(atomic):
    with pytest.raises(UsageError, match=r"title has no closed answers to compare; tasks that have some: .*fits"):
        atomic.answer_probabilities([first_question(atomic, "title")], ["yes"])
    with pytest.raises(UsageError, match="fits has not learned any of the answers '€'"):
        atomic.answer_probabilities([first_question(atomic, "fits")], ["€"])


def test_the_instruction_is_read_once_and_forgotten_on_demand(atomic, histories):
    atomic.clear_caches()
    before = atomic.score(histories[:2])
    kept = [entry.ids.tolist() for entry in atomic.model.prefixes.shared]
    assert len(kept) == 1
    start = atomic.encode(histories[0]).start
    assert kept[0] == atomic.encode(histories[1]).ids[:start].tolist()
    np.testing.assert_array_equal(atomic.score(histories[:2]), before)
    atomic.clear_caches()
    assert not atomic.model.prefixes.shared


def test_a_known_user_s_prompt_is_read_on_from_the_last_event(mixed, histories):
    generator = mixed.state.generator
    history = next(own for own in histories if 3 <= len(own) <= generator.data.domain.model.max_history)
    earlier = history.slice(0, len(history) - 1)
    generator.generate(earlier, 5)
    assert list(generator.model.prefixes.by_user) == [history.user]
    before = generator.model.prefixes.by_user[history.user].ids
    found = generator.generate(history, 5)
    after = generator.model.prefixes.by_user[history.user]
    assert len(after.ids) == len(before) + 1
    stranger = replace(history, user=None)
    alone = generator.generate(stranger, 5)
    assert found.rows.tolist() == alone.rows.tolist()
    np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4)
    generator.score(histories[:3])
    assert list(generator.model.prefixes.by_user) == [history.user]  # strangers and batches leave nothing behind


def test_training_makes_the_generator_forget(mixed, histories):
    generator = mixed.state.generator
    before = generator.score(histories[:1])
    with torch.no_grad():
        generator.llm.code_embedding.mul_(1.5)
    after = generator.score(histories[:1])
    assert np.abs(after - before).max() > 0.01
    generator.clear_caches()
    np.testing.assert_allclose(generator.score(histories[:1]), after, atol=1e-5)


def test_many_items_are_scored_alike_and_follow_a_change_of_weights(atomic, histories, monkeypatch):
    monkeypatch.setattr(model, "ROWS_UP_TO", 0)
    generator = ItemGenerator(atomic.llm, atomic.book, atomic.data)
    for batch in (histories[:1], histories[:3]):
        np.testing.assert_allclose(generator.score(batch), atomic.score(batch), atol=1e-5)
    before, weights = generator.score(histories[:1]), atomic.llm.code_embedding.detach().clone()
    try:
        with torch.no_grad():
            atomic.llm.code_embedding.mul_(1.5)
        assert np.abs(generator.score(histories[:1]) - before).max() > 0.01
        np.testing.assert_allclose(generator.score(histories[:1]), atomic.score(histories[:1]), atol=1e-5)
    finally:  # a copy: dividing by 1.5 again would change last digits of a recommender that other tests use
        with torch.no_grad():
            atomic.llm.code_embedding.copy_(weights)
