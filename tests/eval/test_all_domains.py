from pathlib import Path

import numpy as np
import pytest

from eval.accuracy import all_domains
from genre_gen.evaluation.report import Report, Result

RANKS = {"GENRE": [1, 2, 3, 4] * 10, "popularity": [9, 30, 8, 50] * 10}
RESULTS = tuple(Result(name, np.array(ranks, np.float64)) for name, ranks in RANKS.items())
NOTES = {"blend": {"llm": 0.7, "ease": 0.3}}
REPORT = Report(RESULTS, (10,), 99, tuple(f"u{n}" for n in range(40)), np.zeros(40, np.int64), notes=NOTES)


@pytest.fixture
def commands(monkeypatch):
    """Return a list of the commands run, each of which is a fake, and a function that lets some fail."""
    ran = []

    def run(command, output):
        ran.append(list(command))
        if command[0] == "train":
            Path(command[command.index("--out") + 1]).mkdir()
            Path(command[command.index("--out") + 1], "evaluation.json").write_text(REPORT.to_json())
        output.write_text('{"picks": [{"id": "17"}]}' if "--json" in command else "said", encoding="utf-8")
        return all_domains.Ran(int(command[0] in failing), 1.25, 0.5)

    def fail(*names):
        failing.update(names)

    failing = set()
    monkeypatch.setattr(all_domains, "run", run)
    return ran, fail


def test_the_four_commands_are_run_as_a_person_would(commands, tmp_path, run, entry):
    ran, _ = commands
    runs, common = tmp_path / "runs", ["--label", "x", "--runs", tmp_path / "runs", "--out", tmp_path]
    assert run(all_domains, "movies", "--minutes", 2, *common) == 0
    model = str(runs / "movies")
    assert ran == [
        ["train", "movies", "--out", model, "--max-minutes", "2"],
        ["evaluate", "movies", "--model", model],
        ["recommend", "movies", "--model", model, "--user", "u0", "-n", "5", "--explain"],
        ["recommend", "movies", "--model", model, "--user", "u0", "-n", "1", "--json"],
        ["explain", "movies", "--model", model, "--user", "u0", "--item", "17", "--why"],
    ]
    content = entry(tmp_path / "all_domains.json")
    (domain,) = content["domains"]
    assert domain["failed"] is None
    assert (domain["items"], domain["cases"]) == (99, 40)
    seconds = {command: ended["seconds"] for command, ended in domain["commands"].items()}
    assert seconds == dict.fromkeys(all_domains.COMMANDS, 1.25)
    figures = {row["name"]: row for row in domain["models"]}
    assert 0 < figures["GENRE"]["intervals"]["N@10"][0] < figures["GENRE"]["figures"]["N@10"]
    assert figures["GENRE"]["p"] is None
    assert figures["popularity"]["p"] < 0.01
    assert "| movies | 99 | 40 | 1 (0) | 1 (0) | 1 (0) | 1 (0) |" in content["table"]
    assert (
        "| movies | 1.000 / 0.640 | not run | not run | not run | 0.500 / 0.154 | llm 0.70, ease 0.30 |"
        in (content["table"])
    )
    for minutes, more in ((2, 0), (3, 5)):  # measured before; another limit is another run
        before = len(ran)
        assert run(all_domains, "movies", "--minutes", minutes, *common) == 0
        assert len(ran) == before + more


def test_a_failing_command_is_reported_and_the_next_domain_runs(commands, tmp_path, run, entry):
    ran, fail = commands
    fail("evaluate")
    assert run(all_domains, "movies", "news", "--runs", tmp_path / "runs", "--out", tmp_path) == 1
    assert [command[:2] for command in ran] == [
        [name, domain] for domain in ("movies", "news") for name in ("train", "evaluate")
    ]
    table = entry(tmp_path / "all_domains.json")["table"]
    assert "| news |  |  | 1 (0) | 1 (0) failed | not run | not run |" in table


def test_a_command_is_run_timed_and_kept(tmp_path):
    ran = all_domains.run(["domains"], tmp_path / "output.txt")
    assert ran.code == 0
    assert ran.seconds > 0
    assert ran.processor > 0
    assert "movies" in (tmp_path / "output.txt").read_text()
    assert all_domains.run(["domains", "nonsense"], tmp_path / "output.txt").code == 2
    assert "nonsense" in (tmp_path / "output.err").read_text()
