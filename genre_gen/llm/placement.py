"""Where the code of an item goes that the model has not been trained on: next to those of items described like it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.llm.model import LLM


def vectors_near(llm: LLM, tokens: NDArray[np.int64], weights: sparse.csr_matrix, scale: float) -> NDArray[np.float32]:
    """Return rows of the code embedding for new code tokens: the mean of the rows of tokens that they are like.

    Args:
        llm: the language model.
        tokens: int64 ``[n]``, code tokens.
        weights: how much each new one is like each of ``tokens``, sparse ``[new ones, n]``, at least one in each row.
        scale: the length of a vector, in lengths of those that it is the mean of.
    """
    near, columns = np.unique(weights.indices, return_inverse=True)
    shares = sparse.csr_matrix((weights.data, columns, weights.indptr), (weights.shape[0], len(near)))
    shares = sparse.diags(1 / shares.sum(1).A1) @ shares
    # The mean of factored embeddings is the mean of their rows, projected.
    vectors = llm.code_embedding.detach()[torch.from_numpy(tokens[near])].float().cpu().numpy()
    mean, lengths = shares @ vectors, shares @ _lengths(llm, vectors)
    return np.asarray(mean * (scale * lengths / _lengths(llm, mean).clip(min=1e-12))[:, None])


def average_vector(llm: LLM) -> NDArray[np.float32]:
    """Return the mean of all rows of the code embedding: its logit is the mean of all logits."""
    return llm.code_embedding.detach().float().mean(dim=0).cpu().numpy()


def _lengths(llm: LLM, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lengths of the embeddings of rows ``[n, columns]`` of the code embedding's table."""
    if llm.code_projection is not None:
        rows = rows @ llm.code_projection.detach().float().cpu().numpy()
    return np.linalg.norm(rows, axis=1)
