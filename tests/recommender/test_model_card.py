"""The card of a saved recommender: metadata that the hub takes, text that says what is there, and no injection."""

import ast
import json
import re

import pytest
from answers import assert_same
from fakes import altered
from huggingface_hub import EvalResult, ModelCard
from local_hub import card_problems

from genre_gen import Catalog, Item, Recommender
from genre_gen.downloads.models import hub_id, licence_of
from genre_gen.errors import CheckpointError
from genre_gen.folders.reading import verify_folder
from genre_gen.recommender.model_card import code, model_card
from genre_gen.recommender.persistence import check_place, record_metrics

EVIL = 'x"\n---\n# [a](http://evil.example) | <script>alert(1)</script> `b` ~~c~~ https://evil.example @all **d**'


@pytest.fixture(scope="module")
def report(tiny_recommender, dataset):
    return tiny_recommender.evaluate(dataset.leave_one_out(), (5, 10), baselines=False)


def titled(recommender, title):
    """Return the recommender with another title for the most popular item, which the card takes as its example."""
    catalog, top = recommender.state.catalog, int(recommender.state.item_counts.argmax())
    items = [Item(each.id, title if row == top else each.title, each.attributes) for row, each in enumerate(catalog)]
    return altered(recommender, catalog=Catalog(items, catalog.name))


def example(card):
    return re.search(r"```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)[1]


def test_the_same_recommender_gives_the_same_bytes(tiny_recommender, saved):
    cards = {model_card(tiny_recommender.state), model_card(Recommender.from_pretrained(saved).state)}
    assert cards == {(saved / "README.md").read_text(encoding="utf-8")}
    assert "README.md" in verify_folder(saved).files


def test_the_metadata_are_what_the_hub_takes(tiny_recommender, report):
    state = altered(tiny_recommender, metrics=report.summary()).state
    for changes in (
        {},
        {"data.license": "CC-BY-4.0"},
        {"data.license": "only for friends", "data.license_url": "https://a.example/terms"},
        {"data.path": None, "data.source": "ml-100k", "model.llm": "smollm2-135m"},
    ):
        card = model_card(altered(Recommender.from_state(state), changes).state)
        assert card_problems(card) == []
        data = ModelCard(card, ignore_metadata_errors=False).data
        assert (data.library_name, data.pipeline_tag) == ("genre-gen", "text-ranking")
        assert all(isinstance(result, EvalResult) for result in data.eval_results)
        figures = {result.metric_name: result.metric_value for result in data.eval_results}
        assert figures == report.summary()["figures"]["GENRE"]
    assert (data.license, data.license_name, data.base_model) == (
        "other", "ml-100k", "HuggingFaceTB/SmolLM2-135M-Instruct",
    )  # fmt: skip
    assert data.license_link.startswith("https://files.grouplens.org/")
    assert "for research, not for sale, not to be passed on" in card
    assert "| Its licence | Apache-2.0 |" in card


def test_the_hub_would_refuse_what_is_wrong(tiny_recommender):
    card = model_card(tiny_recommender.state)
    assert card_problems(card) == []
    assert card_problems(card.replace("license: unknown", "license: mine"))
    assert card_problems(card.replace("text-ranking", "recommending"))
    assert card_problems(card[4:])


def test_it_says_what_is_there(tiny_recommender, mixed):
    card = model_card(mixed.state)
    for text in (
        "| Items | 40,",
        "| Users | 30 |",
        "2023-12-18 to 2024-11-15",
        "335 with a rating",
        "| `llm` | 0.60 |",
    ):
        assert text in card
    assert "Licence | not stated" in card
    assert "Not evaluated yet" in card
    assert "It contains the histories of 30 users" in card
    told = altered(tiny_recommender, {"data.origin": "a shop", "data.license": "MIT"})
    assert "| Origin | a shop |" in model_card(told.state)
    assert "license: mit\n" in model_card(told.state)


def test_it_says_how_the_training_ended_and_what_was_left_out(tiny_recommender):
    card = model_card(tiny_recommender.state.ended("complete"))
    assert "| Training |" not in card
    assert "Left out" not in card
    card, plain = (
        model_card(tiny_recommender.state.ended("interrupted", {"svd": "there was no time", text: text}))
        for text in (EVIL, "plain")
    )
    assert "| Training | interrupted; what is here" in card
    assert "| Left out: svd | there was no time |" in card
    assert_harmless(card, plain)
    assert "| Training | ended by its limit of time; " in model_card(tiny_recommender.state.ended("time"))


def test_the_card_has_no_path_of_the_machine(saved, tiny_model):
    card = (saved / "README.md").read_text(encoding="utf-8")
    assert str(tiny_model) not in card
    assert not re.search(r"/(tmp|home|root|Users)/", card)


def test_the_example_runs_as_it_stands(saved, monkeypatch, capsys):
    monkeypatch.chdir(saved)
    exec(example((saved / "README.md").read_text(encoding="utf-8")), {})
    assert [line[0] for line in capsys.readouterr().out.splitlines() if line[:1].isdigit()] == list("12345")


@pytest.mark.parametrize(
    "changes", [{"data.origin": EVIL}, {"data.license": EVIL}, {"data.license_url": "https://x.example/)<b>|"}]
)
def test_settings_cannot_break_the_card(tiny_recommender, changes):
    card = model_card(altered(tiny_recommender, changes).state)
    assert_harmless(card, model_card(tiny_recommender.state))


def test_figures_cannot_break_the_card(tiny_recommender, report):
    evil = {**report.summary(), "split": EVIL, "figures": {EVIL: report.summary()["figures"]["GENRE"]}}
    for metrics in (evil, {EVIL: EVIL}):
        card = model_card(altered(tiny_recommender, metrics=metrics).state)
        assert card_problems(card) == []
        assert "<script" not in re.sub(r"`[^`\n]+`|`` .*? ``", "", card).replace("\\<", "")


def test_a_title_cannot_break_the_card(tiny_recommender):
    before = model_card(tiny_recommender.state)
    for title in (
        "``` # end",
        EVIL,
        'a"b\\',
        '"]); print("',
        "\u202eright to left",
        "two\u2028lines",
        "caf\u00e9 \U0001f600",
    ):
        card = model_card(titled(tiny_recommender, title).state)
        assert_harmless(card, before)
        if title.isprintable():
            assert title in [
                node.value for node in ast.walk(ast.parse(example(card))) if isinstance(node, ast.Constant)
            ]


def assert_harmless(card, before):
    """The card has the lines of the one before, and nothing in it has become a heading, a link, HTML or metadata."""
    assert card_problems(card) == []
    for mark in (r"^#+ ", r"^---$", r"^\|", r"^```"):
        assert len(re.findall(mark, card, re.MULTILINE)) == len(re.findall(mark, before, re.MULTILINE)), mark
    text = re.sub(r"(?s)^---\n.*?\n---\n", "", card)
    text = re.sub(r"(?ms)^```.*?^```$", "", text)
    assert not re.search(r"(?<!\\)<(script|b>)|(?<!\\)\[a|(?<!\\)\*\*d|(?<!\\)@all|https://evil", text)


def test_a_code_span_holds_backticks():
    assert code("a") == "`a`"
    assert code("a`b") == "``a`b``"
    assert code("`a``") == "``` `a`` ```"
    assert code("a\n# b") == "`a # b`"


def test_figures_are_added_to_a_saved_folder_and_it_stays_whole(tiny_recommender, report, tmp_path):
    folder = tmp_path / "run"
    tiny_recommender.save_pretrained(folder)
    (folder / "evaluation.json").write_text("{}")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    record_metrics(tiny_recommender.state, folder, report.summary())
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"README.md", "recommender.json", "manifest.json"}
    assert verify_folder(folder).kind == "recommender"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Split leave-one-out, test: 30 cases" in card
    assert "Made by `genre-gen evaluate movies --split leave-one-out --part test`" in card
    assert "| `R@5` | `R@10` |" in card
    again = Recommender.from_pretrained(folder)
    assert again.state.metrics == report.summary() == json.loads((folder / "recommender.json").read_text())["metrics"]
    again.save_pretrained(folder)  # keeps them
    assert (folder / "README.md").read_text(encoding="utf-8") == card


