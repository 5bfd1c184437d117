"""A byte-level tokenizer and a tiny random model: everything a test needs of a language model, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from genre_gen import Recommendation, Recommendations, Recommender

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def byte_tokenizer(chat_template: str | None = CHAT_TEMPLATE, added: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE without merges: ids 0-2 are special tokens, 3-258 bytes; chat template as SmolLM2's.

    ``added`` tokens (not special, as Qwen's ``<tool_call>``) follow from 259 on.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in added])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def tiny_llama(vocabulary: int = 259, layers: int = 2, hidden: int = 32, seed: int = 0) -> LlamaForCausalLM:
    """Return a random Llama in evaluation mode, its input and output embeddings tied as SmolLM2's are."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,  # large enough that logits differ clearly
    )
    return LlamaForCausalLM(config).eval()


def altered(
    recommender: Recommender,
    settings: Mapping[str, Any] | None = None,
    tuned: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Recommender:
    """Return the recommender with other settings, tuned settings (such as ``blend``) or parts of its state."""
    state = recommender.state
    if settings:
        parts["domain"] = state.domain.changed(settings)
    if tuned:
        parts["tuned"] = replace(state.tuned, **tuned)
    return type(recommender).from_state(replace(state, **parts))


def break_language_model(recommender: Recommender) -> None:
    """Make everything that the language model says NaN."""
    for _, parameter in recommender.state.llm.trainable():
        parameter.data.fill_(float("nan"))
    recommender.state.generator.clear_caches()


def rows_of(recommender: Recommender, picks: Iterable[Recommendation]) -> list[int]:
    """Return the catalog rows of picks."""
    return [recommender.state.catalog.row(pick.item.id) for pick in picks]


def scores_of(picks: Iterable[Recommendation]) -> list[float]:
    """Return the scores of picks."""
    return [pick.score for pick in picks]


def assert_alike(picks: Recommendations, expected: Recommendations, tolerance: float = 1e-4) -> None:
    """Check two lists for the same items, notes and reasons; rounding may change scores, and the order of near equals.

    Batches of other sizes, or another number of threads, round differently.
    """
    assert picks.notes == expected.notes
    assert len(picks) == len(expected)
    by_item = {pick.item: pick for pick in expected}
    for pick, other in zip(picks, expected, strict=True):
        same = by_item.get(pick.item, other)  # another only where it ties with the last
        assert abs(pick.score - same.score) <= tolerance
        assert abs(pick.score - other.score) <= tolerance
        if same.item == pick.item:
            assert set(pick.parts) == set(same.parts)
            assert all(abs(value - same.parts[name]) <= tolerance for name, value in pick.parts.items())
            assert (pick.explanation and pick.explanation.text) == (same.explanation and same.explanation.text)
