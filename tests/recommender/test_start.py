"""Starting: what a process imports, and when the pre-trained model is loaded."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import altered, assert_alike
from safetensors.torch import load_file, save_file

from genre_gen import Recommender
from genre_gen.errors import SourceError
from genre_gen.llm.fingerprint import model_fingerprint
from genre_gen.llm.pretrained import Pretrained
from genre_gen.llm.tokenizer import LightTokenizer

ROOT = Path(__file__).parents[2]
LARGE = {
    *("transformers", "peft", "bitsandbytes", "accelerate", "outlines", "sklearn", "pandas", "matplotlib", "surprise"),
    *("polars", "scipy.stats", "scipy.optimize", "scipy.spatial", "huggingface_hub", "genre_gen.training"),
    *(f"genre_gen.training.{trainer}" for trainer in ("finetune", "llm_training", "recommender_training")),
}
ANSWER = """
import sys
from genre_gen import Recommender
recommender = Recommender.from_pretrained(sys.argv[1])
for who in ("17", ["Toy Story (1995)"]):
    assert len(recommender.recommend(who, n=3, explain=True)) == 3
recommender.predict("17", "9")
print(*sys.modules)
"""
COMMANDS = """
import contextlib, io, json, sys
from genre_gen.cli.main import main
imported = {}
for command in json.loads(sys.argv[1]):
    sys.argv = ["genre-gen", *command]
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        main()
    assert told.getvalue(), command
    imported[command[0]] = [*sys.modules]
print(json.dumps(imported))
"""


def output(code, *arguments, folder=ROOT):
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "", "HOME": str(Path.home())}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_answering_imports_nothing_that_answers_do_not_need(saved):
    assert not LARGE & set(output(ANSWER, saved).split())


def test_no_command_imports_more_than_it_needs(saved, tmp_path):
    item = Recommender.from_pretrained(saved).recommend("17", n=1)[0].item.id
    who = ["--model", str(saved), "--user", "17"]
    commands = [
        ["doctor"],
        ["recommend", *who, "--explain"],
        ["recommend", *who, "--query", "a comedy like Toy Story"],
        ["explain", *who, "--item", item],
        ["report", str(saved), "--user", "17", "--out", str(tmp_path / "page.html")],
        ["evaluate", "--model", str(saved), "--out", str(tmp_path)],
    ]
    imported = json.loads(output(COMMANDS, json.dumps(commands)).splitlines()[-1])
    assert imported.keys() == {"doctor", "recommend", "explain", "report", "evaluate"}
    for command, modules in imported.items():
        # Evaluation fits the models that it compares with, reads files of data, and draws a picture.
        needed = {"genre_gen.training", "polars", "scipy.optimize", "matplotlib"}
        assert (set(modules) & (LARGE - needed if command == "evaluate" else LARGE)) == set(), command


@pytest.fixture
def loaded(saved):
    return Recommender.from_pretrained(saved)


def test_the_pretrained_model_waits_for_a_text(loaded, tiny_recommender):
    llm = loaded.state.llm
    assert isinstance(llm.tokenizer, LightTokenizer)
    for user in ("17", "4"):
        assert_alike(loaded.recommend(user, explain=True), tiny_recommender.recommend(user, explain=True))
    loaded.predict("17", "9")
    loaded.state.fingerprint()
    assert not llm.is_loaded
    assert tiny_recommender.state.llm.is_loaded
    ids = torch.arange(3, 60)[None]
    with torch.inference_mode():
        texts = [
            llm.text_logits(llm.base.model(inputs_embeds=llm.embed(ids)).last_hidden_state)
            for llm in (loaded.state.llm, tiny_recommender.state.llm)
        ]
    assert llm.is_loaded
    assert torch.equal(*texts)  # with the text adapter that was trained


def test_loading_it_changes_no_fingerprint_and_no_random_number(loaded, saved):
    llm = loaded.state.llm
    before, state = model_fingerprint(llm), torch.random.get_rng_state()
    assert llm.base
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model_fingerprint(llm) == before == model_fingerprint(Recommender.from_pretrained(saved).state.llm)
    with torch.no_grad():
        next(llm.base.parameters())[0] += 1
    assert model_fingerprint(llm) != before


@pytest.mark.parametrize("scheme", ["bf16", "int8"])
def test_it_is_rounded_when_it_is_loaded(saved, scheme):
    llm = Recommender.from_pretrained(saved, quantization=scheme).state.llm
    before = model_fingerprint(llm)
    assert before.endswith(scheme)
    base = llm.base
    assert model_fingerprint(llm) == before
    assert not any("lora" in name for name, _ in base.named_parameters())
    linears = [part for part in base.model.layers.modules() if type(part) is torch.nn.Linear]
    assert all(part.weight.dtype == torch.bfloat16 for part in linears) if scheme == "bf16" else not linears


def test_a_fingerprint_reads_no_page_of_the_mapping_that_stays(loaded, tmp_path):
    model = loaded.state.llm.pretrained
    read = dict(model.named_parameters())
    kept = model._weights
    assert read.keys() == kept.keys()
    assert all(torch.equal(value, kept[name]) for name, value in read.items())
    assert not any(value.data_ptr() == kept[name].data_ptr() for name, value in read.items())
    gone = Pretrained(tmp_path / "gone", model.config, kept)
    assert all(torch.equal(value, kept[name]) for name, value in gone.named_parameters())


def test_several_threads_load_it_once(loaded, monkeypatch):
    calls, load = [], Pretrained.load

    def counted(self):
        calls.append(self)
        return load(self)

    monkeypatch.setattr(Pretrained, "load", counted)
    with ThreadPoolExecutor(4) as pool:
        bases = list(pool.map(lambda _: loaded.state.llm.base, range(8)))
    assert len(calls) == 1
    assert all(base is bases[0] for base in bases)


def test_a_recommender_that_was_loaded_is_saved_as_it_was(loaded, saved, tmp_path):
    loaded.save_pretrained(tmp_path / "again")
    assert not loaded.state.llm.is_loaded
    before, after = (load_file(folder / "llm.safetensors") for folder in (saved, tmp_path / "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_folder_may_be_replaced_while_its_weights_are_in_use(saved, tiny_recommender, tmp_path):
    folder = Path(shutil.copytree(saved, tmp_path / "run"))
    first = Recommender.from_pretrained(folder)
    altered(tiny_recommender, {"training.seed": 5}).save_pretrained(folder)
    kept = Recommender.from_pretrained(saved)
    assert first.state.fingerprint() == kept.state.fingerprint()
    shutil.rmtree(folder)
    assert_alike(first.recommend("17"), kept.recommend("17"))


@pytest.fixture
def elsewhere(tiny_model, tiny_recommender, tmp_path):
    """Return a recommender's folder, and a copy of the pre-trained model that it names."""
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    altered(tiny_recommender, {"model.llm": str(model)}).save_pretrained(tmp_path / "run")
    return tmp_path / "run", model


