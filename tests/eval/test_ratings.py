import numpy as np
import pytest
from eval_data import cycles

from eval.ratings import cross_validation, llm_predictions, tuning
from genre_gen.collaborative import SVD, BayesianMF, KNNBaseline, SVDpp
from genre_gen.errors import DataError

pytest.importorskip("surprise")
DATA = cycles(users=20, length=9, rated=True)
MODELS = {  # "svd" as Surprise sets it, the others small
    "svd": lambda span, seed: SVD(rating_scale=span, seed=seed),
    "svd, tuned": lambda span, seed: SVD(2, epochs=3, rating_scale=span, seed=seed),
    "svdpp, tuned": lambda span, seed: SVDpp(2, epochs=3, rating_scale=span, seed=seed),
    "knn_baseline": lambda span, seed: KNNBaseline(rating_scale=span),
    "bayesian_mf": lambda span, seed: BayesianMF(2, warm_up=1, samples=2, rating_scale=span, seed=seed),
}


def pairs(*several):
    return sorted(
        (history.user, int(row))
        for interactions in several
        for history in interactions.histories()
        for row in history.rows
    )


def test_parts_deal_every_rating_once():
    parts = list(cross_validation.parts(DATA, 5, 0))
    assert pairs(*(part.asked for part in parts)) == pairs(DATA)
    for part in parts:
        assert pairs(part.known, part.asked) == pairs(DATA)
        assert pairs(part.inner_known, part.inner_asked) == pairs(part.known)


def test_a_second_run_resumes_the_first(tmp_path, monkeypatch):
    first = cross_validation.cross_validate(DATA, 2, models=MODELS, runs=tmp_path)
    monkeypatch.setattr(SVDpp, "fit", lambda *_: pytest.fail("fitted again"))
    assert cross_validation.cross_validate(DATA, 2, models=MODELS, runs=tmp_path) == first
    assert first["equal_to_surprise"]
    assert "blend of all, folded in" in first["rmse"]
    assert "blend of all and llm, folded in" not in first["rmse"]


def test_a_perfect_llm_gets_all_weight(tmp_path):
    llm = {}
    for part in cross_validation.parts(DATA, 2, 0):
        llm[f"fold{part.number}"], llm[f"inner{part.number}"] = part.asked.ratings, part.inner_asked.ratings
    np.savez(tmp_path / "llm.npz", **llm)
    read = cross_validation.read_llm(tmp_path / "llm.npz")
    result = cross_validation.cross_validate(DATA, 2, models=MODELS, llm=read)
    assert result["rmse"]["blend of all and llm, folded in"] == pytest.approx(0, abs=2e-3)
    assert "| blend of all and llm, folded in | 0.00" in cross_validation.markdown(result)
    cross_validation.plot(result, tmp_path / "new" / "ratings.png")
    assert (tmp_path / "new" / "ratings.png").stat().st_size > 1000
    del llm["inner0"]
    with pytest.raises(DataError, match=r"no array 'inner0'; it has fold0, fold1, inner1"):
        cross_validation.cross_validate(DATA, 2, models=MODELS, llm=llm)


def test_the_language_model_is_asked_for_each_fold(tiny_domain, sample, tmp_path):
    catalog, interactions = sample
    domain = tiny_domain.changed({"tasks": llm_predictions.TASKS, "training.epochs": 1})
    part = next(cross_validation.parts(interactions, 5, 0))
    predictions = llm_predictions.predicted(domain, catalog, part)
    llm_predictions.keep(tmp_path / "llm.npz", predictions, {"data": "one", "run": "two"})
    again = cross_validation.read_llm(tmp_path / "llm.npz", data="one", run="two")
    for name, asked in llm_predictions.asked_of(part).items():
        values = again[f"{name}0"]
        assert values.shape == (len(asked),)
        assert ((values >= 1) & (values <= 5)).all()
        assert np.unique(values).size > 1


@pytest.fixture
def predict(tmp_path, monkeypatch, run):
    """Return what predicts the folds of a rated table, with threes for a model; and the folds asked for."""
    folder = tmp_path / "rated"
    folder.mkdir()
    rated = [(f"u{user}", f"i{row}", (user * row) % 5 + 1) for user in range(6) for row in range(5)]
    lines = ["user_id,item_id,rating", *(",".join(map(str, columns)) for columns in rated)]
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    settings = 'name = "movies"\nrating_scale = [1, 5]\n[data]\npath = "."\nreader = "table"\n'
    (folder / "domain.toml").write_text(settings + '[data.columns]\nrating = "rating"\n')
    asked = []

    def predicted(domain, catalog, part):
        asked.append(part.number)
        parts = llm_predictions.asked_of(part)
        return {f"{name}{part.number}": np.full(len(some), 3.0) for name, some in parts.items()}

    monkeypatch.setattr(llm_predictions, "predicted", predicted)

    def call(*more):
        return run(llm_predictions, tmp_path / "llm.npz", "--domain", folder, "--folds", 2, *more)

    return call, asked


def test_a_file_is_resumed_only_with_the_same_settings(predict, tmp_path, capsys):
    call, asked = predict
    assert call() == call() == 0
    assert asked == [0, 1]
    before = (tmp_path / "llm.npz").read_bytes()
    capsys.readouterr()
    for more, what in ((["--seed", 1], "these ratings"), (["--minutes", 7], "this seed")):
        assert call(*more) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: llm.npz: not made with {what}")
        assert error.count("\n") == 1
    assert call("--set", "training.epochs=1") == 1
    with (tmp_path / "rated" / "interactions.csv").open("a") as file:
        file.write("u9,i0,5\n")
    assert call() == 1
    assert (tmp_path / "llm.npz").read_bytes() == before
    assert asked == [0, 1]


def test_a_file_of_other_folds_or_ratings_is_rejected(predict, tmp_path, run, capsys):
    predict[0]()
    data = cross_validation.load(str(tmp_path / "rated"))
    file, folds = tmp_path / "llm.npz", cross_validation.of_folds
    predictions = cross_validation.read_llm(file, data=folds(data, 2, 0))
    assert sorted(predictions) == ["fold0", "fold1", "inner0", "inner1"]
    fewer = data.keep(np.arange(len(data)) > 0)
    for other in (folds(data, 2, 1), folds(data, 3, 0), folds(fewer, 2, 0)):
        with pytest.raises(DataError, match=r"llm.npz: not made with these ratings and folds"):
            cross_validation.read_llm(file, data=other)
    np.savez(file, fold0=np.ones(3))  # without a digest
    capsys.readouterr()
    assert run(cross_validation, "--domain", tmp_path / "rated", "--llm-predictions", file) == 1
    error = capsys.readouterr().err
    assert error == "error: llm.npz: not made with these ratings and folds, or lacks their digest; give another file\n"


def test_every_candidate_is_tried(monkeypatch, tmp_path, predict, run, entry):
    monkeypatch.setattr(tuning, "GRIDS", {SVD: [(2, 2, 0.005, 0.1)]})
    monkeypatch.setattr(tuning, "BAYESIAN", [(2, 5.0)])
    assert run(tuning, "--domain", tmp_path / "rated", "--folds", 2, "--out", tmp_path) == 0
    content = entry(tmp_path / "rating_tuning.json")
    assert [row["model"] for row in content["tried"]] == ["svd", *["knn_baseline"] * 12, "bayesian_mf"]
    assert list(content["tried"][0]["rmse_folded_in"]) == ["5", "10", "20", "40"]
    assert content["table"].count("\n") == 3 + len(content["tried"])
