import importlib
from pathlib import Path

import pytest

from genre_gen.data.readers import load_catalog
from genre_gen.domain import Domain
from genre_gen.llm.encode import Encoder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("injection")


@pytest.fixture(scope="module")
def news():
    return Domain.load("news")


@pytest.fixture(scope="module")
def made(script, news):
    """Return a tokenizer of each kind, trained on the sample and its templates."""
    texts = [item.describe() + " " + item.text for item in load_catalog(news, news.catalog_folder)[0]]
    texts += [file.read_text("utf-8") for file in sorted(news.prompts_folder.glob("*.jinja"))]
    return script.tokenizers(texts)


def test_there_are_five_kinds_of_tokenizer(made):
    assert len(made) >= 5
    assert len({tuple(one("An <unk> A\u00e9", add_special_tokens=False).input_ids) for one in made.values()}) >= 4


@pytest.mark.parametrize("name", ["byte-level BPE with added tokens", "WordPiece"])
def test_nothing_gets_through_and_the_attacks_have_teeth(script, news, made, name):
    found = script.attack_texts(made[name], [news], 5)
    assert found.cases > 20
    assert found.through == 0
    assert found.through_as_one_string > 0
    assert script.changed_harmless(made[name], [news], 5)["changed"] == 0


def test_an_encoder_that_trusts_data_is_found_out(script, news, made, monkeypatch):
    trusting = Encoder._tokenize
    monkeypatch.setattr(Encoder, "_tokenize", lambda self, texts, plain: trusting(self, texts, False))
    monkeypatch.setattr(Encoder, "_letter_by_letter", lambda self, text: self._tokenize([text], False)[0])
    assert script.attack_texts(made["byte-level BPE"], [news], 5).through > 0


@pytest.mark.parametrize(("kind", "least"), [("escapes", 50), ("bombs", 20)])
def test_hostile_templates_are_refused(script, tmp_path, kind, least):
    hostile = script.templates(kind)
    assert len(set(hostile)) == len(hostile) >= least
    for role in ("system", "user"):
        (tmp_path / f"rating.{role}.jinja").write_text("Rate it.")
    for template in hostile[::5]:
        (tmp_path / "rating.assistant.jinja").write_text(template)
        found = script.render_hostile(tmp_path)
        assert found["ended"].startswith("refused: "), template
        assert found["megabytes"] < 256


def test_a_harmless_template_counts_as_one_that_succeeded(script, tmp_path):
    for role in ("system", "user", "assistant"):
        (tmp_path / f"rating.{role}.jinja").write_text("Rate {{ item.title }}.")
    assert script.render_hostile(tmp_path)["ended"] == "rendered: Rate Film 3."


def test_anything_that_got_through_is_a_failure(script):
    good = {
        "texts": {"a": {"through": 0}},
        "harmless": {"a": {"changed": 0}},
        "templates": {"bombs": {"succeeded": [], "past the limits": []}},
    }
    assert not script.got_through(good)
    assert script.got_through(good | {"texts": {"a": {"through": 1}}})
    assert script.got_through(good | {"harmless": {"a": {"changed": 1}}})
    assert script.got_through(good | {"templates": {"bombs": {"succeeded": [], "past the limits": [{}]}}})
