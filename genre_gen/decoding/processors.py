"""The trie as a logits processor, for ``generate`` of transformers and for ``outlines.Generator``.

Both are adapters for other libraries' loops; :mod:`genre_gen.decoding.search` is faster and exact. They keep no state
per row, so beams may be reordered, sampled and batched, by several threads.

A row that can continue gets log-probabilities over the code vocabulary, so beam search with ``length_penalty=0`` gives
an item the same score as the search. After a complete code only the end token is allowed, at no cost. A row cannot
continue if its tokens are not the prefix of a code, if nothing is allowed, or if its scores are NaN or infinite. It
is ended with an incomplete code, which is not an item, and with a score below all others.
"""

from __future__ import annotations

from threading import local
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from outlines.processors import OutlinesLogitsProcessor
from torch import Tensor
from transformers import LogitsProcessor

from genre_gen.decoding.base import NOWHERE, ROOT, Allowed, CatalogTrie, Ints
from genre_gen.errors import UsageError

FAILED = -1e9
"""Score of ending a row that cannot continue; finite, because ``generate`` fails if no token is possible."""


class Constraint:
    """The common part of both adapters: the scores of the next token, given the tokens since the prompt."""

    def __init__(self, trie: CatalogTrie, first_code: int, eos_token_id: int, allowed: Allowed = None) -> None:
        """Prepare the constraint of one request or of a batch.

        ``first_code`` is the model's id of code token 0. ``allowed`` is bool ``[n_items]`` for all rows, or
        ``[users, n_items]`` if each user has the same number of consecutive rows (beams or samples), or a subset of the
        trie.

        Raises:
            UsageError: the end token is a code token, or ``allowed`` belongs to another catalog.
        """
        last_code = first_code + trie.vocabulary - 1
        if first_code <= eos_token_id <= last_code:
            raise UsageError(f"the end token {eos_token_id} is one of the code tokens, {first_code} to {last_code}")
        self.trie, self.first_code, self.eos_token_id = trie, first_code, eos_token_id
        self._subset = trie.subset(allowed)

    def scores(self, generated: Tensor, scores: Tensor) -> Tensor:
        """Return the scores of the next token, float32 ``[rows, model's vocabulary]``.

        ``generated``, int64 ``[rows, steps]``, are the tokens generated so far; ``scores`` are logits or
        log-probabilities.
        """
        span = slice(self.first_code, self.first_code + self.trie.vocabulary)
        if scores.shape[1] < span.stop:
            raise UsageError(f"code tokens end at id {span.stop - 1}, but the model has only {scores.shape[1]} tokens")
        codes = scores[:, span].float()
        # An earlier processor may have excluded tokens (-inf); NaN and +inf only come from broken weights.
        sound = ~(torch.isnan(codes) | torch.isposinf(codes)).any(dim=1)
        log_probabilities = torch.log_softmax(codes, dim=1)
        nodes = self.trie.walk(self._local(generated))
        complete = (nodes >= 0) & self.trie.is_leaf(nodes)
        open_rows = np.flatnonzero((nodes >= 0) & ~complete)
        owners, children = self.trie.expand(nodes[open_rows])
        owners = open_rows[owners]
        alive = self._allowed(owners, children, len(nodes))
        rows, tokens = self._to(owners[alive], scores), self._to(self.trie.token(children[alive]), scores)
        result = torch.full(scores.shape, -torch.inf, device=scores.device)
        result[rows, tokens + self.first_code] = log_probabilities[rows, tokens]
        result[~sound] = -torch.inf
        result[:, self.eos_token_id] = torch.where(torch.isfinite(result).any(dim=1), -torch.inf, FAILED)
        result[self._to(np.flatnonzero(complete), scores), self.eos_token_id] = 0.0
        return result

    def rows(self, generated: Tensor) -> NDArray[np.int64]:
        """Return the catalog row of each generated sequence, int64 ``[rows]``; -1 if it is not an allowed item.

        Tokens of ``generated``, int64 ``[rows, steps]``, after a complete code are ignored. Beam search with more beams
        than allowed items repeats items, with scores below ``FAILED``; drop those too.
        """
        nodes = self.trie.walk(self._local(generated))
        item = (nodes >= 0) & self.trie.is_leaf(nodes)
        item[item] = self._allowed(np.flatnonzero(item), nodes[item], len(nodes))
        return np.where(item, self.trie.row(np.where(item, nodes, ROOT)), NOWHERE)

    def _local(self, generated: Tensor) -> NDArray[np.int64]:
        return generated.cpu().numpy() - self.first_code

    def _allowed(self, rows: Ints, nodes: Ints, n_rows: int) -> NDArray[np.bool_]:
        """Tell for pairs of a row and a node whether the row's user may get any item below the node."""
        users = self._subset.users
        if n_rows % users:
            raise UsageError(f"{n_rows} rows cannot be divided among {users} users; allowed needs a row per prompt")
        return self.trie.count(nodes, self._subset, rows // (n_rows // users)) > 0

    @staticmethod
    def _to(numbers: Ints, like: Tensor) -> Tensor:
        return torch.as_tensor(numbers.astype(np.int64), device=like.device)


class CatalogLogitsProcessor(LogitsProcessor):
    """Restricts ``generate`` of transformers to the catalog: greedy, beams, sampling, batches padded on the left.

    Example:
        ``model.generate(**inputs, logits_processor=[CatalogLogitsProcessor(constraint, prompt_length)])``, with
        ``max_new_tokens`` one more than the longest code, and then ``constraint.rows(output[:, prompt_length:])``.
    """

    def __init__(self, constraint: Constraint, prompt_length: int) -> None:
        """Constrain the tokens after the first ``prompt_length`` ids (padding included) of every row."""
        self.constraint, self.prompt_length = constraint, prompt_length

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores of the next token; see :meth:`Constraint.scores`."""
        return self.constraint.scores(input_ids[:, self.prompt_length :], scores)


class CatalogOutlinesProcessor(OutlinesLogitsProcessor):
    """Restricts an ``outlines.Generator`` over a transformers model to the catalog.

    Outlines returns text without special tokens, so add the code tokens to the tokenizer as ordinary ones.

    Example:
        ``outlines.Generator(outlines_model, processor=CatalogOutlinesProcessor(constraint))("...", max_new_tokens=4)``
    """

    def __init__(self, constraint: Constraint) -> None:
        """Constrain the tokens after the prompt, whose length is taken from the first call of each generation."""
        super().__init__("torch")
        self.constraint = constraint
        self._generation = local()  # of this thread

    def reset(self) -> None:
        """Forget the prompt's length; Outlines calls this before each generation."""
        self._generation.__dict__.clear()

    def process_logits(self, input_ids: Any, logits: Any) -> Any:
        """Return the scores of the next token; see :meth:`Constraint.scores`."""
        prompt_length = self._generation.__dict__.setdefault("prompt_length", input_ids.shape[1])
        return self.constraint.scores(input_ids[:, prompt_length:], logits)
