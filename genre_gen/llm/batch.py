"""Batch: examples of one task as rows of tokens, one example per row or many packed into each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_gen.llm.encode import NO_TARGET, Encoded
from genre_gen.tasks.base import Depth

SHARED = 0
"""Owner of the tokens that all examples of a packed row share at the beginning."""

PADDING = -1


@dataclass(frozen=True)
class Batch:
    """Examples of one task, padded on the right.

    Attributes:
        task: its name.
        depth: the depth at which its loss is computed.
        ids: int64 ``[rows, length]``.
        target_ids: int64 ``[rows, length]``, the target: the token itself or, in a task with closed answers, the number
            of the answer; -100 for tokens that are not predicted.
        origins: int64 ``[rows, length]``, the training interaction whose item a token is; -1 for other tokens.
        owners: int64 ``[rows, length]``, the example (from 1) of a packed row that a token belongs to; 0 for the
            instruction that all share, once at the beginning of each row; -1 for padding. None if each row is one
            example.
        soft_codes: int64 ``[targets, top]``, code tokens that a teacher expects instead of each target; targets are
            counted row by row. None if there is no teacher.
        soft_shares: float32 ``[targets, top]``, the probability of each of these; the target itself has the rest.
    """

    task: str
    depth: Depth
    ids: Tensor
    target_ids: Tensor
    origins: Tensor
    owners: Tensor | None = None
    soft_codes: Tensor | None = None
    soft_shares: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **dict[str, Any]({name: value.to(device) for name, value in tensors.items()}))

    def visible(self) -> Tensor | None:
        """Return the attention mask, bool ``[rows, 1, length, length]``; None for plain causal attention."""
        if self.owners is None:
            return None
        mine, theirs = self.owners[:, None, :, None], self.owners[:, None, None, :]
        length = self.owners.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=self.owners.device).tril()
        return causal & ((mine == theirs) | (theirs == SHARED))

    def positions(self) -> Tensor | None:
        """Return each token's position in its own example, int64 ``[rows, length]``; None if it is the column."""
        if self.owners is None:
            return None
        columns = torch.arange(self.owners.shape[1], device=self.owners.device).expand_as(self.owners)
        instruction = (self.owners == SHARED).sum(1, keepdim=True)
        return torch.where(self.owners == SHARED, columns, columns - self._starts(columns) + instruction)

    def before(self) -> Tensor:
        """Return the column of the token that each token is predicted from, int64 ``[rows, length]``."""
        columns = torch.arange(self.ids.shape[1], device=self.ids.device).expand_as(self.ids)
        if self.owners is None:
            return (columns - 1).clamp(min=0)
        instruction = (self.owners == SHARED).sum(1, keepdim=True)
        first = columns == self._starts(columns)
        return torch.where(first, instruction - 1, columns - 1).clamp(min=0)

    def examples(self) -> Tensor:
        """Return the number (unique in the batch) of the example of each token: int64 ``[rows, length]``."""
        rows = torch.arange(len(self.ids), device=self.ids.device)[:, None]
        if self.owners is None:
            return rows.expand_as(self.ids)
        return rows * (int(self.owners.max()) + 1) + self.owners.clamp(min=SHARED)

    def _starts(self, columns: Tensor) -> Tensor:
        """Return the first column of the example that each token belongs to, int64 ``[rows, length]``."""
        assert self.owners is not None  # noqa: S101 - a fact for the type checker
        groups = self.owners + 1
        first = torch.full((len(groups), int(groups.max()) + 1), columns.shape[1], device=groups.device)
        return first.scatter_reduce(1, groups, columns, "amin").gather(1, groups)


def pad(task: str, depth: Depth, examples: Sequence[Encoded]) -> Batch:
    """Make a batch of one example per row."""
    ids, target_ids, origins = _empty(len(examples), max(map(len, examples)))
    for row, encoded in enumerate(examples):
        _put(row, 0, encoded, 0, (ids, target_ids, origins))
    return Batch(task, depth, *map(torch.from_numpy, (ids, target_ids, origins)))


def pack(task: str, depth: Depth, examples: Sequence[Encoded], shared: int, length: int) -> Batch:
    """Make a batch of packed rows: the shared instruction, then examples up to ``length`` (or one longer example).

    All examples begin with the same ``shared`` tokens, at least one, none of which is predicted.
    """
    length = max([length - shared, *(len(encoded) - shared for encoded in examples)])
    rows: list[list[Encoded]] = []
    left: list[int] = []
    for encoded in sorted(examples, key=len, reverse=True):  # first fit, longest first
        size = len(encoded) - shared
        row = next((row for row, room in enumerate(left) if room >= size), len(rows))
        if row == len(rows):
            rows.append([])
            left.append(length)
        rows[row].append(encoded)
        left[row] -= size
    width = shared + length - min(left)
    ids, target_ids, origins = _empty(len(rows), width)
    owners = np.full((len(rows), width), PADDING, np.int64)
    owners[:, :shared], ids[:, :shared] = SHARED, examples[0].ids[:shared]
    for row, packed in enumerate(rows):
        begin = shared
        for number, encoded in enumerate(packed, 1):
            _put(row, begin, encoded, shared, (ids, target_ids, origins))
            end = begin + len(encoded) - shared
            owners[row, begin:end] = number
            begin = end
    return Batch(task, depth, *map(torch.from_numpy, (ids, target_ids, origins, owners)))


def _empty(rows: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    shape = (rows, length)
    return np.zeros(shape, np.int64), np.full(shape, NO_TARGET, np.int64), np.full(shape, -1, np.int64)


def _put(row: int, begin: int, encoded: Encoded, shared: int, into: Sequence[NDArray[np.int64]]) -> None:
    """Write an example's tokens after the first ``shared`` into a row, starting in column ``begin``."""
    for array, values in zip(into, (encoded.ids, encoded.target_ids, encoded.origins), strict=True):
        if values is not None:
            array[row, begin : begin + len(encoded) - shared] = values[shared:]
