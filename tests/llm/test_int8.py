import numpy as np
import pytest
import torch
from fakes import tiny_llama

from genre_gen.decoding.onednn import prepack
from genre_gen.decoding.search import search
from genre_gen.decoding.tree import TreeModel
from genre_gen.decoding.trie import Trie
from genre_gen.errors import ConfigError
from genre_gen.llm.decoder import Decoder
from genre_gen.llm.int8 import to_int8

TEXT, CODES = 40, 12


def test_eight_bits_give_similar_answers_and_do_not_change_the_model():
    model = tiny_llama(vocabulary=TEXT + CODES, hidden=64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    head = model.lm_head.weight[TEXT:]
    small = to_int8(model.model)
    trie = Trie.build(np.stack(np.meshgrid(range(12), range(12)), -1).reshape(-1, 2), CODES)
    prompt = list(range(3, 25))
    found, exact = (
        search(TreeModel(backbone, model.get_input_embeddings(), lambda h: h @ head.T, TEXT), prompt, trie, 144)
        for backbone in (small, model.model)
    )
    one, other = np.empty(144), np.empty(144)
    one[found.rows], other[exact.rows] = found.scores, exact.scores
    assert np.corrcoef(one, other)[0, 1] > 0.99
    assert np.abs(one - other).max() > 0  # it is another arithmetic
    assert not any(isinstance(module, torch.nn.Linear) for module in small.layers.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_unsupported_kernels_are_reported(monkeypatch):
    model = tiny_llama(vocabulary=TEXT + CODES)
    with pytest.raises(ConfigError, match="CPU only"):
        to_int8(model.to("meta").model)
    monkeypatch.delattr(torch.ao.quantization, "quantize_dynamic")
    with pytest.raises(ConfigError, match="no quantize_dynamic"):
        to_int8(tiny_llama().model)


@torch.inference_mode()
def test_queries_keys_and_values_are_one_product_with_the_same_bits():
    """The weights and the rounding of the input are those of three products."""
    model = to_int8(tiny_llama(hidden=64).model)
    joined, apart, embeddings = prepack(model), Decoder.over(model), torch.randn(2, 7, 64)
    attention = joined.layers[0].self_attn
    assert attention.qkv_proj.out_features == 64 + 2 * 32
    assert joined.layers[1].self_attn.qkv_proj is None
    assert torch.equal(joined.read(embeddings), apart.read(embeddings))
