"""The network of SASRec and its training, in plain torch; :mod:`genre_gen.collaborative.sasrec` is the model.

It is a module of its own, so that torch is imported only if such a model is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre_gen.collaborative.negatives import FULL_UP_TO, NEGATIVES, NegativeSampler
from genre_gen.data.interactions import Interactions
from genre_gen.errors import UsageError

NO_TARGET = -100  # ignored by cross_entropy


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        """Set up attention and a feed-forward layer four times as wide."""
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.forward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.projections, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return ``[B, L, dim]`` for ``[B, L, dim]``; a position sees itself and those before it."""
        batch, length, dim = hidden.shape
        projected = self.projections(self.attention_norm(hidden)).view(batch, length, 3, self.heads, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # each [B, heads, L, dim / heads]
        # Dropout of attention weights would prevent the fused kernel and make an epoch 50 % slower.
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self._dropped(self.output(mixed.transpose(1, 2).reshape(batch, length, dim)))
        wide = functional.gelu(self.up(self.forward_norm(hidden)))
        return hidden + self._dropped(self.down(wide))

    def _dropped(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, self.training)


class Network(nn.Module):
    """From items and positions to hidden states; input and output share the item embeddings."""

    def __init__(self, n_items: int, dim: int, layers: int, heads: int, dropout: float, length: int) -> None:
        """Set up the layers with small random weights."""
        super().__init__()
        self.items, self.positions = nn.Embedding(n_items, dim), nn.Embedding(length, dim)
        self.blocks = nn.ModuleList([Block(dim, heads, dropout) for _ in range(layers)])
        self.norm, self.dropout = nn.LayerNorm(dim), dropout
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the hidden states ``[B, L, dim]`` of item rows ``[B, L]``.

        Padding is on the right, where attention is causal and no other position sees it, so it needs no mask.
        """
        scale = self.items.embedding_dim**0.5  # otherwise the positions would dominate the items
        hidden = self.items(rows) * scale + self.positions(torch.arange(rows.shape[1]))
        hidden = functional.dropout(hidden, self.dropout, self.training)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the scores of all items ``[..., n_items]``."""
        return hidden @ self.items.weight.T


@dataclass(frozen=True)
class Windows:
    """The windows of all histories for training; together they contain each target once.

    Attributes:
        rows: ``[n]`` catalog rows of all histories.
        begins: ``[windows]``, position of the first input in ``rows``.
        lengths: ``[windows]`` inputs; the target of each is the item after it.
        firsts: ``[windows]``, the first input whose target counts; those before are context only.
    """

    rows: NDArray[np.int64]
    begins: NDArray[np.int64]
    lengths: NDArray[np.int64]
    firsts: NDArray[np.int64]

    @classmethod
    def cut(cls, interactions: Interactions, length: int) -> Self:
        """Cut histories into windows of at most ``length`` inputs, each half a window before the next, from the end.

        So each target of a long history has at least half a window of context.
        """
        stride, windows = max(1, length // 2), []
        for begin, end in zip(interactions.offsets[:-1], interactions.offsets[1:], strict=True):
            last = int(end) - 1  # inputs are begin ... last - 1
            while last - begin > length:
                windows.append((last - length, length, length - stride))
                last -= stride
            if last > begin:
                windows.append((int(begin), last - int(begin), 0))
        if not windows:
            raise UsageError("sasrec: no user has two interactions to learn from; leave sasrec out of the members")
        begins, lengths, firsts = np.array(windows, dtype=np.int64).T
        return cls(interactions.rows, begins, lengths, firsts)

    def batches(self, tokens: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets, int64 ``[B, L]`` each, of windows of similar length in random order."""
        order = rng.permutation(len(self.begins))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        groups = grouped(self.lengths[order], tokens)
        for group in rng.permutation(len(groups)):
            yield self._batch(order[groups[group]])

    def _batch(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        steps = np.arange(self.lengths[chosen].max())
        inside = steps < self.lengths[chosen, None]
        places = np.where(inside, self.begins[chosen, None] + steps, self.begins[chosen, None])
        counts = inside & (steps >= self.firsts[chosen, None])
        targets = np.where(counts, self.rows[places + 1], NO_TARGET)
        return torch.from_numpy(np.where(inside, self.rows[places], 0)), torch.from_numpy(targets)


def grouped(lengths: NDArray[np.int64], tokens: int) -> list[slice]:
    """Cut ascending lengths into runs of at most ``tokens`` when padded to the longest, with at least one each."""
    groups, begin = [], 0
    for position, length in enumerate(lengths.tolist()):
        if position > begin and (position + 1 - begin) * length > tokens:
            groups.append(slice(begin, position))
            begin = position
    return [*groups, slice(begin, len(lengths))]


class Trainer:
    """Trains a network in place, epoch by epoch, with AdamW and a learning rate that rises and then stays constant.

    Keywords are the hyper-parameters of :class:`genre_gen.collaborative.SASRec`.
    """

    def __init__(
        self,
        network: Network,
        windows: Windows,
        *,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        """Set up the optimiser."""
        self.network, self.windows, self.batch_tokens = network, windows, batch_tokens
        matrices = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
        ids = {id(matrix) for matrix in matrices}
        others = [parameter for parameter in network.parameters() if id(parameter) not in ids]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate)
        rise = max(1, warmup_steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: min(1.0, (step + 1) / rise))
        self.rng, self.steps = np.random.default_rng(seed), 0
        counts, n_items = np.bincount(windows.rows), network.items.num_embeddings
        self.sampler = NegativeSampler(counts, NEGATIVES, seed) if n_items > FULL_UP_TO else None

    def _loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy; in large catalogs it is estimated from negatives."""
        self.steps += 1
        if self.sampler is None:
            return functional.cross_entropy(self.network.logits(hidden), targets)
        negatives, items = self.sampler.draw(self.steps), self.network.items
        own = (hidden * items(targets)).sum(1, keepdim=True)
        rivals = hidden @ items(negatives.tokens).T - negatives.log_chances
        rivals = rivals.masked_fill(negatives.tokens == targets[:, None], float("-inf"))
        return (torch.cat([own, rivals], dim=1).logsumexp(1) - own[:, 0]).mean()

    def epoch(self, enough: Callable[[], bool] = lambda: False) -> bool:
        """Learn from each window once, and return True; False if ``enough``, asked before each step, ended it."""
        self.network.train()
        for rows, targets in self.windows.batches(self.batch_tokens, self.rng):
            if enough():
                self.network.eval()
                return False
            counts = targets != NO_TARGET
            loss = self._loss(self.network(rows)[counts], targets[counts])  # targets only: the head is costly
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
        self.network.eval()
        return True
