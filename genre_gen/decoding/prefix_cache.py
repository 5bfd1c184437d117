"""Kept: keys and values of prompts' beginnings, so that what was read once is not read again.

Two kinds: beginnings that all users share, such as the instruction, and each user's last prompt. What is found is
always the beginning of the very ids that are asked about, from the user's own entry or a shared one, so a request gets
nothing but what it would have computed itself. Keys and values depend on ids and weights alone: another template makes
other ids, and another catalog other weights (the code embeddings). When a weight changes, everything is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple, TypeAlias
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

KeysValues: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Per layer, ``[1, heads, tokens, head size]`` each."""


class Beginning(NamedTuple):
    """The first tokens of a prompt, read already.

    Attributes:
        length: how many.
        layers: their keys and values.
        logits: where these are the whole prompt, what the model answered: the same request gets the same bits.
    """

    length: int
    layers: KeysValues
    logits: Tensor | None = None


def common(known: Tensor, ids: Tensor) -> int:
    """Return how many tokens ``ids`` begin as ``known`` does, and at least one token fewer than they have."""
    size = min(len(known), len(ids) - 1)
    differ = (known[:size] != ids[:size]).nonzero()
    return int(differ[0, 0]) if len(differ) else size


class _Entry(NamedTuple):
    ids: Tensor
    layers: KeysValues
    logits: Tensor | None = None

    @property
    def nbytes(self) -> int:
        logits = 0 if self.logits is None else self.logits.nbytes
        return sum(part.nbytes for layer in self.layers for part in layer) + logits

    def common(self, ids: Tensor) -> int:
        """Return how many tokens ``ids`` begin alike, and at least one token fewer than they have."""
        return common(self.ids, ids)


class _Weight(NamedTuple):
    tensor: ReferenceType[Tensor]
    address: int
    version: int

    def is_still(self, tensor: Tensor) -> bool:
        return self.tensor() is tensor and (self.address, self.version) == (tensor.data_ptr(), _version(tensor))


def tensors_of(*modules: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters of modules, as ``parameters()`` does but in a tenth of its time (it spells their names)."""
    left = list(modules)
    while left:
        module = left.pop()
        yield from (one for one in module._parameters.values() if one is not None)
        left += [part for part in module._modules.values() if part is not None]


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; tensors of inference mode do not count it."""
    return 0 if tensor.is_inference() else tensor._version


class Kept:
    """A bounded memory of read beginnings; safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        """Keep users' prompts of at most ``max_bytes`` together; those not asked for longest go first."""
        self.max_bytes = max_bytes
        self.shared: list[_Entry] = []
        self.own: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0
        self._weights: list[_Weight] = []
        self._lock = Lock()

    def share(self, ids: Tensor, layers: KeysValues) -> None:
        """Keep a beginning for all users."""
        with self._lock:
            self.shared = [*(entry for entry in self.shared if entry.ids.tolist() != ids.tolist()), _Entry(ids, layers)]
            self.shared.sort(key=lambda entry: -len(entry.ids))

    def put(self, user: Hashable, ids: Tensor, layers: KeysValues, logits: Tensor | None = None) -> None:
        """Keep a user's last prompt, and what the model answered."""
        entry = _Entry(ids, layers, logits)
        with self._lock:
            self._drop(user)
            self.own[user] = entry
            self._bytes += entry.nbytes
            while self._bytes > self.max_bytes:
                self._drop(next(iter(self.own)))

    def find(self, prompts: Sequence[Tensor], user: Hashable | None = None) -> Beginning:
        """Return the longest kept beginning that all prompts have and go on from, of length 0 where there is none.

        Args:
            prompts: ids of each.
            user: whose own last prompt may be used as well (for one prompt); None for nobody's.
        """
        with self._lock:
            for entry in self.shared:
                if all(entry.common(ids) == len(entry.ids) for ids in prompts):
                    best = Beginning(len(entry.ids), entry.layers)
                    break
            else:
                best = Beginning(0, ())
            if user is None or user not in self.own:
                return best
            self.own.move_to_end(user)
            entry, (ids,) = self.own[user], prompts
        if entry.logits is not None and torch.equal(entry.ids, ids):
            return Beginning(len(ids), entry.layers, entry.logits)
        length = entry.common(ids)
        if length <= best.length:
            return best
        return Beginning(length, [(keys[:, :, :length], values[:, :, :length]) for keys, values in entry.layers])

    def check(self, weights: Iterable[Tensor]) -> bool:
        """Drop everything if the weights are not those of the last check, and tell whether they are.

        Noticed are other tensors and every change in place that autograd counts (optimizers, ``load_state_dict``), but
        not one through ``.data``: call :meth:`clear` after that.
        """
        present = list(weights)
        known = len(present) == len(self._weights)
        if known and all(old.is_still(one) for old, one in zip(self._weights, present, strict=True)):
            return True
        self.clear()
        self._weights = [_Weight(ref(one), one.data_ptr(), _version(one)) for one in present]
        return False

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self.shared, self._bytes = [], 0
            self.own.clear()

    def _drop(self, user: Hashable) -> None:
        entry = self.own.pop(user, None)
        self._bytes -= entry.nbytes if entry else 0
