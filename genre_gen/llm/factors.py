"""Factored code embeddings: a table of few columns times a projection into the model's space.

A million embeddings of 576 units are 2.3 GB, which every request reads. With 128 factors they are .5 GB.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genre_gen.domain import CodeSettings

WHOLE_UP_TO = 50_000
"""The largest code vocabulary whose embeddings are not factored by default."""

FACTORS = 128
"""The number of factors for larger ones by default."""

ROWS_UP_TO = 20_000
"""The largest code vocabulary whose embeddings are read by rows in a request; larger ones are copied by columns."""


def number_of_factors(settings: CodeSettings, vocabulary: int) -> int:
    """Return the number of factors of the code embeddings; 0 if they are not factored."""
    if settings.factors is not None:
        return settings.factors
    return FACTORS if vocabulary > WHOLE_UP_TO else 0


def best_projection(vectors: Tensor, factors: int) -> Tensor:
    """Return the orthonormal ``[factors, hidden]`` of the truncated SVD of ``vectors [n, hidden]``.

    ``vectors @ projection.T @ projection`` is the matrix of this rank that is nearest to the vectors.
    """
    _, directions = torch.linalg.eigh(vectors.T @ vectors)  # by ascending variance
    return directions.flip(1)[:, :factors].T.contiguous()
