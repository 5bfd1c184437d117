"""TreeModel: a decoder of transformers that continues each prompt in many ways at once.

A prompt is read once. All beginnings of item codes that the search wants to look at form a tree below it; each forward
pass appends nodes of that tree as if they were further tokens of the one sequence, each at the position *prompt length
+ depth*, and a 4-D attention mask lets each see the prompt and its own ancestors only. The cache of keys and values is
appended to and never reordered or copied for beams. Several users are rows of one batch: prompts are padded on the
right, trees where users have fewer nodes than others, and the mask hides padding.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genre_gen.decoding.last_token import LastLayer
from genre_gen.decoding.onednn import packed, unpack
from genre_gen.decoding.prefix_cache import Kept, KeysValues, common, tensors_of
from genre_gen.decoding.search import BATCH_TOKENS, Ids, length_groups
from genre_gen.errors import ConfigError, UsageError

KEPT_BYTES = 2**28
CPU_TOKENS = 512
"""Most tokens in one forward pass on a CPU: what layers hand on of more falls out of its caches."""
_TRIED = 6  # tokens


@dataclass
class TreeState:
    """Prompts of some users and the nodes appended to them; a *slot* is a place in a user's row of the cache.

    Attributes:
        cache: keys and values of prompts and nodes, in the order they came (a ``DynamicCache``).
        users: int64 ``[rows]``, increasing, whose row of the cache each is.
        prompts: int64 ``[rows]``, tokens of each prompt.
        positions: int64 ``[rows, slots]``, of every slot.
        width: slots that prompts take, padding included.
        depths: int64 ``[nodes]``, 0 for a node that follows a prompt itself.
        paths: int64 ``[nodes, levels]``, the slots of each node's ancestors and its own; short ones repeat their last.
    """

    cache: Any
    users: Tensor
    prompts: Tensor
    positions: Tensor
    width: int
    depths: Tensor
    paths: Tensor


class TreeModel:
    """Implements :class:`~genre_gen.decoding.search.StepModel` over a decoder of transformers without its head."""

    def __init__(
        self,
        backbone: nn.Module,
        embed: Callable[[Tensor], Tensor],
        head: Callable[[Tensor], Tensor],
        first_code: int,
        weights: Callable[[], Iterable[Tensor]] | None = None,
        kept_bytes: int = KEPT_BYTES,
        pack: bool = True,
    ) -> None:
        """Wrap a decoder; its weights stay where they are and are expected in evaluation mode.

        Args:
            backbone: what ``AutoModel`` gives: takes ``inputs_embeds``, returns ``last_hidden_state``. With attention
                "sdpa" or "eager" (nothing else takes the tree's mask).
            embed: input embeddings ``[..., hidden]`` of ids ``[...]``, text and code alike.
            head: logits ``[..., code vocabulary]`` of hidden states ``[..., hidden]``.
            first_code: the id of code token 0.
            weights: the tensors that answers depend on, to notice when they change; by default those of the backbone,
                which must then hold the embeddings and the head's too.
            kept_bytes: most memory for users' kept prompts (see :meth:`of`).
            pack: hold a second copy of the layers' weights where the processor multiplies faster with it (see
                :mod:`genre_gen.decoding.onednn`).

        Raises:
            ConfigError: a decoder with layers that are not attention over all or the last tokens.
        """
        self.backbone, self.embed, self.head, self.first_code = backbone, embed, head, first_code
        self.weights = weights or (lambda: tensors_of(backbone))
        # transformers renamed the argument in 5.x.
        arguments = inspect.signature(backbone.forward).parameters
        self.cache_argument = "cache" if "cache" in arguments else "past_key_values"
        self.kept = Kept(kept_bytes)
        self._pack, self._reader, self._last_layer = pack, backbone, LastLayer(backbone)
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
        return next(tensors_of(self.backbone)).device

    @torch.inference_mode()
    def keep(self, prefix: Ids) -> None:
        """Read a beginning that many prompts share, such as the instruction, once for all of them.

        Its keys and values stay in memory until :meth:`forget`, or until the weights change.
        """
        ids = self._ids(prefix)
        self._check()
        cache = self._cache((), 1)
        self._read(ids[None], cache)
        self.kept.share(ids, _layers(cache))

    def keeps(self) -> bool:
        """Tell whether a shared beginning is kept for the present weights."""
        self._check()
        return bool(self.kept.shared)

    def forget(self) -> None:
        """Drop all that was kept; needed only after a change of weights through ``.data``, and to free memory."""
        self.kept.clear()
        unpack(self.backbone)
        self._take()

    def of(self, user: Hashable) -> UserModel:
        """Return this model for one user's requests, whose last prompt is kept: only what is new is read next time."""
        return UserModel(self, user)

    def alike(self) -> AlikeModel:
        """Return this model for prompts that begin alike, such as one and its variants."""
        return AlikeModel(self)

    def prefill(self, prompts: Sequence[Ids]) -> tuple[TreeState, Tensor]:
        """Read prompts, one per user; return their state and the logits ``[users, code vocabulary]`` after each."""
        return self._prefill(prompts)

    @torch.inference_mode()
    def prefill_many(self, prompts: Sequence[Ids], batch_tokens: int | None = None) -> Tensor:
        """Return the logits of the first code token after each prompt, ``[users, code vocabulary]``.

        Prompts of like length are read together, padded on the right: attention is causal, so padding changes nothing.

        Args:
            prompts: at least one, of any lengths.
            batch_tokens: most tokens that are read in one forward pass, padding included (a longer prompt goes alone);
                None for what suits the device.
        """
        every = [self._ids(ids) for ids in prompts]
        self._check()
        logits: list[Tensor] = [torch.empty(0)] * len(every)
        begun = self.kept.find(every).length
        for group in length_groups([len(ids) - begun for ids in every], batch_tokens or self._batch_tokens):
            own = [every[k] for k in group]
            kept = self.kept.find(own)
            cache = self._cache(kept.layers, len(own)) if kept.length else None
            for place, answer in zip(group, self._answer(own, kept.length, cache), strict=True):
                logits[place] = answer
        return torch.stack(logits)

    @torch.inference_mode()
    def step(self, state: TreeState, tokens: Tensor, parents: Tensor, users: Tensor) -> Tensor:
        """Append nodes to the users' trees; return the logits after each, ``[nodes, code vocabulary]``.

        Args:
            state: from :meth:`prefill`; changed. Rows of users without a node leave it.
            tokens: int64 ``[nodes]``, code tokens.
            parents: int64 ``[nodes]``, the node each follows, by order of appending; -1 for the prompt.
            users: int64 ``[nodes]``, non-decreasing, whose tree each belongs to, by the order of the prompts.
        """
        tokens, parents = tokens.to(self.device), parents.to(self.device)
        present, rows, sizes = torch.unique_consecutive(users.to(self.device), return_inverse=True, return_counts=True)
        if len(present) < len(state.users):
            _narrow(state, present)
        columns = torch.arange(len(tokens), device=self.device) - (sizes.cumsum(0) - sizes)[rows]
        new = int(sizes.max())
        depths, paths = _append(state, parents, state.positions.shape[1] + columns)
        ids = tokens.new_zeros((len(present), new))
        ids[rows, columns] = tokens + self.first_code
        positions = state.prompts[:, None].expand(-1, new).clone()
        positions[rows, columns] += depths
        state.positions = torch.cat([state.positions, positions], dim=1)
        embeddings = self.embed(ids)
        mask = self._mask(state, rows, columns, paths, new, embeddings.dtype)
        return self.head(self._forward(embeddings, positions, state.cache, mask)[rows, columns])

    @torch.inference_mode()
    def _prefill(self, prompts: Sequence[Ids], user: Hashable | None = None) -> tuple[TreeState, Tensor]:
        """Read prompts; a ``user``'s own last prompt may serve, and the new one is kept."""
        every = [self._ids(ids) for ids in prompts]
        self._check()
        kept = self.kept.find(every, user)
        cache = self._cache(kept.layers, len(every))
        logits = self._answer(every, kept.length, cache) if kept.logits is None else kept.logits
        if user is not None and kept.logits is None:
            self.kept.put(user, every[0], _layers(cache), logits)
        lengths = torch.tensor([len(ids) for ids in every], device=self.device)
        width = int(lengths.max())
        positions = torch.arange(width, device=self.device).expand(len(every), -1)
        nothing = lengths.new_zeros(0)
        users = torch.arange(len(every), device=self.device)
        return TreeState(cache, users, lengths, positions, width, nothing, nothing[:, None]), logits

    @property
    def _batch_tokens(self) -> int:
        return CPU_TOKENS if self.device.type == "cpu" else BATCH_TOKENS

    def _check(self) -> None:
        """Drop what was made for other weights than the present ones, and have the layers packed where that pays."""
        if not self.kept.check(self.weights()):
            self._take()

    def _take(self) -> None:
        """Read with the layers as they are now."""
        self._reader = packed(self.backbone) if self._pack else self.backbone
        self._last_layer.follow(self._reader)

    def _answer(self, prompts: Sequence[Tensor], begun: int, cache: Any) -> Tensor:
        """Return the logits after prompts whose first ``begun`` tokens the cache holds."""
        rest = [ids[begun:] for ids in prompts]
        padded = nn.utils.rnn.pad_sequence(rest, batch_first=True)
        last = torch.tensor([len(ids) - 1 for ids in rest], device=padded.device)
        cuts = self._last_layer.cuts(lambda: self._read(torch.arange(_TRIED, device=padded.device)[None], None))
        with self._last_layer.at(last) if cuts else nullcontext():
            hidden = self._read(padded, cache)
        return self.head(hidden[torch.arange(len(rest), device=hidden.device), last])

    def _read(self, ids: Tensor, cache: Any) -> Tensor:
        """Return hidden states of ids ``[batch, length]`` that follow what the cache holds."""
        past = cache.get_seq_length() if cache is not None else 0
        positions = torch.arange(past, past + ids.shape[1], device=ids.device)[None]
        return self._forward(self.embed(ids), positions, cache, None)

    def _forward(self, embeddings: Tensor, positions: Tensor, cache: Any, mask: Any) -> Tensor:
        return self._reader(
            inputs_embeds=embeddings,
            position_ids=positions,
            attention_mask=mask,
            use_cache=cache is not None,
            **{self.cache_argument: cache},
        ).last_hidden_state

    def _mask(
        self, state: TreeState, rows: Tensor, columns: Tensor, paths: Tensor, new: int, dtype: torch.dtype
    ) -> Any:
        """Return what the last ``new`` slots of each row may attend to, in the form that the decoder expects.

        Padding sees the prompt and itself: a row that sees nothing would become NaN.
        """
        n_slots = state.positions.shape[1]
        slots = torch.arange(n_slots, device=self.device)
        visible = (slots < state.prompts[:, None])[:, None].repeat(1, new, 1)  # [rows, new, slots]
        visible[rows[:, None], columns[:, None], paths] = True
        visible[:, :, n_slots - new :] |= torch.eye(new, dtype=torch.bool, device=self.device)
        full = self._as_mask(visible, dtype)
        if self._window is None or self._layer_types == {"full_attention"}:
            return full
        near = state.positions[:, -new:, None] - state.positions[:, None] < self._window
        sliding = self._as_mask(visible & near, dtype)
        # A decoder without layer types slides in every layer.
        return {"full_attention": full, "sliding_attention": sliding} if self._layer_types else sliding

    def _as_mask(self, visible: Tensor, dtype: torch.dtype) -> Tensor:
        """Return ``[rows, 1, queries, keys]``: boolean for sdpa, numbers to add for eager attention."""
        kind = self._config._attn_implementation
        if kind == "sdpa":
            return visible[:, None]
        if kind != "eager":
            raise ConfigError(f'attention "{kind}" cannot continue a prompt in many ways; load the llm with "sdpa"')
        hidden = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return hidden.masked_fill(~visible, torch.finfo(dtype).min)[:, None]

    def _cache(self, layers: KeysValues, batch: int) -> Any:
        """Return a cache that begins with kept keys and values. Without a config it never drops old tokens."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (keys, values) in enumerate(layers):
            cache.update(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1), layer)
        return cache

    def _ids(self, ids: Ids) -> Tensor:
        if not len(ids):
            raise UsageError("an empty prompt; there must be at least one token to continue from")
        return torch.as_tensor(ids, dtype=torch.int64, device=self.device)


class UserModel:
    """A :class:`TreeModel` for one user: a :class:`~genre_gen.decoding.search.StepModel` that reads one prompt."""

    def __init__(self, model: TreeModel, user: Hashable) -> None:
        """Wrap a model; ``user`` must name the user among all that the model serves."""
        self.model, self.user = model, user

    def prefill(self, prompts: Sequence[Ids]) -> tuple[TreeState, Tensor]:
        """Read the user's prompt from where it differs from the last one; see :meth:`TreeModel.prefill`."""
        if len(prompts) != 1:
            raise UsageError(f"{len(prompts)} prompts for one user; ask the TreeModel itself")
        return self.model._prefill(prompts, self.user)

    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Return the logits after the user's prompt, ``[1, code vocabulary]``."""
        return self.prefill(prompts)[1]

    def step(self, state: TreeState, tokens: Tensor, parents: Tensor, users: Tensor) -> Tensor:
        """Append nodes to the user's tree; see :meth:`TreeModel.step`."""
        return self.model.step(state, tokens, parents, users)


