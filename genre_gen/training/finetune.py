"""Multitask fine-tuning: a short loop on accelerate that can be killed at any step and resumes exactly."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genre_gen.collaborative.negatives import Negatives, NegativeSampler
from genre_gen.domain import Training
from genre_gen.errors import CheckpointError, ConfigError
from genre_gen.folders.checkpoints import CHECKPOINT, PROGRESS
from genre_gen.folders.reading import SavedFolder, open_folder
from genre_gen.folders.writing import recover_folder, write_folder, write_json
from genre_gen.llm.batch import Batch
from genre_gen.llm.encode import NO_TARGET
from genre_gen.llm.hardware import computes_bfloat16
from genre_gen.llm.model import LLM
from genre_gen.llm.task_mixture import MAIN, TaskMixture
from genre_gen.training.distillation import OnShare, SoftTargets
from genre_gen.training.optimizers import clip_gradients, make_optimizer
from genre_gen.training.run_options import WHOLE, RunOptions
from genre_gen.training.schedule import MEASURED_AT, Planner, Progress

log = logging.getLogger(__name__)
Stage: TypeAlias = Literal["soft targets", "pre-training", "training", "refit"]
_WEIGHTS = "weights.safetensors"
_FLOOR = 0.02  # final learning rate, as a share of the peak


class FineTuner:
    """Trains an :class:`~genre_gen.llm.model.LLM` on a mix of tasks; it ends with its best weights."""

    def __init__(
        self,
        llm: LLM,
        mixture: TaskMixture,
        training: Training,
        *,
        validate: Callable[[], float] | None = None,
        exclude_seen: bool = True,
        folder: Path | None = None,
        fingerprint: str = "",
        start: str = "",
        checkpoint_seconds: float = 120.0,
        soft_targets: Callable[[OnShare], SoftTargets] | None = None,
        refit: bool = False,
        sampler: NegativeSampler | None = None,
        options: RunOptions = WHOLE,
    ) -> None:
        """Prepare a run without training.

        Args:
            llm: the model, changed in place.
            mixture: the source of batches.
            training: the settings.
            validate: returns NDCG@10 on validation cases; None trains to the end without early stopping.
            exclude_seen: whether items do not repeat in this domain.
            folder: for checkpoints; None keeps everything in memory.
            fingerprint: fingerprint of data, prompts and settings; a checkpoint with another one is rejected.
            start: fingerprint of the initial weights, empty if they follow from ``fingerprint``; a checkpoint that
                began with other weights is discarded.
            checkpoint_seconds: least seconds between checkpoints.
            soft_targets: makes soft targets, once when a run begins, if ``training.distillation`` is above 0.
            refit: whether the run repeats or continues an earlier one, see ``stage``.
            sampler: draws the negatives of each step; None computes the softmax over item codes in full.
            options: how far the run goes.

        Raises:
            ConfigError: distillation has no teacher or needs codes of one token.
        """
        from accelerate import Accelerator

        self._make_soft_targets = _teacher(soft_targets, llm, training)
        self._soft_targets: SoftTargets | None = None
        torch.manual_seed(training.seed)
        self.training, self.mixture, self.validate, self.exclude_seen = training, mixture, validate, exclude_seen
        self.folder, self.fingerprint, self.start, self.refit = folder, fingerprint, start, refit
        self.checkpoint_seconds = checkpoint_seconds
        self.options, self.planner = options, _planner(training, options, validates=validate is not None)
        on_cpu = llm.device.type == "cpu"
        self.half, self.accelerator = _computes_in_half(training.precision, on_cpu), Accelerator(cpu=on_cpu)
        self.llm = llm.to(self.accelerator.device)
        self._sampler, llm.row_gradients = sampler, sampler is not None
        llm.add_answer_heads({task: ids.to(llm.device) for task, ids in mixture.answers().items()})
        self.parameters = dict(llm.trainable())
        self.model, self.optimizer = self.accelerator.prepare(llm, make_optimizer(self.parameters, training))
        self.progress = Progress()
        self.steps, self.stopped = 0, False  # planned total; whether an interruption ended the run
        self.best_weights: dict[str, Tensor] = {}
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._saved, self.resumed = time.monotonic(), False  # whether this run continues from a checkpoint
        self._soft_target_share: float | None = None  # the share that is made, while they are being made

    @property
    def stage(self) -> Stage:
        """Return the present stage: soft targets, pre-training on the catalog's text, or the tasks."""
        if self._soft_target_share is not None:
            return "soft targets"
        if self.progress.epoch < self.training.pretraining_epochs:
            return "pre-training"
        return "refit" if self.refit else "training"

    def run(self, on_step: Callable[[FineTuner], None] | None = None) -> Progress:
        """Train until the limit of epochs, time or patience; resume from the folder's checkpoint if any.

        A run that is interrupted ends with its best weights so far, ``stopped`` and not finished.

        ``on_step`` is called after every step and during the making of soft targets.

        Raises:
            CheckpointError: the folder's checkpoint is damaged or belongs to other data or settings.
        """
        self._resume()
        self._ask_teacher(on_step)
        with _residual_dropout(self.llm.item_backbone, self.training.dropout):
            while not (self.progress.finished or self.stopped):
                self._epoch(on_step)
        if on_step is not None:
            on_step(self)
        self._keep_best()
        return self.progress

    def _ask_teacher(self, on_step: Callable[[FineTuner], None] | None) -> None:
        if self._make_soft_targets is None or self.progress.finished:
            return

        def on_share(share: float) -> None:
            self._soft_target_share = share
            if on_step is not None:
                on_step(self)

        on_share(0.0)
        self._soft_targets = self._make_soft_targets(on_share)
        self._soft_target_share = None

    def _epoch(self, on_step: Callable[[FineTuner], None] | None) -> None:
        progress, begin = self.progress, time.monotonic()
        batches = self.mixture.epoch(progress.epoch, self.llm.answers)
        progress.batches, progress.preparing = len(batches), progress.preparing + time.monotonic() - begin
        progress.seconds += time.monotonic() - begin
        self.steps = self.planner.plan(progress)
        marks = _marks(len(batches), self.training.validations_per_epoch)
        while progress.done < len(batches) and not self._is_over():
            begin = time.monotonic()
            self._step(batches[progress.done])
            progress.done += 1
            progress.step += 1
            progress.seconds += time.monotonic() - begin
            if progress.done in marks:
                self._validate()
            if progress.done in marks or progress.step in MEASURED_AT or self.planner.is_due(progress):
                self.steps = self.planner.plan(progress)
            if on_step is not None:
                on_step(self)
            self.stopped = not progress.finished and self.options.interrupted()
            self._save(due_only=not self.stopped)
            if progress.finished or self.stopped:
                break
        if progress.done == len(batches) and not self.stopped:
            self._is_over()
            progress.epoch, progress.done = progress.epoch + 1, 0
            progress.finished |= not batches and progress.epoch >= self.planner.epochs
        if progress.finished:
            self._save()

    def _is_over(self) -> bool:
        """Tell whether the run is finished. At its end it validates, and is extended if that pays."""
        progress = self.progress
        if self.options.repeats is not None:
            progress.finished = progress.step >= self.options.repeats.steps
        elif progress.step >= self.steps and not progress.finished:
            if not progress.log or progress.log[-1]["step"] != progress.step:
                self._validate()
            progress.finished = progress.finished or not self.planner.extend(progress)
            self.steps = progress.total
        return progress.finished

    @property
    def soft_target_users(self) -> int | None:
        """Return the number of users with soft targets; None if these were not made."""
        return None if self._soft_targets is None else self._soft_targets.users

    def share(self) -> float:
        """Return the share done, 0 to 1: of the soft targets, else of all steps."""
        if self._soft_target_share is not None:
            return self._soft_target_share
        if self.progress.finished:
            return 1.0
        return min(1.0, self.progress.step / self.steps) if self.steps else 0.0

    def recent_losses(self) -> dict[str, float]:
        """Return the mean loss of each task over its last few batches."""
        return {task: sum(values[-8:]) / len(values[-8:]) for task, values in sorted(self._losses.items()) if values}

    def _step(self, batch: Batch) -> None:
        self.llm.item_backbone.train()
        self._set_learning_rate()
        exclude = self.exclude_seen and batch.task == MAIN and self.llm.codes.codes.shape[1] == 1
        device = self.accelerator.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):  # accelerate's is global to the process
            loss = self.model(self._with_soft_targets(batch).to(device), exclude, self._negatives())
        self.accelerator.backward(loss)
        clip_gradients(self.parameters.values(), 1.0)
        self.optimizer.step()
        # A fused optimizer does not count its changes, which caches rely on, so one is counted here.
        torch.autograd.graph.increment_version(list(self.parameters.values()))
        self.optimizer.zero_grad(set_to_none=True)
        self._losses[batch.task].append(float(loss.detach()))

    def _negatives(self) -> Negatives | None:
        """Return the negatives of the present step; None for the full softmax."""
        if self._sampler is None:
            return None
        return self._sampler.draw(self.progress.step).to(self.accelerator.device)

    def _with_soft_targets(self, batch: Batch) -> Batch:
        """Add the teacher's soft targets to a batch of the main task."""
        if self._soft_targets is None or batch.task != MAIN:
            return batch
        origins = batch.origins[batch.target_ids != NO_TARGET].numpy()
        shares = self._soft_targets.shares[origins].astype(np.float32) * self.training.distillation
        shares[origins < 0] = 0.0
        codes = self.llm.codes.codes[self._soft_targets.rows[origins], 0].astype(np.int64)
        return replace(batch, soft_codes=torch.from_numpy(codes), soft_shares=torch.from_numpy(shares))

    def _set_learning_rate(self) -> None:
        """Increase linearly, then decrease along a cosine, by the share of the run that is done."""
        share, warmup = self.share(), self.training.warmup_share
        if share < warmup:
            factor = (share + 1 / self.steps) / warmup
        else:
            factor = _FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * min(1.0, factor)

    def _validate(self) -> None:
        progress, begin = self.progress, time.monotonic()
        done = progress.epoch + progress.done / max(1, progress.batches)
        epoch = max(0.0, done - self.training.pretraining_epochs)
        entry = {
            "epoch": epoch,
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "losses": {task: sum(values) / len(values) for task, values in sorted(self._losses.items())},
        }
        self._losses.clear()
        if self.validate is not None:
            self.llm.item_backbone.eval()
            entry["ndcg@10"] = ndcg = self.validate()
            if epoch > 0:  # pre-training learns no transitions, so its value is logged and not compared
                self._judge(ndcg)
            progress.validating += time.monotonic() - begin
            progress.seconds += time.monotonic() - begin
        progress.log.append(entry)

    def _judge(self, ndcg: float) -> None:
        """Keep the weights if they are the best so far; stop training if there was no improvement for long."""
        progress = self.progress
        if ndcg > progress.best:
            progress.best, progress.since_best = ndcg, 0
            self.best_weights = {name: value.detach().clone() for name, value in self.parameters.items()}
        else:
            progress.since_best += 1
            progress.finished = progress.finished or progress.since_best >= self.training.patience

    def _keep_best(self) -> None:
        self.llm.item_backbone.eval()
        with torch.no_grad():
            for name, value in self.best_weights.items():
                self.parameters[name].copy_(value)

    def _save(self, due_only: bool = False) -> None:
        """Write a checkpoint: weights, best weights, optimizer, random state, progress."""
        if self.folder is None or (due_only and time.monotonic() - self._saved < self.checkpoint_seconds):
            return
        about = {"fingerprint": self.fingerprint, "start": self.start, **self.options.about()}
        write_folder(self.folder / CHECKPOINT, self._fill, "checkpoint", about)
        self._saved = time.monotonic()

    def _fill(self, folder: Path) -> None:
        save_file(
            {name: value.detach().contiguous() for name, value in self.parameters.items()},
            folder / _WEIGHTS,
        )
        save_file({name: value.contiguous() for name, value in self.best_weights.items()}, folder / "best.safetensors")
        save_file(self._optimizer_state(), folder / "optimizer.safetensors")
        losses = {task: list(values) for task, values in self._losses.items()}
        write_json(folder / PROGRESS, {**asdict(self.progress), "losses": losses})

    def _optimizer_state(self) -> dict[str, Tensor]:
        state = {"random": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["random.cuda"] = torch.cuda.get_rng_state()
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"{key}/{name}"] = torch.as_tensor(value).contiguous()
        return state

    def _is_finished(self) -> bool:
        """Tell whether the checkpoint completes the training, which it does not if it may now take longer."""
        progress = self.progress
        if self.options.repeats is not None:
            return progress.step >= self.options.repeats.steps
        out_of_patience = self.validate is not None and progress.since_best >= self.training.patience
        limited = self.planner.time_left is not None
        done = not self.planner.worth_more(progress) if limited else progress.epoch >= self.planner.epochs
        return out_of_patience or (progress.finished and done)

    def _resume(self) -> None:
        if self.folder is None:
            return
        folder = self.folder / CHECKPOINT
        recover_folder(folder)
        if not folder.exists():
            return
        with open_folder(folder, "checkpoint") as saved:
            self._take(saved)

    def _take(self, saved: SavedFolder) -> None:
        """Continue from a checkpoint, unless it belongs to a training that began with other weights."""
        about = saved.manifest.about
        if about.get("fingerprint") != self.fingerprint:
            raise CheckpointError(
                f"{saved.path}: begun with other data, prompts or settings, or by an earlier version; delete it to "
                "start again, or restore them"
            )
        if about.get("start") != self.start:
            log.info("%s: it began with other weights than now; this part of the training starts again", saved.path)
            return  # the next checkpoint replaces it
        if _WEIGHTS not in saved:
            log.info("%s: finished, and only its result was kept; the training starts again", saved.path)
            return
        device = self.accelerator.device
        with torch.no_grad():
            for name, value in saved.tensors(_WEIGHTS).items():
                self.parameters[name].copy_(value)
        self.best_weights = {name: value.to(device) for name, value in saved.tensors("best.safetensors").items()}
        self._restore_optimizer(saved.tensors("optimizer.safetensors"))
        content = saved.json(PROGRESS)
        for task, values in content.pop("losses").items():
            self._losses[task] = list(values)
        self.progress, self.resumed = Progress(**content), True
        self.progress.finished = self._is_finished()

    def _restore_optimizer(self, state: dict[str, Tensor]) -> None:
        torch.set_rng_state(state.pop("random"))
        if "random.cuda" in state:
            torch.cuda.set_rng_state(state.pop("random.cuda"))
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        number = {parameter: index for index, parameter in enumerate(parameters)}  # the numbering of state_dict
        by_parameter: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for path, value in state.items():
            key, name = path.split("/", 1)
            by_parameter[number[self.parameters[name]]][key] = value
        # The optimizer decides the devices: a fused one counts steps on the device of the weights.
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": dict(by_parameter)})


