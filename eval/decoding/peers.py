"""Common ways to generate items from a prompt, and the names of all ways that ``eval.decoding.speed`` compares.

They are written as usual in the field, after GENRE (De Cao et al. 2021), MiniOneRec and the libraries' manuals.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from eval.decoding.generators import (
    Generator,
    Ours,
    OursBfloat16,
    OursInt8,
    OursPrefixKept,
    OursRestricted,
    OursUnpacked,
)
from eval.decoding.stores import Codes, NestedDicts, PrefixHash, code_names
from genre_gen.decoding.trie import Trie


def beam_options(prompt: Any, steps: int, beams: int) -> dict[str, Any]:
    """Return arguments of ``generate`` for a prompt ``[1, tokens]`` to return ``beams`` codes of ``steps`` tokens."""
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
        """Return the options that constrain ``generate``, for a prompt of ``length`` tokens."""

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
    """The same with our prepacked layers, to measure their effect."""

    def build(self) -> None:
        """Prepack the layers, then insert code by code."""
        from genre_gen.decoding.onednn import prepack

        self.model.model = prepack(self.model.model)
        super().build()


class RowProcessor(_ByGenerate):
    """A processor that loops over rows and looks up each prefix: the way of MiniOneRec."""

    def build(self) -> None:
        """Insert each prefix of each code, in the model's ids."""
        self.store = PrefixHash.of(self.codes + self.text)

    def options(self, length: int) -> dict[str, Any]:
        """Return the processor."""
        import torch

        def process(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            barred = torch.full_like(scores, -torch.inf)
            for row, tokens in enumerate(ids[:, length:].tolist()):
                following = self.store.get(tokens)
                barred[row, following] = scores[row, following]
            return barred

        return {"logits_processor": [process]}


class LLGuidance(_ByGenerate):
    """A processor with an llguidance matcher for each row, rebuilt at each step so that beams may be reordered.

    The grammar names tokens by their ids. A grammar of texts would allow code tokens spelt by other tokens.
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
            for row, tokens in enumerate(ids[:, length:].tolist()):
                matcher = self.matcher.deep_copy()
                matcher.consume_tokens(tokens)
                bitmask.fill_next_token_bitmask(matcher, mask, row)
            bitmask.apply_token_bitmask_inplace(scores, mask)
            return scores

        return {"logits_processor": [process]}


class OurProcessor(_ByGenerate):
    """``generate`` with our processor, to measure the effect of the trie; scores over the code tokens."""

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

    It constrains texts, so a code may also be spelt by ordinary tokens, and gets one token per letter.
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
        texts = self.generator(text, max_new_tokens=self.most, do_sample=False, **beam)
        texts = texts if isinstance(texts, list) else [texts]
        rows = [self.texts.get(text, -1) for text in texts]
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