class AlikeModel:
    """A :class:`TreeModel` for variants of one prompt: what a variant and the first prompt begin with is read once."""

    def __init__(self, model: TreeModel) -> None:
        """Wrap a model."""
        self.model = model

    def prefill(self, prompts: Sequence[Ids]) -> tuple[TreeState, Tensor]:
        """Read prompts; see :meth:`TreeModel.prefill`."""
        return self.model.prefill(prompts)

    @torch.inference_mode()
    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Return the logits after each prompt, ``[prompts, code vocabulary]``.

        Variants of which about as much is left to read are read together, so that one that differs early does not make
        all others start there.
        """
        model = self.model
        every = [model._ids(ids) for ids in prompts]
        model._check()
        kept = model.kept.find(every[:1])
        cache = model._cache(kept.layers, 1)
        first = model._answer(every[:1], kept.length, cache)[0]
        begun, layers = [common(every[0], ids) for ids in every], _layers(cache)
        logits = [first] * len(every)
        groups: dict[int, list[int]] = {}
        for place in range(1, len(every)):
            groups.setdefault((len(every[place]) - begun[place]).bit_length(), []).append(place)
        for group in groups.values():
            shared = min(begun[place] for place in group)
            known = [(keys[:, :, :shared], values[:, :, :shared]) for keys, values in layers]
            size = max(1, model._batch_tokens // max(len(every[place]) - shared for place in group))
            for begin in range(0, len(group), size):
                own = group[begin : begin + size]
                answers = model._answer([every[place] for place in own], shared, model._cache(known, len(own)))
                for place, answer in zip(own, answers, strict=True):
                    logits[place] = answer
        return torch.stack(logits)

    def step(self, state: TreeState, tokens: Tensor, parents: Tensor, users: Tensor) -> Tensor:
        """Append nodes to the trees; see :meth:`TreeModel.step`."""
        return self.model.step(state, tokens, parents, users)


def _layers(cache: Any) -> KeysValues:
    """Return what a cache holds now; appending makes new tensors, so these stay as they are."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def _append(state: TreeState, parents: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Record new nodes: each has its parent's path and its own slot. Return their depths and paths."""
    inside = parents >= 0
    levels = state.paths.shape[1]
    depths, paths = parents.new_zeros(len(parents)), slots[:, None].expand(-1, levels).clone()
    if levels and len(state.depths):
        parent = parents.clamp(min=0)
        depths = torch.where(inside, state.depths[parent] + 1, 0)
        paths = torch.where(inside[:, None], state.paths[parent], paths)
    missing = int(depths.max()) + 1 - levels
    if missing > 0:
        paths = torch.cat([paths, slots[:, None].expand(-1, missing)], dim=1)
        old = state.paths
        last = old[:, -1:] if levels else old.new_zeros((len(old), 1))
        state.paths = torch.cat([old, last.expand(-1, missing)], dim=1)
    paths = paths.scatter(1, depths[:, None], slots[:, None])
    state.depths, state.paths = torch.cat([state.depths, depths]), torch.cat([state.paths, paths])
    return depths, paths


def _narrow(state: TreeState, users: Tensor) -> None:
    """Keep the rows of some users only."""
    rows = torch.searchsorted(state.users, users)
    for layer in state.cache.layers:
        layer.keys, layer.values = layer.keys[rows], layer.values[rows]
    state.users, state.prompts, state.positions = users, state.prompts[rows], state.positions[rows]
