import json

import numpy as np
import pytest

from eval.accuracy import leaderboard
from eval.bench import jobs, worker
from eval.bench.cases import Bench
from eval.bench.peers import PACKAGE, PEERS, Peer
from eval.bench.results import read
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE
from genre_gen.metrics import ndcg_at


@pytest.fixture
def started(monkeypatch):
    """Run workers in this process, with small grids; returns the names of the jobs run."""
    small = {"dim": (8,), "dropout": (0.0,), "learning_rate": (0.01, 0.02), "max_epochs": (6,), "warmup_steps": (2,)}
    rules = {"novelty": (0.0, 0.4), "recency": (0.5, 1.0)}
    monkeypatch.setitem(PEERS, "sasrec", Peer(PACKAGE, "SASRec", (small,), seeded=True, early=True))
    monkeypatch.setitem(PEERS, "sequential_rules", Peer(PACKAGE, "SequentialRules", (rules,), scoring=("recency",)))
    monkeypatch.setitem(PEERS, "broken", Peer(PACKAGE, "Nothing"))
    names = []

    def run_one(bench, job):
        names.append(job.name)
        if job.model == "broken":
            raise UsageError("does not work")
        worker.work(bench, job)

    monkeypatch.setattr(jobs, "run_one", run_one)
    return names


@pytest.fixture
def ours(started, monkeypatch):
    """Run ours as well, with the counts of popularity in its place."""

    def run_ours(bench, job):
        model = PEERS["popularity"].make({}).fit(bench.split.train_and_validation)
        report = worker.rank_test(bench, {GENRE: model.score})
        return jobs.Outcome(job.public_settings(), report, {}, {GENRE: {"train s": 1.0}}, {"tuned": {}})

    monkeypatch.setattr(worker, "run_ours", run_ours)
    return started


@pytest.fixture
def board(circle, tmp_path, run):
    """Return what runs the leaderboard on the circle and returns its exit code."""

    def call(*arguments):
        runs = () if "--runs" in arguments else ("--runs", tmp_path / "runs")
        return run(leaderboard, "--data", circle, "--out", tmp_path / "out", *runs, *arguments)

    return call


def entry_of(tmp_path):
    (entry,) = read(tmp_path / "out" / "leaderboard.json").values()
    return entry


def rows_of(tmp_path):
    return {row["name"]: row for row in entry_of(tmp_path)["rows"]}


def test_the_leaderboard_end_to_end(board, started, tmp_path, capsys):
    models = ["popularity", "sequential_rules", "sasrec", "surprise-svd", "broken"]
    common = ["--seeds", 2, "--minutes", 1, "--models"]
    assert board(*common, *models) == 1  # for one of them does not work
    assert started == ["popularity-0", "sequential_rules-0", "sasrec-0", "sasrec-1", "broken-0"]
    printed, progress = capsys.readouterr()
    assert "broken-0: failed: does not work" in progress
    assert "surprise-svd: left out, the data has no ratings" in progress
    assert printed.strip() == "\n".join(entry_of(tmp_path)["table"])
    assert (tmp_path / "out" / "leaderboard_tiny.png").stat().st_size > 1000
    text = (tmp_path / "out" / "leaderboard.json").read_text()
    assert str(tmp_path) not in text
    rows = rows_of(tmp_path)
    assert list(rows)[-1] == "popularity"  # best first, and all users walk in a circle
    assert rows["sasrec"]["seeds"] == [0, 1]
    assert set(rows["sasrec"]["settings"]) >= {"max_epochs", "learning_rate"}
    assert len(rows["sequential_rules"]["notes"][0]["trials"]) == 4
    assert {"tune s", "train s", "score s", "peak MB"} == set(rows["popularity"]["costs"])

    started.clear()  # a second run fits nothing (but what failed)
    assert board(*common, *models[:3]) == 0
    assert started == []
    assert (tmp_path / "out" / "leaderboard.json").read_text() == text
    assert board("--models", "sasrec", "--seeds", 1, "--minutes", 2) == 0
    assert started == ["sasrec-0"]  # other minutes, another fingerprint


