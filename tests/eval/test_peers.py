import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import History, Interactions
from genre_gen.data.splits import Case
from genre_gen.errors import DataError, UsageError
from genre_gen.metrics import case_ranks, ndcg_at

ROOT = Path(__file__).parents[2]
ITEMS = 12


@pytest.fixture
def load(monkeypatch):
    return importlib.import_module


@pytest.fixture
def board(load):
    return load("leaderboard")


def cycles(users=30, length=8, rated=False):
    """Return users who walk around a circle of items, each from another place."""
    rows = np.concatenate([(np.arange(length) + user) % ITEMS for user in range(users)])
    names = np.repeat([f"u{user}" for user in range(users)], length)
    ratings = (1 + (rows * 7 + np.arange(len(rows)) * 3) % 5).astype(np.float32) if rated else None
    return Interactions.from_columns(names, rows, ITEMS, ratings, np.arange(len(rows)))


def history(*rows, user=None):
    return History(np.array(rows, dtype=np.int64), user=user)


@pytest.mark.parametrize("kind", ["BPR", "ALS"])
def test_implicit_models_rank_what_was_taken_above_the_rest(load, kind):
    pytest.importorskip("implicit")
    rows = np.array([row for user in range(20) for row in range(user % 2, ITEMS, 2) if row != user % ITEMS])
    names = [f"u{user}" for user in range(20) for row in range(user % 2, ITEMS, 2) if row != user % ITEMS]
    data = Interactions.from_columns(names, rows, ITEMS)
    make = getattr(load("peers.implicit_models"), kind)
    scores = make(factors=8, seed=3).fit(data).score(data.histories())
    assert scores.shape == (20, ITEMS)
    assert scores.dtype == np.float32
    for user in range(20):
        assert scores[user, user % 2 :: 2].min() > scores[user, 1 - user % 2 :: 2].max()
    np.testing.assert_array_equal(scores, make(factors=8, seed=3).fit(data).score(data.histories()))
    assert make(factors=8).fit(data).score([history(0, 2, user="nobody")]).shape == (1, ITEMS)


@pytest.mark.parametrize("kind", ["SurpriseSVD", "SurpriseSVDpp", "SurpriseKNN"])
def test_surprise_models_predict_what_surprise_predicts(load, kind):
    module = load("peers.surprise_models")
    data = cycles(users=9, length=7, rated=True)
    kept = np.ones(len(data), bool)
    kept[np.flatnonzero(data.rows == 5)] = False  # an item that nobody rated
    data = data.keep(kept)
    model = getattr(module, kind)()
    scores = model.fit(data).score([*data.histories(), history(1, user="nobody")])
    trainset = module._trainset(data)
    algorithm = model._algorithm().fit(trainset)
    for user in range(len(data.users)):
        expected = [algorithm.predict(user, row, clip=False).est for row in range(ITEMS)]
        np.testing.assert_allclose(scores[user], expected, rtol=1e-5)
    nobody = [algorithm.predict("nobody", row, clip=False).est for row in range(ITEMS)]
    np.testing.assert_allclose(scores[-1], nobody, rtol=1e-5)


def test_only_the_nearest_neighbours_have_a_say(load):
    module = load("peers.surprise_models")
    data = cycles(users=11, length=7, rated=True)
    model = module.SurpriseKNN(neighbours=2, shrinkage=3.0)
    scores = model.fit(data).score(data.histories())
    algorithm = model._algorithm().fit(module._trainset(data))
    for user in range(11):
        expected = [algorithm.predict(user, row, clip=False).est for row in range(ITEMS)]
        np.testing.assert_allclose(scores[user], expected, rtol=1e-5)


def test_surprise_models_need_ratings(load):
    with pytest.raises(DataError, match="no ratings"):
        load("peers.surprise_models").SurpriseSVD().fit(cycles())


