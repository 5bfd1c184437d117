import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    import all_domains

    return all_domains


@pytest.fixture
def commands(script, monkeypatch):
    """Return a list of the commands that are run, none of them in earnest, and a function that lets some fail."""
    ran = []

    def run(command, output):
        ran.append(list(command))
        if command[0] == "train":
            Path(command[command.index("--out") + 1]).mkdir()
            Path(command[command.index("--out") + 1], "evaluation.json").write_text(REPORT)
        output.write_text('{"picks": [{"id": "17"}]}' if "--json" in command else "said", encoding="utf-8")
        return script.Ran(int(command[0] in failing), 1.25, 0.5)

    def fail(*names):
        failing.update(names)

    failing = set()
    monkeypatch.setattr(script, "run", run)
    return ran, fail


REPORT = (ROOT / "eval" / "results" / "movies.json").read_text()


def test_the_four_commands_are_run_as_a_person_would(script, commands, tmp_path, capsys):
    ran, _ = commands
    runs, out = tmp_path / "runs", tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        script.main(["movies", "--minutes", "2", "--label", "x", "--runs", str(runs), "--out", str(out)])
    assert end.value.code == 0
    model, user = str(runs / "movies"), json.loads(REPORT)["users"][0]
    assert ran == [
        ["train", "movies", "--out", model, "--max-minutes", "2"],
        ["evaluate", "movies", "--model", model],
        ["recommend", "movies", "--model", model, "--user", user, "-n", "5", "--explain"],
        ["recommend", "movies", "--model", model, "--user", user, "-n", "1", "--json"],
        ["explain", "movies", "--model", model, "--user", user, "--item", "17", "--why"],
    ]
    (one,) = json.loads((out / "domains_x.json").read_text())["domains"]
    assert one["failed"] is None
    assert (one["items"], one["cases"]) == (1682, 943)
    assert {command: ran["seconds"] for command, ran in one["commands"].items()} == dict.fromkeys(script.COMMANDS, 1.25)
    figures = {row["name"]: row for row in one["models"]}
    assert 0 < figures["GENRE"]["intervals"]["N@10"][0] < figures["GENRE"]["figures"]["N@10"]
    assert figures["GENRE"]["p"] is None
    assert figures["popularity"]["p"] < 0.01
    text = (out / "domains_x.md").read_text()
    assert text in capsys.readouterr().out
    assert "| movies | 1,682 | 943 | 1 (0) | 1 (0) | 1 (0) | 1 (0) |" in text
    for minutes, more in (("2", 0), ("3", 5)):  # measured before; another limit is another run
        done = len(ran)
        with pytest.raises(SystemExit):
            script.main(["movies", "--minutes", minutes, "--label", "x", "--runs", str(runs), "--out", str(out)])
        assert len(ran) == done + more


def test_a_command_that_fails_is_told_and_the_next_domain_is_tried(script, commands, tmp_path):
    ran, fail = commands
    fail("evaluate")
    with pytest.raises(SystemExit) as end:
        script.main(["movies", "news", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    assert end.value.code == 1
    assert [command[:2] for command in ran] == [
        [name, of] for of in ("movies", "news") for name in ("train", "evaluate")
    ]
    text = (tmp_path / "out" / "domains_samples.md").read_text()
    assert "| news |  |  | 1 (0) | 1 (0) failed | not run | not run |" in text


def test_a_command_is_run_timed_and_kept(script, tmp_path):
    ran = script.run(["domains"], tmp_path / "said.txt")
    assert ran.code == 0
    assert ran.seconds > 0
    assert ran.processor > 0
    assert "movies" in (tmp_path / "said.txt").read_text()
    assert script.run(["domains", "nonsense"], tmp_path / "said.txt").code == 2
    assert "nonsense" in (tmp_path / "said.err").read_text()
