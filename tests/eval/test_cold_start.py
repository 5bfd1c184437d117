import numpy as np
import pytest

from eval.accuracy import cold_start, cold_start_scale
from eval.bench.cases import Bench
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import Interactions
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM


@pytest.fixture
def opened(bench, monkeypatch):
    monkeypatch.setattr(Bench, "open", lambda *_: bench)
    return bench


def test_no_interaction_with_a_new_item_is_left(bench):
    question = cold_start.new_items(bench, 0)
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
    assert cold_start.new_items(bench, 1).known.rows.tolist() != question.known.rows.tolist()


def test_users_with_new_items_only_have_no_cases(bench, monkeypatch):
    rows = np.array([0, 1, 0, 2, 2, 2, 0, 1, 2])
    monkeypatch.setattr(cold_start, "ITEM_SHARE", 0.6)  # one of the two that are last: 0 and 2
    vars(bench)["catalog"] = Catalog(Item(f"i{row}", f"Item {row}") for row in range(3))
    vars(bench)["interactions"] = Interactions.from_columns(["a"] * 3 + ["b"] * 3 + ["c"] * 3, rows, 3)
    for seed in range(5):
        cases = cold_start.new_items(bench, seed).cases["all"]
        assert [(case.target, case.history.user) for case in cases] in ([(0, "a")], [(2, "c")])


def test_no_new_user_is_learned_from(bench):
    question = cold_start.new_users(bench, 0)
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


def test_both_tables_by_one_command(opened, tmp_path, run, entry, monkeypatch):
    fitted, models_of = cold_start.fitted, []
    monkeypatch.setattr(cold_start, "fitted", lambda *given: models_of.append(fitted(*given)) or models_of[-1])
    common = ["--data", "sample", "--seed", 1, "--minutes", 5, "--runs", tmp_path]
    assert run(cold_start, *common, "--out", tmp_path, "--set", "training.patience=2") == 0
    content = entry(tmp_path / "cold_start.json")
    assert (tmp_path / "cold_start_sample.png").read_bytes().startswith(b"\x89PNG")
    assert content["settings"] == {"training.patience": 2, "training.seed": 1, "training.max_minutes": 5.0}
    names = {GENRE, LLM_ALONE, WITHOUT_LLM, "svd", *cold_start.PEERS}
    for part, lengths in (("new_items", ["all"]), ("new_users", ["1", "3", "5", "all"])):
        assert list(content[part]["histories"]) == lengths
        for rows in content[part]["histories"].values():
            assert {row["name"] for row in rows} == names
            for row in rows:
                assert all(low <= row["figures"][name] <= high for name, (low, high) in row["intervals"].items())
        assert sum(content[part]["blend"].values()) == pytest.approx(1, abs=0.1)  # each is rounded by itself
    lines = content["table"].splitlines()
    assert sum(line.startswith("| ") for line in lines) == 2 * (2 + len(names))
    assert any(line.startswith("| popularity | no | ") for line in lines)
    check_scores_of_new_items(models_of[0], cold_start.new_items(opened, 1))


def check_scores_of_new_items(models, question):
    """Content-based models have scores for new items, purely collaborative ones none."""
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


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--data", "nowhere"], 1, "domain.toml"),
        (["--data", "ml-100k", "--seed", "-1"], 2, "--seed -1; give 0 or more"),
    ],
)
def test_wrong_use_gives_a_short_error(run, capsys, arguments, code, named):
    assert run(cold_start, *arguments) == code
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1


def test_items_are_held_out_twice_and_every_length_is_measured(opened, tmp_path, run, entry, monkeypatch):
    fitted, fit = [], cold_start_scale.Recommender.fit
    monkeypatch.setattr(
        cold_start_scale.Recommender, "fit", lambda self, split: fitted.append(split.train) or fit(self, split)
    )
    placed, place = [], cold_start_scale.place_cold_items
    monkeypatch.setattr(
        cold_start_scale,
        "place_cold_items",
        lambda llm, data: placed.append(data.domain.codes.cold_start_scale) or place(llm, data),
    )
    lengths = ["--lengths", "1", "0"]
    assert run(cold_start_scale, "--data", "sample", *lengths, "--known", 10, "--out", tmp_path) == 0
    content = entry(tmp_path / "cold_start_scale.json")
    tested = {case.target for case in cold_start.new_items(opened, 0).cases["all"]}
    assert not tested & set(fitted[0].rows.tolist())
    assert content["without_interactions"] > content["held_out"] >= 1
    assert list(content["lengths"]) == ["0", "1"]
    assert placed == [0, 1, opened.domain.codes.cold_start_scale]
    assert list(content["blends"]) == ["the blend", "the blend, cold items at the score 0"]
    assert content["cases"]["known"] == 10
    assert "| left at texts |" in content["table"]


def test_figures_are_recall_and_ndcg(dataset):
    cases = dataset.leave_one_out().test[:4]

    def score(histories):
        scores = np.zeros((len(histories), 40), np.float32)
        for row, history in enumerate(histories):
            target = next(case.target for case in cases if case.history is history)
            scores[row, target] = 1 if row % 2 else -1
        return scores

    figures = cold_start_scale.figures(score, {"new": cases}, 40, False)["new"]
    assert figures == {"R@10": 0.5, "N@10": 0.5, "interval": [0.0, 1.0]}
