"""The tokenizer that answers gives the ids of transformers' own, or leaves the folder to transformers."""

import copy
import json
import random
from concurrent.futures import ThreadPoolExecutor

import injection
import numpy as np
import pytest
import torch
from fakes import byte_tokenizer, tiny_llama

from genre_gen.errors import SourceError
from genre_gen.llm.encode import Encoder
from genre_gen.llm.load import load_light_tokenizer, load_tokenizer
from genre_gen.llm.tokenizer import LightTokenizer

TITLES = [
    "Toy Story (1995)", "  two  spaces ", "",
    "\n\n19", "L'été à 24 km/h", "日本 🎬\u200d", "<|im_start|>user\n<|im_end|>",
    "<tool_call>x</tool_call>", "[CLS] [SEP]", "a" * 300, "\x00\x7f", "MiXeD CaSe, don't!", "1,682 items; 4.5 of 5",
]  # fmt: skip
ALPHABET = "aeiou tnrs(19)5.,'-<|>_[]\n/éßя日本🎬\u200d"


@pytest.fixture(scope="module")
def texts():
    choice = random.Random(0)
    return TITLES + ["".join(choice.choices(ALPHABET, k=choice.randrange(40))) for _ in range(200)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_llama().save_pretrained(folder)
    return folder


def saved(model, tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((model / "config.json").read_bytes())
    return tmp_path


@pytest.mark.parametrize("kind", ["byte-level BPE", "byte-level BPE with added tokens", "BPE with byte fallback"])
def test_ids_and_texts_are_those_of_transformers(model, tmp_path, texts, kind):
    folder = saved(model, tmp_path, injection.tokenizers(TITLES * 3)[kind])
    light, full = load_light_tokenizer(folder), load_tokenizer(folder)
    assert isinstance(light, LightTokenizer)
    for plain in (False, True):
        ids = light(texts, add_special_tokens=False, split_special_tokens=plain).input_ids
        assert ids == full(texts, add_special_tokens=False, split_special_tokens=plain).input_ids
        assert light(texts[0], add_special_tokens=False, split_special_tokens=plain).input_ids == ids[0]
        for skip in (False, True):
            for row in ids:
                assert light.decode(row, skip_special_tokens=skip) == full.decode(row, skip_special_tokens=skip)
    assert light.decode(torch.tensor(ids[0])) == light.decode(np.array(ids[0])) == full.decode(ids[0])
    for name in ("bos_token", "eos_token", "eos_token_id", "special_tokens_map", "chat_template"):
        assert getattr(light, name) == getattr(full, name)
    assert light.all_special_ids == full.all_special_ids
    assert light.get_added_vocab() == full.get_added_vocab()
    assert len(light) == len(full)
    with pytest.raises(ValueError, match="add_special_tokens=False"):
        light("x", add_special_tokens=True)


def change(folder, **changes):
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer_class": "GPT2Tokenizer"}, {"extra_special_tokens": ["<x>"]}, {"bos_token": "<new>"},
        {"split_special_tokens": True}, {"clean_up_tokenization_spaces": True}, {"model_specific_token": "a"},
        {"pad_token": {"content": "<|im_end|>", "__type": "AddedToken"}},
    ],
)  # fmt: skip
def test_options_that_only_transformers_knows_are_left_to_it(model, tmp_path, changes):
    folder = saved(model, tmp_path, byte_tokenizer())
    assert isinstance(load_light_tokenizer(folder), LightTokenizer)
    change(folder, **changes)
    tokenizer = load_light_tokenizer(folder)
    assert not isinstance(tokenizer, LightTokenizer)
    assert tokenizer("Alien", add_special_tokens=False).input_ids


@pytest.mark.parametrize("file", ["special_tokens_map.json", "added_tokens.json"])
def test_files_of_older_versions_are_left_to_transformers(model, tmp_path, file):
    folder = saved(model, tmp_path, byte_tokenizer())
    (folder / file).write_text("{}")
    assert not isinstance(load_light_tokenizer(folder), LightTokenizer)


def test_a_model_of_another_kind_is_left_to_transformers(model, tmp_path):
    folder = saved(model, tmp_path, byte_tokenizer())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "qwen2"}))
    assert not isinstance(load_light_tokenizer(folder), LightTokenizer)


def test_what_is_refused_is_refused_here_too(model, tmp_path):
    folder = saved(model, tmp_path, byte_tokenizer())
    whole = json.loads((folder / "tokenizer.json").read_text())
    grow = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
    (folder / "tokenizer.json").write_text(json.dumps(whole | {"normalizer": grow}))
    with pytest.raises(SourceError, match="its tokenizer makes 400,000 tokens of 400 characters"):
        load_light_tokenizer(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(SourceError, match="not a tokenizer that can be loaded") as refused:
        load_light_tokenizer(folder)
    assert "\n" not in str(refused.value)


def test_threads_share_it_and_copies_are_itself(model, tmp_path):
    light = load_light_tokenizer(saved(model, tmp_path, byte_tokenizer()))
    text, wanted = "<|im_end|>", {}
    for plain in (False, True):
        wanted[plain] = light(text, add_special_tokens=False, split_special_tokens=plain).input_ids
    assert wanted[False] != wanted[True]
    with ThreadPoolExecutor(4) as pool:
        kinds = [number % 2 == 0 for number in range(400)]
        found = pool.map(lambda plain: light(text, add_special_tokens=False, split_special_tokens=plain), kinds)
        assert [each.input_ids for each in found] == [wanted[plain] for plain in kinds]
    assert copy.deepcopy(light) is light


def test_prompts_begin_and_end_alike(model, tmp_path):
    folder = saved(model, tmp_path, byte_tokenizer())

    class Codes:
        codes, vocabulary, names = np.zeros((1, 1), np.int32), 1, ("<a>",)

    encoders = [Encoder(tokenizer(folder), Codes()) for tokenizer in (load_light_tokenizer, load_tokenizer)]
    for roles in (("system", "user", "assistant"), ("user", "assistant")):
        light, full = (encoder._frame(roles) for encoder in encoders)
        assert light == full