@pytest.fixture
def domain(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    data = cycles(users=24, length=7)
    lines = ["user_id,item_id,when"]
    lines += [
        f"{one.user},i{row},{time}" for one in data.histories() for row, time in zip(one.rows, one.times, strict=True)
    ]
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    settings = 'name = "ecommerce"\n[data]\npath = "."\nreader = "table"\n[data.columns]\ntime = "when"\n'
    (folder / "domain.toml").write_text(settings)
    return folder


def test_a_sample_of_users_is_asked_one_step_back_only(board, domain, tmp_path):
    whole = board.Bench.open(str(domain), board.ONE_STEP_BACK, tmp_path)
    some = board.Bench.open(str(domain), board.ONE_STEP_BACK, tmp_path, 5)
    assert len(whole.split.test) == 24
    assert len(some.split.test) == len(some.split.validation) == 5
    assert some.split.train is not whole.split.train
    assert len(some.split.train) == len(whole.split.train)
    assert (some.key, some.runs) != (whole.key, whole.runs)
    with pytest.raises(UsageError, match="one-step-back only"):
        board.Bench.open(str(domain), "leave-one-out", tmp_path, 5)


@pytest.fixture
def quick(board, monkeypatch):
    """Run workers in this process, with small grids."""
    small = {"dim": (8,), "dropout": (0.0,), "learning_rate": (0.01, 0.02), "max_epochs": (6,), "warmup_steps": (2,)}
    peers = dict(board.PEERS)
    peers["sasrec"] = board.Peer(board.OWN, "SASRec", (small,), seeded=True, early=True)
    peers["sequential_rules"] = board.Peer(
        board.OWN, "SequentialRules", ({"novelty": (0.0, 0.4), "recency": (0.5, 1.0)},), scoring=("recency",)
    )
    peers["broken"] = board.Peer(board.OWN, "Nothing")
    monkeypatch.setattr(board, "PEERS", peers)
    started = []

    def run_one(bench, job, arguments):
        started.append(job.name)
        if job.model == "broken":
            raise UsageError("does not work")
        job.folder(bench).mkdir(parents=True, exist_ok=True)
        board.work(bench, job)

    monkeypatch.setattr(board, "run_one", run_one)
    return started


def run(board, *arguments):
    with pytest.raises(SystemExit) as end:
        board.main([str(argument) for argument in arguments])
    return end.value.code


def test_the_leaderboard_end_to_end(board, quick, domain, tmp_path, capsys):
    out = tmp_path / "out"
    models = ["popularity", "sequential_rules", "sasrec", "surprise-svd", "broken"]
    common = ["--data", domain, "--out", out, "--runs", tmp_path / "runs", "--seeds", 2, "--minutes", 1]
    assert run(board, *common, "--models", *models) == 1  # for one of them does not work
    assert quick == ["popularity-0", "sequential_rules-0", "sasrec-0", "sasrec-1", "broken-0"]
    printed, told = capsys.readouterr()
    assert "broken-0: failed: does not work" in told
    assert "surprise-svd: left out, the data has no ratings" in told
    assert printed.strip() == (out / "leaderboard_tiny.md").read_text().strip()
    assert (out / "leaderboard_tiny.png").stat().st_size > 1000
    text = (out / "leaderboard_tiny.json").read_text()
    assert str(tmp_path) not in text
    rows = {row["name"]: row for row in json.loads(text)["rows"]}
    assert list(rows)[-1] == "popularity"  # best first, and everybody walks in a circle
    assert rows["sasrec"]["seeds"] == [0, 1]
    assert set(rows["sasrec"]["settings"]) >= {"max_epochs", "learning_rate"}
    assert len(rows["sequential_rules"]["notes"][0]["trials"]) == 4
    assert {"tune s", "train s", "score s", "peak MB"} == set(rows["popularity"]["costs"])

    quick.clear()  # a second run fits nothing (but what failed), and the ranks alone give the same figures
    assert run(board, *common, "--models", "popularity", "sequential_rules", "sasrec") == 0
    assert quick == []
    assert (out / "leaderboard_tiny.json").read_text() == text
    assert run(board, *common, "--from-ranks") == 0
    assert (out / "leaderboard_tiny.json").read_text() == text
    assert run(board, *common[:4], "--runs", tmp_path / "runs", "--models", "sasrec", "--seeds", 1, "--minutes", 2) == 0
    assert quick == ["sasrec-0"]  # other minutes, another fingerprint


def test_published_rows_stay_where_asked_for(board, quick, domain, tmp_path, capsys):
    out = tmp_path / "out"
    common = ["--data", domain, "--out", out]
    assert run(board, *common, "--runs", tmp_path / "here", "--models", "popularity", "sequential_rules") == 0
    before = {row["name"]: row for row in json.loads((out / "leaderboard_tiny.json").read_text())["rows"]}
    elsewhere = [*common, "--runs", tmp_path / "elsewhere", "--models", "popularity", "item_knn", "--keep"]
    assert run(board, *elsewhere) == 0
    after = {row["name"]: row for row in json.loads((out / "leaderboard_tiny.json").read_text())["rows"]}
    assert set(after) == {"popularity", "sequential_rules", "item_knn"}
    assert after["sequential_rules"] == before["sequential_rules"]
    assert [row["figures"]["N@10"] for row in after.values()] == sorted(
        (row["figures"]["N@10"] for row in after.values()), reverse=True
    )
    capsys.readouterr()
    text = (domain / "interactions.csv").read_text().splitlines()
    (domain / "interactions.csv").write_text("\n".join(text[:-7]) + "\n")  # one user fewer
    assert run(board, *elsewhere) == 1
    assert "of other users; run without --keep" in capsys.readouterr().err


@pytest.fixture
def ours(board, quick, monkeypatch):
    """Run ours as well, with the counts of popularity in its place."""

    def run_ours(bench, job):
        model = board.PEERS["popularity"].make({}).fit(bench.split.train_and_validation)
        report = board.rank_test(bench, {board.OURS: model.score})
        return board.Outcome(board.changed(job), report, {}, {board.OURS: {"train s": 1.0}}, {"choices": {}})

    monkeypatch.setattr(board, "run_ours", run_ours)
    return quick


def rows_of(out):
    return {row["name"]: row for row in json.loads((out / "leaderboard_tiny.json").read_text())["rows"]}


def test_results_of_other_settings_stay_out_of_the_table(board, ours, domain, tmp_path, capsys, monkeypatch):
    common = ["--data", domain, "--out", tmp_path / "out", "--runs", tmp_path / "runs"]
    assert run(board, *common, "--models", "genre", "popularity", "--seeds", 3) == 0
    assert rows_of(tmp_path / "out")["GENRE"]["seeds"] == [0, 1, 2]
    changed = (domain / "domain.toml").read_text() + "[training]\nepochs = 9\n"
    (domain / "domain.toml").write_text(changed)
    capsys.readouterr()
    assert run(board, *common, "--models", "genre", "--seeds", 1) == 0
    rows = rows_of(tmp_path / "out")
    assert rows["GENRE"]["seeds"] == [0]
    assert "popularity" in rows  # what no setting of ours changes
    told = capsys.readouterr().err
    assert "genre-1: left out, its result is of other data or settings" in told
    assert "genre-2: left out" in told
    kept = tmp_path / "runs" / "tiny-leave-one-out" / "genre-2"
    assert (kept / "result.json").is_file()

    monkeypatch.setattr(board, "run_ours", lambda *_: (_ for _ in ()).throw(UsageError("no memory")))
    assert run(board, *common, "--models", "genre", "--seeds", 1, "--minutes", 5) == 1
    assert "GENRE" not in rows_of(tmp_path / "out")  # it failed under five minutes: what it gave without has no say


def test_later_seeds_take_nothing_from_a_first_one_of_other_settings(
    board, quick, domain, tmp_path, monkeypatch, capsys
):
    common = ["--data", domain, "--out", tmp_path / "out", "--runs", tmp_path / "runs", "--models", "popularity"]
    assert run(board, *common, "sasrec", "--seeds", 1, "--minutes", 1) == 0
    run_one = board.run_one

    def fails_first(bench, job, arguments):
        if not job.seed:
            raise UsageError("no memory")
        run_one(bench, job, arguments)

    monkeypatch.setattr(board, "run_one", fails_first)
    assert run(board, *common, "sasrec", "--seeds", 2, "--minutes", 2) == 1
    assert "sasrec-1: failed: sasrec-1: seed 0, which chooses the settings, has no result of" in capsys.readouterr().err
    assert list(rows_of(tmp_path / "out")) == ["popularity"]


def test_a_table_is_made_of_what_lies_there(board, ours, domain, tmp_path):
    common = ["--data", domain, "--out", tmp_path / "out", "--runs", tmp_path / "runs"]
    assert run(board, *common, "--models", "genre", "sasrec", "popularity", "--seeds", 2, "--minutes", 1) == 0
    fewer = ["--set", "training.epochs=1", "--label", "one epoch"]
    assert run(board, *common, "--models", "genre", "--seeds", 1, *fewer) == 0
    before = (tmp_path / "out" / "leaderboard_tiny.json").read_text()
    assert set(rows_of(tmp_path / "out")) == {"GENRE", "GENRE (one epoch)", "sasrec", "popularity"}
    ours.clear()
    assert run(board, *common, "--models", "popularity") == 0
    assert ours == []
    assert (tmp_path / "out" / "leaderboard_tiny.json").read_text() == before
    for file in (tmp_path / "runs").rglob("result.json"):  # as they were written before they told of their job
        file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "job"}))
    assert run(board, *common, "--models", "sasrec", "--seeds", 2, "--minutes", 1) == 0
    assert ours == []
    assert (tmp_path / "out" / "leaderboard_tiny.json").read_text() == before


