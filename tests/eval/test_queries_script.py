"""eval/queries.py: requests made up, ranked as serving ranks them, and broken ones noticed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def queries(monkeypatch):
    import queries

    return queries


def test_requests_fulfil_what_they_ask_for_and_break_nothing(queries, saved, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["queries.py", str(saved), "--part", "test", "--out", str(tmp_path / "new")])
    with pytest.raises(SystemExit) as ended:
        queries.main()
    assert ended.value.code == 0
    content = json.loads((tmp_path / "new" / "queries_movies.json").read_text())
    assert content["users"] + content["others"] == 30
    rows = {row["request"]: row for row in content["rows"]}
    assert list(rows) == [
        queries.WITHOUT, queries.LABELS, queries.ALL, queries.DENIED, queries.LIKE, queries.OTHER
    ]  # fmt: skip
    assert all(row["broken"] == 0 for row in rows.values())
    assert rows[queries.ALL]["fulfilled"] > rows[queries.WITHOUT]["fulfilled"]
    assert rows[queries.ALL]["N@10"] > rows[queries.OTHER]["N@10"]
    assert "| another user's labels and decade |" in capsys.readouterr().out


def test_broken_wishes_are_counted(queries, mixed):
    asker = queries.Asker(mixed)
    has = asker.has
    label = int(np.flatnonzero((has.sum(axis=0) > 1) & (has.sum(axis=0) < len(has)))[0])
    having, lacking = np.flatnonzero(has[:, label]), np.flatnonzero(~has[:, label])
    rows = np.array([having[0], lacking[0], having[1]])
    assert asker.broken(queries.Request("", denied=(label,)), rows) == 2
    assert asker.broken(queries.Request("", named=int(rows[1])), rows) == 1
    decade = int(asker.years[rows[0]] // 10 * 10)
    inside = sum(decade <= asker.years[row] < decade + 10 for row in rows)
    assert asker.broken(queries.Request("", decade=decade), rows) == 3 - inside
    assert asker.fulfilled(queries.Request("", labels=(label,)), rows) == pytest.approx(2 / 3)


def test_the_control_is_another_users_request(queries, mixed):
    cases = mixed.histories.leave_one_out().test
    asked = queries.requests(queries.Asker(mixed), cases)
    others = [one[queries.OTHER] for one in asked]
    assert sorted(one.text for one in others) == sorted(one[queries.ALL].text for one in asked)
    assert all(own[queries.ALL] is not other for own, other in zip(asked, others, strict=True))
