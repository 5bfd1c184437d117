"""Probabilities of closed answers: answers of tasks with a fixed set, such as yes and no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_gen.decoding.decoders import decoder_of
from genre_gen.errors import DecodingError, UsageError
from genre_gen.llm.decoder import KeyValues
from genre_gen.llm.encode import Encoder
from genre_gen.llm.model import LLM
from genre_gen.prompting.spans import Prompt, Span


def finite(chances: Tensor) -> Tensor:
    """Return probabilities unchanged; raises DecodingError if they are not finite."""
    if not bool(torch.isfinite(chances).all()):
        raise DecodingError("the language model's answers are not finite; check its weights")
    return chances


@torch.inference_mode()
def answer_probabilities(llm: LLM, encoder: Encoder, prompt: Prompt, answers: Sequence[str]) -> NDArray[np.float64]:
    """See :meth:`genre_gen.llm.generator.ItemGenerator.answer_probabilities`."""
    if prompt.task not in llm.answers:
        raise UsageError(
            f"{prompt.task} has no closed answers to compare; tasks that have some: {', '.join(llm.answers) or 'none'}"
        )
    ids, texts = _encoded(encoder, prompt, answers)
    chances = finite(llm.answer_logits(_states(llm, ids, texts), prompt.task).double().softmax(-1)).cpu().numpy()
    number = {tuple(row[row >= 0].tolist()): place for place, row in enumerate(llm.answers[prompt.task])}
    shares = np.array([_product(rows, text, number) for rows, text in zip(chances, texts, strict=True)])
    _make_exclusive(shares, texts)
    if not shares.any():
        raise UsageError(f"{prompt.task} has not learned any of the answers {', '.join(map(repr, answers))}")
    return shares / shares.sum()


def _encoded(encoder: Encoder, prompt: Prompt, answers: Sequence[str]) -> tuple[list[int], list[list[int]]]:
    """Return the ids of an open prompt, and the ids of each answer."""
    *asked, begun = prompt.messages
    given = [replace(begun, spans=(*begun.spans, Span("data", answer))) for answer in answers]
    encoded = [encoder.encode(replace(prompt, messages=(*asked, message)), "data") for message in given]
    places = [answer.answers[-1] for answer in encoded]
    return encoded[0].ids[: places[0][0]].tolist(), [
        answer.ids[begin:end].tolist() for answer, (begin, end) in zip(encoded, places, strict=True)
    ]


def _states(llm: LLM, ids: list[int], texts: Sequence[list[int]]) -> Tensor:
    """Return the states from which each token of each answer is predicted, ``[answers, longest, hidden]``."""
    decoder, cache = decoder_of(llm.item_backbone), KeyValues()
    prompt, longest = torch.tensor([ids], device=llm.device), max(map(len, texts))
    last = torch.tensor([len(ids) - 1], device=llm.device)
    states = decoder.read(llm.embed_items(prompt), cache, last=last).expand(len(texts), -1, -1)
    if longest == 1:
        return states
    rest = torch.tensor([(text + [0] * longest)[: longest - 1] for text in texts], device=llm.device)
    return torch.cat([states, decoder.read(llm.embed_items(rest), cache)], dim=1)


def _product(chances: NDArray[np.float64], text: list[int], number: dict[tuple[int, ...], int]) -> float:
    """Return the probability of an answer: as a whole if it is a closed answer, else the product over its tokens."""
    steps = [tuple(text)] if tuple(text) in number else [(token,) for token in text]
    return float(np.prod([chances[place, number[s]] if s in number else 0.0 for place, s in enumerate(steps)]))


def _make_exclusive(shares: NDArray[np.float64], texts: Sequence[list[int]]) -> None:
    """Subtract from each answer's probability, in place, that of longer answers that begin with it."""
    for row in sorted(range(len(texts)), key=lambda row: -len(texts[row])):
        length = len(texts[row])
        longer = [k for k, text in enumerate(texts) if len(text) > length and text[:length] == texts[row]]
        shares[row] = max(0.0, shares[row] - shares[longer].sum())
