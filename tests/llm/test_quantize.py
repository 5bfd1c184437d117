"""Quantization for serving: what is answered in fewer bits, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import byte_tokenizer, tiny_llama
from tiny_training import tiny_llm

from genre_gen import Recommender
from genre_gen.errors import ConfigError, UsageError
from genre_gen.llm.export import to_transformers
from genre_gen.llm.model import LLM
from genre_gen.llm.quantize import _bitsandbytes, quantize, weight_bytes
from genre_gen.recommender.loading import load

SCHEMES = ["bf16", "int8", "nf4"]
APART = {"bf16": 0.005, "int8": 0.05, "nf4": 0.4}  # 1 - correlation of states; of another adapter it is about 1
# Noise of scores in standard deviations. Rounding adds up over the 14 products of two layers: each adds about .002
# in bf16 (8 significant bits) and .01 in int8 (steps of 1/127 of the largest value). Over five seeds of the tiny model,
# with one thread and two, it came to .009-.014, .04-.08 and .17-.29. The bounds are twice the largest: one bit less.
NOISE = {"none": 0.0, "bf16": 0.028, "int8": 0.16, "nf4": 0.58}
OVERLAP = {"none": 20, "bf16": 19, "int8": 18, "nf4": 16}  # of the best 20 of 40; 10 by chance


def scores(recommender):
    return recommender.state.generator.score(recommender.state.histories.histories()[:20]).astype(np.float64)


@pytest.fixture(scope="module")
def exact(saved):
    """Return what the recommender scores in full precision."""
    return scores(Recommender.from_pretrained(saved))


def noise(exact, rounded):
    """Return the median over users of the difference in scores, level aside, in standard deviations."""
    difference = rounded - exact
    return np.median(difference.std(axis=1) / exact.std(axis=1))


@pytest.mark.parametrize("scheme", ["none", *SCHEMES])
def test_a_saved_recommender_answers_in_fewer_bits(saved, exact, scheme):
    served = Recommender.from_pretrained(saved, quantization=scheme)
    rounded = scores(served)
    assert noise(exact, rounded) <= NOISE[scheme]
    assert (np.abs(rounded - exact).max() > 1e-5) == (scheme != "none")  # it is another arithmetic
    best = np.argsort(-exact, axis=1)[:, :20], np.argsort(-rounded, axis=1)[:, :20]
    assert np.mean([len(np.intersect1d(*rows)) for rows in zip(*best, strict=True)]) >= OVERLAP[scheme]
    assert served.domain.serving.quantization == served.state.llm.served == scheme
    same = served.state.fingerprint() == Recommender.from_pretrained(saved).state.fingerprint()
    assert same == (scheme == "none")  # picks of one are not taken for the other's
    assert served.recommend("17", explain=True)[0].explanation is not None
    assert np.isfinite(served.predict("17", "9").rating)


def test_the_layers_are_rounded_and_the_code_embeddings_are_not(saved):
    exact = Recommender.from_pretrained(saved).state.llm
    sizes = {"none": weight_bytes(exact)}
    for scheme in SCHEMES:
        llm = Recommender.from_pretrained(saved, quantization=scheme).state.llm
        sizes[scheme] = weight_bytes(llm)
        assert torch.equal(llm.code_embedding, exact.code_embedding)
        if scheme != "bf16":
            for layers in (llm.item_backbone.layers, llm.base.model.layers):
                assert not any(type(module) is torch.nn.Linear for module in layers.modules())
    assert sizes["nf4"] < sizes["int8"] < sizes["none"]
    assert sizes["nf4"] < sizes["bf16"] < sizes["none"]


def test_bytes_are_those_of_the_tensors_each_once(tiny_recommender):
    llm = tiny_recommender.state.generator.llm
    shared = llm.base.get_input_embeddings().weight
    assert llm.base.get_output_embeddings().weight is shared
    once = {id(one): one.nbytes for one in [*llm.parameters(), *llm.buffers()]}
    assert weight_bytes(llm) == sum(once.values())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("depth", ["item", "text"])
def test_adapters_are_merged_before(tiny_domain, sample, scheme, depth):
    """With LoRA over shared layers, items and texts each keep their own adapter."""
    catalog, interactions = sample
    domain = tiny_domain.changed({"model.adapter": "lora", "training.epochs": 1})
    llm = tiny_llm(domain, catalog, interactions)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in llm.named_parameters():
            if ".lora_B." in name:  # begins as zeros, which would change nothing
                size = 0.3 if f".{depth}." in name else 0.0
                parameter.copy_(size * torch.randn(parameter.shape, generator=random))
    ids = torch.arange(3, 40)[None]
    before = _states(llm, depth, ids)
    quantize(llm, scheme)
    after = _states(llm, depth, ids).float()
    assert 1 - torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1] < APART[scheme]
    assert not any("lora" in name for name, _ in llm.named_parameters())


@torch.inference_mode()
def _states(llm: LLM, depth, ids):
    backbone, embed = (llm.item_backbone, llm.embed_items) if depth == "item" else (llm.base.model, llm.embed)
    return backbone(inputs_embeds=embed(ids), use_cache=False).last_hidden_state.clone()


def test_a_domain_may_choose_it_before_training(tiny_domain, mixed, tmp_path):
    domain = mixed.domain.changed({"serving.quantization": "int8"})
    Recommender.from_state(replace(mixed.state, domain=domain)).save_pretrained(tmp_path / "x")
    assert Recommender.from_pretrained(tmp_path / "x").state.llm.served == "int8"
    assert Recommender.from_pretrained(tmp_path / "x", quantization="none").state.llm.served == "none"


def test_impossible_quantization_is_refused(saved, tmp_path):
    with pytest.raises(ConfigError, match=r"serving\.quantization.*'none', 'bf16', 'int8' or 'nf4' \(it is 'int3'\)"):
        load(saved, "int3")
    served = Recommender.from_pretrained(saved, quantization="int8")
    with pytest.raises(UsageError, match=r'loaded in int8.*quantization = "none" to save'):
        served.save_pretrained(tmp_path / "x")
    with pytest.raises(ConfigError, match=r"already quantized \(int8\), so it cannot become nf4"):
        quantize(served.state.llm, "nf4")
    with pytest.raises(ConfigError, match="served in int8 cannot be exported"):
        to_transformers(served.state.llm)


def test_a_model_trained_in_few_bits_is_unchanged(tiny_domain, sample):
    domain = tiny_domain.changed({"model.adapter": "lora", "model.quantization": "nf4"})
    llm = tiny_llm(domain, *sample)
    with pytest.raises(ConfigError, match=r"already quantized \(nf4\), so it cannot become int8"):
        quantize(llm, "int8")
    quantize(llm, "none")
    assert llm.served == "none"


def test_four_bits_need_whole_blocks(tiny_domain, sample, tmp_path):
    """On AVX512 bitsandbytes reads other rows wrongly, and says nothing."""
    tiny_llama(layers=4, hidden=48).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    domain = tiny_domain.changed({"model.llm": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"multiple of 64, and this model has one of 48; choose int8"):
        quantize(tiny_llm(domain, *sample), "nf4")
    with pytest.raises(ConfigError, match="multiple of 64"):
        tiny_llm(domain.changed({"model.adapter": "lora", "model.quantization": "nf4"}), *sample)


def test_a_4_bit_layer_is_packed_before_threads_share_it():
    layer = _bitsandbytes(torch.nn.Linear(64, 64), "nf4")
    packed = getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
    assert packed == layer.support_avx512bf16_for_cpu  # where the processor has no such units, nothing is packed
