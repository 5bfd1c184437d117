"""Near-identity initialisation: the layers of any decoder pass an item on, so that its neighbours rank."""

import logging

import pytest
import torch
import transformers
from fakes import byte_tokenizer
from torch import nn

from genre_gen.codes import atomic
from genre_gen.domain import ModelSettings
from genre_gen.llm.model import LLM

DECODERS = ["Llama", "Qwen3", "Gemma", "Gemma2", "Gemma3", "Olmo2", "Phi3", "Glm4"]
SIZES = {
    "vocab_size": 259,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def make(name):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}TextConfig", None) or getattr(transformers, f"{name}Config")
    options = {} if name in ("Llama", "Olmo2", "Phi3") else {"head_dim": 16}
    base = getattr(transformers, f"{name}ForCausalLM")(config(**SIZES, **options)).eval()
    llm = LLM(base, byte_tokenizer(), atomic(30), ModelSettings(adapter="full", exit_layer=2))
    with torch.no_grad():
        for path, parameter in llm.item_backbone.named_parameters():
            if "norm" not in path:
                parameter.normal_(std=0.06)
        llm.code_embedding.normal_(std=0.1)
    return llm


@torch.no_grad()
def logits(llm):
    ids = torch.arange(30)[:, None] + llm.text_vocabulary
    states = llm.item_backbone(inputs_embeds=llm.embed_items(ids), use_cache=False).last_hidden_state
    return llm.code_logits(states)[:, 0]


@pytest.mark.parametrize("name", DECODERS)
def test_an_items_logit_after_itself_is_eight(name, caplog):
    llm = make(name)
    with caplog.at_level(logging.WARNING):
        llm.near_identity_init()
    found = logits(llm)
    assert float(found.diagonal().mean()) == pytest.approx(8, rel=0.1)
    assert (found.argmax(1) == torch.arange(30)).all()
    assert "could not be initialised" not in caplog.text


class Loud(nn.Module):
    """A branch without a layer that could be scaled."""

    def forward(self, states):
        return states.roll(1, dims=-1) * 10


def test_layers_that_cannot_be_scaled_are_reported(caplog):
    llm = make("Llama")
    for layer in llm.item_backbone.layers:
        layer.mlp = Loud()
    with caplog.at_level(logging.WARNING):
        llm.near_identity_init()
    assert "the layers of LlamaForCausalLM could not be initialised near the identity" in caplog.text
