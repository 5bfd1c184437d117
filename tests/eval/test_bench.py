import json
import math
from pathlib import Path

import pytest

from eval.accuracy import tasks
from eval.bench import cases, results, script
from eval.bench.cases import ONE_STEP_BACK, Bench
from eval.bench.jobs import Job
from eval.bench.peers import PACKAGE, Peer
from eval.bench.tuner import Tuner
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.splits import leave_one_out
from genre_gen.errors import ConfigError, DataError, UsageError
from genre_gen.metrics import case_ranks, ndcg_at

ROOT = Path(__file__).parents[2]


def test_a_local_run_does_not_change_committed_results():
    parser = script.new_parser("", "data")
    assert parser.parse_args(["--data", "films"]).out == Path("runs/eval")
    assert parser.parse_args(["--data", "films", "--record"]).out == ROOT / "eval" / "results"
    with pytest.raises(SystemExit):
        parser.parse_args(["--data", "films", "--record", "--out", "somewhere"])


@pytest.mark.parametrize(
    ("problem", "code"), [(UsageError("wrong use"), 2), (DataError("no data"), 1), (OSError("no disk"), 1)]
)
def test_an_error_is_one_line_and_an_exit_code(capsys, problem, code):
    with pytest.raises(SystemExit) as end, script.script(script.new_parser(""), []):
        raise problem
    assert end.value.code == code
    assert capsys.readouterr().err == f"error: {problem}\n"


def test_settings_are_json_or_text():
    assert script.assignments(["a.b=3", "c=text", 'd={"e": []}']) == {"a.b": 3, "c": "text", "d": {"e": []}}
    with pytest.raises(ConfigError, match="write key=value"):
        script.assignments(["nonsense"])


def test_entries_replace_their_own_and_stand_on_the_page(tmp_path):
    table = results.table(("model", "figure"), [("ease", 1)])
    assert table == "| model | figure |\n| --- | ---: |\n| ease | 1 |"
    results.record(tmp_path, "x", "b", {"value": 1.0, "unknown": [math.nan, {"inf": math.inf}]}, table)
    results.record(tmp_path, "x", "a", {"value": 2.0}, "second")
    results.record(tmp_path, "x", "b", {"value": 3.0, "unknown": [math.nan, {"inf": math.inf}]}, table)
    entries = results.read(tmp_path / "x.json")
    assert [(key, entry["value"]) for key, entry in entries.items()] == [("a", 2.0), ("b", 3.0)]
    assert entries["b"]["unknown"] == [None, {"inf": None}]
    text = (tmp_path / "README.md").read_text()
    assert text.index("### x: a\n\nsecond") < text.index(f"### x: b\n\n{table}")
    (tmp_path / "y.json").write_text('{"a": {"no": "table"}}')
    with pytest.raises(DataError, match=r"y.json: not a file of results"):
        results.page(tmp_path)


def test_the_committed_page_is_of_the_committed_results():
    assert (script.RESULTS / "README.md").read_text("utf-8") == results.page(script.RESULTS)


def test_every_script_is_in_the_readme():
    listed = (ROOT / "eval" / "README.md").read_text("utf-8")
    for file in sorted((ROOT / "eval").rglob("*.py")):
        if 'if __name__ == "__main__"' in file.read_text() and file.parent.name != "bench":
            parts = file.relative_to(ROOT / "eval").with_suffix("").parts
            assert f"`{'.'.join(part for part in parts if part != '__main__')}`" in listed
    for file in script.RESULTS.glob("*.json"):
        assert f"`{file.name}`" in listed


def test_one_step_back_does_not_use_test_items(tmp_path):
    bench = Bench.open(str(ROOT / "catalogs" / "news"), ONE_STEP_BACK, tmp_path)
    whole, split = leave_one_out(bench.interactions, bench.catalog), bench.split
    answers = {case.history.user: case.target for case in whole.validation}
    assert {case.history.user: case.target for case in split.test} == answers
    assert len(split.train_and_validation) == len(whole.train)


def test_a_sample_of_users_is_tested_one_step_back_only(circle, tmp_path):
    whole = Bench.open(str(circle), ONE_STEP_BACK, tmp_path)
    some = Bench.open(str(circle), ONE_STEP_BACK, tmp_path, 5)
    assert len(whole.split.test) == 24
    assert len(some.split.test) == len(some.split.validation) == 5
    assert len(some.split.train) == len(whole.split.train)
    assert (some.fingerprint, some.runs) != (whole.fingerprint, whole.runs)
    with pytest.raises(UsageError, match="only with --split one-step-back"):
        Bench.open(str(circle), "leave-one-out", tmp_path, 5)


def test_a_content_based_peer_is_run_again_for_other_texts(circle):
    def fingerprints(title):
        bench = Bench.open(str(circle))
        assert bench.interactions
        vars(bench)["catalog"] = Catalog([Item(f"i{row}", f"{title} {row}") for row in range(12)])
        return {model: Job(model, 0).fingerprint(bench) for model in ("text_knn", "popularity")}

    lamps, chairs = fingerprints("Lamp"), fingerprints("Chair")
    assert lamps["text_knn"] != chairs["text_knn"]
    assert lamps["popularity"] == chairs["popularity"]


def test_scoring_settings_are_those_of_the_best_trial(circle):
    bench = Bench.open(str(circle))
    stage = {"recency": (0.0, 3.0, 0.1), "novelty": (0.0, 0.4)}
    peer = Peer(PACKAGE, "SequentialRules", (stage,), scoring=("recency",))
    settings, model, trials = Tuner(bench, peer, {}, None).run()
    assert (model.recency, model.novelty) == (settings["recency"], settings["novelty"])
    assert [trial["settings"]["novelty"] for trial in trials] == [0.0] * 3 + [0.4] * 3  # two fits for six trials
    best = max(trials, key=lambda trial: trial["N@10"])
    assert best["settings"] == settings
    ranks = case_ranks(model.score, bench.tuning, bench.interactions.n_items)
    assert best["N@10"] == pytest.approx(float(ndcg_at(ranks, 10).mean()))


def test_settings_without_an_effect_on_scores_keep_a_result_valid(bench):
    def digest(**changes):
        return cases.digest(cases.training_inputs(bench.domain.changed(changes), bench.catalog))

    assert digest(**{"explain.style": "llm"}) == digest()
    assert digest(**{"training.epochs": 3}) != digest()


def test_a_task_is_graded_against_a_guess(tiny_recommender):
    for task in ("next_item", "rating"):
        graded = tasks.grade(tiny_recommender.state, task, 3)
        assert graded["questions"] == 3
        assert graded["grade"].keys() == graded["guess"].keys()
        assert f"| {task} |" in tasks.markdown({task: graded})


def test_results_are_json():
    def refuse(constant):
        pytest.fail(f"a file of results has {constant}")

    for file in script.RESULTS.glob("*.json"):
        json.loads(file.read_text("utf-8"), parse_constant=refuse)