def test_who_reads_texts_is_run_again_for_other_texts(board, domain, tmp_path):
    def fingerprints(title):
        bench = board.Bench.open(str(domain), "leave-one-out", tmp_path)
        assert bench.interactions
        vars(bench)["catalog"] = Catalog([Item(f"i{row}", f"{title} {row}") for row in range(ITEMS)])
        return {model: board.Job(model, 0).fingerprint(bench) for model in ("text_knn", "popularity")}

    one, other = fingerprints("Lamp"), fingerprints("Chair")
    assert one["text_knn"] != other["text_knn"]
    assert one["popularity"] == other["popularity"]


def test_ranks_agree_with_a_count_by_hand(board, quick, domain, tmp_path):
    out = tmp_path / "out"
    common = ["--data", domain, "--out", out, "--runs", tmp_path / "runs", "--models", "popularity"]
    assert run(board, *common) == 0
    with np.load(out / "leaderboard_tiny_ranks.npz", allow_pickle=False) as arrays:
        ranks = board.unpacked(arrays["ranks_0"])[0]
    bench = board.Bench.open(str(domain), "leave-one-out", tmp_path)
    known = bench.split.train_and_validation
    counts = np.bincount(known.rows, minlength=known.n_items)
    for rank, case in zip(ranks, bench.split.test, strict=True):
        rivals = np.delete(counts, [*case.history.rows, case.target])
        own = counts[case.target]
        assert rank == 1 + (rivals > own).sum() + (rivals == own).sum() / 2
    row = json.loads((out / "leaderboard_tiny.json").read_text())["rows"][0]
    assert row["figures"]["N@10"] == pytest.approx(float(ndcg_at(ranks, 10).mean()))


