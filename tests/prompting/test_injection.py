"""Can data pose as instructions? Every control token in every slot of every template, and templates that misbehave."""

import injection
import pytest

from genre_gen.data.readers import load_catalog
from genre_gen.domain import Domain
from genre_gen.llm.encode import Encoder
from genre_gen.prompting.budget import MAX_SECONDS
from genre_gen.prompting.templates import find_templates, template_folders

MEGABYTES = 256  # that a hostile template may take
SECONDS = 60 * MAX_SECONDS  # of the thread: the sandbox gives up after MAX_SECONDS, what escapes it takes minutes
BOMBS = [
    pytest.param(bomb, marks=[pytest.mark.slow] if number % 3 else [])
    for number, bomb in enumerate(injection.templates("bombs"))
]
LONG_BOMBS = [
    "{% for a in range(9999) %}" + "{% if domain == 'x' %}{% endif %}" * 50 + "{% endfor %}",
    "{% for a in range(9999) %}" + "{% if 1.5 in range(9999) %}{% endif %}" * 50 + "{% endfor %}",
    "{% for a in range(9999) %}" + "a" * 32 + "{% endfor %}",
    "{% set x %}{% for a in range(9999) %}" + "a" * 32 + "{% endfor %}{% endset %}" * 90,
    "{{ 'aaaaaaaaaaaa'|list|join('b' ~ range(9999)|join('cccccccc')) }}" * 25,
    "{{ (range(9999)|list)[:9999]|length }}" * 100,
    "{% include 'b1.jinja' %}",
]


@pytest.fixture(scope="module")
def news():
    return Domain.load("news")


def trained_on(domains):
    """Return a tokenizer of each kind, trained on the domains' samples and templates."""
    texts = [item.describe() + " " + item.text for one in domains for item in load_catalog(one, one.catalog_folder)[0]]
    for domain in domains:
        texts += [file.read_text("utf-8") for file in find_templates(template_folders(domain)).values()]
    return injection.tokenizers(texts)


@pytest.fixture(scope="module")
def tokenizers(news):
    return trained_on([news])


def test_there_are_five_kinds_of_tokenizer(tokenizers):
    assert len(tokenizers) >= 5
    texts = {tuple(each("An <unk> A\u00e9", add_special_tokens=False).input_ids) for each in tokenizers.values()}
    assert len(texts) >= 4


@pytest.mark.parametrize("name", ["byte-level BPE with added tokens", "WordPiece"])
def test_no_attack_succeeds_and_each_would_on_plain_strings(news, tokenizers, name):
    counts = injection.attack_texts(tokenizers[name], [news], 5)
    assert counts.cases > 20
    assert counts.through == 0
    assert counts.through_as_one_string > 0
    assert injection.changed_harmless(tokenizers[name], [news], 5)["changed"] == 0


@pytest.mark.slow
def test_no_attack_succeeds_in_any_template_of_any_domain():
    domains = [Domain.load(name) for name in Domain.available()]
    for name, tokenizer in trained_on(domains).items():
        counts = injection.attack_texts(tokenizer, domains, 400)
        assert counts.cases > 10_000, name
        assert counts.through == 0, name
        assert counts.through_as_one_string > 0, name
        assert injection.changed_harmless(tokenizer, domains, 400)["changed"] == 0, name


def test_an_encoder_that_trusts_data_is_found_out(news, tokenizers, monkeypatch):
    trusting = Encoder._tokenize
    monkeypatch.setattr(Encoder, "_tokenize", lambda self, texts, plain: trusting(self, texts, False))
    monkeypatch.setattr(Encoder, "_letter_by_letter", lambda self, text: self._tokenize([text], False)[0])
    assert injection.attack_texts(tokenizers["byte-level BPE"], [news], 5).through > 0


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_templates_that_reach_out_are_refused(tmp_path, every):
    hostile = injection.templates("escapes")
    assert len(set(hostile)) == len(hostile) >= 50
    for template in hostile[::every]:
        is_refused(tmp_path, template)


@pytest.mark.parametrize("bomb", [*BOMBS, *LONG_BOMBS], ids=lambda bomb: bomb[:40])
def test_bombs_are_refused(tmp_path, bomb):
    for number in range(1, 41):
        part = f"{{% include 'b{number + 1}.jinja' %}}" * 2 if number < 40 else ""
        (tmp_path / f"b{number}.jinja").write_text(part)
    is_refused(tmp_path, bomb)


def is_refused(folder, template):
    for role, text in {"system": "Rate it.", "user": "Rate it.", "assistant": template}.items():
        (folder / f"rating.{role}.jinja").write_text(text)
    outcome = injection.render_hostile(folder)
    assert outcome["ended"].startswith("refused: "), template
    assert outcome["megabytes"] < MEGABYTES, template
    assert outcome["seconds"] < SECONDS, template


def test_a_harmless_template_counts_as_successful(tmp_path):
    for role in ("system", "user", "assistant"):
        (tmp_path / f"rating.{role}.jinja").write_text("Rate {{ item.title }}.")
    assert injection.render_hostile(tmp_path)["ended"] == "rendered: Rate Film 3."
