"""SASRec, a small causal transformer over item ids, with a modern training recipe.

Kang and McAuley, ICDM 2018 (https://arxiv.org/abs/1808.09781), with cross-entropy over all items instead of one sampled
negative (Klenitskiy and Vasilev, RecSys 2023, https://arxiv.org/abs/2309.07602), pre-norm blocks and GELU.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.base import EpochModel, rows_of
from genre_gen.data.history import History, check_rows
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case
from genre_gen.errors import ConfigError, UsageError
from genre_gen.folders.arrays import expect
from genre_gen.metrics import case_ranks, ndcg_at

if TYPE_CHECKING:
    from genre_gen.collaborative.sasrec_network import Network, Trainer

log = logging.getLogger(__name__)
SCORED_TOKENS = 8192  # of histories that are scored in one batch
MOST_EPOCHS = 200  # if validation cases can stop training
EPOCHS = 20  # without validation cases


class SASRec(EpochModel):
    """Predict the next item with a causal transformer; every position of a history is a target.

    Args:
        dim: width of the model.
        layers: number of blocks.
        heads: number of attention heads; a divisor of ``dim``.
        dropout: dropout rate of the embeddings and of the output of each layer.
        learning_rate: learning rate of AdamW after the warm-up.
        length: number of most recent items that the model sees.
        batch_tokens: items per step, padding included; windows of similar length share a step.
        weight_decay: weight decay of the matrices other than embeddings.
        warmup_steps: steps in which the learning rate rises; it is constant afterwards.
        max_epochs: the upper limit with validation cases, else the exact number; None for MOST_EPOCHS and EPOCHS.
        max_minutes: stop before an epoch that would end later; used only with validation cases. The time is processor
            time of the training thread, so other work on the machine does not count.
        patience: epochs without a better NDCG@10 before training stops.
        seed: seed of weights, order and dropout.

    Attributes:
        best_epoch: the epoch whose weights are kept, from 1.
        log: NDCG@10 of the validation cases after each epoch, and the time until then: ``seconds`` of processor time of
            the training thread, as for ``max_minutes``, and ``wall_seconds``.
    """

    name: ClassVar[str] = "sasrec"
    hyperparameters = (
        "dim", "layers", "heads", "dropout", "learning_rate", "length", "batch_tokens", "weight_decay", "warmup_steps",
        "max_epochs", "patience", "seed",
    )  # fmt: skip
    relations = ("followed_by",)

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
        max_epochs: int | None = None,
        max_minutes: float | None = None,
        patience: int = 10,
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError if one is out of range."""
        if min(dim, layers, heads, length, batch_tokens, max_epochs or 1, patience) < 1 or dim % heads:
            raise ConfigError(f"sasrec: dim {dim}, {heads} heads; all sizes must be >= 1 and heads must divide dim")
        if not (0 <= dropout < 1 and learning_rate > 0 and weight_decay >= 0 and warmup_steps >= 0):
            raise ConfigError(
                f"sasrec: dropout {dropout}, learning_rate {learning_rate}, weight_decay {weight_decay}; dropout must "
                "be in [0, 1), the learning rate > 0, and the decay >= 0"
            )
        self.dim, self.layers, self.heads, self.dropout = dim, layers, heads, dropout
        self.learning_rate, self.weight_decay, self.warmup_steps = learning_rate, weight_decay, warmup_steps
        self.length, self.batch_tokens, self.seed = length, batch_tokens, seed
        self.max_epochs, self.max_minutes, self.patience = max_epochs, max_minutes, patience
        self.best_epoch = 0
        self.log: list[dict[str, float]] = []
        self.n_items = 0
        self.network: Network | None = None

    def fit(
        self,
        interactions: Interactions,
        validation: Sequence[Case] | None = None,
        *,
        repeat: bool = False,
        enough: Callable[[], bool] = lambda: False,
    ) -> Self:
        """Train as described in ``EpochModel.fit``; with validation cases, keep the weights of the best epoch.

        Raises:
            UsageError: no user has two interactions.
        """
        import torch

        from genre_gen.collaborative.sasrec_network import Network, Trainer, Windows

        self.n_items, self.best_epoch, self.log = interactions.n_items, 0, []
        windows = Windows.cut(interactions, self.length)
        with torch.random.fork_rng(devices=[]):  # the caller's random state is unchanged
            torch.manual_seed(self.seed)
            self.network = Network(self.n_items, self.dim, self.layers, self.heads, self.dropout, self.length)
            trainer = Trainer(
                self.network,
                windows,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                warmup_steps=self.warmup_steps,
                batch_tokens=self.batch_tokens,
                seed=self.seed,
            )
            if validation:
                self._train_until_best(trainer, validation, repeat, enough)
            else:
                self.best_epoch = self.max_epochs or EPOCHS
                for _ in range(self.best_epoch):
                    trainer.epoch()
        return self

    def _train_until_best(
        self, trainer: Trainer, validation: Sequence[Case], repeat: bool, enough: Callable[[], bool]
    ) -> None:
        best, kept, begin, clock = -1.0, trainer.network.state_dict(), time.thread_time(), time.monotonic()
        for epoch in range(1, (self.max_epochs or MOST_EPOCHS) + 1):
            if not trainer.epoch(enough):
                break
            ndcg = float(ndcg_at(case_ranks(self.score, validation, self.n_items, repeat), 10).mean())
            spent = {"seconds": time.thread_time() - begin, "wall_seconds": time.monotonic() - clock}
            self.log.append({**{name: round(value, 1) for name, value in spent.items()}, "ndcg@10": ndcg})
            log.info("sasrec: NDCG@10 %.4f after epoch %d", ndcg, epoch)
            if ndcg > best:
                best, self.best_epoch = ndcg, epoch
                kept = {name: values.clone() for name, values in trainer.network.state_dict().items()}
            if epoch - self.best_epoch >= self.patience or self._late(time.thread_time() - begin, epoch):
                break
        trainer.network.load_state_dict(kept)

    def _late(self, seconds: float, epoch: int) -> bool:
        """Tell whether one more epoch of the same duration would end after the limit."""
        return self.max_minutes is not None and seconds * (epoch + 1) / epoch > 60 * self.max_minutes

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the logits of the item after each history: float32 ``[len(histories), n_items]``.

        An empty history scores all items 0.

        Raises:
            UsageError: the model is not fitted, or a history belongs to another catalog.
        """
        if self.network is None:
            raise UsageError("sasrec is not fitted; call fit first")
        import torch

        from genre_gen.collaborative.sasrec_network import grouped

        scores = np.zeros((len(histories), self.n_items), dtype=np.float32)
        recent = [history.rows[-self.length :] for history in histories]
        check_rows(rows_of(histories), self.n_items)
        lengths = np.array([len(rows) for rows in recent], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        with torch.inference_mode():
            for group in grouped(lengths[order], SCORED_TOKENS) if len(order) else []:
                batch = order[group]
                padded = np.zeros((len(batch), int(lengths[batch].max())), dtype=np.int64)
                for position, row in enumerate(batch):
                    padded[position, : lengths[row]] = recent[row]
                ends = torch.arange(len(batch)), torch.from_numpy(lengths[batch] - 1)
                scores[batch] = self.network.logits(self.network(torch.from_numpy(padded))[ends]).numpy()
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the network's weights by name, float32."""
        if self.network is None:
            raise UsageError("sasrec is not fitted; call fit first")
        return {name: values.numpy() for name, values in self.network.state_dict().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model."""
        import torch

        from genre_gen.collaborative.sasrec_network import Network

        model = cls(**settings)
        arrays = {name: expect(arrays, name, "f", arrays[name].shape) for name in arrays}
        model.n_items = len(arrays["items.weight"])
        model.network = Network(model.n_items, model.dim, model.layers, model.heads, model.dropout, model.length)
        model.network.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in arrays.items()})
        model.network.eval()
        return model