def test_scoring_settings_are_those_of_the_best_trial(board, load, domain, tmp_path):
    bench = board.Bench.open(str(domain), "leave-one-out", tmp_path)
    peer = board.Peer(
        board.OWN, "SequentialRules", ({"recency": (0.0, 3.0, 0.1), "novelty": (0.0, 0.4)},), scoring=("recency",)
    )
    tuner = board.Tuner(bench, peer, {}, None)
    settings, model, trials = tuner.run()
    assert model.recency == settings["recency"]
    assert model.novelty == settings["novelty"]
    assert [trial["settings"]["novelty"] for trial in trials] == [0.0] * 3 + [0.4] * 3  # two fits for six trials
    best = max(trials, key=lambda trial: trial["N@10"])
    assert best["settings"] == settings
    ranks = case_ranks(model.score, bench.tuning, bench.interactions.n_items)
    assert best["N@10"] == pytest.approx(float(ndcg_at(ranks, 10).mean()))


def test_a_worker_is_a_process_of_its_own(board, domain, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    common = ["--data", domain, "--out", tmp_path / "out", "--runs", tmp_path / "runs", "--models", "popularity"]
    assert run(board, *common) == 0
    folder = tmp_path / "runs" / "tiny-leave-one-out" / "popularity-0"
    assert sorted(file.name for file in folder.iterdir()) == ["log.txt", "ranks.npz", "result.json"]
    found = board.read_result(folder)
    assert 10 < found["costs"][0]["peak MB"] < 2000
    assert found["ranks"]["test_0"].dtype == np.float32
    assert {"test_0", "validation_0"} == set(found["ranks"])


def test_wrong_use_is_told_in_one_line(board, domain, tmp_path, capsys):
    common = ["--data", domain, "--out", tmp_path / "out", "--runs", tmp_path / "runs"]
    assert run(board, *common, "--models", "bert") == 2
    assert "no model bert" in capsys.readouterr().err
    assert run(board, *common, "--models", "genre", "--set", "nonsense") == 1
    assert "key=value" in capsys.readouterr().err
    assert run(board, *common, "--from-ranks") == 1
    assert "no ranks to start from" in capsys.readouterr().err
    assert run(board, "--data", tmp_path / "none") == 1
    assert "domain.toml" in capsys.readouterr().err


def test_packed_ranks_come_back(board):
    ranks = np.array([1.0, 2.5, np.inf, 12101.0, 40000.5])
    np.testing.assert_array_equal(board.unpacked(board.packed(ranks)), ranks)
    assert board.packed(ranks[:4]).dtype == np.uint16


def test_the_outside_check_says_where_recbole_is_not(load, tmp_path, monkeypatch, capsys):
    check = load("recbole_check")
    monkeypatch.setattr(sys, "argv", ["recbole_check.py", "--python", str(tmp_path / "python")])
    with pytest.raises(SystemExit) as end:
        check.main()
    assert end.value.code == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    data = cycles().leave_one_out()
    check.write_split(tmp_path / "check", data)
    test = (tmp_path / "check" / "check.test.inter").read_text().splitlines()
    assert test[:2] == ["user_id:token\titem_id:token", f"u0\t{data.test[0].target}"]
    assert isinstance(data.test[0], Case)


def test_one_step_back_leaves_the_test_items_alone(board, tmp_path):
    bench = board.Bench.open(str(ROOT / "catalogs" / "news"), board.ONE_STEP_BACK, tmp_path)
    whole, split = bench.interactions.leave_one_out(), bench.split
    assert bench.stem == "leaderboard_news_one-step-back"
    answers = {case.history.user: case.target for case in whole.validation}
    assert {case.history.user: case.target for case in split.test} == answers
    assert len(split.train_and_validation) == len(whole.train)
