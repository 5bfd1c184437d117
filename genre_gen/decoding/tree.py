"""TreeModel: a decoder of transformers that continues each prompt in many ways at once.

A prompt is read once. The code prefixes that the search scores form a tree below it. Each forward pass appends nodes
of that tree as if they were further tokens of the sequence, at the position *prompt length + depth*. A 4-D attention
mask lets each node see the prompt and its own ancestors only. The cache of keys and values is never reordered or
copied for beams. Several users are rows of one batch, and the mask hides padding.

Several threads may use a model. Everything derived from one state of the weights is in a snapshot, which is replaced
as a whole; a request keeps the snapshot that it began with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn

from genre_gen.data.batches import batches
from genre_gen.decoding.decoders import decoder_of
from genre_gen.decoding.onednn import forget_prepacked, prepack
from genre_gen.decoding.prefix_cache import CachedPrefix, PrefixCache, WeightVersions, common_prefix_length, tensors_of
from genre_gen.decoding.search import BATCH_TOKENS, Ids, length_groups
from genre_gen.decoding.snapshot import Snapshot
from genre_gen.errors import UsageError
from genre_gen.llm.decoder import KeyValues

CACHE_BYTES = 2**28
CPU_TOKENS = 512
"""The largest number of tokens in one forward pass on a CPU, so that activations fit into its caches."""


@dataclass
class TreeState:
    """Prompts of some users and the nodes appended to them; a *slot* is an index in a user's row of the cache.

    Attributes:
        snapshot: the snapshot whose decoder reads the nodes.
        cache: keys and values of prompts and nodes, in the order they were appended.
        users: int64 ``[rows]``, increasing, the user of each row of the cache.
        prompts: int64 ``[rows]``, number of tokens of each prompt.
        positions: int64 ``[rows, slots]``, of every slot.
        depths: int64 ``[nodes]``, 0 for a node that directly follows a prompt.
        paths: int64 ``[nodes, levels]``, the slots of each node's ancestors and its own; short paths repeat their last.
    """

    snapshot: Snapshot
    cache: KeyValues
    users: Tensor
    prompts: Tensor
    positions: Tensor
    depths: Tensor
    paths: Tensor


class TreeModel:
    """Implements :class:`~genre_gen.decoding.search.StepModel` over a decoder without its head."""

    def __init__(
        self,
        backbone: nn.Module,
        embed: Callable[[Tensor], Tensor],
        head: Callable[[Tensor], Tensor],
        first_code: int,
        weights: Callable[[], Iterable[Tensor]] | None = None,
        cache_bytes: int = CACHE_BYTES,
        prepacked: bool = True,
        quick_head: Callable[[], Callable[[Tensor], Tensor]] | None = None,
    ) -> None:
        """Wrap a decoder in evaluation mode; its weights are not copied.

        Args:
            backbone: a :class:`~genre_gen.llm.decoder.Decoder`, or a model of ``AutoModel`` with attention "sdpa" or
                "eager".
            embed: input embeddings ``[..., hidden]`` of ids ``[...]``, text and code.
            head: logits ``[..., code vocabulary]`` of hidden states ``[..., hidden]``.
            first_code: the id of code token 0.
            weights: the tensors that answers depend on, whose changes are detected; by default those of the backbone,
                which must then include the embeddings and the head.
            cache_bytes: the largest amount of memory for users' cached prompts.
            prepacked: whether layers may be prepacked, see :mod:`genre_gen.decoding.onednn`.
            quick_head: returns an equivalent of ``head`` for the present weights; None if there is no faster one.

        Raises:
            ConfigError: the decoder has layers other than attention over all or the last tokens.
        """
        self.backbone, self.embed, self.head, self.first_code = backbone, embed, head, first_code
        self.weights = weights or (lambda: tensors_of(backbone))
        self._cache_bytes, self._prepacked, self._quick_head = cache_bytes, prepacked, quick_head
        self._snapshot: Snapshot | None = None
        self._lock = Lock()
        decoder_of(backbone)

    @property
    def device(self) -> torch.device:
        """Return the device of the decoder."""
        return next(tensors_of(self.backbone)).device

    @property
    def prefixes(self) -> PrefixCache:
        """Return the cached prefixes of the present weights."""
        return self._current().prefixes

    @torch.inference_mode()
    def cache_prefix(self, prefix: Ids) -> None:
        """Read and cache a prefix that many prompts share, such as the instruction.

        Its keys and values stay in memory until :meth:`clear_cache`, or until the weights change.
        """
        ids, snapshot, cache = self._ids(prefix), self._current(), KeyValues()
        snapshot.read([ids], cache)
        snapshot.prefixes.put_shared(CachedPrefix(ids, cache.layers))

    def clear_cache(self) -> None:
        """Drop all cached values; needed after a change of weights through ``.data``, and to free memory."""
        with self._lock:
            self._snapshot = None
        forget_prepacked(self.backbone)

    @torch.inference_mode()
    def with_tokens(
        self,
        embed: Callable[[Tensor], Tensor],
        head: Callable[[Tensor], Tensor],
        weights: Callable[[], Iterable[Tensor]],
        quick_head: Callable[[], Callable[[Tensor], Tensor]] | None = None,
        *,
        keep: bool = True,
    ) -> TreeModel:
        """Return the model over the same decoder with further code tokens; arguments are those of the constructor.

        What was read of prompts stays; without ``keep`` it is read again.
        """
        other = copy.copy(self)
        other.embed, other.head, other.weights, other._quick_head = embed, head, weights, quick_head
        other._lock, other._snapshot = Lock(), None
        with self._lock:
            snapshot = self._snapshot
        if snapshot is not None and snapshot.weights.match(list(self.weights())):
            prefixes = snapshot.prefixes.without_logits() if keep else PrefixCache(self._cache_bytes)
            found = head if quick_head is None else quick_head()
            versions = WeightVersions(list(weights()))
            other._snapshot = Snapshot(versions, snapshot.decoder, embed, found, prefixes)
        return other

    def for_user(self, user: Hashable) -> UserModel:
        """Return this model for one user's requests: the last prompt is cached, and only new tokens are read.

        ``user`` must identify the user among all users of the model.
        """
        return UserModel(self, user)

    def for_users(self, users: Sequence[Hashable]) -> UsersModel:
        """Return this model for requests of several users at once, each with a cached prompt; None is not a user."""
        return UsersModel(self, users=tuple(users))

    def shared_prefix(self) -> SharedPrefixModel:
        """Return this model for variants of one prompt, whose common prefix is read once."""
        return SharedPrefixModel(self)

    @torch.inference_mode()
    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Return the logits of the first code token after each prompt, ``[users, code vocabulary]``.

        Prompts of similar length are read together, padded on the right: attention is causal, so padding has no effect.
        """
        every, snapshot = [self._ids(ids) for ids in prompts], self._current()
        logits: list[Tensor] = [torch.empty(0)] * len(every)
        start = snapshot.prefixes.find(every).length
        for group in length_groups([len(ids) - start for ids in every], self._batch_tokens):
            batch = [every[row] for row in group]
            prefix = snapshot.prefixes.find(batch)
            cache = KeyValues(prefix.layers) if prefix.length else None
            for row, answer in zip(group, snapshot.answer(batch, cache), strict=True):
                logits[row] = answer
        return torch.stack(logits)

    @torch.inference_mode()
    def step(self, state: TreeState, tokens: Tensor, parents: Tensor, users: Tensor) -> Tensor:
        """Append nodes to the users' trees; see :meth:`~genre_gen.decoding.search.StepModel.step`."""
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
        mask = self._mask(state, rows, columns, paths, new)
        hidden = state.snapshot.decoder.read(self.embed(ids), state.cache, state.positions, mask)
        return state.snapshot.head(hidden[rows, columns])

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[Ids], user: Hashable | None = None) -> tuple[TreeState, Tensor]:
        """Read prompts, one per user; return their state and the logits ``[users, code vocabulary]`` after each.

        With a ``user``, for one prompt, the user's own last prompt is reused if possible, and the new one is cached.
        """
        if user is not None and len(prompts) != 1:
            raise UsageError(f"{len(prompts)} prompts for one user; use the TreeModel itself")
        every, snapshot = [self._ids(ids) for ids in prompts], self._current()
        prefix = snapshot.prefixes.find(every, user)
        cache, logits = KeyValues(prefix.layers), prefix.logits
        if logits is None:
            logits = snapshot.answer(every, cache)
            if user is not None:
                snapshot.prefixes.put(user, CachedPrefix(every[0], tuple(cache.layers), logits))
        lengths = torch.tensor([len(ids) for ids in every], device=self.device)
        positions = torch.arange(int(lengths.max()), device=self.device).expand(len(every), -1)
        nothing = lengths.new_zeros(0)
        users = torch.arange(len(every), device=self.device)
        return TreeState(snapshot, cache, users, lengths, positions, nothing, nothing[:, None]), logits

    @property
    def _batch_tokens(self) -> int:
        return CPU_TOKENS if self.device.type == "cpu" else BATCH_TOKENS

    def _current(self) -> Snapshot:
        """Return the snapshot of the present weights; threads wait for the one that makes it."""
        weights = list(self.weights())
        with self._lock:
            if self._snapshot is None or not self._snapshot.weights.match(weights):
                self._snapshot = self._take(WeightVersions(weights))
            return self._snapshot

    @torch.inference_mode()
    def _take(self, weights: WeightVersions) -> Snapshot:
        decoder = decoder_of(prepack(self.backbone) if self._prepacked else self.backbone)
        head = self.head if self._quick_head is None else self._quick_head()
        return Snapshot(weights, decoder, self.embed, head, PrefixCache(self._cache_bytes))

    def _mask(self, state: TreeState, rows: Tensor, columns: Tensor, paths: Tensor, new: int) -> Tensor:
        """Return what the last ``new`` slots of each row see, bool ``[rows, 1, new, slots]``.

        Padding sees the prompt and itself: a row that sees nothing would become NaN.
        """
        n_slots = state.positions.shape[1]
        slots = torch.arange(n_slots, device=self.device)
        visible = (slots < state.prompts[:, None])[:, None].repeat(1, new, 1)
        visible[rows[:, None], columns[:, None], paths] = True
        visible[:, :, n_slots - new :] |= torch.eye(new, dtype=torch.bool, device=self.device)
        return visible[:, None]

    def _ids(self, ids: Ids) -> Tensor:
        if not len(ids):
            raise UsageError("an empty prompt; there must be at least one token to continue from")
        return torch.as_tensor(ids, dtype=torch.int64, device=self.device)


