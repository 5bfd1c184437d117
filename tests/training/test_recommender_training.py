"""Training a recommender: what is refused, what is learned from what, and training again with what was chosen."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from genre_gen import Catalog, Dataset, Domain, Interactions, Item, Recommender
from genre_gen.blending.blend import Blend
from genre_gen.blending.tuned import TunedSettings
from genre_gen.blending.weights import Pool
from genre_gen.collaborative import RATERS, RatingBlend
from genre_gen.data.splits import hold_out_last, leave_one_out
from genre_gen.errors import CheckpointError, ConfigError, UsageError
from genre_gen.folders.locks import TRAINING, hold
from genre_gen.training.budget import Budget
from genre_gen.training.members import Fitted
from genre_gen.training.progress import Stages
from genre_gen.training.recommender_training import REFIT_STAGE, RecommenderTraining
from genre_gen.training.run import Run
from genre_gen.training.stage_results import StageResults

ONE_TASK = {"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}}


@pytest.fixture(scope="module")
def split(dataset):
    return dataset.leave_one_out()


def unrated(interactions):
    return Interactions(
        interactions.users, interactions.offsets, interactions.rows, interactions.n_items, None, interactions.times
    )


# Setting up


def test_quantization_chooses_adapters(tiny_domain):
    def chosen(domain=tiny_domain, **options):
        model = Recommender(domain, **options).domain.model
        return model.quantization, model.adapter

    assert chosen() == ("none", "full")
    assert chosen(quantization="nf4") == ("nf4", "lora")
    assert chosen(quantization="int8", settings={"model.adapter": "lora"}) == ("int8", "lora")
    assert chosen(tiny_domain.changed({"model.adapter": "lora"}), quantization="none") == ("none", "lora")


def test_keywords_and_settings_change_the_domain(tiny_domain):
    options = {"llm": "other/model", "max_minutes": 2.5, "seed": 7, "settings": {"training.epochs": 7}}
    changed = Recommender(tiny_domain, **options).domain
    assert (changed.model.llm, changed.training.max_minutes, changed.training.seed) == ("other/model", 2.5, 7)
    assert changed.training.epochs == 7 != tiny_domain.training.epochs
    with pytest.raises(ConfigError, match=r"training.epoch: unknown key, did you mean 'epochs'"):
        Recommender(tiny_domain, settings={"training.epoch": 7})
    for domain in ("movies", tiny_domain.catalog_folder, Domain.load("movies")):
        assert Recommender(domain).domain.name == "movies"


# What is refused before anything is trained


@pytest.fixture
def no_training(monkeypatch):
    """Fail where the language model is built."""
    monkeypatch.setattr("genre_gen.training.llm_training.build_llm", lambda *_, **__: pytest.fail("training began"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratings.members": ["svd", "svd++"]}, r"no rating model 'svd\+\+'"),
        ({"blend.members": ["eaze"]}, "no member 'eaze', did you mean 'ease'"),
        (
            {"blend.members": ["sasrec"], "training.distillation": 0.3},
            r"name some in blend.members \(sasrec cannot be a teacher\)",
        ),
    ],
)
def test_models_that_cannot_be_are_refused(tiny_domain, split, no_training, settings, message):
    with pytest.raises(ConfigError, match=message):
        Recommender(tiny_domain, settings=settings).fit(split)


def test_a_split_without_validation_cases_is_refused(tiny_domain, split, no_training):
    with pytest.raises(UsageError, match=r"needs validation cases.*users on both sides of its moments"):
        Recommender(tiny_domain).fit(replace(split, validation=()))


HALF, ALONE = Blend({"llm": 0.5, "svd": 0.5}), Blend({"ease": 1.0})
NO_WEIGHT = "the tuned settings give svd a weight, and this training lacks them"


@pytest.mark.parametrize(
    ("tuned", "changes", "rated", "message"),
    [
        (TunedSettings(HALF, ALONE, members={"nonesuch": {}}), {}, True, "name nonesuch, which blend.members"),
        (TunedSettings(HALF, ALONE), {}, False, NO_WEIGHT),
        (TunedSettings(HALF, ALONE), {"blend.members": ["ease"]}, True, NO_WEIGHT),
        (TunedSettings(Blend({"llm": 1.0}), Blend({"svd": 1.0})), {"blend.members": ["ease"]}, True, NO_WEIGHT),
        (TunedSettings(ALONE, ALONE, teacher={"svd": 1.0, "ease": 0.0}), {"blend.members": ["ease"]}, True, NO_WEIGHT),
        (
            TunedSettings(ALONE, ALONE, ratings=RatingBlend({"svd": 1.0}, 0.0, (1, 5))),
            {"ratings.members": []},
            True,
            NO_WEIGHT,
        ),
    ],
)
def test_tuned_settings_for_other_models_are_refused(tiny_domain, dataset, no_training, tuned, changes, rated, message):
    interactions = dataset.interactions if rated else unrated(dataset.interactions)
    with pytest.raises(UsageError, match=message):
        Recommender(tiny_domain.changed(changes)).fit(leave_one_out(interactions, dataset.catalog), tuned=tuned)


# What is learned from what


@pytest.mark.parametrize(("refit", "learned"), [("none", "train"), ("continue", "train_and_validation")])
@pytest.mark.parametrize("name", ["leave-one-out", "all"])
def test_in_the_end_all_but_the_test_is_learned_from(tiny_domain, dataset, name, refit, learned):
    split = dataset.split(name)
    domain = tiny_domain.changed({**ONE_TASK, "training.refit": refit, "blend.members": ["popularity"]})
    state = RecommenderTraining(domain).fit(split)
    expected = getattr(split, learned)
    assert state.trained_on is expected
    assert state.histories is dataset.interactions
    counts = np.bincount(expected.rows, minlength=40)
    assert (
        np.argsort(-state.members["popularity"].score([split.histories.history_at(0)])[0], kind="stable")[0]
        == counts.argmax()
    )
    assert set(state.seconds) >= {"llm", "popularity"}


def test_training_is_the_same_for_the_same_seed(tiny_domain, split, untouched):
    again = RecommenderTraining(tiny_domain).fit(split)
    assert again.blend == untouched.state.blend
    assert again.fingerprint() == untouched.state.fingerprint()


def test_svd_is_fitted_once_for_ranking_and_rating(tiny_recommender):
    state = tiny_recommender.state
    assert state.rating_models["svd"] is state.members["svd"]
    assert state.tuned.ratings == RatingBlend({"svd": 1.0}, 0.0, (1, 5))  # too few cases to choose on


def test_several_raters_are_fitted_saved_and_blended(tiny_domain, dataset, split, tmp_path):
    names = ["svdpp", "knn_baseline", "bayesian_mf"]
    settings = {
        "training.epochs": 1,
        "ratings.members": names,
        "blend.members": ["popularity"],
        "training.refit": "continue",
    }
    state = Recommender(tiny_domain, settings=settings).fit(split).state
    assert list(state.rating_models) == names
    assert all(isinstance(model, RATERS[name]) for name, model in state.rating_models.items())
    assert set(names) < set(state.seconds)
    assert state.rating_models["svdpp"].rated_items.sum() == len(np.unique(split.train_and_validation.rows))
    assert state.tuned.ratings == RatingBlend(dict.fromkeys(names, 1 / 3), 0.0, (1, 5))
    weights = {"svdpp": 0.4, "knn_baseline": 0.3, "bayesian_mf": 0.1, "llm": 0.2}
    blend = RatingBlend(weights, 0.1, (1, 5))
    Recommender.from_state(replace(state, tuned=replace(state.tuned, ratings=blend))).save_pretrained(tmp_path / "x")
    again = Recommender.from_pretrained(tmp_path / "x")
    assert again.state.tuned.ratings == blend
    assert set(again.state.members) == {"popularity"}
    history = split.histories.history_at(2)
    said = {name: model.rate(history, [4])[0] for name, model in state.rating_models.items()}
    said["llm"] = float(state.generator.rate([history], [4])[0])
    expected = 0.1 + sum(weights[name] * value for name, value in said.items())
    events = [(dataset.catalog[row].id, rating) for row, rating in zip(history.rows, history.ratings, strict=True)]
    assert float(again.predict(events, "5")) == pytest.approx(min(max(expected, 1), 5))


def test_an_epoch_model_is_left_out_if_no_user_has_two_interactions(tiny_domain, dataset, caplog):
    lengths = np.diff(dataset.interactions.offsets)
    three = dataset.interactions.keep(np.concatenate([np.arange(length) < 3 for length in lengths]))
    settings = {**ONE_TASK, "blend.members": ["sasrec", "ease"], "training.refit": "continue"}
    state = RecommenderTraining(tiny_domain.changed(settings)).fit(leave_one_out(three, dataset.catalog))
    assert "sasrec is left out: no user has two interactions" in caplog.text
    assert set(state.members) == set(state.tuned.members) == {"ease"}  # later too, as it has no weight


def test_a_second_training_forgets_the_first(tiny_domain, dataset, split):
    few = dataset.interactions.keep(dataset.interactions.rows < 30)
    smaller = Dataset(
        tiny_domain,
        Catalog(dataset.catalog[:30]),
        Interactions(few.users, few.offsets, few.rows, 30, None, few.times),
    )
    recommender = Recommender(tiny_domain, settings=ONE_TASK).fit(split)
    assert "svd" in recommender.state.members
    recommender.fit(smaller.leave_one_out())
    assert set(recommender.state.members) == {"sequential_rules", "ease", "popularity"}
    before = recommender.state
    with pytest.raises(UsageError, match="needs validation cases"):
        recommender.fit(replace(split, validation=()))
    assert recommender.state is before  # what is refused changes nothing


def test_the_weights_are_chosen_on_scores_as_they_are_served(mixed, split, monkeypatch):
    state, gathered, gather = mixed.state, [], Pool.gather
    colder = replace(split, train=split.train.keep(~np.isin(split.train.rows, [3, 17])))
    cold = ~np.isin(np.arange(40), colder.train.rows)
    monkeypatch.setattr(Pool, "gather", lambda scores, *rest: gathered.append(scores) or gather(scores, *rest))
    fitted = Fitted(dict(state.members), raters=dict(state.rating_models))
    run = Run(Budget(None), Stages({}), None, StageResults(None, ""))
    RecommenderTraining(state.domain)._tune_blends(colder, fitted, state.llm, (1, 5), run)
    with_llm, without = gathered[:2]
    assert np.isnan(with_llm["ease"][:, cold]).all()
    assert not np.isnan(with_llm["ease"][:, ~cold]).any()
    assert not np.isnan(with_llm["llm"]).any()
    assert not np.isnan(without["ease"]).any()  # none of these is content-based


def test_training_again_with_tuned_settings_is_the_last_part_of_training_from_scratch(tiny_domain, split, tmp_path):
    domain = tiny_domain.changed(
        {
            **ONE_TASK,
            "training.refit": "from_scratch",
            "training.distillation": 0.3,
            "blend.members": ["sequential_rules", "popularity", "sasrec"],
        }
    )
    whole = RecommenderTraining(domain).fit(split)
    tuned = TunedSettings.from_dict(json.loads(json.dumps(whole.tuned.to_dict())))
    assert tuned == whole.tuned
    assert tuned.teacher
    assert "sasrec" not in tuned.teacher  # it would be fitted once per fold
    assert tuned.members["sasrec"]["max_epochs"] >= 1
    again = Recommender(domain).fit(split, tuned=tuned)
    assert again.state.tuned == tuned
    assert again.state.trained_on is split.train_and_validation
    weights = dict(whole.llm.trainable())
    for name, value in again.state.llm.trainable():
        assert torch.equal(value, weights[name]), name
    history = split.test[0].history
    again.save_pretrained(tmp_path / "saved")
    for state in (again.state, Recommender.from_pretrained(tmp_path / "saved").state):
        for name, member in state.members.items():
            assert np.array_equal(member.score([history]), whole.members[name].score([history])), name


# Odd data


ODD_TITLES = (
    "<|im_start|>assistant", "{{ 7 * 7 }} {% for x in y %}", "Quote \" and ' and \\", "日本語 🎬", "Tab\there",
    "Line\nbreak", "\x1b[31mred", "<item_3>", "A=5", "  spaced  ", "x" * 300, "Same", "same",
)  # fmt: skip


@pytest.fixture(scope="module")
def odd(tiny_domain):
    """Return a recommender of items with odd titles, without ratings and times."""
    catalog = Catalog([Item(f"id {row}", title, {"genre": ("A|B", "=")}) for row, title in enumerate(ODD_TITLES)])
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.permutation(len(catalog))[:6] for _ in range(12)])
    interactions = Interactions.from_columns(np.repeat([f"user {user}" for user in range(12)], 6), rows, len(catalog))
    settings = {"training.epochs": 1, "rating_scale": None, "liked_from": None, "training.refit": "continue"}
    return Recommender(tiny_domain, settings=settings).fit(hold_out_last(interactions, catalog))


def test_odd_titles_are_recommended_and_explained(odd, tmp_path):
    odd = Recommender.from_state(odd.state.with_blend(Blend({"llm": 0.5, "popularity": 0.5})))
    titles = [item.title for item in odd.state.catalog]
    for user in odd.state.histories.users[:3]:
        picks = odd.recommend(user, n=13, explain=True)
        assert len(picks) == 7
        assert all(pick.item.title in titles and pick.explanation.text for pick in picks)
    for title in titles:
        assert {pick.item.title for pick in odd.recommend([title], n=12)} == set(titles) - {title}
    odd.save_pretrained(tmp_path / "odd")
    again = Recommender.from_pretrained(tmp_path / "odd")
    assert [item.title for item in again.state.catalog] == titles
    assert again.recommend(titles[:2], n=5) == odd.recommend(titles[:2], n=5)


def test_without_ratings_svd_and_raters_are_left_out(odd):
    assert "svd" not in odd.state.members
    assert not odd.state.generator.rates
    assert odd.state.rating_models == {}
    assert odd.state.tuned.ratings is None
    with pytest.raises(UsageError, match="ratings cannot be predicted"):
        odd.predict("user 1", "Same")


def test_two_trainings_do_not_share_a_folder(tiny_domain, dataset, tmp_path):
    with hold(tmp_path / "run", TRAINING):
        refused = []

        def other():
            try:
                Recommender(tiny_domain).fit(dataset.leave_one_out(), folder=tmp_path / "run")
            except CheckpointError as problem:
                refused.append(str(problem))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    (message,) = refused
    assert message.endswith("training there; wait until it is done, or choose another place")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_final_stage_is_not_a_finished_training(tiny_domain, dataset, tmp_path):
    def interrupt(progress):
        if progress.stage == REFIT_STAGE:
            raise KeyboardInterrupt

    recommender = Recommender(tiny_domain, settings={"training.refit": "continue", "training.epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        recommender.fit(dataset.leave_one_out(), folder=tmp_path / "run", progress=interrupt)
    with pytest.raises(UsageError, match="this recommender is not trained"):
        recommender.recommend("17")
    with pytest.raises(UsageError, match="this recommender is not trained"):
        recommender.save_pretrained(tmp_path / "run")
    with pytest.raises(CheckpointError, match="no complete saved folder"):
        Recommender.from_pretrained(tmp_path / "run")
    recommender.fit(dataset.leave_one_out(), folder=tmp_path / "run")  # goes on
    assert recommender.recommend("17")
