"""A decoder of the Llama family for inference, by torch alone: Llama, Mistral, Qwen 2 and Qwen 3 without windows.

Its parameters have the names that transformers gives them, so weights of one are weights of the other. The results
differ in rounding only. It does less than transformers' own layers:

* rotations and the causal mask are made once for all layers;
* attention reads keys and values of grouped heads where they are, and skips most keys that come after a query;
* the last layer is computed for one token per row if only that token's state is wanted (five sixths of a layer).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

_FAMILIES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}  # prefix of class names
_SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
_QUERIES = 64  # that see the same keys in one product; the first of them mask more than they need
LINEARS = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)
"""The linear layers of each layer, by their paths."""


def supports(config: Mapping[str, Any]) -> bool:
    """Tell whether :class:`Decoder` computes the model of a configuration, as in ``config.json``.

    Other families, sliding windows and other scalings of positions than ``linear`` and ``llama3`` are not supported.
    """
    kind, rope = config.get("model_type"), _rope(config)
    scaled = {"default": (), "linear": ("factor",), "llama3": _LLAMA3}.get(rope.get("rope_type", "default"))
    # Mistral's window is 4096 where the configuration has none.
    windowed = config.get("sliding_window", 4096 if kind == "mistral" else None) and config.get("use_sliding_window", 1)
    return (
        kind in _FAMILIES
        and all(isinstance(config.get(name), int) for name in _SIZES)
        and config.get("hidden_act", "silu") == "silu"
        and set(config.get("layer_types") or ()) <= {"full_attention"}
        and not windowed
        and scaled is not None
        and all(name in rope for name in scaled)
        and rope.get("partial_rotary_factor", 1.0) == 1.0
    )


class KeyValues:
    """Keys and values of the tokens that a decoder has read, in order.

    Tensors are replaced and never written to, so that several caches may begin with the same ones.

    Attributes:
        layers: per layer keys and values, ``[rows, heads, tokens, head size]`` each. Before anything is appended, one
            row stands for any number of rows.

    Example:
        >>> cache = KeyValues()
        >>> decoder.read(embeddings[:, :5], cache).shape, cache.length
        (torch.Size([1, 5, 576]), 5)
    """

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        """Begin with the keys and values of each layer."""
        self.layers = list(layers)

    @property
    def length(self) -> int:
        """Return the number of tokens."""
        return self.layers[0][0].shape[2] if self.layers else 0

    def append(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append new tokens of one layer; return all of its keys and values."""
        if number == len(self.layers):
            self.layers.append((keys.contiguous(), values.contiguous()))  # not parts of larger tensors
        else:
            pairs = zip(self.layers[number], (keys, values), strict=True)
            old_keys, old_values = (torch.cat([old.expand(len(new), -1, -1, -1), new], dim=2) for old, new in pairs)
            self.layers[number] = old_keys, old_values
        return self.layers[number]

    def select(self, rows: Tensor | Sequence[int]) -> None:
        """Keep some rows, int64; a row may occur several times."""
        self.layers = [(keys[rows], values[rows]) for keys, values in self.layers]


class Output(NamedTuple):
    """What a decoder returns; the name is that of transformers."""

    last_hidden_state: Tensor


