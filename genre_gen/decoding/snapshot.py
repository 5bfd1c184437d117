"""Snapshot: a decoder at one state of its weights, with the prefixes computed for that state.

Only its prefix cache changes, under a lock. So threads that share a snapshot get the same answers as a single thread,
and a request that began before the weights changed does not affect later requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from genre_gen.decoding.decoders import AnyDecoder
from genre_gen.decoding.prefix_cache import PrefixCache, WeightVersions
from genre_gen.llm.continuations import read_continuations
from genre_gen.llm.decoder import Decoder, KeyValues


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Reads tokens with one state of the weights.

    ``embed`` and ``head`` are those of :class:`genre_gen.decoding.tree.TreeModel`.
    """

    weights: WeightVersions
    decoder: AnyDecoder  # over the model's weights or a prepacked copy of them
    embed: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]
    prefixes: PrefixCache  # computed by this decoder

    def answer(self, prompts: Sequence[Tensor], cache: KeyValues | None) -> Tensor:
        """Return the logits after prompts whose first tokens are in the cache, ``[prompts, vocabulary]``."""
        return self.head(self.read(prompts, cache))

    @property
    def reads_continuations(self) -> bool:
        """Tell whether prompts with caches of their own are read together, as on a CPU by our own decoder."""
        return isinstance(self.decoder, Decoder) and next(self.decoder.parameters()).device.type == "cpu"

    def answer_each(self, prompts: Sequence[Tensor], caches: Sequence[KeyValues]) -> Tensor:
        """Return the logits after prompts, each with its own cache of its first tokens, ``[prompts, vocabulary]``."""
        rest = [ids[cache.length :] for ids, cache in zip(prompts, caches, strict=True)]
        embeddings = self.embed(torch.cat(rest)[None])
        return self.head(read_continuations(cast(Decoder, self.decoder), embeddings, list(map(len, rest)), caches))

    def read(self, prompts: Sequence[Tensor], cache: KeyValues | None) -> Tensor:
        """Return the hidden state of the last token of each prompt, ``[prompts, hidden]``."""
        start = 0 if cache is None else cache.length
        rest = [ids[start:] for ids in prompts]
        padded = nn.utils.rnn.pad_sequence(rest, batch_first=True)
        last = torch.tensor([len(ids) - 1 for ids in rest], device=padded.device)
        return self.decoder.read(self.embed(padded), cache, last=last)[:, 0]
