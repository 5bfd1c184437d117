"""A pre-trained model that is loaded when something needs all of its layers.

Items are ranked by the item backbone, whose weights a recommender has itself, and by the input embeddings of the few
text tokens in prompts. So answering needs no more of the pre-trained model than its description, its tokenizer, and
some rows of one matrix, which is mapped into memory. Texts by the language model need the rest.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from genre_gen.downloads.models import INDEX
from genre_gen.errors import SourceError
from genre_gen.folders.mapped import MappedTensors
from genre_gen.llm.decoder import Decoder, supports
from genre_gen.llm.load import load_model, placement, plain_config, readable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "model.safetensors"
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class Pretrained:
    """A folder with a model of the llama family, verified by the headers of its weights, but not loaded.

    Attributes:
        folder: of the model.
        config: its description, see :func:`genre_gen.llm.load.plain_config`.
        embeddings: the input embeddings as they are in the file, ``[text vocabulary, hidden]``.
        device: where the model will be.
        precision: in which the model will be loaded.
        lock: held while it is loaded.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Hold the description of a model and its mapped weights."""
        self.folder, self.config, self._weights = folder, config, weights
        self.device, self.precision = placement()
        table = weights[EMBEDDINGS]
        self.embeddings = table if self.device.type == "cpu" else table.to(self.device)
        self.lock = threading.RLock()

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Self:
        """Return the object itself: it never changes."""
        return self

    @property
    def layers(self) -> int:
        """Return the number of layers."""
        return int(self.config["num_hidden_layers"])

    @classmethod
    def of_folder(cls, folder: Path) -> Self | None:
        """Return the model in a folder; None if it is of a kind that only transformers can load.

        Raises:
            SourceError: the folder lacks weights, or holds weights of other shapes than its description says.
        """
        config = plain_config(folder)
        with readable(folder, "a causal language model"):
            if not supports(config) or not isinstance(config.get("vocab_size"), int):
                return None
            weights, shapes = _weights(folder), _shapes(config, _decoder(config, 1))
            if missing := sorted(shapes.keys() - weights.keys()):
                raise SourceError(f"{folder}: lacks {len(missing)} weights, the first is {missing[0]}; copy it again")
            for name, shape in shapes.items():
                if weights[name].shape != shape:
                    raise ValueError(f"{name} has the shape {tuple(weights[name].shape)}, not {tuple(shape)}")
        return cls(folder, config, {name: weights[name] for name in shapes})

    def embed(self, ids: Tensor) -> Tensor:
        """Return the input embeddings of text tokens, ``[..., hidden]``, in the precision of the model."""
        return F.embedding(ids, self.embeddings).to(self.precision)

    def item_backbone(self, depth: int) -> Decoder:
        """Return the first layers of such a model, without weights (on the device ``meta``)."""
        return _decoder(self.config, depth)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights by name, in the precision of the file, from a mapping of their own.

        What is read of a mapping counts as memory of the process as long as there is a tensor of it, and these may be
        dropped.
        """
        weights: Mapping[str, Tensor] = self._weights
        with suppress(OSError, ValueError):  # the folder is gone; what is mapped stays
            weights = _weights(self.folder)
        for name in self._weights:
            yield name, weights[name]

    def load(self) -> PreTrainedModel:
        """Load the model with all of its layers."""
        return load_model(self.folder)


def _decoder(config: Mapping[str, Any], depth: int) -> Decoder:
    with torch.device("meta"):
        return Decoder(config, depth).eval()


def _weights(folder: Path) -> dict[str, Tensor]:
    """Return all weights in a folder's safetensors by name; they are mapped, so nothing is read yet."""
    index, names = folder / INDEX, {FILE}
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    weights: dict[str, Tensor] = {}
    for name in sorted(names):
        weights |= MappedTensors.of_file(folder / name).tensors()
    return weights


def _shapes(config: Mapping[str, Any], layer: nn.Module) -> dict[str, torch.Size]:
    """Return the shape of every weight of a model whose layers are like those of a decoder with one."""
    shapes = {}
    for name, value in layer.named_parameters():
        if not name.startswith("layers.0."):
            shapes[f"model.{name}"] = value.shape
            continue
        for number in range(config["num_hidden_layers"]):
            shapes[f"model.layers.{number}.{name.removeprefix('layers.0.')}"] = value.shape
    embeddings = torch.Size((config["vocab_size"], config["hidden_size"]))
    shapes[EMBEDDINGS] = embeddings
    if not config.get("tie_word_embeddings", False):
        shapes[HEAD] = embeddings
    return shapes
