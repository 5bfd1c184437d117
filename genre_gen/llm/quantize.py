"""Quantization of a trained model for serving: smaller, and faster on a CPU; it cannot be trained afterwards.

For training, ``model.quantization`` loads the base in few bits. Here the weights were trained in full precision;
adapters are merged into their layers, and these are rounded. The item codes' embeddings are never rounded.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn

from genre_gen.errors import ConfigError
from genre_gen.llm.fingerprint import full_weights
from genre_gen.llm.int8 import int8_layers
from genre_gen.llm.item_backbone import ITEM, TEXT
from genre_gen.llm.load import check_blocks, settle_int8, settle_nf4

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from genre_gen.llm.model import LLM

Kernels: TypeAlias = Literal["torch", "bitsandbytes"]


@torch.no_grad()
def quantize(llm: LLM, scheme: str, kernels: Kernels | None = None) -> None:
    """Quantize a trained model in place. It can be neither trained nor saved afterwards.

    Args:
        llm: a model in full precision, with either kind of adapter.
        scheme: ``none`` changes nothing; ``bf16`` halves every weight; ``int8`` rounds the layers to eight bits;
            ``nf4`` rounds them to four, and the text embeddings to bfloat16.
        kernels: for int8; by default torch's own on a CPU, where they are fast, and bitsandbytes' on a GPU.

    Raises:
        ConfigError: the model is already quantized, the kernels are not for its device, or its widths do not fit the
            blocks of nf4.
    """
    if scheme == "none":
        return
    present = llm.served if llm.served != "none" else llm.settings.quantization
    if present != "none":
        raise ConfigError(
            f"the model is already quantized ({present}), so it cannot become {scheme}; "
            "quantization for serving is for models trained with model.quantization = none"
        )
    if scheme == "int8" and kernels is None:
        kernels = "torch" if llm.device.type == "cpu" else "bitsandbytes"
    llm.full_weights = full_weights(llm)
    llm.item_backbone.layers = _rounded(merged(copy.deepcopy(llm.item_backbone.layers), ITEM), scheme, kernels)
    llm.round_base = partial(_round_base, scheme=scheme, kernels=kernels)
    if scheme == "bf16":
        llm.item_backbone.to(torch.bfloat16)
    if scheme in ("bf16", "nf4"):
        llm.text_precision = torch.bfloat16
    if llm.pretrained is None:
        llm.round_base(llm.base)
    llm.served = scheme


@torch.no_grad()
def _round_base(base: PreTrainedModel, scheme: str, kernels: Kernels | None) -> None:
    """Quantize the pre-trained model in place, its adapter merged."""
    backbone: Any = base.model
    backbone.layers = _rounded(merged(backbone.layers, TEXT), scheme, kernels)
    embeddings = [base.get_input_embeddings(), base.get_output_embeddings()]
    for module in {"bf16": [*embeddings, backbone], "nf4": embeddings}.get(scheme, ()):
        module.to(torch.bfloat16)


def merged(layers: nn.ModuleList, adapter: str) -> nn.ModuleList:
    """Replace, in place, each LoRA layer by the equivalent plain layer with this adapter; return the layers."""
    if not any(".lora_" in name for name, _ in layers.named_parameters()):
        return layers
    from peft.tuners.lora import LoraLayer

    for path, module in list(layers.named_modules()):
        if isinstance(module, LoraLayer):
            if adapter in module.lora_A:
                module.merge(adapter_names=[adapter])
            layers.set_submodule(path, module.get_base_layer())
    return layers


def weight_bytes(llm: LLM) -> int:
    """Return the bytes of all weights in memory; weights that several parts share are counted once."""
    tensors = [*llm.parameters(), *llm.buffers()]
    for module in llm.modules():
        tensors += _packed(module)
    return sum({(tensor.data_ptr(), tensor.nbytes): tensor.nbytes for tensor in tensors}.values())


def _rounded(layers: nn.ModuleList, scheme: str, kernels: Kernels | None) -> nn.ModuleList:
    if scheme == "int8" and kernels == "torch":
        return int8_layers(layers)
    if scheme in ("int8", "nf4"):
        for path, module in list(layers.named_modules()):
            if isinstance(module, nn.Linear):
                layers.set_submodule(path, _bitsandbytes(module, scheme))
    return layers


def _bitsandbytes(linear: nn.Linear, scheme: str) -> nn.Module:
    """Return a linear layer rounded by bitsandbytes, which rounds weights when they are moved to a device."""
    import bitsandbytes as bnb

    from genre_gen.downloads.third_party_logging import quiet_bitsandbytes

    quiet_bitsandbytes()
    weight, device = linear.weight.data, linear.weight.device
    sizes = (linear.in_features, linear.out_features, linear.bias is not None)
    layer: Any
    if scheme == "nf4":
        layer = bnb.nn.Linear4bit(*sizes, compute_dtype=weight.dtype, quant_type="nf4", compress_statistics=True)
        layer.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=True)
    else:
        layer = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False)
        layer.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    layer.bias = linear.bias
    layer = layer.to(device)
    check_blocks(layer)
    settle_int8(layer)
    settle_nf4(layer)
    return layer


def _packed(module: Any) -> list[torch.Tensor]:
    """Return the weights of a module that are not parameters: torch's packed weights, bitsandbytes' scales."""
    tensors: list[Any] = []
    if hasattr(module, "_packed_params") and hasattr(module, "weight"):  # int8 weights, a scale for each output
        weight = module.weight()
        tensors += [weight.int_repr(), weight.q_per_channel_scales()]
    state = getattr(getattr(module, "weight", None), "quant_state", None)
    if state is not None:
        second = getattr(state, "state2", None)  # scales of scales; a packed layer has none
        tensors += [state.absmax, state.code, getattr(second, "absmax", None)]
    return [tensor for tensor in tensors if tensor is not None]
