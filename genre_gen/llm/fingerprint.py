"""Fingerprints of a language model's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from operator import itemgetter
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
    for name, value in sorted(llm.trainable(), key=itemgetter(0)):
        digest.update(f"{name}:{tuple(value.shape)}:".encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def full_weights(llm: LLM) -> str:
    """Return the fingerprint of the weights in full precision; without the pre-trained ones if they are in a file."""
    return weights_fingerprint(llm) + ("" if llm.pretrained else _samples(llm.base.named_parameters()))


def model_fingerprint(llm: LLM) -> str:
    """Return a fingerprint of what a language model answers by: its trained weights, its base, codes and answers.

    Of a model that is quantized for serving it is that of the full weights, with the precision.
    """
    digest = hashlib.sha256((llm.full_weights or full_weights(llm.origin)).encode())
    if llm.late_codes is not None:
        digest.update(_bytes(llm.late_codes))
    if llm.pretrained is not None:
        base = llm.base if llm.is_loaded and llm.served == "none" else llm.pretrained
        digest.update(_samples(base.named_parameters(), llm.pretrained.precision).encode())
    digest.update(repr((llm.codes.codes.shape, llm.codes.names)).encode())
    digest.update(llm.codes.codes.tobytes())
    for task, ids in sorted(llm.answers.items()):
        digest.update(f"{task}:{ids.tolist()}".encode())
    return digest.hexdigest() if llm.served == "none" else f"{digest.hexdigest()}-{llm.served}"


def _samples(parameters: Iterable[tuple[str, Tensor]], precision: torch.dtype | None = None) -> str:
    """Return a fingerprint of pre-trained weights, as they are loaded: in a precision, if they are not yet."""
    digest = hashlib.sha256()
    plain = {name.replace(".base_layer.", "."): value for name, value in parameters if ".lora_" not in name}
    for name, value in sorted(plain.items(), key=itemgetter(0)):
        flat = value.detach().flatten()
        sample = flat[:: max(1, len(flat) // SAMPLES)].to(precision or flat.dtype)
        digest.update(f"{name}:{tuple(value.shape)}:{sample.dtype}:".encode())
        digest.update(_bytes(sample))
    return digest.hexdigest()


def _bytes(value: Tensor) -> bytes | memoryview:
    return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
