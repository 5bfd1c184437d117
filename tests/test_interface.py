"""The public interface: a first script runs as it is written, and is typed for those who check theirs strictly."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import genre_gen
from genre_gen import Dataset, Recommender

ROOT = Path(__file__).parent.parent
SCRIPT = Path(__file__).parent / "interface.py"
ONE_EPOCH = {"training.epochs": 1, "blend.members": ["ease", "popularity"]}


def test_a_first_script_runs_as_it_is_written(home, capsys):
    names = runpy.run_path(str(SCRIPT))
    shown = capsys.readouterr().out
    assert len(names["picks"]) == 5
    assert len(names["titles"]) == 10
    assert names["several"][1][0].explanation
    assert 1 <= names["rating"] <= 5
    assert "language model" in shown
    assert "100%" in shown
    assert "GENRE" in shown
    assert names["again"].recommend("17") == names["recommender"].recommend("17")
    assert names["newer"].state.trained_on is names["data"].interactions


def test_two_tables_are_enough_to_train(tiny_settings, tmp_path):
    tables = ROOT / "catalogs" / "movies"
    data = Dataset.from_tables(tables / "items.csv", tables / "interactions.csv", name="films", noun="film")
    assert data.domain.name == "films"
    settings = {key: value for key, value in tiny_settings.items() if not key.startswith("data.")} | ONE_EPOCH
    recommender = Recommender(data.domain, settings=settings).fit(data.leave_one_out())
    recommender.save_pretrained(tmp_path / "films")
    picks = Recommender.from_pretrained(tmp_path / "films").recommend("17", n=3, explain=True)
    assert [pick.item.title in str(pick.explanation) for pick in picks] == [True] * 3


def test_public_names_are_importable():
    names: dict[str, object] = {}
    exec("from genre_gen import *", names)
    assert set(genre_gen.__all__) < set(names)
    assert set(genre_gen.__all__) <= set(dir(genre_gen))
    assert names["Recommender"].__module__ == "genre_gen.recommender.recommender"
    with pytest.raises(AttributeError, match="has no attribute 'Recomender'"):
        genre_gen.Recomender  # noqa: B018


@pytest.mark.slow
def test_a_users_script_is_typed(tmp_path):
    assert (ROOT / "genre_gen" / "py.typed").exists()
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    done = subprocess.run(
        [*command, "--cache-dir", tmp_path, SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
