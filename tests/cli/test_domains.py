"""The commands about domains, prompts and the machine."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.outcomes import SAMPLE, refused

ROOT = Path(__file__).parents[2]


def test_domains_are_listed(genre, tmp_path, monkeypatch):
    shutil.copytree(SAMPLE, tmp_path / "catalogs" / "films")
    monkeypatch.chdir(tmp_path)
    code, out, _ = genre("domains", "--json")
    assert code == 0
    assert {"films", "movies", "ecommerce", "news", "ads", "travel"} <= set(json.loads(out))
    names = json.loads(out)
    code, out, _ = genre("domains")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == names
    (tmp_path / "catalogs" / "films" / "domain.toml").write_text("name = ")
    refused(genre("domains"), 1, "domain.toml: not valid TOML")


def test_a_new_domain_is_checked_and_trained_by_its_name(genre, tmp_path, monkeypatch, tiny_model):
    monkeypatch.chdir(tmp_path)
    for name, copy in (("items", "films"), ("interactions", "log")):
        shutil.copy(Path(SAMPLE) / f"{name}.csv", f"{copy}.csv")
    code, out, err = genre("domains", "new", "cinema", "--items", "films.csv", "--interactions", "log.csv")
    assert (code, err) == (0, "")
    assert "title        title      by its name" in out
    assert out.endswith("next: genre-gen domains check cinema && genre-gen train cinema\n")
    code, out, err = genre("domains", "check", "cinema", "--llm", tiny_model)
    assert (code, err) == (0, "")
    assert "=== next_item, " in out
    assert out.endswith("cinema can be trained: genre-gen train cinema\n")
    assert json.loads(genre("domains", "check", "cinema", "--llm", tiny_model, "--json")[1])["problems"] == []
    options = ["--llm", tiny_model, "--set", "training.epochs=1", "--set", "model.exit_layer=2"]
    assert genre("train", "cinema", *options)[0] == 0
    assert genre("recommend", "cinema", "--user", "17", "-n", "2", "--explain")[0] == 0
    assert genre("recommend", "--model", "runs/cinema", "--user", "17")[0] == 0  # its domain need not be named
    refused(genre("recommend", "movies", "--model", "runs/cinema", "--user", "17"), 2, "the domain cinema, not movies")


def test_a_new_domain_asks_for_what_it_cannot_tell(genre, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text("someone,item\nu,1\nv,2\n")
    outcome = genre("domains", "new", "x", "--interactions", "log.csv")
    refused(outcome, 1, "cannot tell which column is the user; name it as --user, one of someone")
    assert genre("domains", "new", "x", "--interactions", "log.csv", "--user", "someone")[0] == 0
    refused(
        genre("domains", "new", "y", "--interactions", "log.csv", "--user", "smone"), 2, "--user smone: no such column"
    )
    assert genre("domains", "new", "y")[0] == 2
    refused(genre("domains", "new", "a b", "--interactions", "log.csv"), 2, "'a b' cannot name a domain")


def test_a_new_domain_names_options_and_reads_one_table(genre, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = "".join(f"c{n % 3},s{n % 6},b {n % 4},Title {n % 4}\n" for n in range(24))
    Path("log.csv").write_text("customer,session,book,Book Title\n" + lines)
    code, out, _ = genre("domains", "new", "x", "--interactions", "log.csv")
    assert code == 0
    assert "customer    by its name; --user session takes the other one" in out
    assert re.search("title +Book Title", out)
    outcome = genre("domains", "new", "y", "--interactions", "log.csv", "--title", "BookTitle", "--user", "usr")
    refused(outcome, 2, "2 questions: (1) --user usr: no such column")
    Path("books.csv").write_text("id,a b,c d\n" + "".join(f"b {n},One {n} way,Two {n} ways\n" for n in range(4)))
    outcome = genre("domains", "new", "y", "--interactions", "log.csv", "--items", "books.csv")
    refused(outcome, 1, "cannot tell which column is the title; name it as --title, one of a b, c d (or --title none)")
    outcome = genre("domains", "new", "y", "--interactions", "books.csv", "--items", "log.csv")
    refused(outcome, 1, "the items were given as the interactions; give the files the other way round")
    code, out, _ = genre(
        "domains", "new", "y", "--interactions", "log.csv", "--items", "books.csv", "--title", "none", "--text", "none"
    )
    assert code == 0
    assert "note: no column of titles, so items are called by their ids; --title names one" in out


def test_a_check_that_finds_something_fails(genre, own_domain, tiny_model):
    file = Path(own_domain) / "domain.toml"
    file.write_text(file.read_text() + '\n[fields.studio]\ntype = "text"\n')
    code, out, err = genre("domains", "check", own_domain, "--llm", tiny_model)
    assert (code, err) == (1, "")
    assert "problem: " in out
    assert "no column 'studio' for the field studio" in out


def test_prompts_are_shown(genre):
    code, out, _ = genre("prompts", "render", "movies", "next_item", "--user", "17", "--data", SAMPLE)
    assert code == 0
    assert out.startswith("--- system\n")
    assert "<item_" in out
    code, out, _ = genre("prompts", "render", "movies", "rating", "--user", "17", "--data", SAMPLE, "--json")
    assert code == 0
    assert {span["kind"] for message in json.loads(out) for span in message["spans"]} == {"text", "data", "code"}
    refused(genre("prompts", "render", "movies", "next", "--user", "17", "--data", SAMPLE), 2, "no task 'next'")
    refused(genre("prompts", "render", "movies", "next_item", "--data", SAMPLE), 2, "--user is missing")
    refused(genre("prompts", "render", "movies", "rating", "--user", "x", "--data", SAMPLE), 1, "no user 'x'")


def test_templates_are_copied_to_be_edited(genre, tmp_path, monkeypatch):
    shutil.copytree(SAMPLE, tmp_path / "catalogs" / "films")
    toml = tmp_path / "catalogs" / "films" / "domain.toml"
    toml.write_text(toml.read_text().replace('name = "movies"', 'name = "films"'))
    monkeypatch.chdir(tmp_path)
    code, out, err = genre("prompts", "copy", "films", "next_item.user.jinja")
    assert (code, err) == (0, "")
    (file,) = (tmp_path / "prompts" / "films").iterdir()
    assert out == f"wrote {file}\n"
    file.write_text("What next?\n")
    shown = genre("prompts", "render", "films", "next_item", "--user", "17", "--data", SAMPLE)[1]
    assert "What next?" in shown


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("fine\n{% for x in %}", 2, ""),
        ("fine\n\n{{ histroy }}", 3, "histroy"),
        ("{{ history.__class__ }}", 1, ""),
        ("{% include 'nothing.jinja' %}", 1, ""),
    ],
)
def test_a_broken_template_is_one_line_with_its_place(genre, tmp_path, monkeypatch, text, line, part):
    shutil.copytree(ROOT / "prompts", tmp_path / "prompts")
    file = tmp_path / "prompts" / "movies" / "next_item.user.jinja"
    file.write_text(text)
    monkeypatch.chdir(tmp_path)
    outcome = genre("prompts", "render", "movies", "next_item", "--user", "17", "--data", SAMPLE)
    refused(outcome, 1, f"next_item.user.jinja:{line}", part)


def test_doctor_says_what_there_is(genre, own_domain, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    code, out, _ = genre("doctor", own_domain, "--json")
    assert code in {0, 1}
    assert isinstance(json.loads(out), dict)
    assert genre("doctor", own_domain)[0] == code
