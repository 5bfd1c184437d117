"""The evaluation of explanations: its measures on lists in which the answer is known, and a run from end to end."""

import numpy as np
import pytest

from eval.explanations import dependence, measures, truth


def test_features_shared_by_pairs_are_counted():
    a, b = ("genre", "Action"), ("genre", "Drama")
    assert measures.shared([frozenset([a]), frozenset([a]), frozenset([a])]) == 1
    assert measures.shared([frozenset([a]), frozenset([b])]) == 0
    assert measures.shared([frozenset([a, b]), frozenset([a, b]), frozenset()]) == pytest.approx(2 / 3)
    assert measures.shared([frozenset([a])]) == 0


def test_distinct_ngrams_are_a_share_of_all():
    assert measures.distinct([["a", "b"], ["a", "c"]]) == 0.75
    assert measures.distinct([]) == 0


def test_the_ratio_has_an_interval_over_users_and_knows_infinity():
    found = dependence.ratio(np.full(20, 3.0), np.full(20, 1.5))
    assert found == {"mean": 2, "low": 2, "high": 2}
    assert dependence.ratio(np.ones(5), -np.ones(5)) == dict.fromkeys(("mean", "low", "high"), np.inf)
    wide = dependence.ratio(np.ones(40), np.tile([0.1, 1.9], 20))
    assert wide["low"] < 1 < wide["high"]


def test_a_measure_that_a_control_reaches_is_not_reported():
    kept = measures.judged("m", {"own": np.array([1.0, 0.8]), "shuffled": 0.1}, ("shuffled",))
    assert kept["value"] == pytest.approx(0.9)
    assert kept["interval"][0] <= 0.9 <= kept["interval"][1]
    lost = measures.judged("m", {"own": 0.5, "shuffled": 0.5}, ("shuffled",))
    assert (lost["value"], lost["reported"]) == (None, False)
    assert measures.judged("m", {"own": 0.1, "generic": 0.5}, ("generic",), less=True)["value"] == 0.1


def test_dependence_is_measured_from_end_to_end(saved, tmp_path, run, entry):
    assert run(dependence, saved, "--users", 6, "-n", 2, "--out", tmp_path) == 0
    content = entry(tmp_path / "explanation_dependence.json")
    assert content["picks"] == 12
    assert content["grounding"]["true"] == 12
    assert all(len(shown) == 2 for way, shown in content["grounding"]["noticed"].items())
    named = {measure["measure"]: measure for measure in content["measures"]}
    assert named["grounding precision"]["value"] == 1
    assert named["stability, same request"]["controls"].keys() == {"swapped"}
    assert content["dependence"]["blend_score"]["removed_cited"]["mean"] > 0
    assert (tmp_path / f"explanation_dependence_{saved.name}.png").stat().st_size > 10_000
    assert "explanations a second" in content["table"]


def test_explanations_are_true_and_the_checker_notices_corrupted_ones(saved, tmp_path, run, entry):
    assert run(truth, saved, "--users", 6, "-n", 2, "--out", tmp_path) == 0
    content = entry(tmp_path / "explanation_truth.json")
    assert content["true"] == content["explanations"] == 12
    caught, made = (sum(counts) for counts in zip(*content["noticed"].values(), strict=True))
    assert caught > 0.9 * made > 10
    assert "| true explanations | 12 of 12 |" in content["table"]


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [([], 1, "no such folder"), (["--users", "0"], 2, "--users 0"), (["-n", "-1"], 2, "-n -1")],
)
def test_wrong_use_gives_a_short_error(tmp_path, run, capsys, more, code, named):
    assert run(dependence, tmp_path / "none", *more) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1
