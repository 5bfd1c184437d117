"""Snapshot: a decoder at one state of its weights, with the prefixes computed for that state.

Only its prefix cache changes, under a lock. So threads that share a snapshot get the same answers as a single thread,
and a request that began before the weights changed does not affect later requests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genre_gen.decoding.last_token import last_token_only
from genre_gen.decoding.prefix_cache import CachedPrefix, PrefixCache, WeightVersions


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Reads tokens with one state of the weights.

    ``embed`` and ``head`` are those of :class:`genre_gen.decoding.tree.TreeModel`.
    """

    weights: WeightVersions
    decoder: Any  # over the model's weights or a prepacked copy of them
    embed: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]
    prefixes: PrefixCache  # computed by this decoder
    last_token: bool = False  # whether it can compute its last layer for one token per row

    def answer(self, prompts: Sequence[Tensor], start: int, cache: Any) -> Tensor:
        """Return the logits after prompts whose first ``start`` tokens are in the cache, ``[prompts, vocabulary]``."""
        rest = [ids[start:] for ids in prompts]
        padded = nn.utils.rnn.pad_sequence(rest, batch_first=True)
        last = torch.tensor([len(ids) - 1 for ids in rest], device=padded.device)
        with last_token_only(last) if self.last_token else nullcontext():
            states = self.read(padded, cache)
        return self.head(states[torch.arange(len(rest), device=states.device), last])

    def read(self, ids: Tensor, cache: Any) -> Tensor:
        """Return hidden states of ids ``[batch, length]`` that follow the tokens in the cache."""
        past = cache.get_seq_length() if cache is not None else 0
        positions = torch.arange(past, past + ids.shape[1], device=ids.device)[None]
        return self.forward(self.embed(ids), positions, cache, None)

    def forward(self, embeddings: Tensor, positions: Tensor, cache: Any, mask: Any) -> Tensor:
        """Return hidden states ``[batch, length, hidden]``; keys and values are appended to the cache."""
        return self.decoder(
            inputs_embeds=embeddings,
            position_ids=positions,
            attention_mask=mask,
            use_cache=cache is not None,
            **{cache_argument(self.decoder): cache},
        ).last_hidden_state


def cache_argument(decoder: Any) -> str:
    """Return the name of a decoder's argument for its cache of keys and values; transformers 5 renamed it."""
    return "cache" if "cache" in inspect.signature(decoder.forward).parameters else "past_key_values"


def new_cache(prefix: CachedPrefix, batch: int) -> Any:
    """Return a cache for one request that begins with a prefix. Without a config it never drops old tokens."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, (keys, values) in enumerate(prefix.layers):
        cache.update(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1), layer)
    return cache


def prefix_of(ids: Tensor, cache: Any, logits: Tensor | None = None) -> CachedPrefix:
    """Return the present content of one prompt's cache. Appending makes new tensors, so these stay unchanged."""
    return CachedPrefix(ids, [(layer.keys, layer.values) for layer in cache.layers], logits)
