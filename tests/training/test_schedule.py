"""How long a run is: planned from measured speeds, extended while it pays, and repeated by count."""

import pytest

from genre_gen.training.schedule import EXTENSION, Planner, Progress, total_at


def progress_at(step, seconds=None, *, batches=100, validating=0.0, validations=0, schedule=None, **changes):
    """Return the progress of a run whose steps take a second each, unless said."""
    seconds = step + validating if seconds is None else seconds
    log = [{"step": 0}] * validations
    epoch, done = divmod(step, batches)
    schedule = [[0, 1000]] if schedule is None else schedule
    return Progress(epoch, batches, done, step, seconds, validating, log=log, schedule=schedule, **changes)


def test_without_a_limit_all_epochs_are_done():
    progress = progress_at(0, schedule=[])
    assert Planner(3, 1).plan(progress) == 300
    assert progress.schedule == [[0, 300]]
    later = progress_at(100, batches=80, schedule=[[0, 300]])  # epochs differ in length
    later.epoch, later.done = 1, 0
    assert Planner(3, 1).plan(later) == 260
    assert later.schedule == [[0, 300], [100, 260]]


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 50), (0.014, 1)])
def test_a_part_of_an_epoch(epochs, steps):
    assert Planner(epochs, 0).plan(progress_at(0, schedule=[])) == steps


def test_the_time_left_decides_with_the_validations():
    """100 seconds are left: 10 for the last validation, and each step takes 1 + 10 / 100 seconds with its share."""
    progress = progress_at(50, validating=20.0, validations=2)
    assert Planner(10, 1, lambda _: 100.0).plan(progress) == 50 + int(90 / 1.1)
    assert progress.schedule == [[0, 1000], [50, 131]]
    assert Planner(10, 0, lambda _: 100.0).plan(progress_at(50)) == 150  # without validation


def test_small_changes_are_not_followed():
    progress = progress_at(50, schedule=[[0, 150]])
    assert Planner(10, 0, lambda _: 102.0).plan(progress) == 150
    assert progress.schedule == [[0, 150]]


def test_more_time_than_all_epochs_need_changes_nothing():
    assert Planner(3, 0, lambda _: 1e6).plan(progress_at(50, schedule=[[0, 300]])) == 300


@pytest.mark.parametrize(
    ("left", "best", "since_best", "total"),
    [(1e6, 0.1, 0, round(200 * EXTENSION)), (61.0, 0.1, 0, 246), (20.0, 0.1, 0, None), (1e6, 0.1, 1, None)],
)
def test_a_run_is_extended_while_validation_rises_and_time_is_left(left, best, since_best, total):
    progress = progress_at(200, validating=20.0, validations=2, schedule=[[0, 200]], best=best, since_best=since_best)
    planner = Planner(2, 1, lambda _: left)
    assert planner.extend(progress) == (total is not None)
    assert progress.total == (total or 200)
    if total:
        assert planner.plan(progress) == total  # also beyond its epochs
        assert not Planner(2, 1).extend(progress)  # without a limit, epochs are the limit


def test_a_schedule_is_followed_by_count():
    schedule = [[0, 1000], [20, 400], [90, 95]]
    assert [total_at(schedule, step) for step in (0, 19, 20, 89, 90, 500)] == [1000, 1000, 400, 400, 95, 95]
    planner = Planner(10, 1, lambda _: 0.0, schedule)
    assert [planner.plan(progress_at(step, schedule=[])) for step in (0, 25, 91)] == [1000, 400, 95]
    assert planner.is_due(progress_at(3))
    assert total_at([], 7) == 0


def test_a_run_without_time_is_due_to_end():
    """A step takes 1.1 seconds with its share of the validations, and the last one takes 10."""
    slow = Planner(10, 1, lambda _: 11.0)
    assert slow.is_due(progress_at(50, validating=20.0, validations=2))
    assert slow.plan(progress_at(50, validating=20.0, validations=2)) == 50
    assert not Planner(10, 1, lambda _: 12.0).is_due(progress_at(50, validating=20.0, validations=2))


def test_making_batches_is_not_taken_for_the_time_of_steps():
    """Five steps took 5 seconds, and their epoch's 100 batches 20: each further step takes 1 + 20 / 100 seconds."""
    progress = progress_at(5, seconds=25.0, preparing=20.0)
    assert progress.step_seconds == 1.0
    assert Planner(10, 0, lambda _: 120.0).plan(progress) == 105


def test_the_first_steps_decide_nothing_while_time_is_left():
    slow = progress_at(1, seconds=30.0)
    assert not Planner(10, 1, lambda _: 20.0).is_due(slow)
    assert Planner(10, 1, lambda _: 0.0).is_due(slow)


def test_a_run_ends_with_its_epochs_though_they_were_shorter_than_the_first():
    """A few steps of one more epoch would be validated, and could end a run that still rises."""
    progress = progress_at(396, batches=98, schedule=[[0, 400]])
    progress.epoch, progress.done = 4, 0
    assert Planner(4, 1, lambda _: 1e6).plan(progress) == 396
