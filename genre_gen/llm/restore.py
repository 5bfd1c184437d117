"""A language model that was trained, before it gets its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genre_gen.llm.factors import number_of_factors
from genre_gen.llm.load import load_base, load_light_tokenizer
from genre_gen.llm.model import LLM
from genre_gen.llm.pretrained import Pretrained

if TYPE_CHECKING:
    from genre_gen.codes.base import Codes
    from genre_gen.domain import Domain


def without_weights(folder: Path, codes: Codes, domain: Domain) -> LLM:
    """Return a language model that lacks its trained weights, see :meth:`LLM.take`.

    The pre-trained model is loaded at its first use, if the item backbone has weights of its own and the model is of a
    kind that needs no transformers to answer; otherwise now.

    Args:
        folder: of the pre-trained model.
        codes: the codes of the items.
        domain: the settings of the training.

    Raises:
        SourceError: the folder holds no model that can be loaded, or not all of its weights.
        ConfigError: the settings do not fit the model.
    """
    settings, factors = domain.model, number_of_factors(domain.codes, codes.vocabulary)
    pretrained = Pretrained.of_folder(folder) if settings.adapter == "full" else None
    if pretrained is None:
        return LLM(*load_base(folder, settings.quantization), codes, settings, factors).eval()
    return LLM(pretrained, load_light_tokenizer(folder), codes, settings, factors).eval()