@dataclass(frozen=True)
class _View:
    """A :class:`~genre_gen.decoding.search.StepModel` that delegates to a :class:`TreeModel`."""

    model: TreeModel
    user: Hashable = None

    def prefill(self, prompts: Sequence[Ids]) -> tuple[TreeState, Tensor]:
        """Read prompts; see :meth:`TreeModel.prefill`."""
        return self.model.prefill(prompts, self.user)

    def step(self, state: TreeState, tokens: Tensor, parents: Tensor, users: Tensor) -> Tensor:
        """Append nodes to the trees; see :meth:`TreeModel.step`."""
        return self.model.step(state, tokens, parents, users)


class UserModel(_View):
    """A :class:`TreeModel` for one user, whose last prompt is cached."""

    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Return the logits after the user's prompt, ``[1, code vocabulary]``."""
        return self.prefill(prompts)[1]


@dataclass(frozen=True)
class UsersModel(_View):
    """A :class:`TreeModel` for several users: each user's last prompt is cached, and only new tokens are read.

    Attributes:
        users: of the prompts, in their order; None for prompts that are not cached.
    """

    users: tuple[Hashable, ...] = ()

    @torch.inference_mode()
    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Return the logits after each prompt, ``[prompts, code vocabulary]``."""
        model = self.model
        snapshot = model._current()
        if not snapshot.reads_continuations:
            return model.prefill_many(prompts)
        every = [model._ids(ids) for ids in prompts]
        known = [snapshot.prefixes.find([ids], user) for ids, user in zip(every, self.users, strict=True)]
        logits = [prefix.logits for prefix in known]
        unread = [row for row, answer in enumerate(logits) if answer is None]
        sizes = [len(every[row]) - known[row].length for row in unread]
        for group in _groups(unread, sizes, model._batch_tokens):
            caches = [KeyValues(known[row].layers) for row in group]
            answers = snapshot.answer_each([every[row] for row in group], caches)
            for row, cache, answer in zip(group, caches, answers.split(1), strict=True):
                logits[row] = answer
                if (user := self.users[row]) is not None:
                    snapshot.prefixes.put(user, CachedPrefix(every[row], tuple(cache.layers), answer.clone()))
        return torch.cat([answer for answer in logits if answer is not None])


def _groups(rows: Sequence[int], sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield rows in order, in groups of at most ``most`` tokens or of one row."""
    group: list[int] = []
    tokens = 0
    for row, size in zip(rows, sizes, strict=True):
        if group and tokens + size > most:
            yield group
            group, tokens = [], 0
        group.append(row)
        tokens += size
    if group:
        yield group


