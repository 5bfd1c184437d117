"""TaskMixture: the batches of an epoch, which are the same for the same seed and epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genre_gen.domain import TaskSettings
from genre_gen.errors import ConfigError
from genre_gen.llm.batch import Batch, pack, pad
from genre_gen.llm.encode import NO_TARGET, Encoded, Encoder
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TASKS, Example, TaskData

MAIN, PRETRAINING = "next_item", "catalog_text"
_ROW = 256  # tokens of a packed row, short enough that attention (quadratic) is a small part of the work
_TEXT_LIMIT = 1024  # tokens of an example at full depth; longer descriptions add little and cost much


class TaskMixture:
    """Draws the batches of an epoch.

    Epochs of pre-training, if any, come first. Then each epoch has all batches of the main task, next item, and
    ``weight`` batches of every other task for each of them (relative to the weight of next item), in random order.
    """

    def __init__(
        self,
        data: TaskData,
        book: PromptBook,
        encoder: Encoder,
        depth_share: float,
        *,
        packs: bool = True,
        context: int | None = None,
    ) -> None:
        """Store the sources of batches.

        Batches at full depth are smaller by ``depth_share`` (exit layers / all layers), so that steps cost the same.
        ``packs`` puts many examples that share their instruction into one row; ``context`` is the model's context
        length.

        Raises:
            ConfigError: a task does not exist, or none has a weight. Drawing batches or answers raises it if an example
                does not fit into the context.
        """
        self._context = sys.maxsize if context is None else context
        self._data, self._book, self._encoder, self._packs = data, book, encoder, packs
        self._settings = {name: task for name, task in data.domain.tasks.items() if task.weight > 0}
        unknown = sorted(set(self._settings) - set(TASKS))
        if unknown:
            raise ConfigError(f"tasks: no task {', '.join(unknown)}; there are: {', '.join(TASKS)}")
        if not self._settings:
            raise ConfigError('tasks: nothing to learn; give at least "next_item" a weight above 0')
        if data.domain.training.pretraining_epochs:
            listed = data.domain.tasks.get(PRETRAINING)
            self._settings[PRETRAINING] = listed or TaskSettings(weight=0.0, depth="full")
        tokens = data.domain.training.batch_tokens
        self._tokens = {
            name: tokens if task.depth == "exit" else max(1, round(tokens * depth_share))
            for name, task in self._settings.items()
        }

    def answers(self) -> dict[str, Tensor]:
        """Return the closed answers of each task at exit depth, as text ids: int64 ``[answers, longest]``, sorted.

        Answers that are values (ratings) are whole answers, since tokenizers that split digits give 1 and 10 the same
        first token; shorter ones are padded with -1. Text answers are represented by their single tokens.

        Raises:
            ConfigError: there are too many different values.
        """
        answers, vocabulary = {}, self._encoder.text_vocabulary
        for name, task in self._settings.items():
            if task.depth != "exit" or name == MAIN:
                continue
            examples = self._encoded(name, np.random.default_rng(0))
            said = sorted({answer for encoded in examples for _, answer in _said(encoded, vocabulary)})
            if len(said) > vocabulary:
                raise ConfigError(
                    f"tasks.{name}: {len(said):,} different answers are too many to choose among; "
                    f"round them, or set tasks.{name}.weight = 0"
                )
            if said:
                rows = [torch.tensor(answer) for answer in said]
                answers[name] = pad_sequence(rows, batch_first=True, padding_value=-1)
        return answers

    def epoch(self, number: int, answers: Mapping[str, Tensor]) -> list[Batch]:
        """Return the batches of one epoch in training order; the first epochs may be pre-training."""
        rng = np.random.default_rng([self._data.domain.training.seed, number])
        if number < self._data.domain.training.pretraining_epochs:
            return self._batches(PRETRAINING, list(self._encoded(PRETRAINING, rng)), rng)
        main = self._batches(MAIN, list(self._encoded(MAIN, rng)), rng) if MAIN in self._settings else []
        reference = len(main) or max(1, round(len(self._data.interactions) / self._data.domain.training.batch_tokens))
        batches = list(main)
        for name, task in self._settings.items():
            if name != MAIN and task.weight > 0:
                share = task.weight / self._settings[MAIN].weight if main else task.weight
                count = int(share * reference + rng.random())  # random rounding, so that small weights have an effect
                batches += self._drawn(name, count, rng, answers.get(name))
        return [batches[index] for index in rng.permutation(len(batches))]

    def _drawn(self, name: str, count: int, rng: np.random.Generator, answers: Tensor | None) -> list[Batch]:
        """Return at most ``count`` batches of a task."""
        pool: list[Encoded] = []
        rows = [] if answers is None else [tuple(row[row >= 0].tolist()) for row in answers]
        numbers = None if answers is None else {row: number for number, row in enumerate(rows)}
        budget, used = count * self._tokens[name], 0
        while used < budget:
            before = used
            for encoded in self._encoded(name, rng):
                pool.append(_numbered(encoded, numbers, self._encoder.text_vocabulary))
                used += len(encoded)
                if used >= budget:
                    break
            if used == before:
                break  # the data has no examples of this task
        return self._batches(name, pool, rng)[:count]

    def _encoded(self, name: str, rng: np.random.Generator) -> Iterator[Encoded]:
        for example in TASKS[name].examples(self._data, self._book, rng):
            encoded = self._encode(example)
            if self._settings[name].depth != "exit":
                if len(encoded) <= min(_TEXT_LIMIT, self._context):
                    yield encoded
                continue
            if len(encoded) > self._context:
                raise ConfigError(
                    f"tasks.{name}: an example has {len(encoded)} tokens, and the model's context is {self._context}; "
                    "lower training.window and model.max_history, or choose shorter item codes or another llm"
                )
            yield encoded

    def _encode(self, example: Example) -> Encoded:
        encoded = self._encoder.encode(example.prompt, example.targets, example.first_target)
        codes = encoded.ids[encoded.start :] >= self._encoder.text_vocabulary
        if example.origins is None or codes.sum() != len(example.origins):  # codes of several tokens, or no items
            return encoded
        origins = np.full(len(encoded), -1, np.int64)
        origins[encoded.start :][codes] = example.origins
        return replace(encoded, origins=origins)

    def _batches(self, name: str, pool: list[Encoded], rng: np.random.Generator) -> list[Batch]:
        depth, tokens = self._settings[name].depth, self._tokens[name]
        instructions = {encoded.ids[: encoded.start].tobytes() for encoded in pool}
        shared = pool[0].start if len(instructions) == 1 else 0  # the instruction is independent of the user
        if not (self._packs and depth == "exit" and shared):
            groups = _of_like_length(pool, tokens, rng)
            return [pad(name, depth, groups[index]) for index in rng.permutation(len(groups))]
        order = [pool[index] for index in rng.permutation(len(pool))]
        sizes = np.array([len(encoded) - shared for encoded in order])
        number = (np.cumsum(sizes) - 1) // max(1, tokens - shared * max(1, tokens // _ROW))
        return [
            pack(name, depth, [order[index] for index in np.flatnonzero(number == batch)], shared, _ROW)
            for batch in np.unique(number)
        ]


def _of_like_length(pool: Sequence[Encoded], tokens: int, rng: np.random.Generator) -> list[list[Encoded]]:
    """Group examples of similar length, so that there is little padding."""
    order = np.argsort([len(encoded) + rng.uniform(0, 8) for encoded in pool], kind="stable")
    groups: list[list[Encoded]] = []
    for index in order.tolist():
        group = [*groups[-1], pool[index]] if groups else []
        if group and max(map(len, group)) * len(group) <= tokens:
            groups[-1] = group
        else:
            groups.append([pool[index]])
    return groups


def _said(encoded: Encoded, text_vocabulary: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the position of each answer of an example and its text ids: whole values, or single tokens of text."""
    if encoded.answers:
        for begin, end in encoded.answers:
            yield begin, tuple(encoded.ids[begin:end].tolist())
        return
    for position in np.flatnonzero((encoded.target_ids != NO_TARGET) & (encoded.target_ids < text_vocabulary)).tolist():
        yield position, (int(encoded.target_ids[position]),)


def _numbered(encoded: Encoded, numbers: Mapping[tuple[int, ...], int] | None, text_vocabulary: int) -> Encoded:
    """Replace closed answers by their numbers; an answer that was not collected from examples becomes no target."""
    if numbers is None:
        return encoded
    target_ids = np.where(encoded.target_ids >= text_vocabulary, encoded.target_ids, NO_TARGET).astype(np.int32)
    for position, answer in _said(encoded, text_vocabulary):
        target_ids[position] = numbers.get(answer, NO_TARGET)
    return replace(encoded, target_ids=target_ids)
