import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import altered, byte_tokenizer, tiny_llama
from tiny_training import tiny_llm

from genre_gen import Recommender
from genre_gen.errors import CheckpointError, UsageError
from genre_gen.folders.reading import verify_folder
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender import persistence
from genre_gen.recommender.persistence import COUNTS, MEMBERS_FOLDER, NAMES, SETTINGS, WEIGHTS, WORDING


def picks_of(recommender, n=10):
    return [picks for _, picks in recommender.recommend(users=recommender.state.histories.users, n=n)]


@pytest.fixture
def copy(saved, tmp_path):
    """Return a copy of the saved folder, to damage."""
    shutil.copytree(saved, tmp_path / "movies")
    return tmp_path / "movies"


def test_a_round_trip_changes_nothing(mixed, tmp_path):
    mixed.save_pretrained(tmp_path / "x")
    again = Recommender.from_pretrained(tmp_path / "x")
    assert picks_of(again) == picks_of(mixed)  # items, scores and parts, to the last bit
    for ask in (
        lambda recommender: [recommender.predict(user, "9") for user in mixed.state.histories.users[:9]],
        lambda recommender: [str(pick.explanation) for pick in recommender.recommend("17", n=3, explain=True)],
        lambda recommender: (recommender.similar("9"), recommender.fits("17", "9"), recommender.intent("17")),
        lambda recommender: recommender.state.fingerprint(),
    ):
        assert ask(again) == ask(mixed)


def test_everything_else_comes_back_too(untouched, tmp_path):
    untouched.save_pretrained(tmp_path / "x")
    again, before = Recommender.from_pretrained(tmp_path / "x").state, untouched.state
    assert again.domain.settings() == before.domain.settings()
    for name in ("seconds", "training_log", "tuned"):
        assert getattr(again, name) == getattr(before, name)
    assert again.training_log[-1]["losses"]
    for name in ("histories", "trained_on", "knowledge"):
        saved_arrays, expected = (getattr(state, name).arrays() for state in (again, before))
        assert saved_arrays.keys() == expected.keys()
        for part, array in expected.items():
            np.testing.assert_array_equal(saved_arrays[part], array)
    for task in before.domain.tasks:
        assert again.book.fingerprint(task) == before.book.fingerprint(task)
    weights = dict(again.llm.trainable())
    assert all(torch.equal(weights.pop(name), value) for name, value in before.llm.trainable())
    assert not weights


def test_the_folder_holds_data_only(saved):
    kinds = {file.suffix for file in saved.rglob("*") if file.is_file()}
    assert kinds == {".safetensors", ".json", ".jsonl", ".jinja", ".md"}
    manifest = verify_folder(saved)
    assert manifest.kind == "recommender"
    assert {path.name for path in saved.iterdir()} == {*NAMES, "manifest.json"} - {COUNTS, WORDING}  # it speaks English
    assert {saved / name for name in manifest.files} | {saved / "manifest.json"} == {
        file for file in saved.rglob("*") if file.is_file()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda settings: settings.pop("tuned"), r"saved by an earlier version \(.*\); train it again"),
        (
            lambda settings: settings["prompts"].update(next_item="other"),
            "the templates of next_item are not those of the training",
        ),
    ],
)
def test_what_another_version_saved_is_refused_in_words(mixed, tmp_path, monkeypatch, change, message):
    written = persistence._settings

    def changed(*arguments):
        settings = written(*arguments)
        change(settings)
        return settings

    monkeypatch.setattr(persistence, "_settings", changed)
    mixed.save_pretrained(tmp_path / "x")
    with pytest.raises(CheckpointError, match=message):
        Recommender.from_pretrained(tmp_path / "x")


def test_what_is_saved_are_the_templates_of_the_training(mixed, tmp_path):
    shutil.copytree(mixed.state.book.folder, tmp_path / "prompts")
    mixed = altered(mixed, book=PromptBook(tmp_path / "prompts"))
    before = picks_of(mixed)
    edited = tmp_path / "prompts" / "next_item.user.jinja"
    edited.write_text("Other words.\n" + edited.read_text())
    mixed.save_pretrained(tmp_path / "x")
    again = Recommender.from_pretrained(tmp_path / "x")
    assert again.state.book.fingerprint("next_item") == mixed.state.book.fingerprint("next_item")
    assert picks_of(again) == before


def test_metrics_are_kept(mixed, tmp_path):
    mixed.save_pretrained(tmp_path / "x", {"N@10": 0.25})
    assert json.loads((tmp_path / "x" / SETTINGS).read_text())["metrics"] == {"N@10": 0.25}


def test_every_damaged_file_is_refused(copy):
    rng = np.random.default_rng(0)
    for file in sorted(path for path in copy.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        for place in {0, len(whole) - 2, int(rng.integers(len(whole)))} if whole else set():
            flipped = bytearray(whole)
            flipped[place] ^= 4
            file.write_bytes(flipped)
            with pytest.raises(CheckpointError):
                Recommender.from_pretrained(copy)
        file.unlink()
        with pytest.raises(CheckpointError):
            Recommender.from_pretrained(copy)
        file.write_bytes(whole)
    Recommender.from_pretrained(copy)


def test_every_flipped_bit_of_the_manifest_is_refused_or_harmless(copy, saved):
    file = copy / "manifest.json"
    whole = file.read_bytes()
    for place in range(0, len(whole), 29):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        file.write_bytes(flipped)
        try:
            manifest = verify_folder(copy)
        except CheckpointError:
            continue
        # What may pass: the word that says what kind of folder it is, and whitespace for whitespace.
        assert manifest == verify_folder(saved), bytes(flipped)


def test_a_folder_without_anything_saved_is_refused(tmp_path, saved):
    with pytest.raises(CheckpointError, match="no such folder; train a recommender and save it there first"):
        Recommender.from_pretrained(tmp_path / "none")
    with pytest.raises(CheckpointError, match="no such folder; train a recommender and save it there first"):
        Recommender.from_pretrained("none")
    with pytest.raises(CheckpointError, match="no complete saved folder"):
        Recommender.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "name", ["/nonexistent", "./movis", "~/movis", "runs/movis", "here/movis", "a b/movis", ".x/y"]
)
def test_a_misspelt_folder_is_not_asked_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(CheckpointError, match="no such folder; train a recommender and save it there first"):
        Recommender.from_pretrained(name)


