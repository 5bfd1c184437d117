"""Our ways to generate items from a prompt, as ``eval.decoding.speed`` compares them with ``peers.py``."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from eval.decoding.stores import Codes, code_names, vocabulary
from genre_gen.decoding.base import CatalogTrie
from genre_gen.decoding.trie import Trie

Items = list[tuple[int, ...]]
"""Items by their codes."""


class Generator(ABC):
    """A language model whose vocabulary ends with the code tokens, and a catalog."""

    def __init__(self, file: Path, folder: Path, layers: int | None) -> None:
        """Load the model, read the codes, build the constraint (timed)."""
        from genre_gen.downloads.third_party_logging import quiet_libraries

        with quiet_libraries():
            self.codes: Codes = np.load(file)
            self.vocabulary = vocabulary(self.codes)
            self.model, self.tokenizer, self.text = extended_model(folder, layers, self.vocabulary)
        before, begin = psutil.Process().memory_info().rss, time.perf_counter()
        self.build()
        self.seconds = time.perf_counter() - begin
        self.bytes = psutil.Process().memory_info().rss - before

    @abstractmethod
    def build(self) -> None:
        """Build the constraint from ``self.codes``."""

    @abstractmethod
    def answer(self, ids: list[int], beams: int) -> tuple[Codes, list[float]]:
        """Return codes ``[beams, length]`` and scores of the ``beams`` best items, best first."""

    def built(self) -> dict[str, float]:
        """Return seconds and bytes of the build."""
        return {"build_seconds": self.seconds, "bytes": float(self.bytes)}

    def ask(self, ids: list[int], beams: int) -> tuple[Items, list[float], float]:
        """Return the items, their scores, and the seconds."""
        begin = time.perf_counter()
        codes, scores = self.answer(ids, beams)
        seconds = time.perf_counter() - begin
        return list(map(tuple, codes.tolist())), scores, seconds

    def prompts(self, users: int, tokens: int) -> list[list[int]]:
        """Return prompts of random histories; see :func:`history_prompts`."""
        return history_prompts(instruction_ids(self.tokenizer), self.text, self.codes, users, tokens)

    def prompts_of(self, users: int, items: int) -> list[list[int]]:
        """Return prompts of random histories of at most ``items`` items."""
        instruction = instruction_ids(self.tokenizer)
        tokens = len(instruction) + items * self.codes.shape[1]
        return history_prompts(instruction, self.text, self.codes, users, tokens)

    def read(self, ids: list[int]) -> tuple[float, float]:
        """Return the seconds of a bare forward pass over a prompt: with the plain layers, and with prepacked ones."""
        import torch

        from genre_gen.decoding.onednn import prepack

        taken = []
        for decoder in (self.model.model, prepack(self.model.model)):
            begin = time.perf_counter()
            with torch.inference_mode():
                decoder(inputs_embeds=self.model.get_input_embeddings()(torch.tensor([ids])), use_cache=False)
            taken.append(time.perf_counter() - begin)
        return taken[0], taken[1]


class Ours(Generator):
    """The search with a shared prefix; scores over the whole vocabulary, like ``generate``."""

    def build(self) -> None:
        """Build the trie; the model reads the instruction at the first request."""
        from genre_gen.decoding.tree import TreeModel

        self.trie: CatalogTrie = Trie.build(self.codes, self.vocabulary)
        embed = self.model.get_input_embeddings()
        self.tree = TreeModel(self.model.model, embed, self.head, self.text, prepacked=self.prepacked)

    def head(self, hidden: Any) -> Any:
        """Return log-probabilities of code tokens, normalized over all tokens."""
        return self.model.lm_head(hidden).log_softmax(-1)[..., self.text :]

    normalized = True
    prepacked = True

    def answer(self, ids: list[int], beams: int) -> tuple[Codes, list[float]]:
        """Search."""
        from eval.decoding.beam_search import Expander, NormalizedExpander, beam_search

        expander = NormalizedExpander if self.normalized else Expander
        (ranking,) = beam_search(self.tree, [ids], self.trie, beams, expander=expander)
        return self.codes[ranking.rows], ranking.scores.tolist()


class OursUnpacked(Ours):
    """The same with torch's own products, so that the search alone differs from ``generate``."""

    prepacked = False


class OursRestricted(Ours):
    """The search with a head over the code tokens only, as in serving."""

    normalized = False

    def head(self, hidden: Any) -> Any:
        """Return logits of code tokens."""
        return hidden @ self.model.lm_head.weight[self.text :].T


class OursPrefixKept(OursRestricted):
    """The same, with cached keys and values of the instruction."""

    def answer(self, ids: list[int], beams: int) -> tuple[Codes, list[float]]:
        """Search."""
        if not self.tree.prefixes.shared:
            self.tree.cache_prefix(ids[: self.instruction])
        return super().answer(ids, beams)

    @property
    def instruction(self) -> int:
        """Return the number of tokens that all prompts share at the beginning."""
        return len(instruction_ids(self.tokenizer))


