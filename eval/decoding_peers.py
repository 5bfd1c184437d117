"""What eval/decoding_speed.py compares: ways to store item codes, and ways to generate items, ours among them.

Stores answer "which tokens may follow these beginnings"; they need no model. Generators answer a prompt with items.
Peers are written as the field writes them, after GENRE (De Cao et al. 2021), MiniOneRec and the libraries' manuals.
"""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from typing_extensions import Self

from genre_gen.decoding.base import CatalogTrie
from genre_gen.decoding.trie import Trie

VOCABULARY = 1024  # code tokens, of all catalogs with codes of several tokens alike
Codes = NDArray[np.int32]
Items = list[tuple[int, ...]]
"""Items by their codes."""


def code_names(size: int) -> list[str]:
    """Return the text form of each code token."""
    return [f"<code_{token}>" for token in range(size)]


def vocabulary(codes: Codes) -> int:
    """Return the number of code tokens."""
    return max(VOCABULARY, int(codes.max()) + 1)


# Stores


class Store(ABC):
    """Item codes, ready to tell what may follow."""

    def __init__(self, file: Path) -> None:
        """Read the codes ``[n_items, length]`` and build; remembers seconds and bytes."""
        self.codes: Codes = np.load(file)
        gc.collect()
        before, begin = psutil.Process().memory_info().rss, time.perf_counter()
        self.build()
        self.seconds = time.perf_counter() - begin
        gc.collect()
        self.bytes = psutil.Process().memory_info().rss - before

    @classmethod
    def of(cls, codes: Codes) -> Self:
        """Return one of codes that are at hand, built without measuring."""
        store = cls.__new__(cls)
        store.codes = codes
        store.build()
        return store

    @abstractmethod
    def build(self) -> None:
        """Build from ``self.codes``."""

    def prepare(self, prefixes: Codes) -> Any:
        """Return what the search holds of beginnings ``[beams, steps]`` between two steps."""
        return prefixes.tolist()

    @abstractmethod
    def follow(self, prepared: Any) -> int:
        """Find the tokens that may follow each beginning; return how many there are together."""

    def built(self) -> dict[str, float]:
        """Return seconds and bytes of the build."""
        return {"build_seconds": self.seconds, "bytes": float(self.bytes)}

    def step(self, beams: int, seed: int) -> tuple[float, int]:
        """Return the microseconds of one step, and how many tokens were found: beginnings of random items."""
        random = np.random.default_rng(seed)
        items = self.codes[random.integers(len(self.codes), size=beams)]
        seconds, found = 0.0, 0
        for steps in range(1, items.shape[1]):
            prepared = self.prepare(items[:, :steps])
            begin = time.perf_counter()
            found += self.follow(prepared)
            seconds += time.perf_counter() - begin
        return 1e6 * seconds / (items.shape[1] - 1), found


class SearchTrie(Store):
    """Ours, as the search uses it: it holds nodes, and counts what is allowed below each child."""

    def build(self) -> None:
        """Build the trie."""
        self.trie = Trie.build(self.codes, VOCABULARY)

    def built(self) -> dict[str, float]:
        """Return seconds and bytes; the arrays tell their own size, what is made at need included."""
        self.subset = self.trie.subset(None, [np.arange(min(50, len(self.codes)))])  # as a history is excluded
        return {"build_seconds": self.seconds, "bytes": float(self.trie.nbytes)}

    def prepare(self, prefixes: Codes) -> Any:
        """Return nodes."""
        return self.trie.walk(prefixes)

    def follow(self, prepared: Any) -> int:
        """Expand nodes."""
        _, children = self.trie.expand(prepared)
        alive = self.trie.count(children, self.subset) > 0
        return len(self.trie.token(children[alive]))


