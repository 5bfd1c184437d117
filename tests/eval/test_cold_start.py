import json
from pathlib import Path

import numpy as np
import pytest

from genre_gen.data.interactions import Interactions
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cold(monkeypatch):
    import cold_start

    return cold_start


@pytest.fixture
def bench(cold, tiny_domain, tmp_path):
    domain = tiny_domain.changed({"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}})
    return cold.Bench("sample", domain, "leave-one-out", tmp_path / "unused")


def test_no_interaction_with_a_new_item_is_left(cold, bench):
    question = cold.new_items(bench, 0)
    cases = question.cases["all"]
    held = {case.target for case in cases}
    assert question.held == round(0.1 * len({case.target for case in bench.split.test}))
    assert 0 < len(held) <= question.held
    assert not set(question.known.rows.tolist()) & held
    whole = {case.history.user: case for case in bench.split.test}
    assert {case.history.user for case in cases} == {user for user, case in whole.items() if case.target in held}
    gone = set(bench.split.train_and_validation.rows.tolist()) - set(question.known.rows.tolist())
    for case in cases:
        kept = [row for row in whole[case.history.user].history.rows.tolist() if row not in gone]
        assert case.history.rows.tolist() == kept
    assert cold.new_items(bench, 1).known.rows.tolist() != question.known.rows.tolist()


def test_who_had_nothing_but_new_items_is_not_asked_about(cold, bench, monkeypatch):
    rows = np.array([0, 1, 0, 2, 2, 2, 0, 1, 2])
    everyone = Interactions.from_columns(["a", "a", "a", "b", "b", "b", "c", "c", "c"], rows, 3)
    monkeypatch.setattr(cold, "ITEM_SHARE", 0.6)  # one of the two that are last: 0 and 2
    fresh = cold.Bench("few", bench.domain, "leave-one-out", bench.runs)
    fresh.__dict__["interactions"] = everyone
    for seed in range(5):
        question = cold.new_items(fresh, seed)
        asked = {case.target: [] for case in question.cases["all"]}
        for case in question.cases["all"]:
            asked[case.target].append(case.history.user)
        assert asked in ({0: ["a"]}, {2: ["c"]})


def test_no_new_user_is_learned_from(cold, bench):
    question = cold.new_users(bench, 0)
    assert list(question.cases) == ["1", "3", "5", "all"]
    new = [case.history.user for case in question.cases["all"]]
    assert question.held == len(new) == 6
    assert not set(new) & set(question.known.users)
    assert set(new) | set(question.known.users) == set(bench.split.train_and_validation.users)
    whole = {case.history.user: case for case in bench.split.test}
    for name, cases in question.cases.items():
        assert [case.history.user for case in cases] == new
        for case in cases:
            full = whole[case.history.user].history.rows.tolist()
            assert case.history.rows.tolist() == (full if name == "all" else full[-int(name) :])
            assert case.target == whole[case.history.user].target


def test_new_items_have_finite_scores_by_their_texts_and_none_by_ids(cold, bench, tmp_path):
    question = cold.new_items(bench, 0)
    models = cold.fitted(bench, question.known, {}, tmp_path / "run")
    histories = [case.history for case in question.cases["all"]]
    new = sorted({case.target for case in question.cases["all"]})
    for name, scorer in models.scorers.items():
        scores = scorer(histories)[:, new]
        assert np.isfinite(scores).all(), name
        if name in ("sequential_rules", "item_knn", "ease", "popularity"):
            assert (scores == 0).all(), name
    assert (models.scorers[LLM_ALONE](histories)[:, new] != 0).all()
    assert (models.scorers["text_knn"](histories)[:, new] > 0).any()
    assert {"text_knn", LLM_ALONE} <= models.texts
    assert not {"ease", "popularity", WITHOUT_LLM} & models.texts


def test_both_tables_by_one_command(cold, bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cold.Bench, "open", lambda *_: bench)
    out, common = tmp_path / "out", ["--data", "sample", "--seed", "1", "--minutes", "5", "--runs", str(tmp_path)]
    cold.main([*common, "--out", str(out), "--set", "training.patience=2"])
    text = (out / "cold_start_sample.md").read_text()
    assert capsys.readouterr().out == text + "\n"
    assert (out / "cold_start_sample.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "cold_start_sample.json").read_text())
    assert content["settings"] == {"training.patience": 2, "training.seed": 1, "training.max_minutes": 5.0}
    names = {GENRE, LLM_ALONE, WITHOUT_LLM, "svd", *cold.PEERS}
    for part, lengths in (("new_items", ["all"]), ("new_users", ["1", "3", "5", "all"])):
        assert list(content[part]["histories"]) == lengths
        for rows in content[part]["histories"].values():
            assert {row["name"] for row in rows} == names
            for row in rows:
                assert all(low <= row["figures"][name] <= high for name, (low, high) in row["intervals"].items())
        assert sum(content[part]["blend"].values()) == pytest.approx(1, abs=0.1)  # each is rounded by itself
    lines = text.splitlines()
    assert sum(line.startswith("| ") for line in lines) == 2 * (2 + len(names))
    assert any(line.startswith("| popularity | no | ") for line in lines)


def test_wrong_use_is_told_in_one_line(cold, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cold.main(["--data", str(tmp_path / "none")])
    assert end.value.code == 1
    assert "domain.toml" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        cold.main(["--data", "ml-100k", "--seed", "-1"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: --seed -1; give 0 or more\n"