class OursServing(OursPrefixKept):
    """The same for many users, with the time of each part; items of the history are excluded."""

    def ask_parts(self, ids: list[int], beams: int) -> tuple[float, float, float]:
        """Return the seconds of a request, those in the model, and those in the trie and the filters."""
        from eval.decoding.beam_search import beam_search

        model: Any = _Clocked(self.tree)
        trie: Any = _Clocked(self.trie)
        exclude = np.random.default_rng(len(ids)).integers(len(self.codes), size=30)
        begin = time.perf_counter()
        beam_search(model, [ids], trie, beams, trie.subset(None, [exclude]))
        return time.perf_counter() - begin, model.seconds, trie.seconds

    def ask_many(self, prompts: list[list[int]], beams: int, together: bool) -> tuple[list[list[float]], float, float]:
        """Return the scores for each user, and the seconds for all of them: wall-clock and processor time."""
        from eval.decoding.beam_search import beam_search

        if not self.tree.prefixes.shared:
            self.tree.cache_prefix(prompts[0][: self.instruction])
        begin = time.perf_counter(), time.process_time()
        batches = [prompts] if together else [[ids] for ids in prompts]
        rankings = [ranking for batch in batches for ranking in beam_search(self.tree, batch, self.trie, beams)]
        taken = time.perf_counter() - begin[0], time.process_time() - begin[1]
        return [ranking.scores.tolist() for ranking in rankings], *taken


class _Clocked:
    """A step model, or a trie, that adds up the time spent in its methods."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.seconds = inner, 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if not callable(method):
            return method

        def timed(*arguments: Any) -> Any:
            begin = time.perf_counter()
            answer = method(*arguments)
            self.seconds += time.perf_counter() - begin
            return answer

        return timed


class OursDefault(OursServing):
    """The default of a trained recommender: one token an item and the first layers, optionally in eight bits."""

    def __init__(self, file: Path, folder: Path, layers: int | None, quantization: str) -> None:
        """Load the model, and quantize the layers if asked for."""
        super().__init__(file, folder, layers)
        if quantization == "int8":
            from genre_gen.llm.int8 import to_int8

            self.model.model = to_int8(self.model.model)
            self.build()


class OursBfloat16(OursPrefixKept):
    """The same in bfloat16, all layers."""

    def build(self) -> None:
        """Halve the layers, then build; the head stays in single precision, as in serving."""
        import torch

        self.weight = self.model.lm_head.weight[self.text :].detach().clone()
        self.model.model.to(torch.bfloat16)
        super().build()

    def head(self, hidden: Any) -> Any:
        """Return logits of code tokens."""
        return hidden.float() @ self.weight.T


class OursInt8(OursPrefixKept):
    """The same in eight bits: torch's own products of int8 weights and activations."""

    def build(self) -> None:
        """Quantize the layers, then build."""
        from genre_gen.llm.int8 import to_int8

        self.model.model = to_int8(self.model.model)
        super().build()


def extended_model(folder: Path, layers: int | None, size: int) -> tuple[Any, Any, int]:
    """Return a folder's causal model with ``size`` more tokens for codes, its tokenizer, and the first code's id.

    A code token is initialised as a random text token, so that distributions have the shape of those of text.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.add_tokens(code_names(size))
    text = len(tokenizer) - size
    embedding = model.get_input_embeddings().weight.detach()[:text]
    chosen = torch.randint(text, (size,), generator=torch.Generator().manual_seed(0))
    weight = torch.cat([embedding, embedding[chosen]])
    model.resize_token_embeddings(len(weight), mean_resizing=False)
    model.get_input_embeddings().weight.data.copy_(weight)
    model.tie_weights()
    if layers is not None:
        model.model.layers = model.model.layers[:layers]
        model.config.num_hidden_layers = layers
    end = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
    return model.eval(), tokenizer, text


INSTRUCTION = (
    "You recommend films. Below are the codes of the films that a user has watched, in the order of watching, the "
    "oldest first. Answer with the codes of the films that the same user will most likely watch next, and with "
    "nothing else."
)


def instruction_ids(tokenizer: Any) -> list[int]:
    """Return the ids that every prompt begins with."""
    return tokenizer(INSTRUCTION, add_special_tokens=False)["input_ids"]


def history_prompts(instruction: Sequence[int], text: int, codes: Codes, users: int, tokens: int) -> list[list[int]]:
    """Return prompts of random histories with about ``tokens`` tokens, the first of full length, others down to 2/3."""
    random = np.random.default_rng(0)
    most = max(1, (tokens - len(instruction)) // codes.shape[1])
    sizes = [most, *random.integers(max(1, most * 2 // 3), most + 1, size=users - 1)]
    rows = [random.integers(len(codes), size=size) for size in sizes]
    return [[*instruction, *(codes[chosen].ravel() + text).tolist()] for chosen in rows]