class ProcessorTrie(SearchTrie):
    """Ours, as the adapters for ``generate`` use it: it walks from the root at each step."""

    def prepare(self, prefixes: Codes) -> Any:
        """Return the tokens as they are."""
        return prefixes

    def follow(self, prepared: Any) -> int:
        """Walk and expand."""
        return super().follow(self.trie.walk(prepared))


class NestedDicts(Store):
    """The trie of GENRE: a dictionary per node."""

    def build(self) -> None:
        """Insert code by code."""
        self.root: dict[int, Any] = {}
        for code in self.codes.tolist():
            node = self.root
            for token in code:
                node = node.setdefault(token, {})

    def follow(self, prepared: Any) -> int:
        """Walk beginning by beginning."""
        return sum(len(self.get(prefix)) for prefix in prepared)

    def get(self, prefix: Sequence[int]) -> list[int]:
        """Return the tokens that may follow."""
        node = self.root
        for token in prefix:
            node = node.get(token, {})
        return list(node)


class PrefixHash(Store):
    """One dictionary from beginnings to followers, as in MiniOneRec."""

    def build(self) -> None:
        """Enter each beginning of each code."""
        self.table: dict[tuple[int, ...], set[int]] = {}
        for code in map(tuple, self.codes.tolist()):
            for steps in range(len(code)):
                self.table.setdefault(code[:steps], set()).add(code[steps])

    def follow(self, prepared: Any) -> int:
        """Look up beginning by beginning."""
        return sum(len(self.get(prefix)) for prefix in prepared)

    def get(self, prefix: Sequence[int]) -> list[int]:
        """Return the tokens that may follow."""
        return list(self.table.get(tuple(prefix), ()))


