"""Prepacking: a decoder whose linear layers store their weights in the memory layout that this processor reads fastest.

torch computes products in single precision with MKL, which is limited to AVX2 on processors of other makers than
Intel. oneDNN, also part of torch, uses all instructions of the processor. The faster one is measured once for each
precision; layers are prepacked only if oneDNN wins by a clear margin. The results differ in rounding only.

Prepacked weights are a second copy in memory; training and saving use the decoder itself.
"""

from __future__ import annotations

import copy
import timeit
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

_MARGIN = 1.2  # the least speed-up for which the second copy is worth its memory
_ROWS, _INNER, _OUTER, _TIMES = 16, 576, 768, 5  # of the product that is timed, and the number of repetitions
_PRECISIONS = (torch.float32, torch.bfloat16)

_BLOCKS: WeakKeyDictionary[nn.Linear, tuple[Any, Tensor]] = WeakKeyDictionary()
_LOCK = Lock()  # of the blocks; one thread measures and packs, others wait for the result


class PrepackedLinear(nn.Module):
    """A linear layer that multiplies with prepacked weights; only for inference."""

    def __init__(self, linear: nn.Linear) -> None:
        """Prepack a layer's weights; several that wrap the same layer share them."""
        super().__init__()
        self.linear = linear
        self._blocks = _blocks_of(linear)

    def forward(self, rows: Tensor) -> Tensor:
        """Return ``rows [..., inner]`` times the weights, ``[..., outer]``."""
        if rows.dtype == torch.float32 and rows.numel() == rows.shape[-1]:
            return self.linear(rows)  # for a single row MKL is faster
        return _multiply(rows, self._blocks, self.linear.bias)


def prepack(backbone: Any) -> Any:
    """Return an equivalent decoder with prepacked layers, or the decoder itself if that is not faster.

    Later changes of the weights are not noticed. Decoders on other devices than the CPU, and switchable adapters,
    are not prepacked.
    """
    with _LOCK:
        layers, modules = backbone.layers, list(backbone.layers.modules())
        linears = [module for module in modules if type(module) is nn.Linear]
        switched = any(hasattr(module, "set_adapter") for module in modules)
        if switched or not any(_gains(linear.weight) for linear in linears):
            return backbone
        # Everything except the linear layers is shared: deepcopy takes it from its memo as already copied.
        configs = (module.config for module in modules if hasattr(module, "config"))
        copied: dict[int, Any] = {id(part): part for part in (*layers.parameters(), *layers.buffers(), *configs)}
        copied |= {id(linear): PrepackedLinear(linear) if _gains(linear.weight) else linear for linear in linears}
        result = shallow_copy(backbone)
        result.layers = copy.deepcopy(layers, copied)
        return result


def shallow_copy(module: Any) -> Any:
    """Return a copy for inference that shares weights and parts; replacing a part changes the copy only."""
    result = copy.copy(module)
    result._modules = dict(module._modules)
    result.training = False
    return result


def forget_prepacked(backbone: Any) -> None:
    """Drop the prepacked weights of a decoder after a change of its weights that torch does not count."""
    with _LOCK:
        for module in backbone.layers.modules():
            _BLOCKS.pop(module, None)


@cache
def is_faster(precision: torch.dtype) -> bool:
    """Tell whether prepacked products of a precision are clearly faster on this processor, by measuring them."""
    if precision not in _PRECISIONS or not _available():
        return False
    weight = torch.ones(_OUTER, _INNER, dtype=precision)
    rows = torch.ones(1, _ROWS, _INNER, dtype=precision)
    with torch.inference_mode():
        blocks = torch.ops.mkldnn._reorder_linear_weight(weight)
        return _seconds(lambda: F.linear(rows, weight)) > _MARGIN * _seconds(lambda: _multiply(rows, blocks, None))


def _gains(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype in _PRECISIONS and is_faster(weight.dtype)


def _available() -> bool:
    names = ("_reorder_linear_weight", "_linear_pointwise")  # private to torch, which may remove them
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


def _multiply(rows: Tensor, blocks: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, blocks, bias, "none", [], "")


def _blocks_of(linear: nn.Linear) -> Tensor:
    weight = linear.weight.detach()
    version = 0 if linear.weight.is_inference() else linear.weight._version
    state = (weight.data_ptr(), version, weight.dtype)
    entry = _BLOCKS.get(linear)
    if entry is None or entry[0] != state:
        with torch.inference_mode():
            entry = _BLOCKS[linear] = (state, torch.ops.mkldnn._reorder_linear_weight(weight))
    return entry[1]


def _seconds(run: Callable[[], Any]) -> float:
    """Return the shortest time of several runs."""
    return min(timeit.repeat(run, repeat=_TIMES + 1, number=1))
