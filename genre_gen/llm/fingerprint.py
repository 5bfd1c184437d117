"""Fingerprints of a language model's weights."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from genre_gen.llm.model import LLM

SAMPLES = 256
"""Numbers of each pre-trained tensor, evenly spaced, that tell one model from another; all would take a second."""


def weights_fingerprint(llm: LLM) -> str:
    """Return a fingerprint of the trainable weights."""
    digest = hashlib.sha256()
    for name, value in llm.trainable():
        digest.update(f"{name}:{tuple(value.shape)}:".encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def model_fingerprint(llm: LLM) -> str:
    """Return a fingerprint of what a language model answers by: its trained weights, its base, codes and answers.

    Of a model that is quantized for serving it is that of the full weights, with the precision.
    """
    if llm.full_weights is not None:
        return f"{llm.full_weights}-{llm.served}"
    digest = hashlib.sha256(weights_fingerprint(llm).encode())
    trained = {name for name, _ in llm.trainable()}
    for name, value in llm.named_parameters():
        if name not in trained:
            flat = value.detach().flatten()
            digest.update(f"{name}:{tuple(value.shape)}:{value.dtype}:".encode())
            digest.update(_bytes(flat[:: max(1, len(flat) // SAMPLES)]))
    digest.update(repr((llm.codes.codes.shape, llm.codes.names)).encode())
    digest.update(llm.codes.codes.tobytes())
    for task, ids in sorted(llm.answers.items()):
        digest.update(f"{task}:{ids.tolist()}".encode())
    return digest.hexdigest()


def _bytes(value: Tensor) -> bytes | memoryview:
    return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
