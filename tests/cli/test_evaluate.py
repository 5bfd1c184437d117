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


def test_picks_of_seen_items_need_an_option(genre, saved, dataset, tmp_path, caplog):
    had = dataset.interactions.history_at(0)
    file = tmp_path / "picks.csv"
    file.write_text(f"user_id,item_id,rank\n{had.user},{dataset.catalog[int(had.rows[0])].id},1\n")
    remedy = "leave them out of the picks, or to rank them too, give --repeat"
    refused(genre("evaluate", "--model", saved, "--picks", file), 2, remedy)
    code, out, _ = genre("evaluate", "--model", saved, "--picks", file, "--repeat")
    assert code == 0
    assert "29 of them without picks, all 40 items ranked" in out
    assert "picks for 1 of 30 users; the other 29 count as misses" in caplog.text
    refused(genre("evaluate", "--model", saved, "--repeat"), 2, "--repeat is for --picks")


def test_evaluating_with_a_model_that_is_allowed_keeps_the_language(genre, saved, tmp_path):
    assert genre("evaluate", "--model", saved, "--allow-model", "owner/name", "--out", tmp_path)[0] == 0
