"""Eight bits for speed on a CPU, by torch's own kernels; bitsandbytes' save memory only.

Weights are quantized once, with a scale for each output, and activations at each call. bitsandbytes' int8 is no faster
than single precision on a CPU. The result is for inference: it has no gradients and cannot be saved.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn

from genre_gen.decoding.onednn import shallow_copy
from genre_gen.errors import ConfigError


def to_int8(backbone: Any) -> Any:
    """Return a copy of a decoder whose layers compute in eight bits; see :func:`int8_layers`."""
    result = shallow_copy(backbone)
    result.layers = int8_layers(copy.deepcopy(backbone.layers)).eval()
    return result


def int8_layers(layers: nn.ModuleList) -> nn.ModuleList:
    """Quantize the linear layers in place, and return the layers; norms stay in single precision.

    LoRA adapters must be merged first; :mod:`genre_gen.llm.quantize` does both for a whole recommender.

    Raises:
        ConfigError: the layers are not on the CPU, or torch no longer has these kernels.
    """
    if any(parameter.device.type != "cpu" for parameter in layers.parameters()):
        raise ConfigError("torch's int8 layers run on a CPU only; move the model there, or use bitsandbytes' int8")
    # torch plans to remove this in favour of torchao, whose int8 is not faster on processors without matrix units.
    quantize = getattr(getattr(torch.ao, "quantization", None), "quantize_dynamic", None)
    if quantize is None:
        raise ConfigError("this torch has no quantize_dynamic any more; use single precision, or torch < 2.14")
    scheme = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(torch.ao.quantization|quantized tensor creation functions)")
        return quantize(layers.float(), scheme, inplace=True)
