"""PrefixCache: keys and values of prompt prefixes, so that no prefix is computed twice.

Two kinds of prefixes are cached: those that all users share, such as the instruction, and each user's last prompt. A
lookup compares token ids, so a request gets only keys and values that it would have computed itself. A cache belongs
to one state of the weights; :class:`WeightVersions` detects another.

Cached tensors are never written to: a lookup returns views, and a cache of transformers copies what it appends to.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeAlias
from weakref import ref

import torch
from torch import Tensor, nn

KeysValues: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Per layer, ``[1, heads, tokens, head size]`` each."""


@dataclass(frozen=True, eq=False)
class CachedPrefix:
    """The first tokens of a prompt, and what the model computed for them.

    Attributes:
        ids: int64 ``[length]``.
        layers: keys and values.
        logits: the logits after the last token; None if unknown.
    """

    ids: Tensor
    layers: KeysValues
    logits: Tensor | None = None

    @property
    def length(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Return the bytes of keys, values and logits."""
        logits = 0 if self.logits is None else self.logits.nbytes
        return sum(part.nbytes for layer in self.layers for part in layer) + logits

    def cut(self, length: int) -> CachedPrefix:
        """Return the first ``length`` tokens of it."""
        layers = [(keys[:, :, :length], values[:, :, :length]) for keys, values in self.layers]
        return replace(self, ids=self.ids[:length], layers=layers, logits=None)


NO_PREFIX = CachedPrefix(torch.empty(0, dtype=torch.int64), ())


class PrefixCache:
    """A bounded cache of prefixes; safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        """Limit the users' prompts to ``max_bytes`` in total; the least recently used are dropped first."""
        self.max_bytes = max_bytes
        self.shared: tuple[CachedPrefix, ...] = ()  # longest first; replaced as a whole
        self.by_user: OrderedDict[Hashable, CachedPrefix] = OrderedDict()
        self.nbytes = 0  # of the users' prompts
        self._lock = Lock()

    def put_shared(self, prefix: CachedPrefix) -> None:
        """Cache a prefix for all users."""
        with self._lock:
            others = [entry for entry in self.shared if not torch.equal(entry.ids, prefix.ids)]
            self.shared = tuple(sorted([*others, prefix], key=lambda entry: -entry.length))

    def put(self, user: Hashable, prompt: CachedPrefix) -> None:
        """Cache a user's last prompt."""
        with self._lock:
            self._drop(user)
            self.by_user[user] = prompt
            self.nbytes += prompt.nbytes
            while self.nbytes > self.max_bytes:
                self._drop(next(iter(self.by_user)))

    def without_logits(self) -> PrefixCache:
        """Return a copy for a model with another head, which shares keys and values."""
        other = PrefixCache(self.max_bytes)
        with self._lock:
            other.shared = self.shared
            for user, prompt in self.by_user.items():
                other.by_user[user] = replace(prompt, logits=None)
                other.nbytes += other.by_user[user].nbytes
        return other

    def find(self, prompts: Sequence[Tensor], user: Hashable | None = None) -> CachedPrefix:
        """Return the longest cached prefix of all prompts that is shorter than each of them, or ``NO_PREFIX``.

        With a ``user``, for one prompt, the user's own last prompt may be returned too. An identical prompt is returned
        whole, with its logits.
        """
        best = NO_PREFIX
        for entry in self.shared:
            if all(common_prefix_length(entry.ids, ids) == entry.length for ids in prompts):
                best = entry
                break
        with self._lock:
            if user is None or user not in self.by_user:
                return best
            self.by_user.move_to_end(user)
            last, (ids,) = self.by_user[user], prompts
        if last.logits is not None and torch.equal(last.ids, ids):
            return last
        length = common_prefix_length(last.ids, ids)
        return last.cut(length) if length > best.length else best

    def _drop(self, user: Hashable) -> None:
        entry = self.by_user.pop(user, None)
        self.nbytes -= entry.nbytes if entry else 0


def common_prefix_length(cached: Tensor, ids: Tensor) -> int:
    """Return the length of the common prefix of ``cached`` and ``ids``, at most one less than that of ``ids``."""
    size = min(len(cached), len(ids) - 1)
    differ = (cached[:size] != ids[:size]).nonzero()
    return int(differ[0, 0]) if len(differ) else size


class WeightVersions:
    """The tensors of a model, and the number of times that each was changed in place.

    It detects other tensors and every change that autograd counts (optimizers, ``load_state_dict``), but not a change
    through ``.data``.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        """Remember the tensors, without keeping them alive."""
        self._seen = [(ref(tensor), tensor.data_ptr(), _version(tensor)) for tensor in tensors]

    def match(self, tensors: Sequence[Tensor]) -> bool:
        """Tell whether these are the same tensors, unchanged."""
        return len(tensors) == len(self._seen) and all(
            reference() is tensor and (address, version) == (tensor.data_ptr(), _version(tensor))
            for (reference, address, version), tensor in zip(self._seen, tensors, strict=True)
        )


def tensors_of(*modules: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters of modules, ten times as fast as ``parameters()``, which also builds their names."""
    left = list(modules)
    while left:
        module = left.pop()
        yield from (tensor for tensor in module._parameters.values() if tensor is not None)
        left += [part for part in module._modules.values() if part is not None]


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; tensors of inference mode do not count it."""
    return 0 if tensor.is_inference() else tensor._version
