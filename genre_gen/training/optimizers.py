"""The optimizer of the language model: AdamW, and for large code vocabularies an Adam that only touches rows read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from genre_gen.domain import Training

_NAMED = ("code_embedding", "answer_")


class RowAdamW(torch.optim.AdamW):
    """AdamW whose parameters with sparse gradients are updated by row: a step costs as much as the rows it has read.

    For a row there is one second moment, the mean over its units, and no first moment. The second moment decays with
    the steps between two readings as AdamW's does. A row that is read once moves about as far, in one step, as AdamW's
    momentum would move it in the steps that follow: by ``1 / sqrt(1 - beta2)`` learning rates instead of
    ``(1 - beta1) / sqrt(1 - beta2) / (1 - beta1 / sqrt(beta2))``, which for .9 and .98 is 7.1 instead of 7.8. Rows are
    not decayed.

    Example:
        >>> table = torch.nn.Parameter(torch.ones(4, 2))
        >>> optimizer = RowAdamW([table], lr=0.1, betas=(0.9, 0.98))
        >>> torch.nn.functional.embedding(torch.tensor([1]), table, sparse=True).sum().backward()
        >>> _ = optimizer.step()
        >>> table[:, 0].tolist()
        [1.0, 0.8999999761581421, 1.0, 1.0]
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update rows with a sparse gradient, then all other parameters as AdamW does; return the closure's loss."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._update_rows(parameter, group)
        return super().step(closure)

    def _update_rows(self, table: Tensor, group: dict[str, Any]) -> None:
        gradient: Any = table.grad
        table.grad = None  # so that AdamW leaves the parameter out
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["last"] = torch.zeros(len(table), device=table.device)  # the last step that read each row
            state["squares"] = torch.zeros(len(table), device=table.device)
        state["step"] += 1
        step, decay = float(state["step"]), group["betas"][1]
        squares = state["squares"][rows] * decay ** (step - state["last"][rows]) + (1 - decay) * values.square().mean(1)
        state["squares"][rows], state["last"][rows] = squares, step
        spread = (squares / (1 - decay**step)).sqrt() + group["eps"]
        table.index_add_(0, rows, values / spread[:, None], alpha=-group["lr"])


def make_optimizer(parameters: dict[str, nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """Return the optimizer of named parameters, in groups with a peak learning rate each."""
    codes = [value for name, value in parameters.items() if name.startswith(_NAMED)]
    others = [value for name, value in parameters.items() if not name.startswith(_NAMED)]
    matrices = [value for value in others if value.ndim > 1]
    vectors = [value for value in others if value.ndim <= 1]
    groups = [
        {"params": matrices, "peak": training.learning_rate, "weight_decay": training.weight_decay},
        {"params": vectors, "peak": training.learning_rate, "weight_decay": 0.0},
        {"params": codes, "peak": training.code_learning_rate, "weight_decay": 0.0},
    ]
    return RowAdamW(groups, lr=training.learning_rate, betas=(0.9, 0.98), fused=True)


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale the gradients so that their norm, sparse ones included, is at most ``limit``."""
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    sparse = [parameter for parameter in parameters if parameter.grad is not None and parameter.grad.is_sparse]
    if not sparse:
        torch.nn.utils.clip_grad_norm_(parameters, limit)
        return
    for parameter in sparse:  # rows that were read several times are added up
        parameter.grad = parameter.grad.coalesce()  # type: ignore[union-attr]
    values = [_values(parameter) for parameter in parameters]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in values]))
    torch._foreach_mul_(values, (limit / (norm + 1e-6)).clamp(max=1.0))


def _values(parameter: nn.Parameter) -> Tensor:
    gradient: Any = parameter.grad
    return gradient.values() if gradient.is_sparse else gradient
