"""The check of a domain: what it counts, what it shows, and that one mistake does not hide another."""

import json
import shutil
from pathlib import Path

import pytest

from genre_gen.errors import ConfigError
from genre_gen.new_domain.validate import check

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a copy of the travel sample that brings its prompts."""
    folder = tmp_path / "travel"
    shutil.copytree(ROOT / "catalogs" / "travel", folder)
    shutil.copytree(ROOT / "prompts" / "travel", folder / "prompts")
    return folder


def change(file: Path, old: str, new: str) -> None:
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new))


def test_a_whole_domain(folder, tiny_model):
    found = check(folder, llm=str(tiny_model))
    assert (found.problems, found.notes) == ([], [])
    assert found.counts["items"] == "56, 0 of them without interactions"
    assert found.counts["field kind"] == "known of 100%"
    next_item = next(task for task in found.tasks if task.task == "next_item")
    assert next_item.examples == 120
    assert 0 < next_item.tokens <= next_item.longest
    text = found.text()
    assert f"=== next_item, {next_item.tokens} tokens (the longest of 120: {next_item.longest})" in text
    assert "--- assistant\n<item_" in text
    assert text.endswith(f"{folder} can be trained: genre-gen train {folder}")
    assert len(json.loads(found.to_json())["tasks"]) == len(found.tasks) == 10


def test_all_mistakes_at_once(folder, tiny_model):
    change(
        folder / "domain.toml", '[fields.region]\ntype = "text"', '[fields.region]\ntype = "text"\ncolumns = "regoin"'
    )
    change(folder / "prompts" / "fits.user.jinja", "item.code", "itm.code")
    found = check(folder, llm=str(tiny_model))
    assert len(found.problems) == 2
    assert "fits.user.jinja:2: no variable 'itm', did you mean 'item'?" in found.problems[0]
    assert "did you mean 'region'?" in found.problems[1]
    assert "problem: " in found.text()
    assert "can be trained" not in found.text()


def test_rules_that_do_not_fit_the_data(folder, tiny_model):
    with (folder / "domain.toml").open("a") as file:
        file.write('\n[rules]\npins = ["Atlantis"]\nboosts = { "knid == 3" = 1.0 }\nat_most = { kind = 2 }\n')
    (problem,) = check(folder, llm=str(tiny_model)).problems
    assert "rules.boosts: where 'knid == 3': no field knid" in problem
    assert "rules.pins: no item 'Atlantis'" in problem


def test_templates_that_fail_on_the_data(folder, tiny_model):
    change(folder / "prompts" / "code.user.jinja", "item.region|default", "item.regoin")
    change(folder / "prompts" / "explain.assistant.jinja", "went on to {{ it }}.", "went on to {{ item.nothing }}.")
    found = check(folder, llm=str(tiny_model))
    assert any("code.user.jinja:1: no 'regoin' here, did you mean 'region'?" in problem for problem in found.problems)
    assert {"fits", "next_item"} <= {task.task for task in found.tasks}  # the others are shown all the same


def test_dropped_rows_are_reported(folder, tiny_model):
    with (folder / "interactions.csv").open("a") as log:
        log.write("u001,T999,5,1736000000\n")
    found = check(folder, llm=str(tiny_model))
    assert "item not in the catalog: 'T999'" in found.problems[0]
    change(folder / "domain.toml", 'reader = "table"', 'reader = "table"\npolicies.unknown_items = "drop"')
    found = check(folder, llm=str(tiny_model))
    assert found.problems == []
    assert "item not in the catalog: 1 dropped" in found.notes[0]


def test_tasks_without_examples_and_users_without_histories(folder, tiny_model):
    log = folder / "interactions.csv"
    lines = log.read_text().splitlines()
    first = {line.split(",")[0]: line for line in lines[1:]}
    log.write_text("\n".join([lines[0], *first.values()]))
    found = check(folder, llm=str(tiny_model))
    assert any("no user has two items" in problem for problem in found.problems)
    assert any("the task fits has no examples" in note for note in found.notes)


def test_tokens_wait_for_the_model(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    found = check(folder)
    assert found.problems == []
    assert found.notes == [f"tokens are not counted without the model: genre-gen fetch {folder}"]
    assert all(task.tokens is None for task in found.tasks)
    assert "=== next_item" in found.text()


def test_no_such_domain():
    with pytest.raises(ConfigError, match="no domain 'travels', did you mean 'travel'"):
        check("travels")
