import pytest

from eval.robustness import guarantees
from genre_gen.evaluation.guarantees import filter_requests


def test_every_request_and_a_broken_language_model_are_checked(saved, tmp_path, run, entry, monkeypatch):
    def some(recommender, where):
        return filter_requests(recommender, where)[:1]

    monkeypatch.setattr(guarantees, "filter_requests", some)
    assert run(guarantees, saved, "-n", 3, 5, "--out", tmp_path) == 0
    content = entry(tmp_path / "guarantees.json")
    assert (content["broken"], content["users"], content["items"], content["lists"]) == (0, 30, 40, 90)
    assert [row["request"] for row in content["rows"]] == ["none", "none", "none, and the language model broken"]
    assert "0 broken promises in 90 lists" in content["table"]


def test_a_broken_promise_is_a_failure(saved, tmp_path, run, monkeypatch):
    monkeypatch.setattr(guarantees.GuaranteeReport, "kept", False)
    monkeypatch.setattr(guarantees, "checked", lambda *_: guarantees.GuaranteeReport(()))
    assert run(guarantees, saved, "--out", tmp_path) == 1


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [(["--where", "colour = 3"], 2, "colour"), (["-n", "0"], 2, "0"), (None, 1, "no such folder")],
)
def test_wrong_use_gives_a_short_error(saved, tmp_path, run, capsys, more, code, named):
    arguments = [tmp_path / "none"] if more is None else [saved, *more]
    assert run(guarantees, *arguments, "--out", tmp_path / "out") == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
