"""A decoder whose last layer is computed for one token per row, if only that token's state is read.

The parts of a layer after attention (the output projection and the feed-forward part, five sixths of the layer) work
on one position at a time, and their output is added to their input. In the last layer these parts get the requested
positions only. Their output, ``[rows, 1, hidden]``, is added to every position: it is right at the requested one, and
the others are not read. Keys and values are those of a whole pass.

The parts are found by their usual names, in a copy of the decoder that shares all weights, and are compared once with
a whole pass. A decoder with other names is used unchanged.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

_TOLERANCE = 0.3  # relative to what the parts add; 8-bit rounding changes it by .03 or so, a wrong position by 1


# The positions, int64 [rows], and whether the parts add nothing; for passes of this thread only.
_REQUEST: ContextVar[tuple[Tensor, bool] | None] = ContextVar("last_token", default=None)

Module = TypeVar("Module", bound=nn.Module)


class _LastTokenPart(nn.Module):
    """A part of the last layer that computes the requested positions only."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *inputs: Any, **named: Any) -> Any:
        request = _REQUEST.get()
        if request is None or not inputs:
            return self.part(*inputs, **named)
        positions, silent = request
        rows = torch.arange(len(positions), device=positions.device)
        added = self.part(inputs[0][rows, positions][:, None], *inputs[1:], **named)
        return added * 0 if silent else added


def with_last_token_parts(backbone: Any) -> Any:
    """Return a decoder with the same weights that supports :func:`last_token_only`; None if its parts are unknown."""
    try:
        layers = shallow_copy(backbone.layers)
        layer = layers[-1] = shallow_copy(layers[-1])
        layer.self_attn = shallow_copy(layer.self_attn)
        layer.self_attn.o_proj = _LastTokenPart(layer.self_attn.o_proj)
        layer.mlp = _LastTokenPart(layer.mlp)
    except AttributeError:
        return None
    result = shallow_copy(backbone)
    result.layers = layers
    return result


@contextmanager
def last_token_only(positions: Tensor, *, silent: bool = False) -> Iterator[None]:
    """Compute the last layer for one position per row, int64 ``[rows]``, in passes of this thread within the block."""
    token = _REQUEST.set((positions, silent))
    try:
        yield
    finally:
        _REQUEST.reset(token)


def is_exact(read: Callable[[], Tensor]) -> bool | None:
    """Tell whether a decoder gives the same state with :func:`last_token_only`; None if states are not finite.

    The difference is measured by a pass in which the parts add nothing. ``read`` returns the decoder's last states
    ``[1, length, hidden]`` of a prompt.
    """
    try:
        whole = read()
        if not bool(torch.isfinite(whole).all()):
            return None
        last = torch.tensor([whole.shape[1] - 1], device=whole.device)
        with last_token_only(last):
            alone = read()[:, -1]
        with last_token_only(last, silent=True):
            without = read()[:, -1]
        difference = (alone - whole[:, -1]).norm()
        return bool(difference <= _TOLERANCE * (without - whole[:, -1]).norm())
    except (RuntimeError, IndexError, TypeError, ValueError, AttributeError):
        return False


def shallow_copy(module: Module) -> Module:
    """Return a copy for inference that shares weights and parts; replacing a part changes the copy only."""
    result = copy.copy(module)
    result._modules = dict(module._modules)
    result.training = False
    return result
