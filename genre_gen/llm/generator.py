"""ItemGenerator: from histories to rankings, ratings and text, by prompts and the language model."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from genre_gen.data.history import History, allowed_items
from genre_gen.decoding.base import CatalogTrie
from genre_gen.decoding.decoders import decoder_of
from genre_gen.decoding.prefix_cache import tensors_of
from genre_gen.decoding.search import StepModel, score_items, search, search_many
from genre_gen.decoding.tree import TreeModel
from genre_gen.decoding.trie import Trie
from genre_gen.llm.closed_answers import answer_probabilities, finite
from genre_gen.llm.decoder import KeyValues
from genre_gen.llm.encode import Encoded, Encoder
from genre_gen.llm.model import LLM
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt
from genre_gen.ranking import Ranking
from genre_gen.tasks import TaskData
from genre_gen.tasks.base import Targets
from genre_gen.tasks.next_item import NextItem
from genre_gen.tasks.rating import Rating

CANDIDATES = 200
"""The number of items that a search over multi-token codes gives to the blend; all others share the last place."""

RATED = 50
"""The number of rated items in the prompt for a predicted rating; a rating doubles the tokens of its item."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


class ItemGenerator:
    """Prompts the language model, and interprets its output.

    Attributes:
        keeps_prompts: whether batches read each known user's new events only, too. A server sets it; where every user
            is asked for once, what is kept would be for nothing.
        seconds_encoding: what ``score`` has spent so far on prompts, for metrics of one thread.
        seconds_reading: what ``score`` has spent so far on the model.
    """

    def __init__(self, llm: LLM, book: PromptBook, data: TaskData) -> None:
        """Combine model (put into evaluation mode), templates and catalog; several threads may use the generator."""
        self.llm, self.book, self.data = llm.eval(), book, data
        self.encoder = Encoder(llm.tokenizer, llm.codes, llm.text_vocabulary)
        self.trie: CatalogTrie = Trie.build(llm.codes.codes, llm.codes.vocabulary)
        backbone = llm.item_backbone, llm.embed_items
        self.model = TreeModel(
            *backbone, llm.code_logits, llm.text_vocabulary, self._weights, quick_head=llm.quick_code_logits
        )
        # The head is the identity, since each task with closed answers has a head of its own.
        self._state_model = TreeModel(*backbone, lambda states: states, llm.text_vocabulary, self._weights)
        self._lock = Lock()
        self.keeps_prompts = False
        self.seconds_encoding = self.seconds_reading = 0.0

    def with_items(self, llm: LLM, data: TaskData, trie: CatalogTrie, *, keep: bool = True) -> ItemGenerator:
        """Return the generator of a larger catalog, without reading what users' prompts have in common again.

        Args:
            llm: the same language model :meth:`~genre_gen.llm.model.LLM.with_codes` of the larger catalog.
            data: the larger catalog, with the interactions.
            trie: of its codes.
            keep: whether what was read of prompts still holds; False where an item's code or its vector is another.
        """
        other = copy.copy(self)
        other.llm, other.data, other.trie = llm, data, trie
        other.encoder = self.encoder.with_codes(llm.codes)
        heads = llm.code_logits, other._weights, llm.quick_code_logits
        other.model = self.model.with_tokens(llm.embed_items, *heads, keep=keep)
        other._state_model = self._state_model.with_tokens(
            llm.embed_items, self._state_model.head, other._weights, keep=keep
        )
        other._lock = Lock()
        return other

    def encode(self, history: History) -> Encoded:
        """Return the open next-item prompt of a history, cut to ``max_history`` items and to the model's context.

        Raises:
            PromptError: the instruction alone is longer than the context.
        """
        recent = history.last(self.data.domain.model.max_history)
        return self._fitting(recent, "codes", partial(NextItem().prompt, self.data, self.book))

    def _fitting(self, history: History, targets: Targets, prompt: Callable[[History], Prompt]) -> Encoded:
        """Encode the prompt of a history, without its oldest items if they do not fit into the context."""
        context = self.llm.context
        room = None if context is None else context - self.llm.codes.codes.shape[1]  # leaves room for the item's code
        encoded = self.encoder.encode(prompt(history), targets)
        while room is not None and len(encoded) > room:
            if not len(history):
                return self.encoder.encode(prompt(history), targets, limit=room)  # the error names what is too long
            excess = len(history) * (len(encoded) - room) // len(encoded)  # a lower bound
            history = history.last(len(history) - max(1, excess))
            encoded = self.encoder.encode(prompt(history), targets)
        return encoded

    def score(
        self,
        histories: Sequence[History],
        allowed: NDArray[np.bool_] | None = None,
        candidates: int = CANDIDATES,
        *,
        shared_prefix: bool = False,
    ) -> NDArray[np.float32]:
        """Return log-probabilities, float32 ``[len(histories), n_items]``.

        With one-token codes all items are scored; with longer ones the best ``candidates`` allowed items are, and the
        others get ``-inf``. ``allowed`` is bool of the same shape; None allows all items, without those of the history
        unless the domain repeats items. With ``shared_prefix`` the histories are variants of the first.

        Raises:
            DecodingError: the model's scores are not finite.
        """
        begin = time.perf_counter()
        prompts = self._prompts(histories)
        encoded = time.perf_counter()
        model = self.model.shared_prefix() if shared_prefix else self._model_of(histories)
        if self.trie.is_flat:
            scores = score_items(model, prompts, self.trie)
        else:
            size = len(self.data.catalog)
            allowed = allowed_items(histories, size, self.data.domain.repeat) if allowed is None else allowed
            scores = np.full((len(histories), size), -np.inf, np.float32)
            for row, ranking in enumerate(search_many(model, prompts, self.trie, candidates, allowed)):
                scores[row, ranking.rows] = ranking.scores
        self.seconds_encoding += encoded - begin
        self.seconds_reading += time.perf_counter() - encoded
        return scores

    def generate(self, history: History, n: int, allowed: NDArray[np.bool_] | None = None) -> Ranking:
        """Return the exact ``n`` most probable allowed items for a history, or all if fewer are allowed.

        Raises:
            DecodingError: the model's scores are not finite.
        """
        return search(self._model_of([history]), self._prompts([history])[0], self.trie, n, allowed)

    def answer(self, prompt: Prompt, n: int, allowed: NDArray[np.bool_] | None = None) -> Ranking:
        """Return the ``n`` most probable allowed items after any open prompt that asks for an item's code."""
        return search(self.model, self.encoder.encode(prompt, "codes").ids, self.trie, n, allowed)

    def clear_caches(self) -> None:
        """Drop all cached values; needed after a change of weights through ``.data``."""
        self.model.clear_cache()
        self._state_model.clear_cache()
        self.__dict__.pop("_rating_values", None)

    @property
    def rates(self) -> bool:
        """Tell whether the model has learned to rate."""
        return "rating" in self.llm.answers and len(self._rating_values[0]) > 0

    def rate(self, histories: Sequence[History], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the expected rating of one item for each history, float32 ``[len(histories)]``.

        It is the mean of the rating values of the training data, weighted by the model's probabilities. A history
        that occurs several times (the same object) is read once.

        Raises:
            DecodingError: the model's scores are not finite.
        """
        limit = min(RATED, self.data.domain.model.max_history)
        ids = [
            self._fitting(history.last(limit), "data", partial(Rating().prompt, self.data, self.book, row=row)).ids
            for history, row in zip(histories, rows, strict=True)
        ]
        return self._ratings(ids, shared_prefix=all(history is histories[0] for history in histories))

    def ratings_after(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Return the expected rating after each open prompt of the rating task, float32 ``[len(prompts)]``.

        Raises:
            DecodingError: the model's scores are not finite.
        """
        return self._ratings([self.encoder.encode(prompt, "data").ids for prompt in prompts])

    def _ratings(self, ids: Sequence[NDArray[np.int32]], *, shared_prefix: bool = False) -> NDArray[np.float32]:
        places, values = self._rating_values
        model = self._state_model.shared_prefix() if shared_prefix else self._state_model
        with torch.inference_mode():
            logits = self.llm.answer_logits(model.prefill_many(ids), "rating")[..., places]
        chances = finite(torch.softmax(logits.float(), dim=-1))
        low, high = self.data.domain.rating_scale or (-np.inf, np.inf)
        return (chances @ values).cpu().numpy().clip(low, high)

    @cached_property
    def _rating_values(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of the answers that are numbers, and the ratings that they mean."""
        words = [str(self.llm.tokenizer.decode(row[row >= 0])).strip() for row in self.llm.answers["rating"]]
        rated = {index: float(word) for index, word in enumerate(words) if _NUMBER.fullmatch(word)}
        device = self.llm.device
        return torch.tensor([*rated], dtype=torch.int64, device=device), torch.tensor([*rated.values()], device=device)

    def answer_probabilities(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> NDArray[np.float32]:
        """Return the relative probabilities of some answers: float32 ``[prompts, answers]``, rows sum to 1.

        An answer covers all texts that begin with it but not with a longer one of the answers: "Music, Drama" counts
        for "Music", and "Musical" does not. The prompts are open and belong to one task of ``llm.answers``.

        Raises:
            UsageError: the task has no closed answers, or none of these answers consists of words that it has learned.
            DecodingError: the model's scores are not finite.
        """
        rows = [answer_probabilities(self.llm, self.encoder, prompt, answers) for prompt in prompts]
        return np.array(rows, np.float32).reshape(len(prompts), len(answers))

    @torch.inference_mode()
    def write(self, prompt: Prompt, max_tokens: int = 48) -> str:
        """Return the model's greedy answer to an open prompt, up to the end of the message.

        A task trained at exit depth is answered there, with the words of its answers; any other at full depth, with all
        words.
        """
        llm, answers = self.llm, self.llm.answers.get(prompt.task)
        backbone, embed = (llm.base.model, llm.embed) if answers is None else (llm.item_backbone, llm.embed_items)
        ids = torch.as_tensor(self.encoder.encode(prompt).ids, dtype=torch.int64, device=llm.device)[None]
        decoder, cache, written, ends = (
            decoder_of(backbone),
            KeyValues(),
            list[int](),
            set(llm.tokenizer.all_special_ids),
        )
        for _ in range(max_tokens):
            state = decoder.read(embed(ids), cache)[0, -1]
            if answers is None:
                tokens = [int(llm.text_logits(state).argmax())]
            else:
                answer = answers[llm.answer_logits(state, prompt.task).argmax()]
                tokens = answer[answer >= 0].tolist()
            if not ends.isdisjoint(tokens):
                break
            written += tokens
            ids = torch.tensor([tokens], device=llm.device)
        return str(llm.tokenizer.decode(written, skip_special_tokens=True)).strip()

    def _model_of(self, histories: Sequence[History]) -> StepModel:
        """Return the step model; for a known user, one that reads new events only."""
        users = [history.user for history in histories]
        if len(users) == 1:
            return self.model if users[0] is None else self.model.for_user(users[0])
        return self.model.for_users(users) if self.keeps_prompts and any(users) else self.model

    def _weights(self) -> list[torch.Tensor]:
        """Return all weights that keys and values depend on."""
        return [*tensors_of(self.llm.item_backbone), *self.llm.embeddings()]

    def _prompts(self, histories: Sequence[History]) -> list[NDArray[np.int32]]:
        """Encode histories; their common instruction is read once and cached."""
        encoded = [self.encode(history) for history in histories]
        with self._lock:
            if encoded and not self.model.prefixes.shared:
                self.model.cache_prefix(encoded[0].ids[: encoded[0].start])
        return [prompt.ids for prompt in encoded]
