"""TreeModel: a decoder of transformers that continues one prompt in many ways at once.

The prompt is read once, at batch 1. All beginnings of item codes that the search wants to look at form a tree below it;
each forward pass appends nodes of that tree as if they were further tokens of the one sequence, ``[1, nodes]``, each at
the position *prompt length + depth*, and a 4-D attention mask lets each see the prompt and its own ancestors only. The
cache of keys and values is appended to and never reordered or copied for beams.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genre_gen.decoding.search import Ids
from genre_gen.errors import ConfigError, UsageError

_BATCH_TOKENS = 4096


@dataclass
class TreeState:
    """A prompt and the nodes appended to it.

    Attributes:
        cache: keys and values of the prompt and of all nodes, in the order they came (a ``DynamicCache``).
        prompt: tokens of the prompt.
        depths: int64 ``[nodes]``, 0 for a node that follows the prompt itself.
        seen: bool ``[nodes, nodes]``, whether the first is the second or one of its descendants.
    """

    cache: Any
    prompt: int
    depths: Tensor
    seen: Tensor


class TreeModel:
    """Implements :class:`~genre_gen.decoding.search.StepModel` over a decoder of transformers without its head."""

    def __init__(
        self, backbone: nn.Module, embed: Callable[[Tensor], Tensor], head: Callable[[Tensor], Tensor], first_code: int
    ) -> None:
        """Wrap a decoder; its weights stay where they are and are expected in evaluation mode.

        Args:
            backbone: what ``AutoModel`` gives: takes ``inputs_embeds``, returns ``last_hidden_state``. With attention
                "sdpa" or "eager" (nothing else takes the tree's mask).
            embed: input embeddings ``[..., hidden]`` of ids ``[...]``, text and code alike.
            head: logits ``[..., code vocabulary]`` of hidden states ``[..., hidden]``.
            first_code: the id of code token 0.

        Raises:
            ConfigError: a decoder with layers that are not attention over all or the last tokens.
        """
        self.backbone, self.embed, self.head, self.first_code = backbone, embed, head, first_code
        # transformers renamed the argument in 5.x.
        arguments = inspect.signature(backbone.forward).parameters
        self.cache_argument = "cache" if "cache" in arguments else "past_key_values"
        self._kept: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        self._config: Any = backbone.config
        self._layer_types: set[str] = set(getattr(self._config, "layer_types", None) or ())
        self._window: int | None = getattr(self._config, "sliding_window", None)
        if other := self._layer_types - {"full_attention", "sliding_attention"}:
            raise ConfigError(
                f"{type(backbone).__name__} has {', '.join(sorted(other))} layers, which cannot continue a prompt in "
                "many ways at once; use CatalogLogitsProcessor with generate, or another llm"
            )

    @property
    def device(self) -> torch.device:
        """Return the device of the decoder."""
        return next(self.backbone.parameters()).device

    @torch.inference_mode()
    def keep(self, prefix: Ids) -> None:
        """Read a beginning that many prompts share, such as the instruction, once for all of them.

        Its keys and values stay in memory until :meth:`forget`, which must be called when the weights change.
        """
        ids = self._ids(prefix)
        cache = self._cache([], 1)
        self._read(ids[None], cache)
        self._kept[tuple(ids.tolist())] = [(layer.keys, layer.values) for layer in cache.layers]

    def forget(self) -> None:
        """Drop what :meth:`keep` has kept."""
        self._kept.clear()

    @torch.inference_mode()
    def prefill(self, ids: Ids) -> tuple[TreeState, Tensor]:
        """Read a prompt; return its state and the logits ``[code vocabulary]`` of the first code token."""
        prompt = self._ids(ids)
        kept = self._longest_kept([prompt])
        cache = self._cache(self._kept.get(kept, []), 1)
        hidden = self._read(prompt[None, len(kept) :], cache)
        depths, seen = prompt.new_zeros(0), prompt.new_zeros((0, 0), dtype=torch.bool)
        return TreeState(cache, len(prompt), depths, seen), self.head(hidden[0, -1])

    @torch.inference_mode()
    def prefill_many(self, prompts: Sequence[Ids], batch_tokens: int = _BATCH_TOKENS) -> Tensor:
        """Return the logits of the first code token after each prompt, ``[batch, code vocabulary]``.

        Prompts of like length are read together, padded on the right: attention is causal, so padding changes nothing.

        Args:
            prompts: at least one, of any lengths.
            batch_tokens: most tokens in one forward pass, padding included (a longer prompt goes alone).
        """
        every = [self._ids(ids) for ids in prompts]
        logits: list[Tensor] = [torch.empty(0)] * len(every)
        for batch in _batches([len(ids) for ids in every], batch_tokens):
            for place, answer in zip(batch, self._answer([every[k] for k in batch]), strict=True):
                logits[place] = answer
        return torch.stack(logits)

    @torch.inference_mode()
    def step(self, state: TreeState, tokens: Tensor, parents: Tensor) -> Tensor:
        """Append nodes to a prompt's tree; return the logits after each, ``[nodes, code vocabulary]``.

        Args:
            state: from :meth:`prefill`; changed.
            tokens: int64 ``[nodes]``, code tokens.
            parents: int64 ``[nodes]``, the node each follows, by order of appending; -1 for the prompt.
        """
        tokens, parents = tokens.to(self.device), parents.to(self.device)
        _append(state, parents)
        embeddings = self.embed(tokens[None] + self.first_code)
        positions = state.prompt + state.depths[None, -len(tokens) :]
        mask = self._mask(state, len(tokens), embeddings.dtype)
        return self.head(self._forward(embeddings, positions, state.cache, mask)[0])

    def _answer(self, prompts: list[Tensor]) -> Tensor:
        """Return the logits after prompts that are read together."""
        kept = self._longest_kept(prompts)
        rest = [ids[len(kept) :] for ids in prompts]
        padded = nn.utils.rnn.pad_sequence(rest, batch_first=True)
        hidden = self._read(padded, self._cache(self._kept[kept], len(prompts)) if kept else None)
        last = torch.tensor([len(ids) - 1 for ids in rest], device=hidden.device)
        return self.head(hidden[torch.arange(len(rest), device=hidden.device), last])

    def _read(self, ids: Tensor, cache: Any) -> Tensor:
        """Return hidden states of ids ``[batch, length]`` that follow what the cache holds."""
        past = cache.get_seq_length() if cache is not None else 0
        positions = torch.arange(past, past + ids.shape[1], device=ids.device)[None]
        return self._forward(self.embed(ids), positions, cache, None)

    def _forward(self, embeddings: Tensor, positions: Tensor, cache: Any, mask: Any) -> Tensor:
        return self.backbone(
            inputs_embeds=embeddings,
            position_ids=positions,
            attention_mask=mask,
            use_cache=cache is not None,
            **{self.cache_argument: cache},
        ).last_hidden_state

    def _mask(self, state: TreeState, new: int, dtype: torch.dtype) -> Any:
        """Return what the last ``new`` nodes may attend to, in the form that the decoder expects."""
        prompt, nodes = state.prompt, len(state.depths)
        visible = torch.ones(new, prompt + nodes, dtype=torch.bool, device=self.device)
        visible[:, prompt:] = state.seen[-new:]
        full = self._as_mask(visible, dtype)
        if self._window is None or self._layer_types == {"full_attention"}:
            return full
        positions = torch.cat([torch.arange(prompt, device=self.device), prompt + state.depths])
        near = positions[-new:, None] - positions < self._window
        sliding = self._as_mask(visible & near, dtype)
        # A decoder without layer types slides in every layer.
        return {"full_attention": full, "sliding_attention": sliding} if self._layer_types else sliding

    def _as_mask(self, visible: Tensor, dtype: torch.dtype) -> Tensor:
        """Return ``[1, 1, queries, keys]``: boolean for sdpa, numbers to add for eager attention."""
        kind = self._config._attn_implementation
        if kind == "sdpa":
            return visible[None, None]
        if kind != "eager":
            raise ConfigError(f'attention "{kind}" cannot continue a prompt in many ways; load the llm with "sdpa"')
        hidden = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return hidden.masked_fill(~visible, torch.finfo(dtype).min)[None, None]

    def _longest_kept(self, prompts: list[Tensor]) -> tuple[int, ...]:
        """Return the longest kept beginning that all prompts have and go on from; () where there is none."""
        for kept in sorted(self._kept, key=len, reverse=True):
            if all(len(ids) > len(kept) and tuple(ids[: len(kept)].tolist()) == kept for ids in prompts):
                return kept
        return ()

    def _cache(self, kept: list[tuple[Tensor, Tensor]], batch: int) -> Any:
        """Return a cache that begins with kept keys and values. Without a config it never drops old tokens."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (keys, values) in enumerate(kept):
            cache.update(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1), layer)
        return cache

    def _ids(self, ids: Ids) -> Tensor:
        if not len(ids):
            raise UsageError("an empty prompt; there must be at least one token to continue from")
        return torch.as_tensor(ids, dtype=torch.int64, device=self.device)


def _append(state: TreeState, parents: Tensor) -> None:
    """Record new nodes: each sees what its parent sees, and itself."""
    old, new = len(state.depths), len(parents)
    seen = torch.zeros(old + new, old + new, dtype=torch.bool, device=parents.device)
    seen[:old, :old] = state.seen
    depths = torch.zeros(new, dtype=torch.int64, device=parents.device)
    inside = parents >= 0
    if old:
        parent = parents.clamp(min=0)
        seen[old:, :old] = state.seen[parent] & inside[:, None]
        depths = torch.where(inside, state.depths[parent] + 1, 0)
    seen[old:].diagonal(old).fill_(True)
    state.seen, state.depths = seen, torch.cat([state.depths, depths])


def _batches(lengths: list[int], batch_tokens: int) -> list[list[int]]:
    """Group prompts, shortest first, so that no group exceeds ``batch_tokens`` once padded to its longest."""
    groups: list[list[int]] = []
    for k in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and (len(groups[-1]) + 1) * lengths[k] <= batch_tokens:
            groups[-1].append(k)
        else:
            groups.append([k])
    return groups