def test_a_report_can_be_saved_with_it(tiny_recommender, report, tmp_path):
    tiny_recommender.save_pretrained(tmp_path / "x", report)
    assert "Split leave-one-out, test" in (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
    assert not tiny_recommender.state.metrics


def test_a_folder_saved_without_a_card_loads(saved, tiny_recommender, tmp_path, monkeypatch):
    from genre_gen.recommender import persistence

    monkeypatch.setattr(persistence, "_write_card", lambda *_: None)
    tiny_recommender.save_pretrained(tmp_path / "old")
    assert not (tmp_path / "old" / "README.md").exists()
    monkeypatch.undo()
    again = Recommender.from_pretrained(tmp_path / "old")
    assert_same(again.recommend("17"), tiny_recommender.recommend("17"))
    record_metrics(again.state, tmp_path / "old", {"N@10": 0.5})
    assert "README.md" in verify_folder(tmp_path / "old").files


def test_a_readme_of_another_author_is_not_replaced(saved, tiny_recommender, tmp_path, monkeypatch):
    from genre_gen.recommender import persistence

    folder = tmp_path / "run"
    monkeypatch.setattr(persistence, "_write_card", lambda *_: None)
    tiny_recommender.save_pretrained(folder)
    monkeypatch.undo()
    (folder / "README.md").write_text("mine")
    for write in (check_place, tiny_recommender.save_pretrained):  # before training, and after it
        with pytest.raises(CheckpointError, match=r"README\.md: was not saved .*by GENRE and would be replaced"):
            write(folder)
    assert (folder / "README.md").read_text() == "mine"


def test_pre_trained_models_by_name(tmp_path):
    assert hub_id("smollm2-135m") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert hub_id("lab/tiny@v1") == "lab/tiny"
    assert hub_id(str(tmp_path)) is None
    assert licence_of("HuggingFaceTB/SmolLM2-135M-Instruct@main") == licence_of("smollm2-135m") == "Apache-2.0"
    assert licence_of("lab/tiny") is None
