"""The item backbone: the first layers of the language model, for items and short closed answers.

It has its own module objects, so that several threads can process items and text at the same time. With
``adapter="full"`` they have a trainable copy of the weights. With ``adapter="lora"`` they use the same linear layers
as the base, and only the LoRA adapter and the final norm need extra memory.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from genre_gen.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ITEM, TEXT = "item", "text"  # names of the LoRA adapters (torch allows no module called "items")
_RANKS = {ITEM: 32, TEXT: 8}  # items differ most from the pre-training; text only needs formats and item codes


def layers_of(backbone: Any) -> int:
    """Return the number of layers of a decoder; raises ConfigError if it lacks layers or a final norm."""
    if not hasattr(backbone, "layers") or not hasattr(backbone, "norm"):
        raise ConfigError(
            f"{type(backbone).__name__} is not a decoder with layers and a final norm; choose another llm"
        )
    return len(backbone.layers)


def exit_depth(layers: int, exit_layer: int | None) -> int:
    """Return the number of layers of the item backbone; raises ConfigError if the model has fewer."""
    if exit_layer is not None and exit_layer > layers:
        raise ConfigError(f"model.exit_layer = {exit_layer}, but the model has {layers} layers")
    return exit_layer or layers


def copied_backbone(base: PreTrainedModel, depth: int) -> Any:
    """Return a trainable copy of the first layers, in single precision for a base of any precision."""
    backbone = _shell(base.model, depth)
    backbone._modules.pop("embed_tokens", None)  # its input are embeddings
    backbone.layers = copy.deepcopy(backbone.layers).float()
    for parameter in backbone.parameters():
        parameter.requires_grad_(True)
    return backbone


def adapted_backbone(base: PreTrainedModel, depth: int) -> Any:
    """Return new modules with the weights of the first layers and a LoRA adapter of their own.

    Call it before another adapter is added to the base, since the plain linear layers are shared.
    """
    backbone = _shell(base.model, depth)
    shared: list[Any] = [*backbone.layers.parameters(), *backbone.layers.buffers()]
    for module in backbone.layers.modules():
        shared += [module] if isinstance(module, nn.Linear) else []
        shared += [module.config] if hasattr(module, "config") else []
    backbone.layers = copy.deepcopy(backbone.layers, {id(part): part for part in shared})
    holder = copy.copy(base)  # tells PEFT the kind of quantization of the base
    holder._modules = {**base._modules, "model": backbone}
    add_adapter(holder, ITEM)
    backbone._modules.pop("embed_tokens", None)  # PEFT needed it; the backbone's input are embeddings
    for parameter in backbone.norm.parameters():
        parameter.requires_grad_(True)
    return backbone


def add_adapter(base: PreTrainedModel, name: str) -> None:
    """Put a LoRA adapter, in single precision, around every linear layer of a model's decoder."""
    from peft import LoraConfig, inject_adapter_in_model

    rank, decoder = _RANKS[name], base.model
    # The 8- and 4-bit layers of bitsandbytes are linear layers too.
    linear = {path.rsplit(".", 1)[-1] for path, part in decoder.layers.named_modules() if isinstance(part, nn.Linear)}
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=sorted(linear), bias="none")
    inject_adapter_in_model(config, base, adapter_name=name)
    for path, parameter in decoder.named_parameters():
        if ".lora_" in path:
            parameter.data = parameter.data.float()  # updates are too small for bfloat16


def adapter_shapes(layer: nn.Module, layers: int, name: str) -> dict[str, tuple[int, int]]:
    """Return the shapes of the weights that :func:`add_adapter` gives a model of ``layers`` equal layers, by name."""
    shapes, rank = {}, _RANKS[name]
    for path, part in layer.named_modules():
        if isinstance(part, nn.Linear):
            for number in range(layers):
                place = f"model.layers.{number}.{path}"
                shapes[f"{place}.lora_A.{name}.weight"] = (rank, part.in_features)
                shapes[f"{place}.lora_B.{name}.weight"] = (part.out_features, rank)
    return shapes


def precision(backbone: Any) -> torch.dtype:
    """Return the precision of a backbone's layers: that of their norms, which are never quantized."""
    parameters = backbone.layers[0].named_parameters()
    return next((parameter.dtype for path, parameter in parameters if "norm" in path), torch.float32)


def _shell(backbone: Any, depth: int) -> Any:
    """Return a second backbone over the first ``depth`` layers, with a norm of its own."""
    shell = copy.copy(backbone)
    shell._modules = dict(backbone._modules)
    shell.config = copy.deepcopy(backbone.config)
    shell.config.num_hidden_layers = depth
    if getattr(shell.config, "layer_types", None):
        shell.config.layer_types = shell.config.layer_types[:depth]
    shell.layers = nn.ModuleList(list(backbone.layers)[:depth])
    shell.norm = copy.deepcopy(backbone.norm).float()
    return shell