def test_results_of_other_settings_stay_out_of_the_table(board, ours, circle, tmp_path, capsys, monkeypatch):
    assert board("--models", "genre", "popularity", "--seeds", 3) == 0
    assert rows_of(tmp_path)["GENRE"]["seeds"] == [0, 1, 2]
    changed = (circle / "domain.toml").read_text() + "[training]\nepochs = 9\n"
    (circle / "domain.toml").write_text(changed)
    capsys.readouterr()
    assert board("--models", "genre", "--seeds", 1) == 0
    rows = rows_of(tmp_path)
    assert rows["GENRE"]["seeds"] == [0]
    assert "popularity" in rows  # which no setting of ours changes
    progress = capsys.readouterr().err
    assert "genre-1: left out, its result is of other data or settings" in progress
    assert "genre-2: left out" in progress
    assert (tmp_path / "runs" / "tiny-leave-one-out" / "genre-2" / "result.json").is_file()

    monkeypatch.setattr(worker, "run_ours", lambda *_: (_ for _ in ()).throw(UsageError("no memory")))
    assert board("--models", "genre", "--seeds", 1, "--minutes", 5) == 1
    assert "GENRE" not in rows_of(tmp_path)  # it failed under five minutes: its result without them does not count


def test_later_seeds_reject_a_first_one_with_other_settings(board, started, tmp_path, monkeypatch, capsys):
    assert board("--models", "popularity", "sasrec", "--seeds", 1, "--minutes", 1) == 0
    run_one = jobs.run_one

    def fails_first(bench, job):
        if not job.seed:
            raise UsageError("no memory")
        run_one(bench, job)

    monkeypatch.setattr(jobs, "run_one", fails_first)
    assert board("--models", "popularity", "sasrec", "--seeds", 2, "--minutes", 2) == 1
    assert "sasrec-1: failed: sasrec-1: seed 0, which chooses the settings, has no result of" in capsys.readouterr().err
    assert list(rows_of(tmp_path)) == ["popularity"]


def test_a_table_has_all_current_results(board, ours, tmp_path):
    assert board("--models", "genre", "sasrec", "popularity", "--seeds", 2, "--minutes", 1) == 0
    assert board("--models", "genre", "--seeds", 1, "--set", "training.epochs=1", "--label", "one epoch") == 0
    before = (tmp_path / "out" / "leaderboard.json").read_text()
    rows = rows_of(tmp_path)
    assert set(rows) == {"GENRE", "GENRE (one epoch)", "sasrec", "popularity"}
    assert rows["popularity"]["difference"] == 0  # ours are the same counts here
    assert rows["popularity"]["p"] == 1
    assert rows["GENRE (one epoch)"]["p_holm"] == 1  # a family of its own
    ours.clear()
    assert board("--models", "popularity") == 0
    assert ours == []
    assert (tmp_path / "out" / "leaderboard.json").read_text() == before


def test_ranks_agree_with_a_count_by_hand(board, started, circle, tmp_path):
    assert board("--models", "popularity") == 0
    bench = Bench.open(str(circle), "leave-one-out", tmp_path / "runs")
    result = jobs.read_result(bench.runs / "popularity-0")
    known = bench.split.train_and_validation
    counts = np.bincount(known.rows, minlength=known.n_items)
    ranks = result["ranks"]["test_0"]
    for rank, case in zip(ranks, bench.split.test, strict=True):
        rivals = np.delete(counts, [*case.history.rows, case.target])
        count = counts[case.target]
        assert rank == 1 + (rivals > count).sum() + (rivals == count).sum() / 2
    row = rows_of(tmp_path)["popularity"]
    assert row["figures"]["N@10"] == pytest.approx(float(ndcg_at(ranks.astype(np.float64), 10).mean()))


def test_a_worker_is_a_process_of_its_own(board, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    assert board("--models", "popularity") == 0
    folder = tmp_path / "runs" / "tiny-leave-one-out" / "popularity-0"
    assert sorted(file.name for file in folder.iterdir()) == ["log.txt", "ranks.npz", "result.json"]
    result = jobs.read_result(folder)
    assert 10 < result["costs"][0]["peak MB"] < 2000
    assert result["ranks"]["test_0"].dtype == np.float32
    assert {"test_0", "validation_0"} == set(result["ranks"])


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--models", "bert"], 2, "no model bert"),
        (["--models", "genre", "--set", "nonsense"], 1, "key=value"),
        (["--models", "genre", "--label", "a/b"], 2, "--label 'a/b'"),
        (["--seeds", "0"], 2, "--seeds 0; give 1 or more"),
    ],
)
def test_wrong_use_gives_a_short_error(board, capsys, arguments, code, named):
    assert board(*arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1


def test_a_truncated_result_counts_as_missing(board, started, tmp_path):
    assert board("--models", "popularity") == 0
    folder = tmp_path / "runs" / "tiny-leave-one-out" / "popularity-0"
    (folder / "result.json").write_text(json.dumps({"format": 0}))
    assert jobs.read_result(folder) is None
    assert board("--models", "popularity") == 0
    assert started == ["popularity-0"] * 2
