"""A new domain works at once: its settings hold, its templates render, and a tiny model learns it."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from genre_gen import Dataset, Recommender, Rules
from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError, DataError, UsageError
from genre_gen.new_domain.domain_toml import sized_settings
from genre_gen.new_domain.scaffold import start_domain
from genre_gen.new_domain.validate import check
from genre_gen.prompting.book import PromptBook

SAMPLE = Path(__file__).parents[2] / "catalogs" / "movies"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """Return an empty working directory with the movies' sample tables under other names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    shutil.copy(SAMPLE / "items.csv", tmp_path / "in" / "films.csv")
    shutil.copy(SAMPLE / "interactions.csv", tmp_path / "in" / "log.csv")
    return tmp_path


def start(name: str = "cinema", **options):
    return start_domain(name, Path("in/log.csv"), Path("in/films.csv"), Path(), **options)


def test_two_tables_become_a_domain_with_every_line_explained(here):
    start()
    lines = (here / "catalogs" / "cinema" / "domain.toml").read_text().splitlines()
    settings = [line for line in lines if line.strip() and not line.startswith(("#", "["))]
    assert settings
    assert all("#" in line for line in settings if not line.startswith("members"))
    domain = Domain.load("cinema")
    assert (domain.rating_scale, domain.liked_from, domain.repeat) == ((1, 5), 4, False)
    assert {name: field.type for name, field in domain.fields.items()} == {"genre": "list", "year": "number"}
    assert domain.prompts_folder == here / "prompts" / "cinema"
    assert [file.name for file in domain.prompts_folder.iterdir()] == ["facts.jinja"]
    data = load_data(domain)
    assert (len(data.catalog), len(data.interactions)) == (40, 335)
    assert "it.genre|join(', ')" in (domain.prompts_folder / "facts.jinja").read_text()
    book = PromptBook.load(domain)
    assert book.render("next_item", history=()).messages[0].text == "You recommend films."
    assert all(book.fingerprint(task) for task in (*domain.tasks, "explain"))


def test_the_rules_of_a_new_domain_only_have_to_be_uncommented(here):
    start()
    file = here / "catalogs" / "cinema" / "domain.toml"
    assert not Domain.load("cinema").rules
    head, _, rules = file.read_text().partition("# [rules]")
    file.write_text(head + "[rules]" + rules.replace("\n# ", "\n"))
    assert Domain.load("cinema").rules == Rules(
        at_most={"genre": 2}, pins={"a title or id": 1}, boosts={"id == 'an id'": 0.5}, at_least={"id == 'an id'": 1}
    )


@pytest.mark.parametrize(
    ("noun", "sentence"),
    [("opera", "These are the operas I chose"), ("story", "the stories I chose"), ("dish", "the dishes I chose")],
)
def test_words_have_plurals_and_articles(here, noun, sentence):
    start(noun=noun)
    book = PromptBook.load(Domain.load("cinema"))
    assert sentence in book.render("next_item", history=()).messages[1].text
    article = "an" if noun == "opera" else "a"
    assert book.render("catalog_text").messages[1].text == f"Tell me about {article} {noun}."


def test_the_scaffold_can_be_checked_and_trained_unchanged(here, tiny_model, tiny_settings):
    start()
    assert check("cinema", llm=str(tiny_model)).problems == []
    changes = {key: value for key, value in tiny_settings.items() if not key.startswith("data.")}
    recommender = Recommender("cinema", settings={**changes, "blend.members": ["sequential_rules"]})
    recommender.fit(Dataset.load("cinema").leave_one_out())
    picks = recommender.recommend("17", n=3, explain=True)
    assert len(picks) == 3
    assert all(pick.explanation.text for pick in picks)


def test_unknown_items_are_dropped_and_reported(here):
    with (here / "in" / "log.csv").open("a") as log:
        log.write("17,999,5,1702908911\n")
    started = start()
    assert 'unknown_items = "drop"' in (here / "catalogs" / "cinema" / "domain.toml").read_text()
    assert "item not in the catalog: 1 dropped, the first in line 337 ('999')" in started.text()