class SortedArray(Store):
    """The sorted codes and nothing else: a beginning is a range, found by bisection."""

    def build(self) -> None:
        """Pack codes into numbers and sort."""
        self.width = VOCABULARY.bit_length()
        self.length = self.codes.shape[1]
        self.keys = np.sort(self._packed(self.codes))

    def follow(self, prepared: Any) -> int:
        """Bisect beginning by beginning, and collect the next tokens of the range."""
        found = 0
        for prefix in prepared:
            shift = self.width * (self.length - len(prefix))
            low = self._packed(np.array([prefix]))[0] << shift
            begin, end = np.searchsorted(self.keys, [low, low + (1 << shift)])
            following = self.keys[begin:end] >> (shift - self.width)
            found += len(np.unique(following))
        return found

    def _packed(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        packed = np.zeros(len(codes), dtype=np.int64)
        for column in codes.T:
            packed = (packed << self.width) + column
        return packed


STORES: dict[str, type[Store]] = {
    "ours, in the search": SearchTrie,
    "ours, in a processor": ProcessorTrie,
    "nested dicts (GENRE)": NestedDicts,
    "hash of prefixes (MiniOneRec)": PrefixHash,
    "sorted array, bisection": SortedArray,
}


# Generators


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
        """Return the items, their scores, and the seconds that they took."""
        begin = time.perf_counter()
        codes, scores = self.answer(ids, beams)
        seconds = time.perf_counter() - begin
        return list(map(tuple, codes.tolist())), scores, seconds

    def prompts(self, users: int, tokens: int) -> list[list[int]]:
        """Return prompts of random histories; see :func:`history_prompts`."""
        return history_prompts(instruction_ids(self.tokenizer), self.text, self.codes, users, tokens)

    def prompts_of(self, users: int, items: int) -> list[list[int]]:
        """Return prompts of random histories of at most so many items."""
        instruction = instruction_ids(self.tokenizer)
        tokens = len(instruction) + items * self.codes.shape[1]
        return history_prompts(instruction, self.text, self.codes, users, tokens)

    def read(self, ids: list[int]) -> tuple[float, float]:
        """Return the seconds of one bare forward pass over a prompt: as the layers are, and with packed ones."""
        import torch

        from genre_gen.decoding.onednn import prepack

        prompt, taken = torch.tensor([ids]), []
        for decoder in (self.model.model, prepack(self.model.model)):
            begin = time.perf_counter()
            with torch.inference_mode():
                decoder(input_ids=prompt, use_cache=True)
            taken.append(time.perf_counter() - begin)
        return taken[0], taken[1]


class Ours(Generator):
    """The search with a shared prefix; scores over the whole vocabulary, as ``generate`` has them."""

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
        from beam_search import Expander, NormalizedExpander, beam_search

        expander = NormalizedExpander if self.normalized else Expander
        (ranking,) = beam_search(self.tree, [ids], self.trie, beams, expander=expander)
        return self.codes[ranking.rows], ranking.scores.tolist()


class OursUnpacked(Ours):
    """The same with torch's own products, so that the search alone differs from ``generate``."""

    prepacked = False


class OursRestricted(Ours):
    """The search with a head over the code tokens alone, as GENRE serves."""

    normalized = False

    def head(self, hidden: Any) -> Any:
        """Return logits of code tokens."""
        return hidden @ self.model.lm_head.weight[self.text :].T


class OursPrefixKept(OursRestricted):
    """The same, with the instruction's keys and values kept."""

    def answer(self, ids: list[int], beams: int) -> tuple[Codes, list[float]]:
        """Search."""
        if not self.tree.prefixes.shared:
            self.tree.cache_prefix(ids[: self.instruction])
        return super().answer(ids, beams)

    @property
    def instruction(self) -> int:
        """Return how many tokens all prompts begin with."""
        return len(instruction_ids(self.tokenizer))


class OursServing(OursPrefixKept):
    """The same for many users and with its time taken apart; items of the history are excluded."""

    def ask_parts(self, ids: list[int], beams: int) -> tuple[float, float, float]:
        """Return the seconds of a request, those of them in the model, and those in the trie and what it allows."""
        from beam_search import beam_search

        model: Any = _Clocked(self.tree)
        trie: Any = _Clocked(self.trie)
        exclude = np.random.default_rng(len(ids)).integers(len(self.codes), size=30)
        begin = time.perf_counter()
        beam_search(model, [ids], trie, beams, trie.subset(None, [exclude]))
        return time.perf_counter() - begin, model.seconds, trie.seconds

    def ask_many(self, prompts: list[list[int]], beams: int, together: bool) -> tuple[list[list[float]], float, float]:
        """Return the scores for each user, and the seconds for all of them, by the clock and by the processor."""
        from beam_search import beam_search

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
    """What a trained recommender serves by default: one token an item, the first layers; in eight bits or not."""

    def __init__(self, file: Path, folder: Path, layers: int | None, quantization: str) -> None:
        """Load, and quantize the layers where asked."""
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


def beam_options(prompt: Any, steps: int, beams: int) -> dict[str, Any]:
    """Return what ``generate`` is given to answer a prompt ``[1, tokens]`` by as many codes of ``steps`` tokens."""
    import torch

    return {
        "input_ids": prompt,
        "attention_mask": torch.ones_like(prompt),
        "max_new_tokens": steps,
        "min_new_tokens": steps,
        "num_beams": beams,
        "num_return_sequences": beams,
    }


class _ByGenerate(Generator):
    """``generate`` of transformers, with beams."""

    @abstractmethod
    def options(self, length: int) -> dict[str, Any]:
        """Return what constrains ``generate``, for a prompt of ``length`` tokens."""

    def answer(self, ids: list[int], beams: int) -> tuple[Codes, list[float]]:
        """Generate."""
        import torch

        steps = self.codes.shape[1]
        prompt = torch.tensor([ids])
        output = self.model.generate(
            **beam_options(prompt, steps, beams),
            do_sample=False,
            length_penalty=0.0 if beams > 1 else None,
            return_dict_in_generate=True,
            output_scores=True,
            **self.options(len(ids)),
        )
        codes = (output.sequences[:, len(ids) :].numpy() - self.text).astype(np.int32)
        scores = output.sequences_scores.tolist() if beams > 1 else [0.0]
        return codes, scores


class PrefixFunction(_ByGenerate):
    """``prefix_allowed_tokens_fn`` over nested dicts: the way of GENRE, P5 and OpenP5."""

    def build(self) -> None:
        """Insert code by code, in the model's ids."""
        self.store = NestedDicts.of(self.codes + self.text)

    def options(self, length: int) -> dict[str, Any]:
        """Return the function that is called for each beam."""
        return {"prefix_allowed_tokens_fn": lambda _, ids: self.store.get(ids[length:].tolist())}


class PrefixFunctionPacked(PrefixFunction):
    """The same over our packed layers: what they bring to anyone."""

    def build(self) -> None:
        """Prepack the layers, then insert code by code."""
        from genre_gen.decoding.onednn import prepack

        self.model.model = prepack(self.model.model)
        super().build()


class RowProcessor(_ByGenerate):
    """A processor that loops over rows and looks each beginning up: the way of MiniOneRec."""

    def build(self) -> None:
        """Enter each beginning of each code, in the model's ids."""
        self.store = PrefixHash.of(self.codes + self.text)

    def options(self, length: int) -> dict[str, Any]:
        """Return the processor."""
        import torch

        def process(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            barred = torch.full_like(scores, -torch.inf)
            for row, own in enumerate(ids[:, length:].tolist()):
                following = self.store.get(own)
                barred[row, following] = scores[row, following]
            return barred

        return {"logits_processor": [process]}


class LLGuidance(_ByGenerate):
    """A processor with an llguidance matcher for each row, made anew at each step so that beams may be reordered.

    The grammar names tokens by their ids. A grammar of texts would admit code tokens spelt by other tokens.
    """

    def build(self) -> None:
        """Compile the codes as alternatives."""
        import llguidance
        import llguidance.hf

        self.reader = llguidance.hf.from_tokenizer(self.tokenizer)
        codes = (self.codes + self.text).tolist()
        grammar = "start: " + " | ".join(" ".join(f"<[{token}]>" for token in code) for code in codes)
        self.matcher = llguidance.LLMatcher(self.reader, grammar, log_level=0)
        if self.matcher.get_error():
            raise RuntimeError(self.matcher.get_error())

    def options(self, length: int) -> dict[str, Any]:
        """Return the processor."""
        import llguidance.torch as bitmask
        import torch

        def process(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            mask = bitmask.allocate_token_bitmask(len(ids), self.reader.vocab_size)
            for row, own in enumerate(ids[:, length:].tolist()):
                matcher = self.matcher.deep_copy()
                matcher.consume_tokens(own)
                bitmask.fill_next_token_bitmask(matcher, mask, row)
            bitmask.apply_token_bitmask_inplace(scores, mask)
            return scores

        return {"logits_processor": [process]}


class OurProcessor(_ByGenerate):
    """``generate`` with our processor: what the trie alone brings; scores over the code tokens."""

    def build(self) -> None:
        """Build the trie."""
        from genre_gen.decoding.processors import Constraint

        self.trie = Trie.build(self.codes, self.vocabulary)
        self.constraint = Constraint(self.trie, self.text, self.model.generation_config.eos_token_id)

    def options(self, length: int) -> dict[str, Any]:
        """Return the processor."""
        from genre_gen.decoding.processors import CatalogLogitsProcessor

        return {"logits_processor": [CatalogLogitsProcessor(self.constraint, length)]}


class _ByOutlines(Generator):
    """Outlines' own choice among the texts of all codes.

    It constrains texts, so a code may be spelt by ordinary tokens too, and is given as many as it has letters.
    """

    backend = ""

    def build(self) -> None:
        """Compile the choice."""
        import outlines
        from outlines.types import Choice

        names = np.array(code_names(self.vocabulary), dtype=object)
        self.texts = {text: row for row, text in enumerate(names[self.codes].sum(axis=1).tolist())}
        self.most = max(map(len, self.texts)) + 1
        self.model.generation_config.max_new_tokens = self.most
        wrapped = outlines.from_transformers(self.model, self.tokenizer)
        self.generator = outlines.Generator(wrapped, Choice(list(self.texts)), backend=self.backend)

    def answer(self, ids: list[int], beams: int) -> tuple[Codes, list[float]]:
        """Generate texts."""
        text = self.tokenizer.decode(ids)
        beam = {"num_beams": beams, "num_return_sequences": beams, "length_penalty": 0.0} if beams > 1 else {}
        found = self.generator(text, max_new_tokens=self.most, do_sample=False, **beam)
        found = found if isinstance(found, list) else [found]
        rows = [self.texts.get(text, -1) for text in found]
        if -1 in rows or len(set(rows)) < len(rows):
            valid = len({row for row in rows if row >= 0})
            raise ValueError(f"only {valid} of {beams} answers are items of the catalog, each once")
        return self.codes[rows], [0.0] * len(rows)


class OutlinesCore(_ByOutlines):
    """Outlines with its default backend."""

    backend = "outlines_core"


class OutlinesLLGuidance(_ByOutlines):
    """Outlines with llguidance."""

    backend = "llguidance"


class OutlinesXGrammar(_ByOutlines):
    """Outlines with xgrammar."""

    backend = "xgrammar"


GENERATORS: dict[str, type[Generator]] = {
    "ours, torch's own products": OursUnpacked,
    "ours, whole vocabulary": Ours,
    "ours, restricted head": OursRestricted,
    "ours, and the prefix kept": OursPrefixKept,
    "ours, and bf16": OursBfloat16,
    "ours, and int8": OursInt8,
    "generate, our processor": OurProcessor,
    "generate, prefix_allowed_tokens_fn over dicts": PrefixFunction,
    "generate, prefix_allowed_tokens_fn, packed layers": PrefixFunctionPacked,
    "generate, per-row dict processor": RowProcessor,
    "generate, llguidance matcher per row": LLGuidance,
    "Outlines choice, outlines_core": OutlinesCore,
    "Outlines choice, llguidance": OutlinesLLGuidance,
    "Outlines choice, xgrammar": OutlinesXGrammar,
}
USUAL = "generate, prefix_allowed_tokens_fn over dicts"
SAME_SCORES = (
    ("ours, whole vocabulary", "generate, prefix_allowed_tokens_fn over dicts"),
    ("ours, torch's own products", "generate, prefix_allowed_tokens_fn over dicts"),
    ("ours, whole vocabulary", "generate, per-row dict processor"),
    ("ours, whole vocabulary", "generate, llguidance matcher per row"),
    ("ours, restricted head", "generate, our processor"),
    ("ours, restricted head", "ours, and the prefix kept"),
)
"""Pairs that must give the same items at the same scores."""


def extended_model(folder: Path, layers: int | None, size: int) -> tuple[Any, Any, int]:
    """Return a folder's causal model with ``size`` more tokens for codes, its tokenizer, and the first code's id.

    A code token starts as a random text token, which gives distributions of the shape that text has.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
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
    """Return what every prompt begins with."""
    return tokenizer(INSTRUCTION, add_special_tokens=False)["input_ids"]


def history_prompts(instruction: Sequence[int], text: int, codes: Codes, users: int, tokens: int) -> list[list[int]]:
    """Return prompts of random histories with about ``tokens`` tokens, the first of full length, others down to 2/3."""
    random = np.random.default_rng(0)
    most = max(1, (tokens - len(instruction)) // codes.shape[1])
    sizes = [most, *random.integers(max(1, most * 2 // 3), most + 1, size=users - 1)]
    rows = [random.integers(len(codes), size=size) for size in sizes]
    return [[*instruction, *(codes[own].ravel() + text).tolist()] for own in rows]
