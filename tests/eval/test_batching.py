"""The comparison of ways to answer many users, on a tiny recommender."""

from eval.live import batching


def test_own_prompts_are_compared_with_a_shared_instruction(saved, tmp_path, run, entry):
    assert run(batching, saved, "--quick", "--threads", 1, "--rounds", 1, "--last", 3, "--out", tmp_path) == 0
    rows = entry(tmp_path / "batching.json")["rows"]
    assert [(row["histories"], row["batch"], row["way"]) for row in rows] == [
        (histories, batch, way)
        for histories in ("short", "whole")
        for batch, way in ((1, "own"), (4, "own"), (4, "shared"))
    ]
    assert all(row["differs"] < 1e-4 for row in rows)
    assert rows[0]["items"] == 3
    assert all(row[case]["ms"] > row[case]["model"] for row in rows for case in ("cold", "event", "again"))