class Decoder(nn.Module):
    """The layers and the final norm of a language model, without embeddings and head.

    Attributes:
        config: the configuration, as attributes.
        layers: the layers, with the names and parameters of transformers.
        norm: the final norm.

    Example:
        >>> config = json.loads((folder / "config.json").read_text())
        >>> supports(config)
        True
        >>> Decoder(config, depth=3).read(torch.randn(1, 12, config["hidden_size"])).shape
        torch.Size([1, 12, 576])
    """

    def __init__(self, config: Mapping[str, Any], depth: int | None = None) -> None:
        """Make modules for a supported configuration with ``depth`` layers, by default all; weights are arbitrary."""
        super().__init__()
        shape = _Shape.of(config)
        depth = depth or config["num_hidden_layers"]
        changed = {"num_hidden_layers": depth, "_attn_implementation": "sdpa"}
        if config.get("layer_types"):
            changed["layer_types"] = ["full_attention"] * depth
        self.config = SimpleNamespace(**{**config, **changed})
        self.layers = nn.ModuleList([_Layer(shape) for _ in range(depth)])
        self.norm = _Norm(shape.hidden, shape.eps)
        self._head_size = shape.head
        self._tables: tuple[Tensor, Tensor] | None = None  # of positions from 0 on, replaced by longer ones

    @classmethod
    def over(cls, backbone: Any) -> Decoder | None:
        """Return a decoder with the weights and linear layers of another, or of one of transformers, which it shares.

        None if that has other parts than those of its family, whatever they compute.
        """
        if isinstance(backbone, cls):
            return cls._sharing(vars(backbone.config), backbone)
        config = backbone.config.to_dict()
        prefix = _FAMILIES.get(config.get("model_type"), "")
        parts = {"": "DecoderLayer", "self_attn": "Attention", "mlp": "MLP", "input_layernorm": "RMSNorm"}
        if not supports(config) or any(
            type(layer.get_submodule(path)).__name__ != prefix + name
            for layer in backbone.layers
            for path, name in parts.items()
        ):
            return None
        return cls._sharing(config, backbone)

    @classmethod
    def _sharing(cls, config: Mapping[str, Any], backbone: Any) -> Decoder:
        with torch.device("meta"):
            decoder = cls(config, len(backbone.layers))
        for ours, theirs in zip(decoder.layers, backbone.layers, strict=True):
            for path in LINEARS:
                ours.set_submodule(path, theirs.get_submodule(path))
            for path, part in ours.named_modules():
                if isinstance(part, _Norm):
                    part.weight = theirs.get_submodule(path).weight
        decoder.norm.weight = backbone.norm.weight
        return decoder.train(backbone.training)

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KeyValues | None = None,
        use_cache: bool | None = None,  # of the interface of transformers; here a cache is used if given
    ) -> Output:
        """Return hidden states, called as a decoder of transformers is; see :meth:`read`."""
        return Output(self.read(inputs_embeds, cache, position_ids, attention_mask))

    def read(
        self,
        embeddings: Tensor,
        cache: KeyValues | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        last: Tensor | None = None,
    ) -> Tensor:
        """Return the hidden states of tokens, after the final norm.

        Args:
            embeddings: ``[rows, tokens, hidden]``.
            cache: of the tokens before these; their keys and values are appended.
            positions: int64 ``[rows or 1, tokens]``, or those of the cached and the new tokens; by default the new ones
                follow the cache.
            mask: bool ``[rows or 1, 1, tokens, cached and new tokens]``, what each token sees; by default all before
                it, and itself.
            last: int64 ``[rows]``, the only token of each row whose state is wanted.

        Returns:
            ``[rows, tokens, hidden]``; with ``last`` ``[rows, 1, hidden]``.
        """
        new = embeddings.shape[1]
        past = cache.length if cache is not None else 0
        length = past + new if positions is None else int(positions.max()) + 1
        if positions is None:
            positions = torch.arange(past, past + new, device=embeddings.device)[None]
        positions = positions[:, -new:]
        visible = _additive(mask, embeddings.dtype) if mask is not None else _causal(embeddings, past)
        step = _Step(self.rotation(positions, length, embeddings.dtype), visible, past if mask is None else None)
        hidden = embeddings
        for number, layer in enumerate(self.layers):
            final = number == len(self.layers) - 1
            hidden = layer(hidden, step, number, cache, last if final else None)
        return self.norm(hidden)

    def rotation(self, positions: Tensor, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosines and signed sines of each position's rotation, ``[rows or 1, tokens, 1, head size]`` each."""
        tables = self._tables
        if tables is None or len(tables[0]) < length or tables[0].device != positions.device:
            # Powers of two, so that the same position has the same bits in every table.
            size = 1 << max(9, (length - 1).bit_length())
            angles = torch.arange(size, device=positions.device)[:, None] * _frequencies(
                vars(self.config), self._head_size
            ).to(positions.device)
            cos, sin = angles.cos(), angles.sin()
            tables = self._tables = torch.cat([cos, cos], 1)[:, None], torch.cat([-sin, sin], 1)[:, None]
        return tables[0][positions].to(dtype), tables[1][positions].to(dtype)


class _Step(NamedTuple):
    """What all layers of a pass share."""

    rotation: tuple[Tensor, Tensor]
    mask: Tensor | None  # numbers to add, [rows or 1, 1, tokens, cached and new tokens]
    past: int | None  # the number of cached tokens, if the mask is the causal one


class _Layer(nn.Module):
    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        self.self_attn = _Attention(shape)
        self.mlp = _FeedForward(shape)
        self.input_layernorm = _Norm(shape.hidden, shape.eps)
        self.post_attention_layernorm = _Norm(shape.hidden, shape.eps)

    def forward(self, hidden: Tensor, step: _Step, number: int, cache: KeyValues | None, last: Tensor | None) -> Tensor:
        normed, attention = self.input_layernorm(hidden), self.self_attn
        queries, keys, values = attention.project(normed, step.rotation, queries=last is None)
        if cache is not None:
            keys, values = cache.append(number, keys, values)
        if last is not None:
            rows = torch.arange(len(hidden), device=hidden.device)
            hidden, normed = hidden[rows, last][:, None], normed[rows, last][:, None]
            step = _only(step, rows, last)
        if queries is None:
            queries = attention.queries(normed, step.rotation)
        hidden = hidden + attention.o_proj(_attend(queries, keys, values, step).flatten(2))
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class _Attention(nn.Module):
    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        inner, grouped = shape.heads * shape.head, shape.groups * shape.head
        self.head_size, self.turned = shape.head, shape.heads + shape.groups
        self.q_proj = nn.Linear(shape.hidden, inner, bias=shape.bias)
        self.k_proj = nn.Linear(shape.hidden, grouped, bias=shape.bias)
        self.v_proj = nn.Linear(shape.hidden, grouped, bias=shape.bias)
        self.o_proj = nn.Linear(inner, shape.hidden, bias=shape.output_bias)
        self.q_norm = _Norm(shape.head, shape.eps) if shape.normed else None
        self.k_norm = _Norm(shape.head, shape.eps) if shape.normed else None
        self.qkv_proj: nn.Module | None = None  # the first three as one product, where that is faster

    def project(
        self, normed: Tensor, rotation: tuple[Tensor, Tensor], *, queries: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return queries (if wanted), keys and values, ``[rows, heads, tokens, head size]`` each."""
        if queries and self.qkv_proj is not None:
            heads = self._heads(self.qkv_proj(normed))
            turned, values = heads.split((self.turned, heads.shape[2] - self.turned), dim=2)
            groups = values.shape[2]
            asked, keys = _rotated(turned, rotation).split((self.turned - groups, groups), dim=1)
            return asked, keys, values.transpose(1, 2)
        keys = self._heads(self.k_proj(normed))
        keys = _rotated(keys if self.k_norm is None else self.k_norm(keys), rotation)
        values = self._heads(self.v_proj(normed)).transpose(1, 2)
        return self.queries(normed, rotation) if queries else None, keys, values

    def queries(self, normed: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        heads = self._heads(self.q_proj(normed))
        return _rotated(heads if self.q_norm is None else self.q_norm(heads), rotation)

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (-1, self.head_size))


class _FeedForward(nn.Module):
    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.inner, bias=shape.inner_bias)
        self.up_proj = nn.Linear(shape.hidden, shape.inner, bias=shape.inner_bias)
        self.down_proj = nn.Linear(shape.inner, shape.hidden, bias=shape.inner_bias)

    def forward(self, rows: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(rows)) * self.up_proj(rows))


class _Norm(nn.Module):
    """The root mean square norm of Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, rows: Tensor) -> Tensor:
        single = rows.float()  # half precision is too coarse for a sum of squares
        length = torch.linalg.vector_norm(single, dim=-1, keepdim=True)
        scale = torch.rsqrt(length.square() / rows.shape[-1] + self.eps)
        return self.weight * (single * scale).to(rows.dtype)


@dataclass(frozen=True)
class _Shape:
    """The sizes of a layer; ``groups`` heads of keys and values serve all ``heads`` of queries."""

    hidden: int
    inner: int
    heads: int
    groups: int
    head: int
    eps: float
    bias: bool
    output_bias: bool
    inner_bias: bool
    normed: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> _Shape:
        kind, hidden, heads = config["model_type"], config["hidden_size"], config["num_attention_heads"]
        bias = bool(config.get("attention_bias", False)) and kind in {"llama", "qwen3"}
        return cls(
            hidden=hidden,
            inner=config["intermediate_size"],
            heads=heads,
            groups=config.get("num_key_value_heads") or heads,
            head=config.get("head_dim") or hidden // heads,
            eps=config.get("rms_norm_eps", 1e-6),
            bias=bias or kind == "qwen2",
            output_bias=bias,
            inner_bias=bool(config.get("mlp_bias", False)) and kind == "llama",
            normed=kind == "qwen3",
        )


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how positions become rotations, in the words of transformers 5; those of 4 are understood."""
    rope = {"rope_theta": config.get("rope_theta", 10_000.0)}
    rope |= config.get("rope_parameters") or config.get("rope_scaling") or {}
    return rope | {"rope_type": rope.get("rope_type", rope.get("type", "default"))}


def _frequencies(config: Mapping[str, Any], size: int) -> Tensor:
    """Return the rotation of each pair of a head's numbers from one position to the next, float32 ``[size / 2]``.

    Su et al. 2021, https://arxiv.org/abs/2104.09864. Of scaled ones ``linear`` divides all by a factor, and ``llama3``
    those that turn slowly.
    """
    rope = _rope(config)
    turned = 1.0 / rope["rope_theta"] ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
    if rope["rope_type"] == "linear":
        return turned / rope["factor"]
    if rope["rope_type"] == "llama3":
        factor, low, high, context = (rope[name] for name in _LLAMA3)
        share = ((context * turned / (2 * math.pi) - low) / (high - low)).clamp(0, 1)  # 1: turns fast
        return turned * (share + (1 - share) / factor)
    return turned


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, -torch.inf)


def _causal(embeddings: Tensor, past: int) -> Tensor | None:
    """Return the mask of tokens that see all cached ones and those before them; None for a single token."""
    new = embeddings.shape[1]
    if new == 1:
        return None
    return torch.full((1, 1, new, past + new), -torch.inf, dtype=embeddings.dtype, device=embeddings.device).triu_(
        past + 1
    )


def _only(step: _Step, rows: Tensor, last: Tensor) -> _Step:
    """Return what one token per row needs."""
    of = rows if len(step.rotation[0]) > 1 else rows * 0
    cos, sin = (table[of, last][:, None] for table in step.rotation)
    mask = step.mask
    if mask is not None:
        mask = mask[rows if len(mask) > 1 else rows * 0, :, last][:, :, None]
    return _Step((cos, sin), mask, None)


def _rotated(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Return heads ``[rows, tokens, heads, head size]`` turned by their positions, ``[rows, heads, tokens, ...]``."""
    cos, sin = rotation
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin).transpose(1, 2)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, step: _Step) -> Tensor:
    """Return the attention of queries ``[rows, heads, tokens, head size]``, ``[rows, tokens, heads, head size]``.

    Several blocks of queries are faster than one, since none of the keys after a block are read.
    """
    new, grouped = queries.shape[2], queries.shape[1] != keys.shape[1]
    if step.past is None or queries.device.type != "cpu" or new <= _QUERIES:
        whole = F.scaled_dot_product_attention(queries, keys, values, attn_mask=step.mask, enable_gqa=grouped)
        return whole.transpose(1, 2)
    blocks = []
    for begin in range(0, new, _QUERIES):
        end = min(begin + _QUERIES, new)
        seen = step.past + end
        block = F.scaled_dot_product_attention(
            queries[:, :, begin:end],
            keys[:, :, :seen],
            values[:, :, :seen],
            attn_mask=step.mask[:, :, begin:end, :seen] if step.mask is not None else None,
            enable_gqa=grouped,
        )
        blocks.append(block.transpose(1, 2))
    return torch.cat(blocks, dim=1)
