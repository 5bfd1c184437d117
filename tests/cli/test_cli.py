import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from genre_gen.cli import main as cli
from genre_gen.cli.main import app
from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.picks import read_picks
from genre_gen.recommender.recommender import Recommender

ROOT = Path(__file__).parents[2]
SAMPLE = str(ROOT / "catalogs" / "movies")
COMMANDS = [
    "demo", "fetch", "train", "recommend", "explain", "report", "evaluate", "prompts render", "domains", "domains new",
    "domains check", "doctor",
]  # fmt: skip


@pytest.fixture
def genre(monkeypatch, capsys):
    """Return a function that runs the command line as a user does: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["genre-gen", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def recommend(genre, saved):
    def run(*arguments):
        return genre("recommend", "movies", "--model", saved, *arguments)

    return run


def refused(outcome, code, *parts):
    """Check that a command failed with one clear line on stderr and nothing on stdout."""
    assert outcome[0] == code, outcome
    assert outcome[1] == ""
    lines = outcome[2].splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("genre-gen: ")
    for part in parts:
        assert part in lines[0]


# Help


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_works(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    if not command:
        assert all(name.split()[0] in result.stdout for name in COMMANDS)


def test_every_command_is_tried_here():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name: group.typer_instance.registered_commands for group in app.registered_groups}
    below = {f"{group} {command.name}" for group, commands in groups.items() for command in commands}
    assert names | below | {"domains"} == set(COMMANDS)


def test_help_answers_at_once_because_nothing_heavy_is_imported():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import genre_gen.cli.main, genre_gen"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    heavy = {"torch", "transformers", "outlines", "surprise", "polars", "scipy", "sklearn", "matplotlib", "pydantic"}
    assert "genre_gen" in imported
    assert not imported & heavy


def test_without_a_command_there_is_help(genre):
    code, out, err = genre()
    assert code == 2
    assert "Usage:" in out + err


def test_what_typer_refuses_is_wrong_use(genre):
    assert genre("recommend", "--no-such-option")[0] == 2
    assert genre("recommend", "-n", "many")[0] == 2
    assert genre("train", "--quantization", "int3")[0] == 2
    assert genre("nothing")[0] == 2


# Recommending


def test_a_user_is_recommended_to(recommend, tiny_recommender):
    code, out, err = recommend("--user", "17", "-n", "5")
    expected = tiny_recommender.recommend("17", n=5)
    assert code == 0
    assert [line.split(". ", 1)[1].split("  [")[0] for line in out.splitlines()] == [one.item.title for one in expected]
    assert err == ""


def test_a_history_is_recommended_to_with_reasons(recommend):
    code, out, err = recommend("--history", "Toy Story (1995)", "--history", "Alien (1979)=4", "-n", "3", "--explain")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 6
    assert all(lines[number].lstrip().startswith(f"{number // 2 + 1}. ") for number in (0, 2, 4))
    assert all(lines[number].startswith("     ") for number in (1, 3, 5))
    assert "Toy Story" not in "".join(line.split("  [")[0] for line in lines[::2])
    assert err == ""


def test_filters_hold(recommend):
    code, out, _ = recommend("--user", "17", "-n", "40", "--where", "year >= 1990", "--exclude", "Heat", "--json")
    content = json.loads(out)
    assert code == 0
    titles = [pick["title"] for pick in content["picks"]]
    assert titles
    assert all(int(title[-5:-1]) >= 1990 for title in titles)
    assert "Heat (1995)" not in titles
    assert content["notes"][0].startswith(f"{len(titles)} of 40 items: 40 in the catalog, less")


def test_a_request_needs_no_history_and_is_told(recommend):
    code, out, _ = recommend("--query", "no horror, from the 90s, zzz", "-n", 2)
    assert code == 0
    assert out.splitlines()[0] == "understood: only genre != 'Horror' and 1990 <= year < 2000; not understood: zzz"
    assert len(out.splitlines()) == 3
    code, out, _ = recommend("--user", "17", "--query", "horror", "-n", 1, "--json")
    assert json.loads(out)["parsed_query"] == {"where": None, "preferences": ["genre Horror"], "unknown": []}
    refused(recommend("--query", "x" * 501), 2, "501 characters; at most 500")
    refused(recommend("--users", "all", "--out", "x.jsonl", "--query", "horror"), 2, "--query")


def test_re_ranking(recommend, saved):
    plain = recommend("--user", "17", "-n", "5")[1]
    assert recommend("--user", "17", "-n", "5", "--rerank", "none")[1] == plain
    for weight, same in (("0", True), ("1", False)):
        code, out, err = recommend("--user", "17", "-n", "5", "--rerank", "mmr", "--rerank-weight", weight)
        assert (code, err) == (0, "")
        assert (out == plain) is same
    assert recommend("--user", "17", "--rerank", "variety")[0] == 2
    refused(recommend("--user", "17", "--rerank-weight", "0.3"), 2, "give --rerank mmr or calibration too")
    refused(recommend("--user", "17", "--rerank", "mmr", "--rerank-weight", "2"), 2, "--rerank-weight 2: give")
    refused(recommend("--user", "17", "--rerank", "mmr", "--rerank-weight", "nan"), 2, "--rerank-weight nan: give")


def test_answering_in_fewer_bits(recommend, genre, saved, tmp_path):
    exact, served = (
        json.loads(recommend("--user", "17", "--quantization", name, "--json")[1]) for name in ("none", "int8")
    )
    assert [pick["id"] for pick in exact["picks"]] == [pick["id"] for pick in served["picks"]]
    assert exact == json.loads(recommend("--user", "17", "--json")[1])
    code, _, err = recommend("--user", "17", "--quantization", "int3")
    assert code == 2
    assert all(part in err for part in ("--quantization", "int3", "int8"))
    code, out, _ = genre("explain", "movies", "--model", saved, "--item", "9", "--user", "17", "--quantization", "nf4")
    assert code == 0
    assert out
    arguments = ("evaluate", "movies", "--model", saved, "--out", tmp_path / "e", "--quantization", "int8", "--json")
    assert json.loads(genre(*arguments)[1])["notes"]["quantization"] == "int8"


def test_re_ranked_files_are_not_mixed_with_others(recommend, saved, tmp_path):
    files = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert recommend("--users", "all", "-n", "5", "--out", files[0])[0] == 0
    assert recommend("--users", "all", "-n", "5", "--out", files[1], "--rerank", "calibration")[0] == 0
    assert files[0].read_text() != files[1].read_text()


def test_a_number_of_more_than_is_allowed_says_why(recommend):
    code, out, _ = recommend("--user", "17", "-n", "40", "--where", "genre == 'Horror'")
    assert code == 0
    assert out.splitlines()[-1].startswith("note: ")


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["--history", "Toy Stroy"], 1, ["no item 'Toy Stroy'", "did you mean 'Toy Story (1995)'"]),
        (["--history", "Alein"], 1, ["did you mean 'Alien (1979)'"]),
        (["--history", ""], 1, ["no item ''"]),
        (["--user", "nobody"], 1, ["no user 'nobody' among 30 users"]),
        (["--user", "17", "--where", "yaer > 1990"], 2, ["no field yaer", "did you mean year"]),
        (["--user", "17", "--where", "year >"], 2, ["cannot be read"]),
        (["--user", "17", "--where", "__import__('os')"], 2, ["not a comparison"]),
        (["--user", "17", "--where", ""], 2, ["where: the expression is empty"]),
        (["--user", "17", "--exclude", "Alein"], 1, ["no item 'Alein'"]),
        ([], 2, ["either a user or a history"]),
        (["--user", "17", "--history", "Alien"], 2, ["either a user or a history"]),
        (["--user", "17", "-n", "0"], 2, ["n = 0; ask for at least one"]),
        (["--user", "17", "-n", "-1"], 2, ["n = -1"]),
        (["--user", "17", "-n", "41"], 2, ["n = 41, but the catalog has 40 items"]),
        (["--history", "Alien=9"], 2, ["the rating 9 of 'Alien' is off the scale, which runs from 1 to 5"]),
        (["--history", "Alien=nan"], 2, ["'nan' is no rating of 'Alien'; give a number"]),
        (["--history", "Alien=inf"], 2, ["'inf' is no rating of 'Alien'"]),
        (["--history", "Alien (1979)=abc"], 2, ["'abc' is no rating of 'Alien (1979)'"]),
        (["--history", "Alein=abc"], 1, ["no item 'Alein=abc'"]),
        (["--user", "17", "--out", "x.jsonl"], 2, ["--out go with --users"]),
        (["--user", "17", "--split", "test"], 2, ["--split and --out go with --users"]),
        (["--users", "all"], 2, ["--users needs --out"]),
        (["--users", "all", "--user", "17", "--out", "x.jsonl"], 2, ["without --user, --history and --query"]),
        (["--users", "all", "--out", "x.csv"], 2, [".parquet or .jsonl"]),
        (["--users", "nowhere", "--out", "x.jsonl"], 1, ["a file with one user id a line"]),
        (["--users", "all", "--out", "/proc/none/x.jsonl"], 1, ["/proc/none"]),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(recommend, arguments, code, parts):
    refused(recommend(*arguments), code, *parts)


def test_n_is_looked_at_before_anything_is_loaded(genre):
    refused(genre("recommend", "movies", "--model", "nowhere", "-n", "0"), 2, "n = 0")


def test_a_model_that_is_not_there_is_one_line(genre, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(genre("recommend", "movies", "--user", "17"), 1, "runs/movies: no such folder", "train first")
    refused(genre("recommend", "movies", "--user", "17", "--model", "none"), 1, "none: no such folder")
    refused(genre("recommend", "moveis", "--user", "17"), 1, "no domain 'moveis', did you mean 'movies'")
    refused(genre("train", "moveis"), 1, "no domain 'moveis'")
    refused(genre("explain", "moveis", "--item", "Alien"), 1, "no domain 'moveis'")
    refused(genre("evaluate", "moveis"), 1, "no domain 'moveis'")
    refused(genre("doctor", "moveis"), 1, "no domain 'moveis'")


def test_a_model_of_another_domain_is_refused(genre, saved, own_domain, tmp_path, monkeypatch):
    for command in (["recommend", "ads", "--user", "17"], ["explain", "ads", "--item", "Alien"], ["evaluate", "ads"]):
        outcome = genre(*command, "--model", saved)
        refused(outcome, 2, f"--model {saved} was trained for the domain movies, not ads; give movies, or another")
    refused(genre("train", "ads", "--like", saved, "--out", tmp_path / "x"), 2, f"--like {saved} was trained for the")
    assert genre("recommend", own_domain.rename(tmp_path / "films"), "--user", "17", "--model", saved)[0] == 0
    shutil.copytree(saved, tmp_path / "runs" / "ads")
    monkeypatch.chdir(tmp_path)
    refused(genre("recommend", "ads", "--user", "17"), 2, "runs/ads was trained for the domain movies, not ads")
    refused(genre("report", "ads", "--user", "17"), 2, "runs/ads was trained for the domain movies, not ads")


def test_the_folder_of_a_domain_names_the_default_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {
        "movies": "movies",
        "catalogs/films/": "films",
        "./": tmp_path.name,
        str(tmp_path / "a" / ".."): tmp_path.name,
    }
    assert {given: cli._folder(None, given).as_posix() for given in names} == {
        given: f"runs/{name}" for given, name in names.items()
    }
    assert cli._folder("x", "movies") == Path("x")


def test_a_damaged_model_is_one_line(genre, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "x")
    file = tmp_path / "x" / "llm.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    outcome = genre("recommend", "movies", "--user", "17", "--model", tmp_path / "x")
    refused(outcome, 1, "llm.safetensors: differs from its checksum", "train again")
    (tmp_path / "x" / "manifest.json").unlink()
    outcome = genre("recommend", "movies", "--user", "17", "--model", tmp_path / "x")
    refused(outcome, 1, "no manifest.json there")


def test_titles_with_an_equals_sign_are_titles(mixed):
    mixed.catalog._titles = type(mixed.catalog._titles)([*(item.title for item in mixed.catalog[:-1]), "Area=4"])
    assert cli._entry(mixed, "Area=4") == "Area=4"
    assert cli._entry(mixed, "Area=4=5") == ("Area=4", 5.0)
    assert cli._entry(mixed, "Alien=3.5") == ("Alien", 3.5)
    assert cli._entry(mixed, "Alein=good") == "Alein=good"
    assert cli._entry(mixed, "Alien") == "Alien"


def test_all_users_go_into_a_file_that_gives_the_tables_figures(recommend, genre, saved, tmp_path):
    out = tmp_path / "picks.parquet"
    code, said, _ = recommend("--users", "all", "-n", "20", "--split", "test", "--out", out)
    assert (code, said) == (0, f"30 users in {out}\n")
    assert len(read_picks(out)) == 600
    code, table, _ = genre("evaluate", "movies", "--model", saved, "--json", "--out", tmp_path / "report")
    assert code == 0
    code, ours, _ = genre("evaluate", "movies", "--model", saved, "--picks", out, "--json", "--out", tmp_path / "picks")
    assert code == 0
    whole = next(one for one in json.loads(table)["results"] if one["name"] == GENRE)
    from_file = json.loads(ours)["results"][0]
    for metric in ("R@5", "R@10", "R@20", "N@5", "N@10", "N@20"):
        assert from_file["figures"][metric] == whole["figures"][metric] > 0
    for folder in ("report", "picks"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == {"evaluation.json", "evaluation.png"}
    assert not (saved / "evaluation.json").exists()


def test_all_users_with_json(recommend, tmp_path):
    code, out, _ = recommend("--users", "all", "-n", "1", "--out", tmp_path / "a.jsonl", "--json")
    assert code == 0
    assert json.loads(out) == {"users": 30, "file": str(tmp_path / "a.jsonl")}


# Places


@pytest.mark.parametrize(
    ("command", "option", "file"),
    [
        (["demo"], "--out", ""),
        (["train"], "--out", ""),
        (["evaluate", "--model", "SAVED"], "--out", ""),
        (["report", "SAVED", "--user", "17"], "--out", "page.html"),
        (["recommend", "--model", "SAVED", "--users", "all"], "--out", "picks.jsonl"),
        (["domains", "new", "x", "--interactions", f"{SAMPLE}/interactions.csv"], "--folder", ""),
    ],
)
def test_a_place_that_cannot_be_written_to_is_noticed_at_once(
    genre, saved, tmp_path, monkeypatch, command, option, file
):
    recommender = "recommender.recommender.Recommender"
    for work in (f"{recommender}.fit", f"{recommender}.recommend_many", "data.interactions.Interactions.split"):
        monkeypatch.setattr(f"genre_gen.{work}", lambda *_, **__: pytest.fail("it began"))
    command = [saved if part == "SAVED" else part for part in command]
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "x", Path("/proc/none")):
        refused(genre(*command, option, folder / file), 1, f"{option} {folder / file}: cannot be written there")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]
    if file:
        (tmp_path / file).mkdir()
        refused(genre(*command, option, tmp_path / file), 1, f"{option} {tmp_path / file}: is a folder")


@pytest.mark.parametrize("command", ["demo", "train"])
def test_a_folder_that_could_not_be_saved_to_is_refused_before_training(genre, tmp_path, monkeypatch, command):
    monkeypatch.setattr("genre_gen.recommender.recommender.Recommender.fit", lambda *_, **__: pytest.fail("it began"))
    mine = tmp_path / "prompts" / "books" / "mine.jinja"
    mine.parent.mkdir(parents=True)
    mine.write_text("hours of work")
    refused(genre(command, "--out", tmp_path), 1, f"{tmp_path / 'prompts'}: was not saved there by GENRE")
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [mine]


# The other commands


def test_explaining(genre, saved):
    code, out, _ = genre("explain", "movies", "--item", "alien", "--user", "17", "--model", saved)
    lines = out.splitlines()
    assert code == 0
    assert "Alien (1979)" in lines[0]
    assert all(line.startswith("  fact: ") for line in lines[1:])
    assert len(lines) > 1
    code, out, _ = genre("explain", "--item", "alien", "--history", "Aliens=5", "--model", saved, "--json")
    content = json.loads(out)
    assert code == 0
    assert set(content) == {"text", "method", "facts"}
    more = ("--why", "--instead-of", "Up", "--what-if", "--user", "17", "--model", saved)
    code, out, _ = genre("explain", "--item", "alien", *more)
    assert code == 0
    assert "Alien (1979) scores" in out
    assert "would be number" in out
    assert "log-probability by the LLM" in out
    code, out, _ = genre("explain", "--item", "alien", *more, "--json")
    assert {"attribution", "comparison", "what_if"} < set(json.loads(out))
    refused(genre("explain", "--item", "alien", "--instead-of", "Alien", "--user", "17", "--model", saved), 2, "same")
    refused(genre("explain", "--user", "17", "--model", saved), 2, "--item is missing")
    refused(genre("explain", "--item", "Alein", "--user", "17", "--model", saved), 1, "did you mean 'Alien")


def test_a_page_is_written(genre, saved, tmp_path):
    file = tmp_path / "page.html"
    code, out, _ = genre("report", saved, "--user", "17", "--user", "3", "-o", file, "-n", 2)
    assert (code, out) == (0, f"wrote {file}\n")
    assert file.read_text("utf-8").count("<article") == 2
    refused(genre("report", saved), 2, "--user is missing")


def test_evaluating_prints_a_table(genre, saved, tmp_path):
    code, out, _ = genre("evaluate", "movies", "--model", saved, "--out", tmp_path)
    assert code == 0
    assert out.splitlines()[0].startswith("movies, leave-one-out, test, 30 users")
    assert GENRE in out
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["split"] == "leave-one-out, test"
    refused(genre("evaluate", "--model", saved, "--split", "random"), 2, "no split 'random'")
    refused(genre("evaluate", "--model", saved, "--split", "global-time"), 2, "evaluate with the split")
    refused(genre("evaluate", "--model", saved, "--picks", tmp_path / "none.parquet"), 1, "not a file of picks")
    assert genre("evaluate", "--model", saved, "--part", "train")[0] == 2


def test_training_from_the_command_line(genre, tmp_path, tiny_model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["model.exit_layer=2", "training.epochs=1", "training.max_minutes=null"]
    arguments = ["train", "movies", "--llm", tiny_model, "--data", SAMPLE]
    arguments += [part for setting in settings for part in ("--set", setting)]
    code, out, err = genre(*arguments)
    assert code == 0, err
    assert out.startswith("saved in runs/movies; blend ")
    assert "training" in err
    code, out, _ = genre("recommend", "--user", "17", "-n", "3", "--json")
    assert code == 0
    assert len(json.loads(out)["picks"]) == 3
    assert genre(*arguments)[0] == 0  # what is finished is not done again
    assert genre("recommend", "--user", "17", "-n", "3", "--json")[1] == out
    code, out, err = genre(*arguments, "--set", "training.seed=1")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(
        "genre-gen: runs/movies/checkpoint: begun with other data, prompts or settings"
    )
    code, out, err = genre(*arguments, "--like", "runs/movies", "--split", "none", "--out", "runs/newer")
    assert code == 0, err
    older, newer = (Recommender.from_pretrained(Path("runs") / name) for name in ("movies", "newer"))
    assert newer.choices == older.choices
    assert len(newer.trained_on) > len(older.trained_on)


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["--set", "training.epoch=1"], 2, ["--set training.epoch=1: training.epoch: unknown key", "mean 'epochs'"]),
        (["--set", "training.epochs=0"], 2, ["--set training.epochs=0: training.epochs: should be"]),
        (["--set", "training.epochs=x"], 2, ["--set training.epochs=x: training.epochs: should be a valid integer"]),
        (["--set", "name.x=1"], 2, ["--set name.x=1: name.x: name is a value"]),
        (["--set", "training.epochs"], 2, ["write KEY=VALUE"]),
        (["--max-minutes", "0"], 2, ["--max-minutes 0: give a number above 0"]),
        (["--max-minutes", "nan"], 2, ["--max-minutes nan: give"]),
        (["--data", "nowhere"], 1, ["nowhere"]),
        (["--data", SAMPLE, "--split", "random"], 2, ["no split 'random'"]),
        (["--data", SAMPLE, "--llm", "./nowhere"], 1, ["nowhere"]),
        (["--data", SAMPLE, "--set", 'blend.members=["eaze"]'], 1, ["no member 'eaze'"]),
    ],
)
def test_a_mistake_in_training_is_one_line_before_it_begins(genre, tmp_path, monkeypatch, arguments, code, parts):
    monkeypatch.chdir(tmp_path)
    outcome = genre("train", "movies", *arguments)
    lines = [line for line in outcome[2].splitlines() if line.startswith("genre-gen: ")]
    assert outcome[:2] == (code, "")
    assert len(lines) == 1
    assert "Traceback" not in outcome[2]
    for part in parts:
        assert part in lines[0]
    assert not (tmp_path / "runs").exists()


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


def test_a_check_that_finds_something_fails(genre, own_domain, tiny_model):
    file = Path(own_domain) / "domain.toml"
    file.write_text(file.read_text() + '\n[fields.studio]\ntype = "text"\n')
    code, out, err = genre("domains", "check", own_domain, "--llm", tiny_model)
    assert (code, err) == (1, "")
    assert "problem: " in out
    assert "no column 'studio' for the field studio" in out


@pytest.fixture
def own_domain(tmp_path):
    """Return a domain's folder with its data in it."""
    folder = Path(shutil.copytree(SAMPLE, tmp_path / "catalogs" / "movies"))
    text = (folder / "domain.toml").read_text().replace('source = "ml-100k"', 'path = "."')
    (folder / "domain.toml").write_text(text)
    return folder


