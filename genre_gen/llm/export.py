"""The item model as an ordinary model of transformers, for ``generate``, Outlines, or any other tool."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from genre_gen.errors import ConfigError
from genre_gen.llm.item_backbone import ITEM
from genre_gen.llm.model import LLM
from genre_gen.llm.quantize import merged

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.no_grad()
def to_transformers(llm: LLM) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal model of the exit depth whose vocabulary includes the code tokens, and its tokenizer.

    With :class:`~genre_gen.decoding.processors.CatalogLogitsProcessor` it generates the items that
    :func:`~genre_gen.decoding.search.search` finds. Code tokens are ordinary tokens, since decoding text drops special
    ones. The pre-trained model's generation settings are replaced: with sampling, beams would return items out of
    order. The result shares no weights with ``llm``; LoRA adapters are merged into it.

    Raises:
        ConfigError: the model is quantized for serving, so its full weights are gone.
    """
    if llm.served != "none":
        raise ConfigError(f"a model served in {llm.served} cannot be exported; load it with quantization = none")
    from transformers import AutoModelForCausalLM, GenerationConfig

    config: Any = copy.deepcopy(llm.base.config)
    config.num_hidden_layers = len(llm.item_backbone.layers)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: config.num_hidden_layers]
    config.vocab_size = llm.text_vocabulary + llm.codes.vocabulary
    config.tie_word_embeddings = False
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    layers = merged(copy.deepcopy(llm.item_backbone.layers).float().cpu(), ITEM)
    model.model.layers.load_state_dict(layers.state_dict())
    model.model.norm.load_state_dict(llm.item_backbone.norm.state_dict())
    text: Any = llm.base.get_input_embeddings()
    head: Any = llm.base.get_output_embeddings()
    code = llm.code_vectors(torch.arange(llm.codes.vocabulary, device=llm.device))
    model.set_input_embeddings(nn.Embedding.from_pretrained(torch.cat([text.weight.float(), code.float()]).cpu()))
    output = nn.Linear(code.shape[1], config.vocab_size, bias=False)
    output.weight = nn.Parameter(torch.cat([head.weight.float(), code.float()]).cpu())
    model.set_output_embeddings(output)
    tokenizer = llm.transformers_tokenizer()
    tokenizer.add_tokens(list(llm.codes.names))
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, length_penalty=0.0
    )
    return model.eval(), tokenizer
