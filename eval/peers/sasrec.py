"""SASRec, trained as well as is known today: a small causal transformer over item ids, in plain torch.

Kang and McAuley, ICDM 2018 (https://arxiv.org/abs/1808.09781), with cross-entropy over all items instead of one sampled
negative (Klenitskiy and Vasilev, RecSys 2023, https://arxiv.org/abs/2309.07602), pre-norm blocks and GELU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Self

from genre_gen.errors import ConfigError, UsageError
from genre_gen.evaluation.metrics import case_ranks
from genre_gen.interactions import Case, History, Interactions
from peers import mean_ndcg

NO_TARGET = -100  # what cross_entropy leaves out
SCORED_TOKENS = 8192  # of histories scored at once


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
        # Dropout of attention weights would rule out the fused kernel, and cost half as much again per epoch.
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self._dropped(self.output(mixed.transpose(1, 2).reshape(batch, length, dim)))
        wide = functional.gelu(self.up(self.forward_norm(hidden)))
        return hidden + self._dropped(self.down(wide))

    def _dropped(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, self.training)


class Network(nn.Module):
    """Items and positions in, hidden states out; the same embeddings name the items at both ends."""

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

        Padding stands on the right, where no position before it can see it; so it needs no attention mask.
        """
        scale = self.items.embedding_dim**0.5  # else the positions would drown the items
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
    """The pieces of all histories that are trained on; together they hold each target once.

    Attributes:
        rows: int64 ``[n]`` catalog rows of all histories.
        begins: int64 ``[windows]``, place of the first input in ``rows``.
        lengths: int64 ``[windows]`` inputs; the target of each is the item after it.
        firsts: int64 ``[windows]``, the first input whose target counts; those before give context only.
    """

    rows: NDArray[np.int64]
    begins: NDArray[np.int64]
    lengths: NDArray[np.int64]
    firsts: NDArray[np.int64]

    @classmethod
    def cut(cls, interactions: Interactions, length: int) -> Self:
        """Cut histories into windows of at most ``length`` inputs, from the end back by half a window each.

        So a target of a long history has at least half a window of context.
        """
        stride, found = max(1, length // 2), []
        for begin, end in zip(interactions.offsets[:-1], interactions.offsets[1:], strict=True):
            last = int(end) - 1  # inputs are begin ... last - 1
            while last - begin > length:
                found.append((last - length, length, length - stride))
                last -= stride
            if last > begin:
                found.append((int(begin), last - int(begin), 0))
        if not found:
            raise UsageError("sasrec: no user has two interactions, so nothing follows anything")
        begins, lengths, firsts = np.array(found, dtype=np.int64).T
        return cls(interactions.rows, begins, lengths, firsts)

    def batches(self, tokens: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets, int64 ``[B, L]`` each, of windows of similar length in random order."""
        order = rng.permutation(len(self.begins))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        groups = grouped(self.lengths[order], tokens)
        for place in rng.permutation(len(groups)):
            yield self._batch(order[groups[place]])

    def _batch(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        steps = np.arange(self.lengths[chosen].max())
        inside = steps < self.lengths[chosen, None]
        places = np.where(inside, self.begins[chosen, None] + steps, self.begins[chosen, None])
        counts = inside & (steps >= self.firsts[chosen, None])
        targets = np.where(counts, self.rows[places + 1], NO_TARGET)
        return torch.from_numpy(np.where(inside, self.rows[places], 0)), torch.from_numpy(targets)


def grouped(lengths: NDArray[np.int64], tokens: int) -> list[slice]:
    """Cut ascending lengths into runs that, padded to their longest, hold at most ``tokens`` (but one at least)."""
    groups, begin = [], 0
    for place, length in enumerate(lengths.tolist()):
        if place > begin and (place + 1 - begin) * length > tokens:
            groups.append(slice(begin, place))
            begin = place
    return [*groups, slice(begin, len(lengths))]


class SASRec:
    """Predict the next item with a causal transformer; every position of a history is a target.

    Args:
        dim: width of the model.
        layers: number of blocks.
        heads: of attention; a divisor of ``dim``.
        dropout: of the embeddings and of what each layer adds.
        learning_rate: of AdamW, after the warm-up.
        length: most recent items that the model sees.
        batch_tokens: items per step, padding included; windows of similar length share a step.
        weight_decay: of the matrices that are not embeddings.
        warmup_steps: steps in which the learning rate rises; it is constant afterwards.
        max_epochs: at most, where validation cases can stop earlier; else exactly.
        max_minutes: stop when the next epoch would end later; heeded only where there are validation cases. What counts
            is the time that the training thread has computed, so that other work on the machine takes none away.
        patience: epochs without a better NDCG@10 before training stops.
        repeat: whether validation ranks the items of the history too.
        seed: of weights, order and dropout.

    Attributes:
        best_epoch: the epoch whose weights are kept, from 1.
        log: NDCG@10 of the validation cases after each epoch, and the seconds until then.
    """

    name: ClassVar[str] = "sasrec"

    def __init__(
        self,
        dim: int = 64,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        *,
        learning_rate: float = 1e-3,
        length: int = 200,
        batch_tokens: int = 2048,
        weight_decay: float = 0.01,
        warmup_steps: int = 100,
        max_epochs: int = 200,
        max_minutes: float | None = None,
        patience: int = 10,
        repeat: bool = False,
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError where they cannot be meant."""
        if min(dim, layers, heads, length, batch_tokens, max_epochs, patience) < 1 or dim % heads:
            raise ConfigError(f"sasrec: dim {dim}, {heads} heads; all sizes must be >= 1 and heads must divide dim")
        if not (0 <= dropout < 1 and learning_rate > 0 and weight_decay >= 0 and warmup_steps >= 0):
            raise ConfigError(
                f"sasrec: dropout {dropout}, learning_rate {learning_rate}, weight_decay {weight_decay}; dropout must "
                "lie in [0, 1), the learning rate above 0, and the decay not below"
            )
        self.dim, self.layers, self.heads, self.dropout = dim, layers, heads, dropout
        self.learning_rate, self.weight_decay, self.warmup_steps = learning_rate, weight_decay, warmup_steps
        self.length, self.batch_tokens, self.repeat, self.seed = length, batch_tokens, repeat, seed
        self.max_epochs, self.max_minutes, self.patience = max_epochs, max_minutes, patience
        self.best_epoch = 0
        self.log: list[dict[str, float]] = []
        self.n_items = 0
        self.network: Network | None = None

    def fit(
        self, interactions: Interactions, validation: Sequence[Case] | None = None, epochs: int | None = None
    ) -> Self:
        """Train; with validation cases keep the weights of the best epoch, without them train all epochs.

        Args:
            interactions: what is learned from.
            validation: cases that say when to stop.
            epochs: instead of ``max_epochs``.
        """
        self.n_items, self.best_epoch, self.log = interactions.n_items, 0, []
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are left as they were
            torch.manual_seed(self.seed)
            self.network = Network(self.n_items, self.dim, self.layers, self.heads, self.dropout, self.length)
            windows = Windows.cut(interactions, self.length)
            self._train(self.network, windows, validation, epochs or self.max_epochs)
        self.network.eval()
        return self

    def _train(self, network: Network, windows: Windows, validation: Sequence[Case] | None, epochs: int) -> None:
        optimizer = torch.optim.AdamW(self._groups(network), lr=self.learning_rate)
        rise = max(1, self.warmup_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / rise))
        rng, begin = np.random.default_rng(self.seed), time.thread_time()
        best, kept = -1.0, network.state_dict()
        for epoch in range(1, epochs + 1):
            self._epoch(network, windows, optimizer, schedule, rng)
            if not validation:
                self.best_epoch = epoch
                continue
            ndcg = mean_ndcg(case_ranks(self.score, validation, self.n_items, self.repeat))
            self.log.append({"seconds": round(time.thread_time() - begin, 1), "ndcg@10": ndcg})
            if ndcg > best:
                best, self.best_epoch = ndcg, epoch
                kept = {name: values.clone() for name, values in network.state_dict().items()}
            if epoch - self.best_epoch >= self.patience or self._late(time.thread_time() - begin, epoch):
                break
        network.load_state_dict(kept)

    def _late(self, seconds: float, epoch: int) -> bool:
        """Tell whether one more epoch, as long as those before, would end after the limit."""
        return self.max_minutes is not None and seconds * (epoch + 1) / epoch > 60 * self.max_minutes

    def _groups(self, network: Network) -> list[dict[str, object]]:
        matrices = [m.weight for m in network.modules() if isinstance(m, nn.Linear)]
        ids = {id(matrix) for matrix in matrices}
        others = [one for one in network.parameters() if id(one) not in ids]
        return [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]

    def _epoch(
        self,
        network: Network,
        windows: Windows,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        rng: np.random.Generator,
    ) -> None:
        network.train()
        for rows, targets in windows.batches(self.batch_tokens, rng):
            counts = targets != NO_TARGET
            logits = network.logits(network(rows)[counts])  # of the targets only: the head is what costs most
            loss = functional.cross_entropy(logits, targets[counts])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the logits of the item after each history: float32 ``[len(histories), n_items]``.

        An empty history scores all items 0.

        Raises:
            UsageError: not fitted, or a history of another catalog.
        """
        network = self.network
        if network is None:
            raise UsageError("sasrec is not fitted; call fit first")
        scores = np.zeros((len(histories), self.n_items), dtype=np.float32)
        recent = [history.rows[-self.length :] for history in histories]
        if any(len(rows) and rows.max() >= self.n_items for rows in recent):
            raise UsageError(f"sasrec: a history holds a row beyond the {self.n_items} items that it was fitted on")
        lengths = np.array([len(rows) for rows in recent], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        network.eval()
        with torch.inference_mode():
            for group in grouped(lengths[order], SCORED_TOKENS) if len(order) else []:
                chosen = order[group]
                padded = np.zeros((len(chosen), int(lengths[chosen].max())), dtype=np.int64)
                for place, one in enumerate(chosen):
                    padded[place, : lengths[one]] = recent[one]
                last = network(torch.from_numpy(padded))[
                    torch.arange(len(chosen)), torch.from_numpy(lengths[chosen] - 1)
                ]
                scores[chosen] = network.logits(last).numpy()
        return scores
