from eval.requests import rules
from genre_gen.evaluation.guarantees import FilterRequest, check_guarantees
from genre_gen.recommender.recommender import Recommender


def test_requests_are_timed_without_and_with_rules(tmp_path, run, entry):
    assert run(rules, "--items", 300, "--rounds", 2, "--out", tmp_path) == 0
    content = entry(tmp_path / "rules.json")
    assert [(row["rerank"], row["n"]) for row in content["rows"]] == [("none", 10), ("none", 100), ("mmr", 10)]
    assert all(row["with"] > 0 and row["without"] > 0 for row in content["rows"])


def test_what_is_timed_keeps_its_promises():
    state = rules.shop(300)
    histories = state.histories.histories()[:20]
    request = FilterRequest("rules", state.catalog.where("price >= 0"), rules=rules.RULES)
    report = check_guarantees(Recommender.from_state(state), [10], requests=[request], histories=histories)
    assert report.kept
    picks = Recommender.from_state(state).recommend("5", 10, rules=rules.RULES)
    assert any(pick.pinned for pick in picks)
    assert any("boost" in pick.parts for pick in picks)
