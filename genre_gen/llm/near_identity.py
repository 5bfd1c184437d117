"""Near-identity initialisation: an item backbone starts as a recommender of items similar to the last one.

Fed embeddings that it has never seen, a pre-trained model outputs hidden states that carry no item information. So
what each layer adds to the residual stream is scaled down: a state is then nearly the embedding of the last item. Since
input and output embeddings are the same, the model ranks that item's neighbours. Attention learns from there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_OWN_LOGIT = 8.0  # logit of an item after itself if the layers add nothing
_LAST = ("o_proj", "out_proj", "dense", "c_proj", "down_proj", "fc2")  # the last module of a branch
_NORMS_AFTER = (  # the branches; in Llama the first name is that of the norm before the feed-forward part
    ("post_attention_layernorm", "post_feedforward_layernorm"),
    ("post_self_attn_layernorm", "post_mlp_layernorm"),
)


@torch.no_grad()
def scale_branches(backbone: Any, scale: float, length: float) -> None:
    """Scale down, in place, what a backbone adds to the embeddings that it reads.

    The layers' output is multiplied by ``scale``, 0 to 1. The final norm is set so that an item's logit after itself is
    ``_OWN_LOGIT`` for embeddings of this mean ``length``. Branches and norms are found by their usual names.
    """
    norm = backbone.norm
    root = len(norm.weight) ** 0.5
    for layer in backbone.layers:
        _scale_layer(layer, scale, length / root or 1.0)
    if length > 0:
        norm.weight.fill_(_OWN_LOGIT / (length * root) - _offset(norm))


def _scale_layer(layer: Any, scale: float, size: float) -> None:
    """Scale what a layer adds to the residual stream; ``size`` is the root mean square of the states that it reads.

    If a norm follows a branch (Gemma 2 and 3, OLMo 2, GLM 4), that norm alone decides how much is added. Its gain is
    scaled then, to at most ``scale`` times the size of states.
    """
    for names in _NORMS_AFTER:
        if all(hasattr(layer, name) for name in names):
            for norm in (getattr(layer, name) for name in names):
                gain = norm.weight + _offset(norm)
                excess = max(1.0, float(gain.abs().mean()) / size)
                norm.weight.copy_(gain * (scale / excess) - _offset(norm))
            return
    for branch in (layer.self_attn, layer.mlp):
        linear = {path: part for path, part in branch.named_modules() if isinstance(part, nn.Linear)}
        outputs = [part for path, part in linear.items() if path.rsplit(".", 1)[-1] in _LAST]
        for module in outputs or [*linear.values()][-1:]:
            module.weight.mul_(scale)
            if module.bias is not None:
                module.bias.mul_(scale)


def _offset(norm: Any) -> float:
    """Return 1 for a norm whose gain is one more than its weight (Gemma), else 0."""
    weight = norm.weight.detach().clone()
    norm.weight.fill_(0)
    states = torch.linspace(-1, 1, len(weight), device=weight.device, dtype=weight.dtype)
    passes = bool((norm(states) - norm(-states)).any())  # the difference cancels a bias
    norm.weight.copy_(weight)
    return float(passes)
