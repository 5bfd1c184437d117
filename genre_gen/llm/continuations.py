"""Reading the next tokens of many users in one pass, each after keys and values of their own.

The new tokens of all users are one row for the linear layers, so nothing is padded; attention is computed user by user.
A user whose prompt grew by one item costs one token, however long the prompt is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from genre_gen.llm.decoder import Decoder, KeyValues


def read_continuations(
    decoder: Decoder, embeddings: Tensor, sizes: Sequence[int], caches: Sequence[KeyValues]
) -> Tensor:
    """Return the hidden state of each user's last token, after the final norm: ``[users, hidden]``.

    Args:
        decoder: in evaluation mode.
        embeddings: ``[1, tokens, hidden]``, the new tokens of one user after the other.
        sizes: the number of new tokens of each user, at least 1.
        caches: of the tokens before these; keys and values of the new ones are appended.
    """
    pasts = [cache.length for cache in caches]
    ends = torch.tensor(sizes).cumsum(0)
    last = (ends - 1).to(embeddings.device)
    parts = [(end - size, end) for size, end in zip(sizes, ends.tolist(), strict=True)]
    positions = torch.cat([torch.arange(past, past + size) for past, size in zip(pasts, sizes, strict=True)])
    cos, sin = decoder.rotation(positions[None].to(embeddings.device), int(positions.max()) + 1, embeddings.dtype)
    masks = [_causal(size, past, embeddings) for size, past in zip(sizes, pasts, strict=True)]
    hidden = embeddings
    layer: Any  # modules of the decoder, whose types torch does not know
    for number, layer in enumerate(decoder.layers):
        normed, attention = layer.input_layernorm(hidden), layer.self_attn
        final = number == len(decoder.layers) - 1
        queries, keys, values = attention.project(normed, (cos, sin), queries=not final)
        if final:  # only the last tokens' states are wanted
            hidden, normed = hidden[:, last], normed[:, last]
            queries = attention.queries(normed, (cos[:, last], sin[:, last]))
        grouped = queries.shape[1] != keys.shape[1]
        attended = []
        for user, (begin, end) in enumerate(parts):
            known = caches[user].append(number, keys[:, :, begin:end], values[:, :, begin:end])
            own = queries[:, :, user : user + 1] if final else queries[:, :, begin:end]
            mask = None if final else masks[user]
            seen = F.scaled_dot_product_attention(own, *known, attn_mask=mask, enable_gqa=grouped)
            attended.append(seen.transpose(1, 2))
        hidden = hidden + attention.o_proj(torch.cat(attended, dim=1).flatten(2))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    states: Tensor = decoder.norm(hidden)[0]
    return states


def _causal(size: int, past: int, like: Tensor) -> Tensor | None:
    """Return the mask of new tokens that see all before them, ``[size, past + size]``; None for one token."""
    if size == 1:
        return None
    return torch.full((size, past + size), -torch.inf, dtype=like.dtype, device=like.device).triu_(past + 1)