def _planner(training: Training, options: RunOptions, *, validates: bool) -> Planner:
    return Planner(
        training.pretraining_epochs + (training.epochs if options.epochs is None else options.epochs),
        training.validations_per_epoch if validates else 0,
        options.time_left,
        None if options.repeats is None else options.repeats.schedule,
    )


def _teacher(
    soft_targets: Callable[[OnShare], SoftTargets] | None, llm: LLM, training: Training
) -> Callable[[OnShare], SoftTargets] | None:
    """Return the teacher if distillation is on and there is one; raises ConfigError if it is impossible."""
    weight = training.distillation
    if weight == 0:
        return None
    if llm.codes.codes.shape[1] > 1:
        raise ConfigError(
            f"training.distillation = {weight:g} needs item codes of one token; "
            'set codes.scheme = "atomic", or training.distillation = 0'
        )
    if soft_targets is None:
        log.warning("there are no soft targets: the budget left no time to fit a collaborative model as teacher")
    return soft_targets


def _computes_in_half(precision: str, on_cpu: bool) -> bool:
    """Tell whether products are computed in bfloat16; weights and optimizer state are in single precision."""
    if precision == "auto":
        return computes_bfloat16() if on_cpu else torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bf16"


def _marks(batches: int, validations: int) -> set[int]:
    """Return the numbers of batches of an epoch after which to validate, its end included."""
    return {round(batches * part / validations) for part in range(1, validations + 1)}


@contextmanager
def _residual_dropout(backbone: Any, share: float) -> Iterator[None]:
    """Within the block, apply dropout to what attention and feed-forward add to a backbone's residual stream."""

    def drop(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        first, *rest = output if isinstance(output, tuple) else (output,)
        dropped = nn.functional.dropout(first, share, training=backbone.training)
        return (dropped, *rest) if isinstance(output, tuple) else dropped

    parts = [part for layer in backbone.layers for part in (layer.self_attn, layer.mlp)] if share else []
    hooks = [part.register_forward_hook(drop) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
