"""The commands that fetch and train: demo, fetch, train."""

import json
from pathlib import Path

import pytest

from genre_gen import Domain, Recommender
from genre_gen.evaluation.baselines import GENRE
from tests.cli.outcomes import SAMPLE, refused

ROOT = Path(__file__).parents[2]


def test_training_from_the_command_line(genre, tmp_path, tiny_model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["model.exit_layer=2", "training.epochs=1", "training.max_minutes=null"]
    arguments = ["train", "movies", "--llm", tiny_model, "--data", SAMPLE]
    arguments += [part for setting in settings for part in ("--set", setting)]
    code, out, err = genre(*arguments)
    assert code == 0, err
    assert out.startswith("saved in runs/movies; blend ")
    assert "language model: " in err
    assert "100%" in err
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
    assert newer.state.tuned == older.state.tuned
    assert len(newer.state.trained_on) > len(older.state.trained_on)


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
        (["--data", SAMPLE, "--set", 'blend.members=["eaze"]'], 2, ["no member 'eaze'"]),
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


@pytest.mark.parametrize("command", ["demo", "train"])
def test_a_folder_that_could_not_be_saved_to_is_refused_before_training(genre, tmp_path, monkeypatch, command):
    monkeypatch.setattr("genre_gen.recommender.recommender.Recommender.fit", lambda *_, **__: pytest.fail("it began"))
    mine = tmp_path / "prompts" / "books" / "mine.jinja"
    mine.parent.mkdir(parents=True)
    mine.write_text("hours of work")
    refused(genre(command, "--out", tmp_path), 1, f"{tmp_path / 'prompts'}: was not saved by GENRE")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_fetching(genre, own_domain, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    code, out, _ = genre("fetch", own_domain, "--llm", tiny_model, "--json")
    assert code == 0
    assert [fetched["kind"] for fetched in json.loads(out)["fetched"]] == ["model"]
    code, out, _ = genre("fetch", own_domain, "--llm", tiny_model)
    assert code == 0
    refused(genre("fetch", own_domain, "--from", "moon"), 2, "choose auto, wheel or zip")
    refused(genre("fetch", own_domain, "--llm", "./nowhere"), 1, "nowhere")


def test_the_demo_runs_and_tells(genre, own_domain, tiny_settings, tmp_path, monkeypatch):

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