def test_fetching(genre, own_domain, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    code, out, _ = genre("fetch", own_domain, "--llm", tiny_model, "--json")
    assert code == 0
    assert [one["kind"] for one in json.loads(out)["fetched"]] == ["model"]
    code, out, _ = genre("fetch", own_domain, "--llm", tiny_model)
    assert code == 0
    refused(genre("fetch", own_domain, "--from", "moon"), 2, "choose auto, wheel or zip")
    refused(genre("fetch", own_domain, "--llm", "./nowhere"), 1, "nowhere")


def test_doctor_says_what_there_is(genre, own_domain, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    code, out, _ = genre("doctor", own_domain, "--json")
    assert code in {0, 1}
    assert isinstance(json.loads(out), dict)
    assert genre("doctor", own_domain)[0] == code


def test_the_demo_runs_and_tells(genre, own_domain, tiny_settings, tmp_path, monkeypatch):
    from genre_gen import Domain

    settings = {key: value for key, value in tiny_settings.items() if not key.startswith(("data.", "training.max"))}
    monkeypatch.setattr("genre_gen.cli.demo.DOMAIN", Domain.load(own_domain).changed(settings))
    monkeypatch.setattr("genre_gen.cli.demo.THREE_TITLES", ("Toy Story", "Alien", "Heat"))
    code, out, err = genre("demo", "--out", tmp_path / "run", "--max-minutes", "5")
    assert code == 0, err
    assert out.count("score") >= 15
    assert "a heavy user" in out
    assert "only three titles are known, Toy Story, Alien, Heat" in out
    assert GENRE in out
    assert (tmp_path / "run" / "evaluation.png").exists()
    assert genre("recommend", "--user", "17", "--model", tmp_path / "run")[0] == 0
    refused(genre("demo", "--max-minutes", "0"), 2, "--max-minutes 0: give a number above 0")


# Interruptions


def test_an_interrupt_says_how_to_go_on_where_one_can(genre, saved, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for place in (
        "recommender.batch.write_picks",
        "recommender.recommender.Recommender.fit",
        "cli.demo.run",
        "cli.doctor.examine",
    ):
        monkeypatch.setattr(f"genre_gen.{place}", interrupted)
    said = "stopped; it goes on where it was when the same command is given again"
    for command, told in (
        (["recommend", "--model", saved, "--users", "all", "--out", tmp_path / "x.jsonl"], said),
        (["train", "--data", SAMPLE, "--out", tmp_path / "run"], said),
        (["demo", "--out", tmp_path / "run"], said),
        (["doctor"], ""),
    ):
        code, out, err = genre(*command)
        assert (code, out, err.splitlines()[-1:]) == (130, "", [told] if told else []), command


def test_a_closed_pipe_ends_quietly(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "genre_gen.cli.main", "domains"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_public_names_are_importable():
    names: dict[str, object] = {}
    exec("from genre_gen import *", names)
    import genre_gen

    assert set(genre_gen.__all__) < set(names)
    assert set(genre_gen.__all__) <= set(dir(genre_gen))
    assert names["Recommender"].__module__ == "genre_gen.recommender.recommender"
    with pytest.raises(AttributeError, match="has no attribute 'Recomender'"):
        genre_gen.Recomender  # noqa: B018


def test_picks_open_in_other_tools(recommend, tmp_path):
    recommend("--users", "all", "-n", "2", "--out", tmp_path / "a.parquet", "--where", "year > 1985")
    table = pl.scan_parquet(tmp_path / "a.parquet").group_by("user").len().collect()
    assert table["len"].to_list() == [2] * 30
