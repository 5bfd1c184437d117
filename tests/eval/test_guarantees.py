import json
import sys
from pathlib import Path

import numpy as np
import pytest

from genre_gen.data.filters import Filters
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.requests import Recommendations

ROOT = Path(__file__).parents[2]


@pytest.fixture
def guarantees(monkeypatch):
    import guarantees

    return guarantees


def test_a_sound_recommender_breaks_no_promise(guarantees, saved, tmp_path, monkeypatch, capsys):
    file = tmp_path / "new" / "guarantees.json"
    arguments = ["guarantees.py", str(saved), "-n", "1", "5", "200", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        guarantees.main()
    assert end.value.code == 0
    content = json.loads(file.read_text())
    assert (content["broken"], content["users"], content["items"]) == (0, 30, 40)
    assert len(content["rows"]) == 6 * 3 + 1  # filters, sizes, and the broken language model
    for row in content["rows"]:
        assert row["lists"] == 30
        wrong = ("invalid", "duplicate", "seen", "filtered", "wrong_length", "no_reason", "disordered")
        assert [row[kind] for kind in wrong] == [0] * len(wrong)
    assert {row["n"] for row in content["rows"]} == {1, 5, 40}
    short = {row["request"]: row["short"] for row in content["rows"] if row["n"] == 5}
    assert short["none"] == 0
    assert short["5 popular items only"] > 20  # all but who has seen none of them
    printed = capsys.readouterr().out
    assert "0 broken promises in 570 lists" in printed
    assert len(printed.splitlines()) == 1 + 19 + 1


def spoilt(change):
    """Return a recommend_many whose lists are changed."""

    def recommend_many(self, histories, n=10, filters=None, **options):
        for history, picks in zip(histories, original(self, histories, n, filters, **options), strict=True):
            yield change(self, history, picks)

    original = Recommender.recommend_many
    return recommend_many


def a_seen_one(self, history, picks):
    first = picks[0].__class__(1, self.catalog[int(history.rows[0])], picks[0].score)
    return Recommendations([first, *picks[1:]], picks.notes)


def a_filtered_one(self, history, picks):
    row = next(row for row in np.flatnonzero(~self.catalog.where(WHERE)) if row not in history.rows)
    return Recommendations([picks[0].__class__(1, self.catalog[int(row)], picks[0].score), *picks[1:]], picks.notes)


def an_invented_one(self, history, picks):
    item = picks[0].item.__class__("invented", "Invented")
    return Recommendations([picks[0].__class__(1, item, picks[0].score), *picks[1:]], picks.notes)


WHERE = "year >= 1980"


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (a_seen_one, {"seen"}),
        (a_filtered_one, {"filtered"}),
        (an_invented_one, {"invalid", "filtered"}),
        (
            lambda self, history, picks: Recommendations([picks[0], *picks[:-1]], picks.notes),
            {"duplicate", "disordered"},
        ),
        (lambda self, history, picks: Recommendations(picks[:-1], ["3 of 4 items"]), {"wrong_length"}),
        (lambda self, history, picks: Recommendations(picks[:-1]), {"wrong_length", "no_reason"}),
        (lambda self, history, picks: Recommendations(picks[::-1], picks.notes), {"disordered"}),
    ],
)
def test_every_broken_promise_is_counted(guarantees, mixed, monkeypatch, change, kinds):
    monkeypatch.setattr(Recommender, "recommend_many", spoilt(change))
    request = guarantees.Request("where", mixed.catalog.where(WHERE), WHERE)
    assert isinstance(request.filters(mixed), Filters)
    histories = mixed.histories.histories()
    found = guarantees.count(mixed, histories, request, 4)
    counted = ("invalid", "duplicate", "seen", "filtered", "wrong_length", "no_reason", "disordered")
    broken = {kind for kind in counted if getattr(found, kind)}
    assert broken - {"filtered"} == kinds - {"filtered"}  # a seen item may lie outside the filter too
    assert kinds <= broken
    assert found.broken >= len(histories)


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [(["--where", "colour = 3"], 2, "colour"), (["-n", "0"], 2, "0"), (None, 1, "no such folder")],
)
def test_wrong_use_is_told_in_one_line(guarantees, saved, tmp_path, monkeypatch, capsys, more, code, named):
    arguments = [str(tmp_path / "none")] if more is None else [str(saved), *more]
    monkeypatch.setattr(sys, "argv", ["guarantees.py", *arguments, "--json", str(tmp_path / "g.json")])
    with pytest.raises(SystemExit) as end:
        guarantees.main()
    assert end.value.code == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "g.json").exists()