def test_what_the_pretrained_model_lacks_shows_at_loading(elsewhere):
    run, model = elsewhere
    weights, file = load_file(model / "model.safetensors"), model / "model.safetensors"
    whole = file.read_bytes()
    Recommender.from_pretrained(run)
    save_file({name: value for name, value in weights.items() if "layers.3.mlp.up" not in name}, file)
    with pytest.raises(SourceError, match=r"lacks 1 weights, the first is model\.layers\.3\.mlp\.up_proj\.weight"):
        Recommender.from_pretrained(run)
    save_file(weights | {"model.layers.3.mlp.up_proj.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(SourceError, match=r"up_proj\.weight has the shape \(3, 3\)"):
        Recommender.from_pretrained(run)
    file.write_bytes(whole[:2000])
    with pytest.raises(SourceError, match="not a causal language model that can be loaded"):
        Recommender.from_pretrained(run)
    shutil.rmtree(model)
    with pytest.raises(SourceError, match="No model"):
        Recommender.from_pretrained(run, allow_model=str(model))


def test_a_model_in_several_files_and_half_precision_is_read_like_any(elsewhere, tiny_recommender):
    run, model = elsewhere
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    halves = {name: value.bfloat16() for name, value in weights.items()}
    parts = {f"model-0000{number}-of-00002.safetensors": sorted(halves)[number - 1 :: 2] for number in (1, 2)}
    for file, names in parts.items():
        save_file({name: halves[name] for name in names}, model / file, {"format": "pt"})
    where = {name: file for file, names in parts.items() for name in names}
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    again = Recommender.from_pretrained(run)
    assert not again.state.llm.is_loaded
    ids = torch.arange(3, 60)
    before = again.state.llm.embed_items(ids), model_fingerprint(again.state.llm)
    assert torch.equal(before[0], again.state.llm.base.get_input_embeddings()(ids))
    assert before[1] == model_fingerprint(again.state.llm)


def test_an_adapter_over_shared_layers_loads_it_at_once(tiny_domain, dataset, tmp_path):
    domain = tiny_domain.changed({"model.adapter": "lora", "training.epochs": 1})
    trained = Recommender(domain).fit(dataset.leave_one_out())
    trained.save_pretrained(tmp_path / "run")
    again = Recommender.from_pretrained(tmp_path / "run")
    assert again.state.llm.is_loaded
    assert again.state.llm.pretrained is None
    assert again.state.fingerprint() == trained.state.fingerprint()
    assert_alike(again.recommend("17"), trained.recommend("17"))


def test_the_language_model_words_reasons_as_before_it_was_saved(saved, tiny_recommender):
    """Wording needs all layers, a tokenizer of transformers, and the text adapter."""
    texts = []
    for recommender in (tiny_recommender, Recommender.from_pretrained(saved)):
        domain = recommender.domain.changed({"explain.style": "llm"})
        worded = Recommender.from_state(replace(recommender.state, domain=domain))
        texts.append([pick.explanation.text for pick in worded.recommend("17", n=2, explain=True)])
    assert texts[0] == texts[1]
