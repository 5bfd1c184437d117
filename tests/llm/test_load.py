"""A folder with a model is data: what it says about code, kernels, files elsewhere and sizes is not followed."""

import ast
import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from fakes import byte_tokenizer, tiny_llama

from genre_gen.downloads.models import check_model
from genre_gen.errors import ConfigError, SourceError
from genre_gen.llm.load import load_base, load_tokenizer, model_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    tiny_llama().save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder, file="config.json", **changes):
    content = json.loads((folder / file).read_text()) | changes
    (folder / file).write_text(json.dumps(content))


def one_line(problem):
    text = str(problem.value)
    assert "\n" not in text
    assert len(text) < 800
    return text


def test_a_model_loads_as_it_was_saved(folder):
    model, tokenizer = load_base(folder)
    before = tiny_llama().state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert tokenizer("Alien").input_ids == byte_tokenizer()("Alien").input_ids
    assert not model.training


MARK = "import pathlib; pathlib.Path({path!r}).write_text('ran')\nfrom transformers import LlamaForCausalLM as Mine\n"


@pytest.mark.parametrize("kind", ["llama", "mine"])
@pytest.mark.parametrize("answer", ["y\n", ""])
def test_code_of_the_folder_is_never_run_nor_asked_about(folder, tmp_path, monkeypatch, kind, answer):
    (folder / "mine.py").write_text(MARK.format(path=str(tmp_path / "ran")))
    auto = {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Mine", "AutoTokenizer": ["mine.Mine", "mine.Mine"]}
    change(folder, auto_map=auto, model_type=kind)
    change(folder, "tokenizer_config.json", auto_map=auto)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    if kind == "llama":
        load_base(folder)
    else:
        with pytest.raises(SourceError, match="none that transformers knows without code of its own"):
            load_base(folder)
    assert not (tmp_path / "ran").exists()
    assert sys.stdin.read() == answer  # nobody was asked


def test_kernels_and_precisions_of_the_folder_are_dropped(folder):
    change(folder, _attn_implementation="owner/kernel", attn_implementation="owner/kernel", dtype="float64")
    model, _ = load_base(folder)
    assert model.config._attn_implementation == "sdpa"
    assert model.dtype == torch.float32


def test_weights_that_are_quantized_are_refused(folder):
    change(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(
        SourceError, match=r"its weights are quantized \(gptq\); give the model as it was before"
    ) as refused:
        load_base(folder)
    one_line(refused)


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_hidden_layers", 10**6), ("hidden_size", 10**9), ("vocab_size", 10**12), ("num_hidden_layers", 0),
     ("num_hidden_layers", "many"), ("hidden_size", -1), ("intermediate_size", 10**400), ("model_type", ["llama"]),
     ("model_type", "x" * 10**6), ("num_attention_heads", None), ("hidden_size", 7), ("rope_parameters", 3)],
)  # fmt: skip
def test_sizes_that_no_model_has_are_one_line(folder, key, value):
    change(folder, **{key: value})
    with pytest.raises((SourceError, ConfigError)) as refused:
        load_base(folder)
    one_line(refused)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 10**5, '"llama"', "\xff", " " * (1 << 21)])
def test_an_invalid_config_is_one_line(folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match="not a causal language model that can be loaded") as refused:
        load_base(folder)
    one_line(refused)


def test_weights_that_are_not_there_are_not_made_up(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(SourceError, match=r"lacks 1 weights, the first is model\.layers\.1\.mlp\.up_proj\.weight"):
        load_base(folder)


def test_damaged_weights_are_one_line(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(SourceError, match="not a causal language model that can be loaded") as refused:
        load_base(folder)
    one_line(refused)


@pytest.mark.parametrize(
    "name",
    ["weights.bin", "../outside/w.safetensors", "/abs/w.safetensors", "a\\w.safetensors", 3, ["x.safetensors"], ""],
)
def test_an_index_may_name_safetensors_of_its_folder_only(folder, tmp_path, name):
    (tmp_path / "outside").mkdir()
    shutil.copy(folder / "model.safetensors", tmp_path / "outside" / "w.safetensors")
    torch.save(tiny_llama().state_dict(), folder / "weights.bin")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"model.norm.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(SourceError, match=r"index\.json (names|cannot be read)") as refused:
        check_model(folder)
    one_line(refused)


def test_an_adapter_next_to_a_model_is_refused(folder, tmp_path):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "other")}))
    with pytest.raises(SourceError, match="holds an adapter next to its model: merge the two"):
        check_model(folder)


def with_tokenizer(folder, **changes):
    content = json.loads((folder / "tokenizer.json").read_text()) | changes
    (folder / "tokenizer.json").write_text(json.dumps(content))


def test_a_tokenizer_that_blows_up_is_refused(folder):
    grow = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
    with_tokenizer(folder, normalizer=grow)
    with pytest.raises(SourceError, match="its tokenizer makes 400,000 tokens of 400 characters") as refused:
        load_tokenizer(folder)
    one_line(refused)


def test_a_tokenizer_that_cannot_be_read_is_one_line(folder):
    for content in ({"model": {"type": "None"}}, {"model": None}, {"added_tokens": [{"id": -1}]}):
        byte_tokenizer().save_pretrained(folder)
        with_tokenizer(folder, **content)
        with pytest.raises(SourceError, match="not a tokenizer that can be loaded") as refused:
            load_tokenizer(folder)
        one_line(refused)


def test_a_panic_of_the_tokenizer_is_one_line(folder, monkeypatch):
    class PanicException(BaseException):
        """As Rust's binding raises it: no Exception."""

    def panic(*_arguments, **_options):
        raise PanicException("called `Option::unwrap()`\non a `None` value")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", panic)
    with pytest.raises(SourceError, match="on a `None` value") as refused:
        load_tokenizer(folder)
    one_line(refused)


def test_an_interruption_stays_one(folder, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_tokenizer(folder)


def test_published_kinds_of_models_are_described_as_they_say(folder):
    from transformers import Gemma2Config, Qwen3Config

    for made in (Qwen3Config(num_hidden_layers=3), Gemma2Config(num_hidden_layers=4, sliding_window=8)):
        made.save_pretrained(folder)
        described = model_config(folder)
        assert type(described) is type(made)
        assert described.num_hidden_layers == made.num_hidden_layers
        assert described.layer_types == made.layer_types


def test_every_call_of_from_pretrained_forbids_code_of_the_folder():
    calls = []
    for file in [*(ROOT / "genre_gen").rglob("*.py"), *(ROOT / "eval").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("from_pretrained"):
                continue
            if not ast.unparse(node.func).split(".")[-2].startswith("Auto"):
                continue
            text = ast.unparse(node)
            allowed = "trust_remote_code=False" in text or "**local" in text or "**options" in text
            calls.append((file.name, allowed))
    assert len(calls) >= 6
    assert all(allowed for _, allowed in calls), calls


def test_who_may_read_one_file_of_a_model_may_read_all(folder):
    assert os.access(folder / "model.safetensors", os.R_OK)
