"""The scripts of the server on a server: each list must be the library's, also after a kill."""

import pytest

from eval.bench.results import read
from eval.live import freshness, load, replay
from eval.live.fault_process import kills
from eval.live.trial import Trial

for package in ("fastapi", "uvicorn", "httptools", "sqlalchemy", "alembic", "prometheus_client"):
    pytest.importorskip(package)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_lists_after_events_are_the_library_s(saved, tmp_path, run):
    assert run(freshness, saved, "--quick", "--parts", "lists", "--tries", 24, "--out", tmp_path) == 0
    (entry,) = read(tmp_path / "live_freshness.json").values()
    found = entry["parts"]["lists"]
    assert (found["tries"], found["stale"], found["failed"]) == (24, 0, 0)
    assert found["same"] + found["tied"] == 24


def test_no_acknowledged_event_is_lost_when_the_server_is_killed(saved):
    found = kills(Trial(saved, quick=True), rounds=1)
    assert found["broken"] == 0
    assert found["acknowledged"] > 0
    assert found["lists"] > 0


def test_lists_of_a_load_test_are_replayed(saved, tmp_path, run):
    assert run(replay, saved, "--quick", "--out", tmp_path) == 1  # no lists were kept
    assert run(load, saved, "--quick", "--parts", "overload", "--seconds", 1, "--highest", 10, "--out", tmp_path) == 0
    (entry,) = read(tmp_path / "live_load.json").values()
    assert entry["parts"]["overload"]["lists"]["calls"] > 0
    assert run(replay, saved, "--quick", "--out", tmp_path) == 0
    (entry,) = read(tmp_path / "live_replay.json").values()
    (level,) = entry["parts"]["replay"]["levels"].values()
    assert level["different"] == 0
    assert level["kept_rows"] > 0
    assert level["unlike_rows"] == 0
