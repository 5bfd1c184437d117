"""How the search reads tokens, whatever the decoder: ours for the Llama family, transformers' own for all others."""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias

import torch
from torch import Tensor

from genre_gen.errors import ConfigError
from genre_gen.llm.decoder import Decoder, KeyValues


class TransformersDecoder:
    """A decoder of transformers, read as :meth:`genre_gen.llm.decoder.Decoder.read` reads ours."""

    def __init__(self, backbone: Any) -> None:
        """Wrap a model of ``AutoModel`` with attention "sdpa" or "eager" (others do not accept the tree's mask).

        Raises:
            ConfigError: the decoder has layers other than attention over all or the last tokens.
        """
        self.backbone, self._config = backbone, backbone.config
        self._layer_types: set[str] = set(getattr(backbone.config, "layer_types", None) or ())
        if other := self._layer_types - {"full_attention", "sliding_attention"}:
            raise ConfigError(
                f"{type(backbone).__name__} has {', '.join(sorted(other))} layers, which cannot continue a prompt in "
                "many ways at once; use CatalogLogitsProcessor with generate, or another llm"
            )

    def read(
        self,
        embeddings: Tensor,
        cache: KeyValues | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        last: Tensor | None = None,
    ) -> Tensor:
        """Return hidden states; see :meth:`genre_gen.llm.decoder.Decoder.read`."""
        from transformers import DynamicCache

        kept: Any = DynamicCache()  # without a config it never drops old tokens
        for number, layer in enumerate(cache.layers if cache is not None else ()):
            kept.update(*(part.expand(len(embeddings), -1, -1, -1) for part in layer), number)
        given = None if mask is None or positions is None else self._mask(mask, positions, embeddings.dtype)
        states = self.backbone(
            inputs_embeds=embeddings,
            position_ids=None if positions is None else positions[:, -embeddings.shape[1] :],
            attention_mask=given,
            use_cache=cache is not None,
            **{self._cache_argument: kept if cache is not None else None},
        ).last_hidden_state
        if cache is not None:
            cache.layers = [(layer.keys, layer.values) for layer in kept.layers]
        return states if last is None else states[torch.arange(len(last), device=last.device), last][:, None]

    @property
    def _cache_argument(self) -> str:
        """Return the name of the decoder's argument for its cache; transformers 5 renamed it."""
        return "cache" if "cache" in inspect.signature(self.backbone.forward).parameters else "past_key_values"

    def _mask(self, visible: Tensor, positions: Tensor, dtype: torch.dtype) -> Any:
        """Return an attention mask in the form that the decoder expects."""
        full = self._as_mask(visible, dtype)
        window: int | None = getattr(self._config, "sliding_window", None)
        if window is None or self._layer_types == {"full_attention"}:
            return full
        near = positions[:, -visible.shape[2] :, None] - positions[:, None] < window
        sliding = self._as_mask(visible & near[:, None], dtype)
        # A decoder without layer types uses a sliding window in every layer.
        return {"full_attention": full, "sliding_attention": sliding} if self._layer_types else sliding

    def _as_mask(self, visible: Tensor, dtype: torch.dtype) -> Tensor:
        """Return ``[rows, 1, queries, keys]``: boolean for sdpa, numbers to add for eager attention."""
        kind = self._config._attn_implementation
        if kind == "sdpa":
            return visible
        if kind != "eager":
            raise ConfigError(f'attention "{kind}" cannot continue a prompt in many ways; load the llm with "sdpa"')
        hidden = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return hidden.masked_fill(~visible, torch.finfo(dtype).min)


AnyDecoder: TypeAlias = Decoder | TransformersDecoder


def decoder_of(backbone: Any) -> AnyDecoder:
    """Return what reads tokens with a backbone's weights: our decoder if it computes the same, see its ``supports``.

    Raises:
        ConfigError: the decoder has layers other than attention over all or the last tokens.
    """
    if isinstance(backbone, Decoder):
        return backbone
    return Decoder.over(backbone) or TransformersDecoder(backbone)
