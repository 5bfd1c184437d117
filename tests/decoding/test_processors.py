"""The processors in real ``generate`` and ``outlines.Generator`` loops: the search's answers, never a wrong item."""

from __future__ import annotations

import numpy as np
import outlines
import pytest
import torch
from fakes import byte_tokenizer, tiny_llama
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.decoding.beam_search import beam_search
from genre_gen.codes.base import Codes
from genre_gen.decoding.live import LiveTrie
from genre_gen.decoding.processors import FAILED, CatalogLogitsProcessor, CatalogOutlinesProcessor, Constraint
from genre_gen.decoding.trie import Trie
from genre_gen.errors import UsageError
from tests.decoding.test_search import random_codes
from tests.decoding.test_tree import wrap

TEXT, CODES, EOS = 40, 12, 2


def assert_same(rows, scores, ranking):
    """The same scores at each rank, and the same items but where two scores differ by less than rounding."""
    np.testing.assert_allclose(scores, ranking.scores, atol=1e-4)
    best = dict(zip(ranking.rows, ranking.scores, strict=True))
    assert all(abs(best.get(row, ranking.scores[-1]) - score) < 1e-4 for row, score in zip(rows, scores, strict=True))
    assert len(set(rows)) == len(rows)


def generate(model, constraint, prompts, length, **options):
    """Run ``generate`` on prompts padded on the left; return what it generated and the scores of beams."""
    width = max(map(len, prompts))
    ids = torch.tensor([[EOS] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    present = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    output = model.generate(
        input_ids=ids,
        attention_mask=present,
        logits_processor=[CatalogLogitsProcessor(constraint, width)],
        max_new_tokens=length + 1,
        length_penalty=0.0,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return output.sequences[:, width:], output.get("sequences_scores")


def generate_beams(model, constraint, prompts, length, beams):
    return generate(model, constraint, prompts, length, num_beams=beams, num_return_sequences=beams, do_sample=False)


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 8), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_generate_returns_the_items_of_beam_search_over_the_trie(seed, length, beams, cut, filtered):
    random = np.random.default_rng(seed)
    codes = random_codes(random, CODES, 40, length, cut)
    trie = Trie.build(codes, CODES)
    allowed = random.random(len(codes)) < 0.6 if filtered else None
    model = tiny_llama(vocabulary=TEXT + CODES, seed=seed)
    prompt = random.integers(3, TEXT, size=9).tolist()
    constraint = Constraint(trie, TEXT, EOS, allowed)
    generated, scores = generate_beams(model, constraint, [prompt], length, beams)
    rows = constraint.rows(generated)
    (ours,) = beam_search(wrap(model, TEXT), [prompt], trie, beams, allowed)
    real = scores.numpy() > FAILED / 2  # with fewer items than beams, the rest repeat items or are incomplete
    assert (rows[real] >= 0).all()
    assert_same(rows[real], scores.numpy()[real], ours)


@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans(), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_batches_of_users_with_their_own_items(seed, length, sample, users):
    random = np.random.default_rng(seed)
    codes = random_codes(random, CODES, 30, length, cut=True)
    trie = Trie.build(codes, CODES)
    allowed = random.random((users, len(codes))) < 0.4
    allowed[:, 0] = True
    model = tiny_llama(vocabulary=TEXT + CODES, seed=seed)
    prompts = [random.integers(3, TEXT, size=size).tolist() for size in random.integers(1, 12, size=users)]
    constraint = Constraint(trie, TEXT, EOS, allowed)
    torch.manual_seed(seed)
    options = {"do_sample": True} if sample else {"num_beams": 4, "do_sample": False}
    generated, scores = generate(model, constraint, prompts, length, num_return_sequences=4, **options)
    rows = constraint.rows(generated).reshape(users, 4)
    if sample:
        assert (rows >= 0).all()
        assert np.take_along_axis(allowed, rows, axis=1).all()
        return
    for user in range(users):
        user_scores = scores.reshape(users, 4)[user].numpy()
        real = user_scores > FAILED / 2
        (ours,) = beam_search(wrap(model, TEXT), [prompts[user]], trie, 4, allowed[user])
        assert_same(rows[user][real], user_scores[real], ours)


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=15, deadline=None)
def test_changed_catalogs_and_excluded_items(seed, beams):
    """Added items are generated, removed and excluded ones are not."""
    random = np.random.default_rng(seed)
    codes = random_codes(random, CODES, 40, 2)
    half = len(codes) // 2
    trie = LiveTrie.of(Trie.build(codes[:half], CODES)).insert(codes[half:]).remove(np.array([0, half]))
    model = tiny_llama(vocabulary=TEXT + CODES, seed=seed)
    prompts = [random.integers(3, TEXT, size=size).tolist() for size in (7, 4)]
    subset = trie.subset(None, [random.integers(len(codes), size=5) for _ in prompts])
    constraint = Constraint(trie, TEXT, EOS, subset)
    generated, scores = generate_beams(model, constraint, prompts, 2, beams)
    rows, scores = constraint.rows(generated).reshape(2, beams), scores.reshape(2, beams).numpy()
    ours = beam_search(wrap(model, TEXT), prompts, trie, beams, subset)
    for user in range(2):
        assert not np.isin([0, half], rows[user]).any()
        assert_same(rows[user], scores[user], ours[user])


def test_greedy_takes_the_best_token_at_each_level():
    random = np.random.default_rng(5)
    trie = Trie.build(random_codes(random, CODES, 40, 3), CODES)
    model = tiny_llama(vocabulary=TEXT + CODES)
    constraint = Constraint(trie, TEXT, EOS)
    generated, _ = generate(model, constraint, [[5, 6, 7]], 3, do_sample=False)
    (greedy,) = beam_search(wrap(model, TEXT), [[5, 6, 7]], trie, 1)
    assert constraint.rows(generated).tolist() == greedy.rows.tolist()


def broken_at(model, step, value, share):
    """Let the head return one ``value`` at a step of generation, in the first rows, a ``share`` of all."""
    calls = [0]

    def hook(module, args, output):
        if calls[0] == step:
            output[: int(len(output) * share), :, TEXT + 3] = value
        calls[0] += 1
        return output

    return model.lm_head.register_forward_hook(hook)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("options", [{"num_beams": 4}, {"do_sample": True}, {}])
def test_broken_scores_never_become_items(value, step, options):
    codes = random_codes(np.random.default_rng(step), CODES, 40, 3)
    constraint = Constraint(Trie.build(codes, CODES), TEXT, EOS)
    model = tiny_llama(vocabulary=TEXT + CODES)
    with broken_at(model, step, value, share=1 / 2):  # all rows of the first of two users
        generated, _ = generate(model, constraint, [[5, 6, 7], [8, 9]], 3, **{"do_sample": False, **options})
    broken, sound = constraint.rows(generated)
    assert broken == -1
    assert (generated[1, :3].numpy() - TEXT).tolist() == codes[sound].tolist()


@pytest.mark.parametrize("step", [1, 2])
def test_sound_beams_win_over_broken_ones(step):
    codes = random_codes(np.random.default_rng(step), CODES, 40, 3)
    constraint = Constraint(Trie.build(codes, CODES), TEXT, EOS)
    model = tiny_llama(vocabulary=TEXT + CODES)
    with broken_at(model, step, float("nan"), share=1 / 4):  # the best of four beams
        generated, scores = generate_beams(model, constraint, [[5, 6, 7]], 3, 4)
    rows = constraint.rows(generated)
    assert rows[0] >= 0
    assert (rows[scores.numpy() > FAILED / 2] >= 0).all()


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_scores_of_any_rows(seed):
    """Whatever a row holds: the only finite scores are those of tokens that lead to an allowed item, or the end's."""
    random = np.random.default_rng(seed)
    length = int(random.integers(1, 4))
    codes = random_codes(random, CODES, 25, length, cut=True)
    trie = Trie.build(codes, CODES)
    allowed = random.random((2, len(codes))) < random.choice([0.0, 0.3, 1.0])
    constraint = Constraint(trie, TEXT, EOS, allowed)
    items = [[TEXT + token for token in code if token >= 0] for code in codes.tolist()]
    given_rows = []
    for _ in range(8):  # prefixes of items, complete items with the end token, and nonsense
        row = [*items[random.integers(len(items))], EOS, EOS, EOS, EOS]
        row[random.integers(len(row))] = int(random.integers(TEXT + CODES + 2)) if random.random() < 0.3 else row[0]
        given_rows.append(row[:2] if random.random() < 0.5 else [*row[:1], EOS])
    logits = torch.from_numpy(random.normal(size=(8, TEXT + CODES + 1))).float()
    logits[3, TEXT + 1] = float("nan")
    result = constraint.scores(torch.tensor(given_rows), logits)
    assert not torch.isnan(result).any()
    for k, (row, scores) in enumerate(zip(given_rows, result, strict=True)):
        permitted = [item for item, fine in zip(items, allowed[k // 4], strict=True) if fine]
        done = any(row[: len(item)] == item for item in items)
        nexts = {item[len(row)] for item in permitted if item[: len(row)] == row and len(item) > len(row)}
        expected = {EOS} if done or k == 3 or not nexts else nexts
        assert set(torch.isfinite(scores).nonzero().flatten().tolist()) == expected
        if expected == {EOS}:
            assert scores[EOS] == (0.0 if done else FAILED)
        else:
            whole = torch.log_softmax(logits[k, TEXT : TEXT + CODES], 0)
            for token in expected:
                assert abs(scores[token] - whole[token - TEXT]) < 1e-5


def test_rows_names_only_complete_allowed_items():
    trie = Trie.build(np.array([[0, 1], [0, 2], [3, -1]]), CODES)
    constraint = Constraint(trie, TEXT, EOS, np.array([True, False, True]))
    generated = torch.tensor([[40, 41, 2], [40, 42, 2], [43, 2, 2], [43, 40, 41], [40, 2, 2], [0, 0, 0], [99, 1, 1]])
    assert constraint.rows(generated).tolist() == [0, -1, 2, 2, -1, -1, -1]


def test_invalid_constraints_are_refused():
    trie = Trie.build(np.arange(CODES)[:, None], CODES)
    with pytest.raises(UsageError, match="end token 45"):
        Constraint(trie, TEXT, 45)
    with pytest.raises(UsageError, match=r"bool\[12\]"):
        Constraint(trie, TEXT, EOS, np.ones(3, dtype=bool))
    constraint = Constraint(trie, TEXT, EOS, np.ones((2, CODES), dtype=bool))
    with pytest.raises(UsageError, match="3 rows"):
        constraint.scores(torch.zeros(3, 0, dtype=torch.int64), torch.zeros(3, TEXT + CODES))
    with pytest.raises(UsageError, match="only 45 tokens"):
        constraint.scores(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 45))


class TestOutlines:
    """The same constraint in ``outlines.Generator``, over a tokenizer that knows the code tokens as ordinary ones."""

    codes = Codes(
        "test", random_codes(np.random.default_rng(2), CODES, 30, 3), tuple(f"<code_{k}>" for k in range(CODES))
    )

    def setup_method(self):
        self.tokenizer = byte_tokenizer(chat_template=None, added=self.codes.names)
        self.first = self.tokenizer.convert_tokens_to_ids(self.codes.names[0])
        self.model = tiny_llama(vocabulary=self.first + CODES)
        self.trie = Trie.build(self.codes.codes, CODES)
        self.texts = [self.codes.text(row) for row in range(self.trie.n_items)]

    def generator(self, allowed=None):
        constraint = Constraint(self.trie, self.first, self.tokenizer.eos_token_id, allowed)
        wrapped = outlines.from_transformers(self.model, self.tokenizer)
        return outlines.Generator(wrapped, processor=CatalogOutlinesProcessor(constraint))

    def test_prompts_of_any_length_give_items(self):
        generator = self.generator()
        for prompt in ("a", "a longer prompt", "b"):
            assert generator(prompt, max_new_tokens=4) in self.texts

    def test_beams_give_the_search_s_ranking(self):
        tree = wrap(self.model, self.first)
        allowed = np.arange(self.trie.n_items) % 2 == 0
        texts = self.generator(allowed)(
            "what next?", max_new_tokens=4, num_beams=6, num_return_sequences=6, length_penalty=0.0
        )
        (ours,) = beam_search(tree, [self.tokenizer("what next?")["input_ids"]], self.trie, 6, allowed)
        assert texts == [self.texts[row] for row in ours.rows]

    def test_batches_and_samples_give_allowed_items(self):
        allowed = np.arange(self.trie.n_items) < 3
        texts = self.generator(allowed).batch(
            ["a", "a longer one"], max_new_tokens=4, do_sample=True, num_return_sequences=3
        )
        assert {text for prompt_texts in texts for text in prompt_texts} <= set(self.texts[:3])
