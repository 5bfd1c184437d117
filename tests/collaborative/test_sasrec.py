"""SASRec: what it learns, what it keeps, and how histories are cut; what every model must answer is asked elsewhere."""

from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from genre_gen.collaborative import SASRec, sasrec_network
from genre_gen.collaborative import sasrec as module
from genre_gen.collaborative.sasrec import EPOCHS
from genre_gen.collaborative.sasrec_network import NO_TARGET, Windows
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import leave_one_out
from genre_gen.errors import ConfigError, UsageError

ITEMS = 12
CATALOG = Catalog(Item(f"i{row}", f"Item {row}") for row in range(ITEMS))


def cycles(users=30, length=8):
    """Return users who walk around a circle of items, each from another place."""
    rows = np.concatenate([(np.arange(length) + user) % ITEMS for user in range(users)])
    names = np.repeat([f"u{user}" for user in range(users)], length)
    return Interactions.from_columns(names, rows, ITEMS, None, np.arange(len(rows)))


def history(*rows):
    return History(np.array(rows, dtype=np.int64))


def sasrec(**settings):
    options = {"dim": 16, "dropout": 0.0, "learning_rate": 0.01, "length": 6, "warmup_steps": 5, "max_epochs": 25}
    return SASRec(**{**options, **settings})


def test_sasrec_learns_the_next_item():
    model = sasrec().fit(cycles())
    scores = model.score([history(3, 4, 5), history(11), history(*range(10)), history()])
    assert scores.shape == (4, ITEMS)
    assert scores.dtype == np.float32
    assert scores.argmax(axis=1)[:3].tolist() == [6, 0, 10]
    assert not scores[3].any()
    one = np.concatenate([model.score([one]) for one in (history(3, 4, 5), history(11))])
    np.testing.assert_allclose(scores[:2], one, atol=1e-5)  # no batch mate has a say


def test_a_sampled_softmax_learns_the_next_item_too(monkeypatch):
    monkeypatch.setattr(sasrec_network, "FULL_UP_TO", 0)
    monkeypatch.setattr(sasrec_network, "NEGATIVES", 6)
    first, second = (sasrec(max_epochs=40).fit(cycles()) for _ in range(2))
    scores = first.score([history(*(np.arange(4) + start) % ITEMS) for start in range(ITEMS)])
    assert scores.argmax(axis=1).tolist() == [(start + 4) % ITEMS for start in range(ITEMS)]
    assert (scores == second.score([history(*(np.arange(4) + start) % ITEMS) for start in range(ITEMS)])).all()


def test_sasrec_sees_no_future():
    network = sasrec(max_epochs=1).fit(cycles()).network
    first, second = (network(torch.tensor([rows])) for rows in ([1, 2, 3, 4], [1, 2, 9, 8]))
    torch.testing.assert_close(first[:, :2], second[:, :2])


def test_sasrec_is_reproducible_and_keeps_the_global_random_state():
    settings = {"dropout": 0.3, "max_epochs": 2}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (sasrec(seed=seed, **settings).fit(cycles()).score([history(1, 2)]) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_sasrec_keeps_the_best_epoch_and_can_be_fitted_again():
    data = leave_one_out(cycles(), CATALOG)
    model = sasrec(patience=3, max_epochs=60).fit(data.train, data.validation)
    figures = [entry["ndcg@10"] for entry in model.log]
    assert figures[model.best_epoch - 1] == max(figures)
    assert len(figures) in (model.best_epoch + 3, 60)
    again = sasrec(max_epochs=model.best_epoch).fit(data.train)
    assert again.best_epoch == model.best_epoch
    cases = [case.history for case in data.validation]
    np.testing.assert_allclose(again.score(cases), model.score(cases), atol=1e-5)  # validation changed nothing


def test_sasrec_logs_wall_clock_and_processor_time(monkeypatch):
    ticks = {"thread_time": 1.0, "monotonic": 50.0}  # a machine that gives the thread little
    clocks = {name: partial(next, count(0.0, step)) for name, step in ticks.items()}
    monkeypatch.setattr(module, "time", SimpleNamespace(**clocks))
    data = leave_one_out(cycles(), CATALOG)
    model = sasrec(max_epochs=3, max_minutes=1).fit(data.train, data.validation)
    assert len(model.log) == 3  # 150 s by the clock, which does not count
    assert [entry["wall_seconds"] for entry in model.log] == [50.0, 100.0, 150.0]
    assert all(entry["seconds"] < 10 for entry in model.log)


def test_windows_hold_every_target_once():
    data = cycles(users=5, length=23)
    windows = Windows.cut(data, 6)
    found = []
    for inputs, targets in windows.batches(20, np.random.default_rng(0)):
        assert inputs.numel() <= 20
        assert inputs.shape[1] <= 6
        counts = targets != NO_TARGET
        assert ((inputs + 1)[counts] % ITEMS == targets[counts]).all()
        found += targets[counts].tolist()
    expected = np.concatenate([one.rows[1:] for one in data.histories()])
    assert sorted(found) == sorted(expected.tolist())


def test_sasrec_refuses_invalid_arguments():
    with pytest.raises(ConfigError, match="heads"):
        sasrec(dim=15)
    with pytest.raises(ConfigError, match="dropout"):
        sasrec(dropout=1.0)
    with pytest.raises(UsageError, match="not fitted"):
        sasrec().score([history(1)])
    with pytest.raises(UsageError, match="12 items"):
        sasrec(max_epochs=1).fit(cycles()).score([history(12)])
    with pytest.raises(UsageError, match="two interactions"):
        sasrec().fit(cycles(length=1))


def test_without_validation_cases_there_are_few_epochs():
    assert sasrec(max_epochs=None).fit(cycles(users=4)).best_epoch == EPOCHS
