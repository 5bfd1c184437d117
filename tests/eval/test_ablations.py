import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from genre_gen.domain import Domain
from genre_gen.errors import UsageError

EVAL = Path(__file__).parents[2] / "eval"


@pytest.fixture
def script(monkeypatch):
    import ablations

    return ablations


def given(script, *more):
    return script.parser().parse_args(["--data", "films", "--group", "tasks", "--runs", "somewhere", *more])


@pytest.mark.parametrize("group", ["training", "tasks", "codes", "depth", "members"])
def test_every_variant_is_a_domain_that_can_be_trained(script, group):
    domain = Domain.load(EVAL / "domains" / "ml-100k")
    variants = script.differing(Namespace(domain=domain), script.chosen(group, None, {}))
    assert len({json.dumps(domain.changed(changes).settings()) for changes in variants.values()}) == len(variants)
    assert all(domain.changed(changes).training.refit_epochs == 0 for changes in variants.values())


def test_what_changes_nothing_is_not_run(script):
    domain = Domain.load(EVAL / "domains" / "ml-100k").changed({"training.distillation": 0.3})
    variants = script.differing(Namespace(domain=domain), script.chosen("training", None, {}))
    assert "without distillation" in variants
    assert "distillation .3" not in variants


def test_a_task_is_left_out_of_what_all_learn(script):
    base = Domain.load(EVAL / "domains" / "ml-100k")
    tasks = base.changed(script.chosen("tasks", ["without title"], {})["without title"]).tasks
    assert tasks["title"].weight == 0
    assert tasks["rating"].weight > 0
    alone = base.changed(script.chosen("tasks", None, {})["next item alone"]).tasks
    assert [name for name, task in alone.items() if task.weight] == ["next_item"]


def test_the_worker_runs_the_very_job(script):
    import leaderboard

    options = given(script, "--minutes", "3", "--users", "50", "--set", "training.epochs=2")
    changes = script.chosen("tasks", ["without rating"], {"training.epochs": 2})["without rating"]
    (job,) = script.jobs(options, "without rating", changes)
    called = leaderboard.parser().parse_args(script.arguments(options, "without rating", changes))
    assert leaderboard.job_of(called, "genre", 0) == job
    assert called.split == "one-step-back"
    assert called.users == 50
    assert leaderboard.LABEL.fullmatch(job.label)


def test_unknown_names_are_told_with_those_there_are(script):
    with pytest.raises(UsageError, match=r"no group size; there are: training, tasks"):
        script.chosen("size", None, {})
    with pytest.raises(UsageError, match=r"no variant half; there are: 2 layers"):
        script.chosen("depth", ["half"], {})


def test_what_an_earlier_run_left_under_other_settings_is_no_result(script, tmp_path, capsys):
    import leaderboard

    rows = [script.OURS, script.ALONE]
    costs = dict.fromkeys(("train s", "score s", "peak MB"), 1.0)

    def left(bench, job):
        results = tuple(leaderboard.Result(row, np.ones(len(bench.split.test))) for row in rows)
        outcome = leaderboard.Outcome({}, Namespace(results=results), {}, dict.fromkeys(rows, costs), {"log": []})
        job.folder(bench).mkdir(parents=True)
        leaderboard.write_result(bench, job, outcome)

    news = Path(__file__).parents[2] / "catalogs" / "news"
    bench = leaderboard.Bench.open(str(news), leaderboard.ONE_STEP_BACK, tmp_path)
    (job,) = script.jobs(given(script), "weight decay .1", {"training.weight_decay": 0.1})
    left(bench, job)
    row = script.read(bench, [job], "weight decay .1")
    assert (row.costs, row.per_seed[script.OURS]) == (costs, [1.0])
    (other,) = script.jobs(given(script), "weight decay .1", {"training.weight_decay": 0.1, "training.epochs": 1})
    assert script.read(bench, [other], "weight decay .1") is None
    assert "weight decay .1: left out, it has no result of these data and settings" in capsys.readouterr().err
    assert (job.folder(bench) / "result.json").is_file()


def test_differences_are_paired_and_written(script, tmp_path):
    rng = np.random.default_rng(0)
    figures = rng.random(400)
    names = (script.ALONE, script.OURS)
    costs = {"train s": 60.0, "score s": 2.0, "peak MB": 1500.0}
    once = dict.fromkeys(names, (0.5,))
    rows = [
        script.Row("unchanged", dict.fromkeys(names, figures), costs, [], once),
        script.Row("the same", dict.fromkeys(names, figures), costs, [], once),
        script.Row("worse", dict.fromkeys(names, figures - 0.1 + 0.01 * rng.random(400)), costs, [], once),
    ]
    options = Namespace(group="tasks", set=[], minutes=None, seeds=1)
    bench = Namespace(name="films")
    text = script.publish(rows, bench, options, tmp_path / "ablations_films_tasks")
    content = json.loads((tmp_path / "ablations_films_tasks.json").read_text())
    same, worse = content["rows"][1][script.ALONE], content["rows"][2][script.ALONE]
    assert same["difference"] == 0
    assert same["p_holm"] == 1
    assert worse["difference"] == pytest.approx(-0.095, abs=0.001)
    assert worse["interval"][1] < -0.09
    assert worse["p_holm"] < 0.001
    assert text == (tmp_path / "ablations_films_tasks.md").read_text()
    assert "| worse |" in text
    assert text.count("| 60 | 5.00 | 1,500 |") == len(rows)  # seconds of training, ms a user, MB
    assert (tmp_path / "ablations_films_tasks.png").stat().st_size > 1000
    assert "each training was run once and counts as exact" in text
    assert "sd_over_seeds" not in content


def test_several_seeds_say_how_far_they_are_apart(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "draw", lambda *_: None)
    values = dict.fromkeys((script.ALONE, script.OURS), np.full(9, 0.5))
    costs = {"train s": 60.0, "score s": 2.0, "peak MB": 1500.0}
    rows = [script.Row("unchanged", values, costs, [], {script.ALONE: [0.4, 0.6], script.OURS: [0.5, 0.5]})]
    options = Namespace(group="tasks", set=[], minutes=None, seeds=2)
    text = script.publish(rows, Namespace(name="films"), options, tmp_path / "films")
    spread = json.loads((tmp_path / "films.json").read_text())["sd_over_seeds"]
    assert spread == pytest.approx({script.ALONE: 0.02**0.5, script.OURS: 0})
    assert "deviation over seeds is 0.1414 (LLM alone) and 0.0000 (blend)" in text
