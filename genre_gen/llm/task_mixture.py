"""TaskMixture: the batches of an epoch, which are the same for the same seed and epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genre_gen.domain import TaskSettings
from genre_gen.errors import ConfigError
from genre_gen.llm.batch import Batch, pack, pad
from genre_gen.llm.encode import NO_TARGET, Encoded, Encoder
from genre_gen.llm.shards import ShardedEpoch
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TASKS, Example, TaskData
from genre_gen.tasks.next_item import NextItem

MAIN, PRETRAINING = "next_item", "catalog_text"
_ROW = 256  # tokens of a packed row, short enough that attention (quadratic) is a small part of the work
_TEXT_LIMIT = 1024  # tokens of an example at full depth; longer descriptions add little and cost much

WHOLE_UP_TO = 1_000_000
"""The largest number of interactions whose epochs are made at once."""

SHARD = 2000
"""The number of examples of the main task in a shard of a larger epoch."""

SAMPLE = 200
"""The number of examples that the lengths of all others are estimated from."""

SETTLED = 20_000
"""The number of examples in a row without a new answer after which a task's answers are taken as known."""


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
            said = sorted(self._answers_of(name))
            if len(said) > vocabulary:
                raise ConfigError(
                    f"tasks.{name}: {len(said):,} different answers are too many to choose among; "
                    f"round them, or set tasks.{name}.weight = 0"
                )
            if said:
                rows = [torch.tensor(answer) for answer in said]
                answers[name] = pad_sequence(rows, batch_first=True, padding_value=-1)
        return answers

    def _answers_of(self, name: str) -> set[tuple[int, ...]]:
        """Return the answers of a task's examples; SETTLED examples without a new one end the search."""
        said: set[tuple[int, ...]] = set()
        since = 0
        for encoded in self._encoded(name, np.random.default_rng(0)):
            known = len(said)
            said.update(answer for _, answer in _said(encoded, self._encoder.text_vocabulary))
            since = since + 1 if len(said) == known else 0
            if since >= SETTLED:
                break
        return said

    def epoch(self, number: int, answers: Mapping[str, Tensor]) -> Sequence[Batch]:
        """Return the batches of one epoch in training order; the first epochs may be pre-training.

        Of more than WHOLE_UP_TO interactions, they are made in shards when they are asked for.
        """
        rng = np.random.default_rng([self._data.domain.training.seed, number])
        pretrains = number < self._data.domain.training.pretraining_epochs
        if len(self._data.interactions) > WHOLE_UP_TO and MAIN in self._settings and not pretrains:
            return self._sharded(number, answers)
        if pretrains:
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

    def _sharded(self, number: int, answers: Mapping[str, Tensor]) -> ShardedEpoch:
        """Return the batches of an epoch in shards, whose numbers of batches are known without encoding them.

        Lengths are estimated from the number of items, to which they are proportional for the usual templates. Other
        tasks, and synthetic histories, are spread evenly over the shards.
        """
        training = self._data.domain.training
        rng = np.random.default_rng([training.seed, number])
        lengths, shared = self._estimated
        order = rng.permutation(len(self._parts))
        shards = [order[begin : begin + SHARD] for begin in range(0, len(order), SHARD)]
        groups = [self._groups(MAIN, lengths[shard], shared, rng) for shard in shards]
        reference = sum(map(len, groups))
        weights = {name: task.weight / self._settings[MAIN].weight for name, task in self._settings.items()}
        counts = {name: int(weight * reference + rng.random()) for name, weight in weights.items() if weight > 0}
        counts[MAIN] = round(training.synthetic * reference)
        counts = {
            name: count if count and next(self._more(name, np.random.default_rng(0)), None) else 0
            for name, count in counts.items()
        }
        extra = [
            {name: count * (shard + 1) // len(shards) - count * shard // len(shards) for name, count in counts.items()}
            for shard in range(len(shards))
        ]

        def make(shard: int) -> list[Batch]:
            rng, parts = np.random.default_rng([training.seed, number, shard]), self._parts[shards[shard]]
            batches = [
                self._batch(MAIN, [self._checked(MAIN, self._example(parts[index])) for index in group], shared)
                for group in groups[shard]
            ]
            for name, count in extra[shard].items():
                wanted = len(batches) + count
                while len(batches) < wanted:
                    batches += self._drawn(name, wanted - len(batches), rng, answers.get(name))
            return [batches[index] for index in rng.permutation(len(batches))]

        sizes = [len(of_main) + sum(of_others.values()) for of_main, of_others in zip(groups, extra, strict=True)]
        return ShardedEpoch(sizes, make)

    @cached_property
    def _parts(self) -> NDArray[np.int64]:
        return NextItem.parts(self._data)

    def _example(self, part: NDArray[np.int64]) -> Example:
        return NextItem().example(self._data, self._book, part)

    @cached_property
    def _estimated(self) -> tuple[NDArray[np.int64], int]:
        """Return the lengths of the main task's examples, estimated from a sample, and the tokens that they share."""
        items = self._parts[:, 2] - self._parts[:, 1]
        sample = np.argsort(items, kind="stable")[np.linspace(0, len(items) - 1, SAMPLE).astype(np.int64)]
        encoded = [self._encode(self._example(part)) for part in self._parts[sample]]
        found = np.array([len(one) for one in encoded])
        slope = np.polyfit(items[sample], found, 1)[0] if np.ptp(items[sample]) else 0.0
        lengths = np.rint(found.mean() + slope * (items - items[sample].mean())).astype(np.int64)
        return lengths, self._shared(MAIN, encoded)

    def _more(self, name: str, rng: np.random.Generator) -> Iterator[Encoded]:
        """Yield examples that an epoch draws from: synthetic ones of the main task, all of another."""
        if name != MAIN:
            yield from self._encoded(name, rng)
            return
        for example in NextItem().synthetic_examples(self._data, self._book, SHARD, rng):
            yield self._checked(name, example)

    def _drawn(self, name: str, count: int, rng: np.random.Generator, answers: Tensor | None) -> list[Batch]:
        """Return at most ``count`` batches of a task."""
        pool: list[Encoded] = []
        rows = [] if answers is None else [tuple(row[row >= 0].tolist()) for row in answers]
        numbers = None if answers is None else {row: number for number, row in enumerate(rows)}
        budget, used = count * self._tokens[name], 0
        while used < budget:
            before = used
            for encoded in self._more(name, rng):
                pool.append(_numbered(encoded, numbers, self._encoder.text_vocabulary))
                used += len(encoded)
                if used >= budget:
                    break
            if used == before:
                break  # the data has no examples of this task
        return self._batches(name, pool, rng)[:count]

    def _encoded(self, name: str, rng: np.random.Generator) -> Iterator[Encoded]:
        for example in TASKS[name].examples(self._data, self._book, rng):
            if self._settings[name].depth == "exit":
                yield self._checked(name, example)
            elif len(encoded := self._encode(example)) <= min(_TEXT_LIMIT, self._context):
                yield encoded

    def _checked(self, name: str, example: Example) -> Encoded:
        """Encode an example at exit depth; raises ConfigError if it does not fit into the context."""
        encoded = self._encode(example)
        if len(encoded) > self._context:
            raise ConfigError(
                f"tasks.{name}: an example has {len(encoded)} tokens, and the model's context is {self._context}; "
                "lower training.window and model.max_history, or choose shorter item codes or another llm"
            )
        return encoded

    def _encode(self, example: Example) -> Encoded:
        encoded = self._encoder.encode(example.prompt, example.targets, example.first_target)
        codes = encoded.ids[encoded.start :] >= self._encoder.text_vocabulary
        if example.origins is None or codes.sum() != len(example.origins):  # codes of several tokens, or no items
            return encoded
        origins = np.full(len(encoded), -1, np.int64)
        origins[encoded.start :][codes] = example.origins
        return replace(encoded, origins=origins)

    def _batches(self, name: str, pool: list[Encoded], rng: np.random.Generator) -> list[Batch]:
        shared = self._shared(name, pool)
        groups = self._groups(name, np.array([len(encoded) for encoded in pool], np.int64), shared, rng)
        return [self._batch(name, [pool[index] for index in group], shared) for group in groups]

    def _shared(self, name: str, pool: Sequence[Encoded]) -> int:
        """Return the number of first tokens that packed rows have once, those of the instruction; 0 to pad rows."""
        instructions = {encoded.ids[: encoded.start].tobytes() for encoded in pool}
        packs = self._packs and self._settings[name].depth == "exit" and len(instructions) == 1
        return pool[0].start if packs else 0  # the instruction is independent of the user

    def _groups(self, name: str, lengths: NDArray[np.int64], shared: int, rng: np.random.Generator) -> list[list[int]]:
        """Divide examples of some lengths into batches in random order."""
        tokens = self._tokens[name]
        if not shared:
            groups = _of_like_length(lengths, tokens, rng)
            return [groups[index] for index in rng.permutation(len(groups))]
        order = rng.permutation(len(lengths))
        number = (np.cumsum(lengths[order] - shared) - 1) // max(1, tokens - shared * max(1, tokens // _ROW))
        return [part.tolist() for part in np.split(order, np.flatnonzero(np.diff(number)) + 1)]

    def _batch(self, name: str, examples: Sequence[Encoded], shared: int) -> Batch:
        depth = self._settings[name].depth
        return pack(name, depth, examples, shared, _ROW) if shared else pad(name, depth, examples)


def _of_like_length(lengths: NDArray[np.int64], tokens: int, rng: np.random.Generator) -> list[list[int]]:
    """Group examples of similar length, so that there is little padding."""
    order = np.argsort([length + rng.uniform(0, 8) for length in lengths.tolist()], kind="stable")
    groups: list[list[int]] = []
    longest = 0
    for index in order.tolist():
        longest = max(longest, int(lengths[index]))
        if groups and longest * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
            longest = int(lengths[index])
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
