"""Prepacking: a decoder whose linear layers store their weights in the memory layout that this processor reads fastest.

torch computes products in single precision with MKL, which is limited to AVX2 on processors of other makers than
Intel. oneDNN, also part of torch, uses all instructions of the processor. The faster one is measured once for each
precision; layers are prepacked only if oneDNN wins by a clear margin. The results differ in rounding only.

Prepacked weights are a second copy in memory; training and saving use the decoder itself. Most of the last layer is
computed for one token per user, which the usual product does faster, so it is prepacked when several users are first
read together.
"""

from __future__ import annotations

import copy
import timeit
from collections.abc import Callable, Sequence
from functools import cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from genre_gen.llm.decoder import LINEARS, Decoder

_MARGIN = 1.2  # the least speed-up for which the second copy is worth its memory
_ROWS, _INNER, _OUTER, _TIMES = 16, 576, 768, 5  # of the product that is timed, and the number of repetitions
_PRECISIONS = (torch.float32, torch.bfloat16)
_SCALES = ("q_per_channel_scales", "q_per_channel_zero_points")

_BLOCKS: WeakKeyDictionary[nn.Linear, dict[int, tuple[Any, Tensor]]] = WeakKeyDictionary()
_LOCK = Lock()  # of the blocks; one thread measures and packs, others wait for the result


class PrepackedLinear(nn.Module):
    """Linear layers of the same input as one product with prepacked weights; only for inference."""

    def __init__(self, *linears: nn.Linear, at_once: bool = True) -> None:
        """Prepack the weights of one or several layers; several that wrap the same layers share them.

        With ``at_once`` False, that is done for the first input of several rows.
        """
        super().__init__()
        self.linears = nn.ModuleList(linears)
        self._blocks = _blocks_of(linears) if at_once else None
        self._bias = _joined_bias([linear.bias for linear in linears])

    def forward(self, rows: Tensor) -> Tensor:
        """Return ``rows [..., inner]`` times the weights, ``[..., outer]``, one layer after the other."""
        if rows.dtype == torch.float32 and rows.numel() == rows.shape[-1]:  # for a single row MKL is faster
            parts = [linear(rows) for linear in self.linears]
            return parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        if self._blocks is None:
            with _LOCK:
                self._blocks = _blocks_of(list(self.linears))  # type: ignore[arg-type]
        return _multiply(rows, self._blocks, self._bias)


def prepack(backbone: Any) -> Any:
    """Return an equivalent decoder with prepacked layers where these are faster.

    It is a :class:`~genre_gen.llm.decoder.Decoder` where one can do. Later changes of the weights are not noticed.
    Layers on other devices than the CPU, and switchable adapters, are not prepacked.
    """
    with _LOCK:
        if (ours := Decoder.over(backbone)) is not None:
            return _prepacked(ours)
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


def _prepacked(decoder: Decoder) -> Decoder:
    """Replace, in place, linear layers by prepacked ones, and those of queries, keys and values by one product.

    In the last layer these stay apart, since its queries are mostly those of a single token; only keys and values are
    those of all tokens.
    """
    for layer in decoder.layers:
        attention: Any = layer.self_attn
        last = layer is decoder.layers[-1]
        if not last and attention.q_norm is None:
            attention.qkv_proj = _joined((attention.q_proj, attention.k_proj, attention.v_proj))
        for path in LINEARS:
            linear = layer.get_submodule(path)
            joined = attention.qkv_proj is not None and path.endswith(("q_proj", "k_proj", "v_proj"))
            if type(linear) is nn.Linear and _gains(linear.weight) and not joined:
                at_once = not last or path.endswith(("k_proj", "v_proj"))
                layer.set_submodule(path, PrepackedLinear(linear, at_once=at_once))
    return decoder


def _joined(parts: Sequence[nn.Module]) -> nn.Module | None:
    """Return layers of the same input as one; None if that has no advantage."""
    if all(type(part) is nn.Linear and _gains(part.weight) for part in parts):
        return PrepackedLinear(*parts)  # type: ignore[arg-type]
    if all(hasattr(part, "_packed_params") and type(part) is type(parts[0]) for part in parts):
        return _joined_int8(parts)
    return None


def _joined_int8(parts: Sequence[Any]) -> nn.Module:
    """Return torch's 8-bit layers as one with the same weights, which rounds the input once."""
    weights = [part.weight() for part in parts]
    scales, zeros = (torch.cat([getattr(weight, name)() for weight in weights]) for name in _SCALES)
    rounded = torch.cat([weight.int_repr() for weight in weights])
    joined = type(parts[0])(parts[0].in_features, len(rounded))
    whole = torch._make_per_channel_quantized_tensor(rounded, scales, zeros, 0)
    joined.set_weight_bias(whole, _joined_bias([part.bias() for part in parts]))
    return joined


def _joined_bias(parts: Sequence[Tensor | None]) -> Tensor | None:
    biases = [part for part in parts if part is not None]
    return torch.cat(biases) if biases else None


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
    """Tell whether prepacked products of a precision are clearly faster on this processor, by measuring them.

    Some processors lack the instructions for a precision; oneDNN then refuses it, and torch's usual product is used.
    Where AVX2 is all there is, MKL uses the same instructions, so single precision is not measured: that would load
    parts of oneDNN, and a busy processor could give the wrong answer.
    """
    if precision not in _PRECISIONS or not _available():
        return False
    if precision == torch.float32 and torch.backends.cpu.get_cpu_capability() == "AVX2":
        return False
    weight = torch.ones(_OUTER, _INNER, dtype=precision)
    rows = torch.ones(1, _ROWS, _INNER, dtype=precision)
    with torch.inference_mode():
        try:
            blocks = torch.ops.mkldnn._reorder_linear_weight(weight)
            prepacked = _seconds(lambda: _multiply(rows, blocks, None))
        except RuntimeError:
            return False
        return _seconds(lambda: F.linear(rows, weight)) > _MARGIN * prepacked


def _gains(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype in _PRECISIONS and is_faster(weight.dtype)


def _available() -> bool:
    names = ("_reorder_linear_weight", "_linear_pointwise")  # private to torch, which may remove them
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


def _multiply(rows: Tensor, blocks: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, blocks, bias, "none", [], "")


def _blocks_of(linears: Sequence[nn.Linear]) -> Tensor:
    weights = [linear.weight for linear in linears]
    state = [(weight.data_ptr(), 0 if weight.is_inference() else weight._version, weight.dtype) for weight in weights]
    known = _BLOCKS.setdefault(linears[0], {})
    if len(linears) not in known or known[len(linears)][0] != state:
        with torch.inference_mode():
            whole = torch.cat([weight.detach() for weight in weights]) if len(weights) > 1 else weights[0].detach()
            known[len(linears)] = (state, torch.ops.mkldnn._reorder_linear_weight(whole))
    return known[len(linears)][1]


def _seconds(run: Callable[[], Any]) -> float:
    """Return the shortest time of several runs."""
    return min(timeit.repeat(run, repeat=_TIMES + 1, number=1))
