import json
import sys
from pathlib import Path

import pytest

EVAL = Path(__file__).parent.parent / "eval"
SAMPLE = {"users": 5000, "sample": "abc"}


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(EVAL))
    import training_curves

    yield training_curves
    sys.modules.pop("training_curves", None)


def points(*values):
    return [{"seconds": 60.0 * place, "ndcg@10": value} for place, value in enumerate(values, 1)]


def by_both_clocks(*values):
    return [{**point, "seconds": 1.0, "wall_seconds": point["seconds"]} for point in points(*values)]


@pytest.fixture
def content():
    log = [{**point, "step": 1, "losses": {}} for point in points(0.1, 0.3)]
    trials = [{"N@10": 0.1, "log": by_both_clocks(0.1)}, {"N@10": 0.2, "log": by_both_clocks(0.1, 0.2)}]
    ours = {"log": log, "validated_on": SAMPLE}
    rows = [
        {"name": "GENRE", "seeds": [0, 1], "notes": [ours, ours]},
        {"name": "GENRE, LLM alone", "seeds": [0, 1], "notes": [ours, {}]},
        {"name": "sasrec", "seeds": [0], "notes": [{"trials": trials, "validated_on": SAMPLE}]},
        {"name": "ease", "seeds": [0], "notes": [{"trials": []}]},
    ]
    return {"data": "films", "split": "leave-one-out, test", "rows": rows}


@pytest.fixture
def run(script, tmp_path, monkeypatch):
    def run(content):
        (tmp_path / "leaderboard_films.json").write_text(json.dumps(content))
        monkeypatch.setattr(sys, "argv", ["", "--data", "films", "--results", str(tmp_path)])
        script.main()

    return run


def test_curves_are_of_each_seed_of_ours_and_of_sasrecs_best_trial(run, content, tmp_path, capsys):
    run(content)
    found = json.loads((tmp_path / "training_films.json").read_text())
    assert found["curves"] == {"GENRE, LLM alone, seed 0": points(0.1, 0.3), "sasrec": points(0.1, 0.2)}
    assert (found["validation_users"], found["clock"]) == (5000, "wall")
    assert (tmp_path / "training_films.png").stat().st_size > 1000
    assert "sasrec: best NDCG@10 0.2000 after 2.0 minutes" in capsys.readouterr().out


def test_axes_name_the_users_and_the_clock(script, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    labels = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: labels.extend(figure.axes))
    script.draw({"sasrec": script.Curve(points(0.1), SAMPLE)}, 5000, "films", tmp_path / "new.png")
    assert "clock" in labels[0].get_xlabel()
    assert "5,000 validation users" in labels[0].get_ylabel()


def test_what_is_missing_is_said_in_one_line(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "--data", "books", "--results", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert "run eval/leaderboard.py --data books first" in error
    assert error.count("\n") == 1


def other_users(content):
    content["rows"][2]["notes"][0]["validated_on"] = {"users": 2000, "sample": "abc"}
    return "different users (GENRE, LLM alone, seed 0 on 5,000, sasrec on 2,000)"


def as_many_others(content):
    content["rows"][2]["notes"][0]["validated_on"] = {"users": 5000, "sample": "xyz"}
    return "different users"


def of_before(content):
    content["rows"][1]["notes"][0].pop("validated_on")
    return "GENRE, LLM alone, seed 0: nothing says on which users"


def another_clock(content):
    for entry in content["rows"][2]["notes"][0]["trials"][1]["log"]:
        entry.pop("wall_seconds")
    return "by the clock"


@pytest.mark.parametrize("spoil", [other_users, as_many_others, of_before, another_clock])
def test_what_cannot_be_compared_is_not_drawn(run, content, tmp_path, capsys, spoil):
    named = spoil(content)
    with pytest.raises(SystemExit):
        run(content)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("training_*"))


@pytest.fixture
def bench(script, monkeypatch, tiny_domain, tmp_path):
    """Return a bench whose domain would have ours validated on other users than the peers."""
    import leaderboard

    monkeypatch.setattr(leaderboard, "TUNED_ON", 10)
    changes = {"training.epochs": 1, "training.validation_users": 4, "tasks": {"next_item": {"weight": 1.0}}}
    changes |= {"blend.members": ["popularity"], "ratings.members": [], "training.final_epochs": 0}
    return leaderboard.Bench("films", tiny_domain.changed(changes), "leave-one-out", tmp_path / "runs")


def test_ours_and_sasrec_are_validated_on_the_same_users(script, bench, monkeypatch, tmp_path):
    import leaderboard

    from genre_gen import building
    from genre_gen.collaborative import sasrec

    asked = {"ours": [], "sasrec": []}
    for name, module in (("ours", building), ("sasrec", sasrec)):

        def ranks(score, cases, *more, name=name, original=module.case_ranks):
            asked[name].append([case.history.user for case in cases])
            return original(score, cases, *more)

        monkeypatch.setattr(module, "case_ranks", ranks)
    small = {"dim": (8,), "max_epochs": (2,)}
    peer = leaderboard.Peer(leaderboard.OWN, "SASRec", (small,), seeded=True, early=True)
    monkeypatch.setattr(leaderboard, "PEERS", {"sasrec": peer})
    for model in ("sasrec", leaderboard.GENRE):
        job = leaderboard.Job(model, 0)
        job.folder(bench).mkdir(parents=True)
        leaderboard.work(bench, job)
    users = [case.history.user for case in bench.tuning]
    assert len(users) == 10
    assert asked["ours"]
    assert asked["sasrec"]
    assert all(one == users for several in asked.values() for one in several)
    leaderboard.publish(*leaderboard.collect(bench), tmp_path, bench.stem)
    monkeypatch.setattr(sys, "argv", ["", "--data", "films", "--results", str(tmp_path)])
    script.main()
    found = json.loads((tmp_path / "training_films.json").read_text())
    assert found["validation_users"] == 10
    assert set(found["curves"]) == {"GENRE, LLM alone, seed 0", "sasrec"}


def test_results_stay_where_the_users_are_the_same_anyway(bench, monkeypatch):
    import leaderboard

    assert bench.ours.training.validation_users == 10
    everybody = bench.domain.changed({"training.validation_users": len(bench.split.validation)})
    same = leaderboard.Bench("films", everybody, "leave-one-out", bench.runs)
    monkeypatch.setattr(leaderboard, "TUNED_ON", 5000)
    assert same.ours is everybody
