"""A budget bounds the whole of a training, and what was decided under it can be repeated by count."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from genre_gen import Recommender
from genre_gen.blending.tuned import TunedSettings
from genre_gen.collaborative import MEMBERS, Ease, Popularity
from genre_gen.training import members as members_module
from genre_gen.training.budget import Budget
from genre_gen.training.interruption import Interruption
from genre_gen.training.members import Fitted, MemberFitting, TimeShare
from genre_gen.training.progress import Stages
from genre_gen.training.recommender_training import LLM_STAGE, RecommenderTraining
from genre_gen.training.run import Run
from genre_gen.training.schedule import MEASURED_AT, Planner, Progress
from genre_gen.training.stage_results import StageResults

ONE_TASK = {"tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}, "training.batch_tokens": 320}


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


def test_a_budget_counts_what_was_spent_before():
    clock = Clock()
    budget = Budget(100.0, 30.0, clock)
    clock.now += 20
    assert (budget.spent, budget.left, budget.share(0.25)) == (50.0, 50.0, 25.0)
    clock.now += 70
    assert budget.left == 0
    free = Budget(None, 1e9, clock)
    assert free.left == free.share(0.1) == free.part(0.1)() == float("inf")


def test_a_part_of_a_budget_is_of_what_earlier_stages_leave():
    clock = Clock()
    budget = Budget(100.0, 0.0, clock)
    clock.now += 60  # a slow start
    left = budget.part(0.5)
    assert left() == 20
    clock.now += 15
    assert left() == 5
    clock.now += 15
    assert left() < 0


def steps_of(clock, budget, fitted, refit, *, step=1.0, whole=200):
    """Return how many steps a language model is given, by the planner and a clock on which each takes a time."""
    training = SimpleNamespace(refit=refit, refit_epochs=1, validation_users=500)
    run = Run(budget, Stages({}), None, StageResults(None, ""))
    left = run.time_left(SimpleNamespace(training=training), fitted, 0)
    planner, progress = Planner(1, 0, left), Progress(batches=whole)
    total = planner.plan(progress)
    while progress.step < total:
        clock.now += step
        progress.step, progress.done, progress.seconds = progress.step + 1, progress.done + 1, progress.seconds + step
        if progress.step in MEASURED_AT or planner.is_due(progress):
            total = planner.plan(progress)
    return progress


def test_no_time_is_kept_for_a_refit_that_would_cost_more_than_the_language_model_has():
    clock = Clock()
    budget = Budget(300.0, 0.0, clock)
    clock.now += 180  # members, item codes and soft targets
    assert steps_of(clock, budget, Fitted(once={"ease": 100.0}), "continue").step == pytest.approx(114, abs=2)
    clock.now = 50.0 + 180
    shared = steps_of(clock, budget, Fitted(once={"ease": 40.0}), "continue")
    assert shared.step == pytest.approx(0.75 * 74, abs=2)  # the rest is for the refit
    assert not shared.is_cut


def test_a_refit_from_scratch_makes_item_codes_again():
    run = Run(Budget(300.0, 0.0, Clock()), Stages({}), None, StageResults(None, ""), 5.0, 30.0)
    fitted = Fitted(once={"ease": 10.0, "svd": 1.0})
    assert [run.refit_seconds(refit, fitted) for refit in ("continue", "from_scratch")] == [16.0, 46.0]


def test_a_few_steps_are_a_cut_unless_more_were_never_meant():
    clock = Clock()
    budget = Budget(300.0, 0.0, clock)
    clock.now += 280
    assert steps_of(clock, budget, Fitted(), "none").is_cut
    clock.now = 50.0
    assert not steps_of(clock, budget, Fitted(), "none", whole=3).is_cut
    assert not Progress().is_cut


def test_a_language_model_without_time_is_left_out_with_a_line(tiny_domain, split, monkeypatch, caplog):
    monkeypatch.setattr(Run, "time_left", lambda *_: lambda progress: 0.0 if progress.step else 1e6)
    changes = {"training.max_minutes": 30.0, "training.epochs": 50, "training.refit": "continue"}
    domain = tiny_domain.changed({**ONE_TASK, **changes})
    state = RecommenderTraining(domain).fit(split)
    assert state.tuned.first.steps == 1
    assert "for 1 steps only" in state.tuned.left_out["llm"]
    assert "the language model is left out: time was left for 1 steps only" in caplog.text
    assert "refit" in state.tuned.left_out
    assert "llm" not in state.blend.members
    again = RecommenderTraining(domain).fit(split, state.tuned, exactly=True)
    assert again.fingerprint() == state.fingerprint()


@pytest.fixture(scope="module")
def split(dataset):
    return dataset.leave_one_out()


@pytest.fixture(scope="module")
def budgeted(tiny_domain, split):
    """Return what a training with far more epochs than its budget allows told, took and made."""
    told = []
    changes = {
        **ONE_TASK,
        "training.max_minutes": 0.1,
        "training.epochs": 100_000,
        "training.patience": 10_000,
        "training.refit": "continue",
        "training.distillation": 0.3,
        "blend.members": ["sequential_rules", "popularity", "sasrec"],
    }
    domain = tiny_domain.changed(changes)
    begin = time.monotonic()
    state = RecommenderTraining(domain, progress=told.append).fit(split)
    return domain, state, told, time.monotonic() - begin


def test_a_budget_bounds_the_whole_training(budgeted):
    """Six seconds, and endless without a bound: other tests may run at the same time. A script measures ratios."""
    _, state, told, seconds = budgeted
    assert 2 < seconds < 120
    assert told[-1].share == 1
    assert all(progress.remaining is not None for progress in told[:-1])
    assert state.tuned.first.schedule[0][1] > 10 * state.tuned.first.schedule[-1][1]  # the plan met the clock
    assert state.tuned.first.steps <= state.tuned.first.schedule[-1][1]


def test_what_was_decided_by_the_clock_is_repeated_by_count(budgeted, split):
    domain, state, _, _ = budgeted
    tuned = TunedSettings.from_dict(json.loads(json.dumps(state.tuned.to_dict())))
    assert tuned == state.tuned
    again = Recommender(domain).fit(split, tuned=tuned, exactly=True).state
    assert again.fingerprint() == state.fingerprint()
    for name, value in again.llm.trainable():
        assert torch.equal(value, dict(state.llm.trainable())[name]), name


def test_repeating_needs_recorded_steps(tiny_domain, split, tiny_recommender):
    from genre_gen.errors import UsageError

    tuned = replace(tiny_recommender.state.tuned, first=None)
    with pytest.raises(UsageError, match="lack the steps"):
        Recommender(tiny_domain).fit(split, tuned=tuned, exactly=True)


def test_an_interrupt_keeps_what_there_is_and_a_second_run_continues(tiny_domain, split, tmp_path, caplog):
    domain = tiny_domain.changed({**ONE_TASK, "training.epochs": 2, "training.refit": "continue"})
    whole = RecommenderTraining(domain).fit(split)

    def interrupt(progress):
        if progress.stage.startswith(LLM_STAGE) and progress.share > 0.2:
            os.kill(os.getpid(), signal.SIGINT)

    with Interruption():  # would take the interrupt if the training's own did not
        pass
    first = RecommenderTraining(domain, folder=tmp_path / "run", progress=once(interrupt)).fit(split)
    assert first.tuned.ended == "interrupted"
    assert "refit" in first.tuned.left_out
    assert first.trained_on is split.train
    assert "interrupt again to stop at once" in caplog.text
    second = RecommenderTraining(domain, folder=tmp_path / "run").fit(split)
    assert second.tuned.ended == "complete"
    assert second.fingerprint() == whole.fingerprint()


def once(act):
    """Return a function that calls ``act`` until that has sent a signal."""
    sent = []

    def follow(progress):
        if not sent and progress.stage.startswith(LLM_STAGE) and progress.share > 0.2:
            sent.append(progress)
            act(progress)

    return follow


def test_a_second_interrupt_stops_at_once():
    with Interruption() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_leave_interrupts_alone():
    seen = []

    def work():
        with Interruption() as interrupted:
            seen.append((signal.getsignal(signal.SIGINT), interrupted()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(signal.default_int_handler, False)]


def test_a_resumed_training_counts_what_was_spent_and_fits_no_member_again(tiny_domain, split, tmp_path, monkeypatch):
    domain = tiny_domain.changed(
        {**ONE_TASK, "training.epochs": 1, "training.distillation": 0.3, "training.max_minutes": 30.0}
    )

    def kill(progress):
        if progress.stage == f"{LLM_STAGE}, training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RecommenderTraining(domain, folder=tmp_path, progress=kill).fit(split)
    manifest = tmp_path / "stage_members" / "manifest.json"
    assert json.loads(manifest.read_text())["spent"] > 0
    monkeypatch.setattr(MemberFitting, "fit", None)  # calling it would fail
    told = []
    whole = RecommenderTraining(domain, folder=tmp_path, progress=told.append).fit(split)
    assert told[0].seconds >= json.loads(manifest.read_text())["spent"]
    monkeypatch.undo()
    assert whole.fingerprint() == RecommenderTraining(domain).fit(split).fingerprint()


class Slow(Ease):
    """A member that says that it takes long."""

    def fit_seconds(self, interactions):
        return 500.0


def test_a_member_that_takes_longer_than_its_share_is_left_out(tiny_domain, split, monkeypatch, caplog):
    training = RecommenderTraining(tiny_domain.changed({"ratings.members": []}))
    context = training._context(split, split.train)
    monkeypatch.setattr(members_module, "ESTIMATED_FROM", 1)
    monkeypatch.setattr(members_module, "MEMBERS", {"ease": Slow, "popularity": Popularity})
    fitting = MemberFitting(tiny_domain, context, split.train, TimeShare(lambda: 60.0))
    fitted = fitting.fit(names=["ease", "popularity"])
    assert set(fitted.models) == {"popularity"}  # whose fit on a sample told that it is quick
    assert fitted.left_out == {"ease": "one fit takes about 8:20, and 1:00 are left of its share of the budget"}
    assert "ease is left out: one fit takes" in caplog.text
    nothing = MemberFitting(tiny_domain, context, split.train, TimeShare(lambda: 0.0)).fit(names=["popularity"])
    assert nothing.models == {}


def test_an_epoch_model_ends_within_an_epoch(split):
    asked = iter([False] * 3 + [True] * 1000)
    model = MEMBERS["sasrec"](batch_tokens=16, max_epochs=2)
    model.fit(split.train, split.validation, enough=lambda: next(asked))
    assert model.best_epoch == 0
    model.fit(split.train, split.validation, enough=lambda: len(model.log) == 1)
    assert (model.best_epoch, len(model.log)) == (1, 1)
    scores = model.score([split.test[0].history])
    assert np.isfinite(scores).all()


def test_a_saved_run_keeps_progress_and_is_not_trained_again(tiny_domain, split, tmp_path, caplog):
    domain = tiny_domain.changed({**ONE_TASK, "training.epochs": 1, "training.refit": "continue"})
    folder = tmp_path / "run"
    first = Recommender(domain).fit(split, folder=folder)
    assert (folder / "checkpoint" / "optimizer.safetensors").exists()
    first.save_pretrained(folder)
    for part in ("checkpoint", "refit/checkpoint"):
        assert sorted(file.name for file in (folder / part).iterdir()) == ["manifest.json", "progress.json"]
    assert not (folder / "stage_members").exists()
    longer = Recommender(domain.changed({"explain.attribution": 3})).fit(split, folder=folder)
    assert "nothing is left to learn" in caplog.text
    assert longer.domain.explain.attribution == 3
    assert longer.recommend("17", n=5) == first.recommend("17", n=5)
    steps = []
    again = Recommender(domain.changed({"training.epochs": 2})).fit(split, folder=folder, progress=steps.append)
    assert any(progress.stage.startswith(LLM_STAGE) for progress in steps)  # more epochs: from the beginning
    whole = Recommender(domain.changed({"training.epochs": 2})).fit(split)
    assert again.state.fingerprint() == whole.state.fingerprint()


def test_an_optimizer_is_kept_on_request(tiny_domain, split, tmp_path):
    domain = tiny_domain.changed({**ONE_TASK, "training.epochs": 1, "training.keep_optimizer": True})
    Recommender(domain).fit(split, folder=tmp_path / "run").save_pretrained(tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint" / "optimizer.safetensors").exists()
    more = Recommender(domain.changed({"training.epochs": 2})).fit(split, folder=tmp_path / "run")
    assert more.state.training_log[-1]["epoch"] == 2
    assert more.state.training_log[0]["epoch"] == 1  # of the first training, which it continues


def test_files_of_others_in_a_checkpoint_are_kept(tiny_domain, split, tmp_path):
    domain = tiny_domain.changed({**ONE_TASK, "training.epochs": 1, "training.distillation": 0.3})
    trained = Recommender(domain).fit(split, folder=tmp_path / "run")
    note = tmp_path / "run" / "stage_members" / "note.txt"
    note.write_text("mine")
    trained.save_pretrained(tmp_path / "run")
    assert note.read_text() == "mine"
    assert [file.name for file in note.parent.iterdir()] == ["note.txt"]


def test_without_time_for_any_member_the_language_model_learns_without_a_teacher(
    tiny_domain, split, monkeypatch, caplog
):
    monkeypatch.setattr("genre_gen.training.recommender_training.MEMBERS_SHARE", 0.0)
    changes = {"training.max_minutes": 0.1, "training.epochs": 1, "training.distillation": 0.3}
    domain = tiny_domain.changed({**ONE_TASK, **changes, "training.refit": "continue"})
    state = RecommenderTraining(domain).fit(split)
    assert not state.tuned.teacher
    assert {"sequential_rules", "ease", "popularity"} <= set(state.tuned.left_out)
    assert "no soft targets" in caplog.text
    assert state.blend.weights == {"llm": 1.0}
    again = Recommender(domain).fit(split, tuned=state.tuned, exactly=True).state
    assert again.fingerprint() == state.fingerprint()
