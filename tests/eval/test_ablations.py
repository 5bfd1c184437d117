from types import SimpleNamespace

import numpy as np
import pytest

from eval.accuracy import ablations
from eval.accuracy.leaderboard import LABEL
from eval.bench.cases import ONE_STEP_BACK, ROOT, Bench
from eval.bench.jobs import Outcome, write_result
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE
from genre_gen.evaluation.report import Result

COSTS = {"train s": 60.0, "score s": 2.0, "peak MB": 1500.0}
NAMES = (LLM_ALONE, GENRE)


@pytest.fixture(scope="module")
def movies():
    return Domain.load(ROOT / "eval" / "domains" / "ml-100k")


def given(*arguments):
    return ablations.parser().parse_args(["--data", "films", "--group", "tasks", "--runs", "somewhere", *arguments])


def in_(domain):
    return SimpleNamespace(domain=domain)


@pytest.mark.parametrize("group", ["training", "tasks", "codes", "depth", "members"])
def test_every_variant_is_a_domain_that_can_be_trained(movies, group):
    variants = ablations.differing(in_(movies), ablations.chosen(group, None, {}))
    assert len({str(movies.changed(changes).settings()) for changes in variants.values()}) == len(variants) > 3
    assert all(movies.changed(changes).training.refit == "none" for changes in variants.values())


def test_variants_without_changes_are_not_run(movies):
    domain = movies.changed({"training.distillation": 0.3})
    variants = ablations.differing(in_(domain), ablations.chosen("training", None, {}))
    assert "without distillation" in variants
    assert "distillation .3" not in variants


def test_variants_leave_tasks_out(movies):
    tasks = movies.changed(ablations.chosen("tasks", ["without title"], {})["without title"]).tasks
    assert tasks["title"].weight == 0
    assert tasks["rating"].weight > 0
    alone = movies.changed(ablations.chosen("tasks", None, {})["next item alone"]).tasks
    assert [name for name, task in alone.items() if task.weight] == ["next_item"]


def test_the_error_about_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"no group size; there are: training, tasks"):
        ablations.chosen("size", None, {})
    with pytest.raises(UsageError, match=r"no variant half; there are: 2 layers"):
        ablations.chosen("depth", ["half"], {})


def test_a_result_of_other_settings_counts_as_missing(tmp_path, capsys):
    bench = Bench.open(str(ROOT / "catalogs" / "news"), ONE_STEP_BACK, tmp_path)
    (job,) = ablations.jobs(given("--minutes", "3"), "lora", {"model.adapter": "lora"})
    assert LABEL.fullmatch(job.label)
    results = tuple(Result(row, np.ones(len(bench.split.test))) for row in NAMES)
    report = SimpleNamespace(results=results)
    write_result(bench, job, Outcome({}, report, {}, dict.fromkeys(NAMES, COSTS), {"log": []}))
    row = ablations.read(bench, [job], "lora")
    assert (row.costs, row.per_seed[GENRE]) == (COSTS, [1.0])
    (other,) = ablations.jobs(given("--minutes", "3"), "lora", {"model.adapter": "lora", "training.epochs": 1})
    assert ablations.read(bench, [other], "lora") is None
    assert "lora: left out, since it has no result for these data and settings" in capsys.readouterr().err
    assert (job.folder(bench) / "result.json").is_file()


def published(rows, tmp_path, entry, **options):
    given = SimpleNamespace(group="tasks", set=[], minutes=None, out=tmp_path, **options)
    ablations.publish(rows, SimpleNamespace(name="films", users=None), given)
    return entry(tmp_path / "ablations.json")


def test_differences_are_paired_and_written(tmp_path, entry):
    rng = np.random.default_rng(0)
    figures = rng.random(400)
    once = dict.fromkeys(NAMES, (0.5,))
    values = {"unchanged": figures, "the same": figures, "worse": figures - 0.1 + 0.01 * rng.random(400)}
    rows = [ablations.Row(name, dict.fromkeys(NAMES, each), COSTS, [], once) for name, each in values.items()]
    content = published(rows, tmp_path, entry, seeds=1)
    same, worse = content["rows"][1][LLM_ALONE], content["rows"][2][LLM_ALONE]
    assert (same["difference"], same["p_holm"]) == (0, 1)
    assert worse["difference"] == pytest.approx(-0.095, abs=0.001)
    assert worse["interval"][1] < -0.09
    assert worse["p_holm"] < 0.001
    assert content["table"].count("| 60 | 5.00 | 1,500 |") == len(rows)  # seconds of training, ms a user, MB
    assert "each training was run once and counts as exact" in content["table"]
    assert "sd_over_seeds" not in content
    assert (tmp_path / "ablations_films_tasks.png").stat().st_size > 1000


def test_several_seeds_say_how_far_they_are_apart(tmp_path, entry, monkeypatch):
    monkeypatch.setattr(ablations, "draw", lambda *_: None)
    values = dict.fromkeys(NAMES, np.full(9, 0.5))
    per_seed = {LLM_ALONE: [0.4, 0.6], GENRE: [0.5, 0.5]}
    content = published([ablations.Row("unchanged", values, COSTS, [], per_seed)], tmp_path, entry, seeds=2)
    assert content["sd_over_seeds"] == pytest.approx({LLM_ALONE: 0.02**0.5, GENRE: 0})
    assert "deviation over seeds is 0.1414 (LLM alone) and 0.0000 (blend)" in content["table"]