def test_repeated_interactions_set_repeat(here):
    log = "user,item\n" + "".join(f"u{user},{item}\n" for user in range(9) for item in (1, 2, 1, 3, 2, 1))
    (here / "in" / "log.csv").write_text(log)
    assert "note: no column of times, so the file's order is taken" in start().text()
    domain = Domain.load("cinema")
    assert (domain.repeat, domain.data.policies.duplicates) == (True, "keep")
    assert len(load_data(domain).interactions) == 54


def test_without_an_item_file_only_ids_are_known(here):
    start_domain("bare", Path("in/log.csv"), None, Path())
    domain = Domain.load("bare")
    assert domain.fields == {}
    assert set(domain.tasks) == {"next_item", "rating", "fits"}
    assert check("bare", llm="smollm2-135m").problems == []


def test_another_folder_and_tables_elsewhere(here):
    started = start_domain("cinema", Path("in/log.csv"), Path("in/films.csv"), here / "deep" / "er")
    assert started.catalog_folder == here / "deep" / "er" / "catalogs" / "cinema"
    domain = Domain.load(started.catalog_folder)
    assert domain.data.path == "../../../../in"
    assert domain.prompts_folder == started.prompts_folder
    assert started.text().endswith(f"check {started.catalog_folder} && genre-gen train {started.catalog_folder}")
    assert len(load_data(domain).catalog) == 40


def test_names_from_archives_cannot_escape_the_folder(here):
    """Of columns, fields and items: into TOML, templates and onto the terminal."""
    (here / "in" / "films.csv").write_text(
        'item_id,title,"価 格","a""] \\ [x\x1b[2J",class\n1,{{ 7 * 7 }},5,red,x|y\n2,<|im_end|>,6,blue,y\n3,C,7,red,x\n'
    )
    (here / "in" / "log.csv").write_text("user,item\nu,1\nu,2\nu,3\nv,2\nv,1\nv,3\n")
    started = start()
    assert list(Domain.load("cinema").fields) == ["item_class", "価_格", "a_x_2j"]
    assert "\x1b" not in started.text()
    found = check("cinema", llm="smollm2-135m")
    assert found.problems == []
    assert not any("49" in task.prompt for task in found.tasks)


def test_values_that_mean_unknown_are_written_to_the_file(here):
    (here / "in" / "films.csv").write_text("item_id,title,price\n1,A,$1.50\n2,B,N/A\n3,C,$2.25\n")
    (here / "in" / "log.csv").write_text("user,item\nu,1\nu,2\nu,3\n")
    start()
    assert [item.attributes["price"] for item in load_data(Domain.load("cinema")).catalog] == [1.5, None, 2.25]
    assert Domain.load("cinema").fields["price"].unknown == ("N/A",)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("../x", UsageError, "'../x' cannot name a domain"),
        ("generic", ConfigError, "'generic' is the name of a shipped domain; give another, such as my-generic"),
        ("taken", ConfigError, "prompts/taken exists already; give another name, or delete it first"),
        ("cinema", DataError, "no column has values that are ids in"),
    ],
)
def test_an_invalid_domain_writes_no_files(here, name, error, message):
    (here / "prompts" / "taken").mkdir(parents=True)
    (here / "in" / "log.csv").write_text("user,item\nu,999\n")
    with pytest.raises(error, match=re.escape(message)):
        start(name)
    assert [path.name for path in here.iterdir() if path.name != "in"] == ["prompts"]
    assert [path.name for path in (here / "prompts").iterdir()] == ["taken"]


def test_decisions_are_shown_as_text_and_json(here):
    started = start()
    text = started.text()
    assert re.search(r"^user +user_id +by its name$", text, re.MULTILINE)
    assert "40 items, 335 interactions of 30 users" in text
    assert text.endswith("next: genre-gen domains check cinema && genre-gen train cinema")
    content = json.loads(started.to_json())
    assert content["items"] == 40
    assert {"role": "title", "column": "title", "why": "by its name"} in content["choices"]


def test_codes_of_several_tokens_are_proposed_above_what_one_token_each_was_measured_for():
    proposal = SimpleNamespace(fields={}, columns={}, labels="")
    settings = [sized_settings(n_items, 10**6, proposal) for n_items in (100_000, 100_001)]
    assert ['scheme = "semantic"' in text for text in settings] == [False, True]
    assert ["distillation = 0.3" in text for text in settings] == [True, False]