def test_training_leaves_its_checkpoint_next_to_what_is_saved(tiny_domain, dataset, tmp_path):
    folder, settings = tmp_path / "run", {"training.epochs": 1}
    recommender = Recommender(tiny_domain, settings=settings).fit(dataset.leave_one_out(), folder=folder)
    (folder / "evaluation.json").write_text("{}")
    for _ in range(2):
        recommender.save_pretrained(folder)
        assert {"checkpoint", "evaluation.json", "manifest.json"} < {path.name for path in folder.iterdir()}
        verify_folder(folder / "checkpoint")
        assert picks_of(Recommender.from_pretrained(folder)) == picks_of(recommender)
    with pytest.raises(CheckpointError, match="is a saved checkpoint, not a recommender; give the folder"):
        Recommender.from_pretrained(folder / "checkpoint")


def test_a_loaded_recommender_can_be_saved_where_it_came_from(copy):
    recommender = Recommender.from_pretrained(copy)
    before = picks_of(recommender)
    recommender.save_pretrained(copy)
    assert picks_of(Recommender.from_pretrained(copy)) == before
    assert recommender.recommend("17", explain=True)


def test_a_crash_between_the_two_renames_is_recovered_on_loading(copy, mixed, monkeypatch):
    before = picks_of(Recommender.from_pretrained(copy))
    rename = os.replace

    def crash(source, target):
        if str(target) == str(copy):  # the new folder takes its place
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        mixed.save_pretrained(copy)
    monkeypatch.undo()
    assert not copy.exists()
    assert picks_of(Recommender.from_pretrained(copy)) == before
    assert [path.name for path in copy.parent.iterdir() if path.suffix != ".lock"] == ["movies"]


def test_weights_of_another_pretrained_model_are_refused(copy, tmp_path, monkeypatch):
    tiny_llama(layers=4, hidden=32).save_pretrained(tmp_path / "other")
    byte_tokenizer().save_pretrained(tmp_path / "other")
    monkeypatch.setattr("genre_gen.recommender.loading.ensure_model", lambda name: tmp_path / "other")
    with pytest.raises(CheckpointError, match="trained over another pre-trained model"):
        Recommender.from_pretrained(copy)
    tiny_llama(layers=6).save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match="trained over another pre-trained model"):
        Recommender.from_pretrained(copy)


def test_members_without_weight_are_saved_too(saved, tiny_recommender):
    names = {file.stem for file in (saved / MEMBERS_FOLDER).iterdir()}
    assert names == set(tiny_recommender.state.members) == {"sequential_rules", "ease", "popularity", "svd"}
    assert (saved / WEIGHTS).stat().st_size > 0


def test_re_ranking_is_saved(mixed, tmp_path):
    mixed = altered(mixed, {"rerank.method": "mmr", "rerank.weight": 0.8})
    mixed.save_pretrained(tmp_path / "x")
    again = Recommender.from_pretrained(tmp_path / "x")
    assert again.domain.rerank == mixed.domain.rerank
    assert again.state.fingerprint() == mixed.state.fingerprint()
    assert again.recommend("17") == mixed.recommend("17")


def test_other_adapters_and_codes_come_back(tiny_domain, dataset, tmp_path):
    settings = {"model.adapter": "lora", "codes.scheme": "semantic", "codes.length": 2, "codes.width": 8}
    recommender = Recommender(tiny_domain, settings={"training.epochs": 1, **settings}).fit(dataset.leave_one_out())
    recommender.save_pretrained(tmp_path / "x")
    again = Recommender.from_pretrained(tmp_path / "x")
    histories = dataset.interactions.histories()[:5]
    np.testing.assert_array_equal(again.state.llm.codes.codes, recommender.state.llm.codes.codes)
    np.testing.assert_array_equal(again.state.generator.score(histories), recommender.state.generator.score(histories))


def test_a_quantized_recommender_cannot_be_saved(saved, tmp_path):
    with pytest.raises(UsageError, match="was loaded in int8, and its full weights are gone"):
        Recommender.from_pretrained(saved, quantization="int8").save_pretrained(tmp_path / "x")


def test_factored_codes_are_saved_and_loaded(tiny_recommender, tmp_path):
    state = tiny_recommender.state
    domain = state.domain.changed({"codes.factors": 8})
    llm = tiny_llm(domain, state.catalog, state.trained_on)
    llm.add_answer_heads(state.llm.answers)
    Recommender.from_state(replace(state, domain=domain, llm=llm)).save_pretrained(tmp_path / "factored")
    loaded = Recommender.from_pretrained(tmp_path / "factored").state.llm
    assert loaded.code_embedding.shape == (len(state.catalog), 8)
    tokens = torch.arange(len(state.catalog))
    assert torch.equal(loaded.code_vectors(tokens), llm.code_vectors(tokens))