class SharedPrefixModel(_View):
    """A :class:`TreeModel` for variants of one prompt: the prefix that variants share with the first is read once."""

    @torch.inference_mode()
    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Return the logits after each prompt, ``[prompts, code vocabulary]``.

        Variants with a similar number of remaining tokens are read together, so that a variant that differs early does
        not make all others start there.
        """
        model = self.model
        every, snapshot = [model._ids(ids) for ids in prompts], model._current()
        first = every[0]
        prefix = snapshot.prefixes.find([first])
        cache = KeyValues(prefix.layers)
        logits = [snapshot.answer([first], cache)[0]] * len(every)
        read = CachedPrefix(first, cache.layers)
        shared = [common_prefix_length(first, ids) for ids in every]
        groups: dict[int, list[int]] = {}
        for row in range(1, len(every)):
            groups.setdefault((len(every[row]) - shared[row]).bit_length(), []).append(row)
        for group in groups.values():
            prefix = read.cut(min(shared[row] for row in group))
            size = max(1, model._batch_tokens // max(len(every[row]) - prefix.length for row in group))
            for rows in batches(group, size):
                answers = snapshot.answer([every[row] for row in rows], KeyValues(prefix.layers))
                for row, answer in zip(rows, answers, strict=True):
                    logits[row] = answer
        return torch.stack(logits)


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
    state.cache.select(rows)
    state.users, state.prompts, state.positions = users, state.prompts[rows], state.positions[rows]
