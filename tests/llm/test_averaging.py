from itertools import pairwise

import numpy as np
import pytest
import torch

from genre_gen.llm.averaging import Trained, weights
from genre_gen.prompting.book import PromptBook
from genre_gen.training.llm_training import build_generator, train


class KilledError(Exception):
    pass


def generator_of(domain, sample, **changes):
    catalog, interactions = sample
    domain = domain.changed(
        {"training.batch_tokens": 160, **{f"training.{key}": each for key, each in changes.items()}}
    )
    return build_generator(domain, PromptBook.load(domain), catalog, interactions.leave_one_out().train)


def trained(domain, sample, folder=None, on_step=None, validation=(), **changes):
    generator = generator_of(domain, sample, **changes)
    return generator, train(generator, validation, folder, on_step)


@pytest.fixture(scope="module")
def cases(sample):
    return sample[1].leave_one_out().validation


def test_the_mean_of_trainings_with_other_seeds_from_the_same_start(tiny_domain, sample):
    both, _ = trained(tiny_domain, sample, runs=2)
    start = generator_of(tiny_domain, sample)  # adapters start from random numbers: those of the first seed
    single = []
    for seed in (0, 7919):
        one = generator_of(tiny_domain, sample)
        train(one, (), None, training=one.data.domain.training.model_copy(update={"seed": seed}))
        single.append(weights(one.llm))
    for name, value in both.llm.trainable():
        torch.testing.assert_close(value, (single[0][name] + single[1][name]) / 2)
    assert any(not torch.equal(single[0][name], value) for name, value in single[1].items())
    assert any(not torch.equal(single[0][name], value) for name, value in weights(start.llm).items())


def test_each_is_stopped_by_its_own_validations_and_the_mean_is_told(tiny_domain, sample, cases):
    generator, told = trained(tiny_domain, sample, validation=cases, runs=3, epochs=2)
    assert [entry.get("run") for entry in told.log if "averaged" not in entry] == [1, 1, 2, 2, 3, 3]
    means = [entry for entry in told.log if "averaged" in entry]
    assert [entry["averaged"] for entry in means] == [2, 3]
    assert told.log[-1] is means[-1]
    assert len(told.best) == 3
    assert set(told.best) <= {1.0, 2.0}
    seconds = [entry["seconds"] for entry in told.log]
    assert all(later > earlier - 0.1 for earlier, later in pairwise(seconds))  # told to a tenth
    assert told.seconds == pytest.approx(seconds[-1], abs=0.1)
    scores = generator.score([case.history for case in cases])
    assert np.isfinite(scores[:, 0]).any()


def test_killed_in_the_second_run_it_goes_on_to_the_same_weights(tiny_domain, sample, tmp_path, cases):
    whole, _ = trained(tiny_domain, sample, validation=cases, runs=2)

    def kill(tuner):
        tuner.checkpoint_seconds = 0
        if tuner.number == 1 and tuner.progress.step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        trained(tiny_domain, sample, tmp_path, kill, validation=cases, runs=2)
    shares = []
    again, _ = trained(
        tiny_domain, sample, tmp_path, lambda one: shares.append(one.overall_share()), validation=cases, runs=2
    )
    assert shares[0] == 0.5  # the first run is not done again
    assert shares == sorted(shares)
    assert shares[-1] == 1
    expected = weights(whole.llm)
    assert all(torch.equal(value, expected[name]) for name, value in again.llm.trainable())


def test_time_is_shared_by_the_runs(tiny_domain, sample):
    limits = set()
    trained(tiny_domain, sample, None, lambda one: limits.add(one.training.max_minutes), runs=2, max_minutes=4.0)
    assert limits == {2.0}


@pytest.mark.parametrize(
    ("best", "epochs"),
    [([3.0], 3), ([1.0, 2.0], 2), ([0.75], 1), ([4 / 3, 5 / 3, 3.0], 2), ([0.001], 1), ([], None)],
)
def test_the_epochs_of_several_are_their_mean_rounded_up(best, epochs):
    assert Trained(best=best).epochs == epochs


def test_a_single_training_is_as_always(tiny_domain, sample, cases):
    _, told = trained(tiny_domain, sample, validation=cases, epochs=2)
    assert isinstance(told, Trained)
    assert [set(entry) & {"run", "averaged"} for entry in told.log] == [set(), set()]
    figures = [entry["ndcg@10"] for entry in told.log]
    assert told.best == [int(np.argmax(figures)) + 1]
