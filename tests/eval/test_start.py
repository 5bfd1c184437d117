import pytest

from eval.serving import start


def test_steps_and_commands_are_measured_in_processes_of_their_own(saved, tmp_path, run, entry, monkeypatch):
    monkeypatch.setattr(
        start, "CODE", {name: start.CODE[name] for name in ("import torch", "import genre_gen", "load")}
    )
    monkeypatch.setattr(start, "commands", lambda run, folder: {"genre-gen doctor": ["doctor"]})
    assert run(start, saved, "--rounds", 1, "--out", tmp_path) == 0
    content = entry(tmp_path / "start.json")
    assert content.keys() == {"import torch", "import genre_gen", "load", "genre-gen doctor", "table"}
    assert all(content[name]["seconds"] > 0 for name in content.keys() - {"table"})
    assert 0 < content["import torch"]["megabytes"] < content["load"]["megabytes"]
    assert content["import torch"]["large"] == []


def test_code_that_fails_is_one_line(tmp_path):
    with pytest.raises(start.UsageError, match="failed: ValueError: no"):
        start.ran("raise ValueError('no')  # load", tmp_path, 1)
