"""Eight bits for speed on a CPU: what bitsandbytes does for memory, torch's own kernels do for time.

Weights are quantized once, with a scale for each output, activations at each call. bitsandbytes' int8 is no faster than
single precision on a CPU. The result only answers: it has no gradients and is not saved.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn

from genre_gen.errors import ConfigError


def to_int8(backbone: Any) -> Any:
    """Return a copy of a decoder on the CPU whose linear layers compute in eight bits; norms stay in single precision.

    LoRA adapters must be merged before; :mod:`genre_gen.llm.quantize` does both for a whole recommender.

    Raises:
        ConfigError: a decoder on another device, or a torch that no longer has these kernels.
    """
    result = copy.copy(backbone)
    result._modules = dict(backbone._modules)
    result.layers = int8_layers(copy.deepcopy(backbone.layers))
    return result.eval()


def int8_layers(layers: nn.ModuleList) -> nn.ModuleList:
    """Quantize layers in place, and return them; see :func:`to_int8`."""
    if any(parameter.device.type != "cpu" for parameter in layers.parameters()):
        raise ConfigError("torch's int8 layers run on a CPU only; move the model there, or use bitsandbytes' int8")
    # torch plans to take this out in favour of torchao, which has no faster int8 for processors without matrix units.
    quantize = getattr(getattr(torch.ao, "quantization", None), "quantize_dynamic", None)
    if quantize is None:
        raise ConfigError("this torch has no quantize_dynamic any more; use single precision, or torch < 2.14")
    scheme = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(torch.ao.quantization|quantized tensor creation functions)")
        return quantize(layers.float(), scheme, inplace=True)
