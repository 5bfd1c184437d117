"""The scripts that harm a store and measure it run, and find nothing broken."""

import json

import pytest

from eval.live import store_faults, store_speed


def test_no_acknowledged_event_is_lost_or_doubled(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(store_faults, "small_disk", lambda folder: None)  # not everywhere possible
    with pytest.raises(SystemExit) as ended:
        store_faults.main(["--quick", "--kills", "2", "--snapshots", "1", "--out", str(tmp_path)])
    assert ended.value.code == 0, capsys.readouterr()
    content = json.loads((tmp_path / "live_store_faults.json").read_text())["sqlite"]
    assert content["kills"]["times"] == 2
    assert min(content[name]["acknowledged"] for name in ("kills", "snapshots", "file limit")) > 0
    assert content["file limit"]["refused"] > 0


def test_what_is_broken_is_counted():
    counts = store_faults.compared([1, 2, 2, 4], {1, 2, 3}, {4, 5})
    assert counts == {"acknowledged": 3, "lost": 1, "doubled": 1, "refused": 2, "refused but stored": 1}


def test_speed_is_measured(tmp_path, capsys):
    store_speed.main(["--quick", "--out", str(tmp_path)])
    figures = json.loads((tmp_path / "live_store_speed.json").read_text())["sqlite"]
    assert figures["columns"]["events"] == 1000 + 300
    assert list(tmp_path.glob("store*")) == []
    assert "| single | p99 ms |" in capsys.readouterr().out
