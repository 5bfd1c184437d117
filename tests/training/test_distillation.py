"""The teacher: what it says is known by construction, and it never saw the history that it teaches on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen import Recommender
from genre_gen.collaborative import Ease, Popularity, SequentialRules
from genre_gen.collaborative.base import CollaborativeModel
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import leave_one_out
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError, UsageError
from genre_gen.training.distillation import Teacher, fit_temperature
from genre_gen.training.llm_training import choose_teacher

WEIGHTS = {"ease": 0.5, "sequential_rules": 0.5}
MEMBERS = {"ease": Ease, "sequential_rules": SequentialRules}


def interactions_of(histories, n_items):
    owners = [str(user) for user, rows in enumerate(histories) for _ in rows]
    return Interactions.from_columns(owners, np.concatenate(histories).astype(np.int64), n_items)


def random_interactions(seed=0, users=30, n_items=12):
    rng = np.random.default_rng(seed)
    return interactions_of([rng.permutation(n_items)[: rng.integers(1, 9)] for _ in range(users)], n_items)


class Fixed(CollaborativeModel):
    """Scores items always the same, and remembers what it was fitted on."""

    name = "fixed"

    def __init__(self, scores, log=None):
        self.scores, self.log = np.asarray(scores, np.float32), [] if log is None else log

    def fit(self, interactions):
        self.users = set(interactions.users)
        return self

    def score(self, histories):
        self.log += [(history.user, len(history), self.users) for history in histories]
        return np.tile(self.scores, (len(histories), 1))

    def arrays(self):
        return {}

    def settings(self):
        return {}

    @classmethod
    def from_arrays(cls, arrays, settings):
        raise NotImplementedError


def test_a_soft_target_is_the_softmax_over_unseen_items():
    scores, temperature = np.array([3.0, 2.0, 1.0, 0.0, -1.0]), 0.5
    known = interactions_of([[0, 2, 1], [4, 3]], 5)
    targets = Teacher({"fixed": lambda: Fixed(scores)}, {"fixed": 1.0}, temperature, folds=2, top=2)(known)
    assert (targets.shares[[0, 3]] == 0).all()  # the first item of each history
    for place, allowed, best in ((1, [1, 2, 3, 4], [1, 2]), (2, [1, 3, 4], [1, 3]), (4, [0, 1, 2, 3], [0, 1])):
        own = scores[allowed]
        likely = np.exp((scores[best] - own.mean()) / own.std() / temperature)
        assert targets.rows[place].tolist() == best
        assert targets.shares[place] == pytest.approx(likely / likely.sum(), rel=2e-3)


def test_members_are_blended_by_their_weights():
    known = interactions_of([[0, 1], [0, 1]], 4)
    makers = {"one": lambda: Fixed([0, 0, 3, 1]), "two": lambda: Fixed([0, 0, 10, 30]), "none": lambda: 1 / 0}
    first = Teacher(makers, {"one": 0.9, "two": 0.1, "none": 0.0}, folds=2, top=1)(known)
    second = Teacher(makers, {"one": 0.1, "two": 0.9}, folds=2, top=1)(known)
    assert first.rows[1, 0] == 2
    assert second.rows[1, 0] == 3


def test_a_user_s_soft_targets_come_from_models_of_others():
    known, log = random_interactions(), []
    Teacher({"fixed": lambda: Fixed(np.arange(12), log)}, {"fixed": 1.0}, folds=4)(known)
    assert all(user not in users for user, _, users in log)
    assert {frozenset(users) for *_, users in log} != {frozenset(known.users)}
    asked = sorted((user, length) for user, length, _ in log)
    lengths = dict(zip(known.users, np.diff(known.offsets).tolist(), strict=True))
    assert asked == sorted((user, place) for user in known.users for place in range(1, lengths[user]))


def test_a_transition_of_a_single_user_is_not_a_target_of_that_user():
    histories = [[0, 1, 2, 3]] * 6 + [[4, 5]]
    known = interactions_of(histories, 6)
    targets = Teacher({"sequential_rules": SequentialRules}, {"sequential_rules": 1.0}, folds=3, top=1)(known)
    likeliest = targets.rows[:, 0][targets.shares[:, 0] > 0]
    assert 5 not in likeliest.tolist()
    assert (targets.shares[-1] == 0).all()  # nobody else had item 4: nothing is known
    assert (targets.rows[[1, 2, 3], 0] == [1, 2, 3]).all()


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(1, 20), st.booleans())
@settings(max_examples=30, deadline=None)
def test_shares_sum_to_1_and_seen_items_are_left_out(seed, folds, top, repeat):
    known = random_interactions(seed)
    targets = Teacher(MEMBERS, WEIGHTS, folds=folds, top=top, repeat=repeat)(known)
    assert targets.rows.shape == targets.shares.shape == (len(known), min(top, 12))
    assert (targets.rows.dtype, targets.shares.dtype) == (np.int32, np.float16)
    sums = targets.shares.astype(np.float64).sum(axis=1)
    assert np.where(sums > 0, sums, 1.0) == pytest.approx(np.ones(len(known)), abs=3e-3)
    assert (sums[known.offsets[:-1]] == 0).all()
    assert (np.diff(targets.shares.astype(np.float64), axis=1) <= 0).all()
    for user in range(len(known.users)):
        begin, end = known.offsets[user : user + 2]
        for place in range(begin, end):
            assert sums[place] == 0 or len(set(targets.rows[place].tolist())) == targets.rows.shape[1]
            named = targets.rows[place][targets.shares[place] > 0]
            assert repeat or not np.isin(named, known.rows[begin:place]).any()


def test_batch_sizes_do_not_change_results():
    known = random_interactions()
    one, other = (Teacher(MEMBERS, WEIGHTS, batch=batch)(known) for batch in (1, 1000))
    assert one.shares == pytest.approx(other.shares, abs=1e-3)
    same = one.shares[:, 0] > one.shares[:, 1]  # where nothing ties
    assert (one.rows[same, 0] == other.rows[same, 0]).all()


def test_there_are_no_soft_targets_without_other_users():
    targets = Teacher(MEMBERS, WEIGHTS)(interactions_of([[0, 1, 2]], 4))
    assert (targets.shares == 0).all()


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"top": 0}, {"temperature": 0.0}, {"batch": 0}])
def test_numbers_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="folds must be at least 2"):
        Teacher(MEMBERS, WEIGHTS, **wrong)(random_interactions())


def test_a_teacher_without_weights_is_refused():
    with pytest.raises(UsageError, match="none of the members ease, sequential_rules has a weight"):
        Teacher(MEMBERS, {"ease": 0.0, "llm": 1.0})(random_interactions())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_the_temperature_that_made_the_choices_is_found(temperature):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 20))
    scores[:, 0] = -np.inf
    targets = (scores / temperature + rng.gumbel(size=scores.shape)).argmax(axis=1)
    assert fit_temperature(scores, targets) == pytest.approx(temperature, rel=0.1)


def test_without_a_case_to_go_by_the_temperature_is_1():
    assert fit_temperature(np.array([[-np.inf, 1.0]]), np.array([0])) == 1.0


def test_a_teacher_is_chosen_on_validation_cases():
    known = random_interactions(users=60)
    split = leave_one_out(known, [None] * 12)
    domain = Domain.load("movies").changed({"training.distillation": 0.5})
    makers = {**MEMBERS, "popularity": Popularity}
    fitted = {name: make().fit(split.train) for name, make in makers.items()}
    teacher = choose_teacher(domain, makers, fitted, split.validation, 12)
    targets = teacher(split.train)
    assert len(targets) == len(split.train)
    assert (targets.shares.sum(axis=1) > 0).any()
    assert choose_teacher(domain, {}, {}, split.validation, 12) is None
    assert choose_teacher(domain.changed({"training.distillation": 0}), makers, fitted, split.validation, 12) is None


def test_a_recommender_learns_from_its_members(tiny_domain, sample):
    catalog, interactions = sample
    split = leave_one_out(interactions, catalog)
    domain = tiny_domain.changed({"training.distillation": 0.5, "training.epochs": 1, "training.refit_epochs": 1})
    recommender = Recommender(domain, settings={"training.refit": "continue"}).fit(split)
    assert len(recommender.recommend([catalog[0].title], n=5)) == 5
    alone = domain.changed({"blend.members": []})
    with pytest.raises(ConfigError, match=r"name some in blend\.members"):
        Recommender(alone).fit(split)
