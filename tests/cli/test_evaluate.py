"""The command that evaluates."""

import json
from pathlib import Path

from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.picks import read_picks
from tests.cli.outcomes import refused

ROOT = Path(__file__).parents[2]


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


def test_all_users_go_into_a_file_that_gives_the_tables_figures(recommend, genre, saved, tmp_path):
    out = tmp_path / "picks.parquet"
    code, said, _ = recommend("--users", "all", "-n", "20", "--split", "test", "--out", out)
    assert (code, said) == (0, f"30 users in {out}\n")
    assert len(read_picks(out)) == 600
    code, table, _ = genre("evaluate", "movies", "--model", saved, "--json", "--out", tmp_path / "report")
    assert code == 0
    code, ours, _ = genre("evaluate", "movies", "--model", saved, "--picks", out, "--json", "--out", tmp_path / "picks")
    assert code == 0
    whole = next(result for result in json.loads(table)["results"] if result["name"] == GENRE)
    from_file = json.loads(ours)["results"][0]
    for metric in ("R@5", "R@10", "R@20", "N@5", "N@10", "N@20"):
        assert from_file["figures"][metric] == whole["figures"][metric] > 0
    for folder in ("report", "picks"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == {"evaluation.json", "evaluation.png"}
    assert not (saved / "evaluation.json").exists()
