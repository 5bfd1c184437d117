from collections import Counter

import numpy as np
import pytest
import torch
from fakes import byte_tokenizer
from tiny_training import book_of

from genre_gen.codes import atomic
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import leave_one_out
from genre_gen.errors import ConfigError
from genre_gen.llm import task_mixture
from genre_gen.llm.encode import NO_TARGET, Encoded, Encoder
from genre_gen.llm.task_mixture import TaskMixture
from genre_gen.tasks import TaskData
from genre_gen.tasks.synthetic import synthetic

TEXT = 259  # ids of the byte tokenizer
CLOSED = {"rating", "fits", "similar", "intent"}  # tasks at exit depth that answer in words


@pytest.fixture(scope="module")
def make(tiny_domain, sample):
    """Return a function that makes a mixture over the sample's training data, with some settings changed."""
    catalog, interactions = sample
    train = leave_one_out(interactions, catalog).train

    def mix(changes=None, depth_share=0.5, data=train, context=None):
        weights = {f"tasks.{name}.weight": 0 for name in tiny_domain.tasks}
        domain = tiny_domain.changed({"training.batch_tokens": 512, **weights, **(changes or {})})
        encoder = Encoder(byte_tokenizer(), atomic(len(catalog)), TEXT)
        return TaskMixture(TaskData(catalog, data, domain), book_of(domain), encoder, depth_share, context=context)

    mix.train = train
    return mix


@pytest.fixture(scope="module")
def every(make, tiny_domain):
    """Return a mixture of all tasks, equally weighted."""
    return make({f"tasks.{name}.weight": 1 for name in tiny_domain.tasks})


def counts(mix, epochs=1):
    answers = mix.answers()
    return Counter(batch.task for number in range(epochs) for batch in mix.epoch(number, answers))


def same(one, other):
    return len(one) == len(other) and all(
        a.task == b.task
        and a.depth == b.depth
        and torch.equal(a.ids, b.ids)
        and torch.equal(a.target_ids, b.target_ids)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("windows", [{}, {"training.window": 4}])
def test_an_epoch_sees_every_interaction_once(make, windows):
    mix = make({"tasks.next_item.weight": 1, **windows})
    labels = torch.cat([batch.target_ids.flatten() for batch in mix.epoch(0, {})])
    targets = (labels[labels != NO_TARGET] - TEXT).tolist()
    assert Counter(targets) == Counter(make.train.rows.tolist())


def test_examples_longer_than_the_context_are_refused_before_training(make):
    longest = max(batch.ids.shape[1] for batch in make({"tasks.next_item.weight": 1}).epoch(0, {}))
    make({"tasks.next_item.weight": 1}, context=longest).epoch(0, {})
    with pytest.raises(ConfigError, match=r"next_item: an example has \d+ tokens, .* lower training.window"):
        make({"tasks.next_item.weight": 1}, context=50).epoch(0, {})
    found = make({"tasks.description.weight": 1}, context=150).epoch(0, {})  # at full depth it is left out
    assert max(batch.ids.shape[1] for batch in found) <= 150


def test_weights_decide_how_many_batches(make):
    mix = make({"tasks.next_item.weight": 2, "tasks.rating.weight": 1, "tasks.title.weight": 4, "tasks.fits.weight": 0})
    found = counts(mix, epochs=6)
    assert set(found) == {"next_item", "rating", "title"}
    assert found["rating"] == pytest.approx(found["next_item"] / 2, abs=6)
    assert found["title"] == pytest.approx(found["next_item"] * 2, abs=6)


def test_small_weights_count_too(make):
    mix = make({"tasks.next_item.weight": 1, "tasks.rating.weight": 0.05, "training.batch_tokens": 1024})
    answers, epochs = mix.answers(), 60
    each = [Counter(batch.task for batch in mix.epoch(number, answers)) for number in range(epochs)]
    expected = 0.05 * each[0]["next_item"]
    assert expected < 0.7  # less than a batch each epoch
    assert sum(one["rating"] for one in each) == pytest.approx(expected * epochs, rel=0.5)


def test_without_the_main_task_the_data_says_how_many(make):
    mix = make({"tasks.rating.weight": 1.0})
    found = counts(mix)
    assert set(found) == {"rating"}
    assert found["rating"] == pytest.approx(len(make.train) / 512, abs=1.5)


def test_the_same_seed_gives_the_same_batches(make):
    settings = {"tasks.next_item.weight": 1, "tasks.similar.weight": 1, "tasks.description.weight": 1}
    one, other = make(settings), make(settings)
    answers = one.answers()
    assert same(one.epoch(3, answers), other.epoch(3, answers))
    assert same(one.epoch(3, answers), one.epoch(3, answers))  # in whatever order epochs are asked for
    assert not same(one.epoch(3, answers), one.epoch(4, answers))
    reseeded = make({**settings, "training.seed": 1})
    assert not same(one.epoch(3, answers), reseeded.epoch(3, answers))


def test_batches_are_padded_on_the_right_and_stay_within_their_tokens(every, tiny_domain):
    batches = every.epoch(0, every.answers())
    assert {batch.task for batch in batches} == set(tiny_domain.tasks)
    for batch in batches:
        assert batch.depth == tiny_domain.tasks[batch.task].depth
        assert batch.ids.shape == batch.target_ids.shape
        limit = 512 if batch.depth == "exit" else 256
        assert len(batch.ids) == 1 or batch.ids.numel() <= limit
        chosen = batch.target_ids != NO_TARGET
        if batch.task not in CLOSED:
            assert torch.equal(batch.ids[chosen], batch.target_ids[chosen])
        assert chosen.any(dim=1).all() or batch.task in CLOSED
        assert not chosen[:, 0].any()  # nothing stands before the first token to predict it from
        assert int(batch.ids.max()) < TEXT + 40
    ids = torch.cat([batch.ids.flatten() for batch in batches if len(batch.ids) > 1])
    assert (ids == 0).float().mean() < 0.1  # little is padding


def test_answers_are_the_words_of_tasks_at_exit_depth(every):
    answers = every.answers()
    assert set(answers) == CLOSED
    tokenizer = byte_tokenizer()
    assert "".join(tokenizer.convert_ids_to_tokens(answers["rating"].flatten().tolist())) == "12345"
    for ids in answers.values():
        assert ids.dtype == torch.int64
        assert ids.shape[1] == 1  # words are said token by token, and ratings here have one digit
        assert torch.equal(ids, ids.unique(dim=0))
        assert int(ids.max()) < TEXT
    for batch in every.epoch(1, answers):
        if batch.task in CLOSED:
            chosen = batch.target_ids != NO_TARGET
            assert torch.equal(answers[batch.task][batch.target_ids[chosen], 0], batch.ids[chosen])


def test_a_rating_of_several_tokens_is_one_answer(make):
    log = make.train
    tens = Interactions(log.users, log.offsets, log.rows, log.n_items, log.ratings * 2.5, log.times)
    mix = make({"tasks.rating.weight": 1}, data=tens)
    answers, tokenizer = mix.answers(), byte_tokenizer()
    said = [tokenizer.decode([token for token in row if token >= 0]) for row in answers["rating"].tolist()]
    assert sorted(map(float, said)) == [2.5, 5, 7.5, 10, 12.5]
    found = Counter()
    for batch in mix.epoch(0, answers):
        for row, column in (batch.target_ids != NO_TARGET).nonzero().tolist():
            word = said[int(batch.target_ids[row, column])]
            begin = batch.ids[row, column : column + len(word)].tolist()
            assert tokenizer.decode(begin) == word
            found[word] += 1
    assert {"10", "12.5"} <= set(found)  # some ratings are rare


def test_a_word_that_is_not_an_answer_is_not_learned(every):
    without_five = {**every.answers(), "rating": every.answers()["rating"][:-1]}
    five, number = int(every.answers()["rating"][-1]), len(without_five["rating"])
    batches = [batch for batch in every.epoch(0, without_five) if batch.task == "rating"]
    labels = torch.cat([batch.target_ids.flatten() for batch in batches])
    ids = torch.cat([batch.ids.flatten() for batch in batches])
    assert five in ids
    assert number not in labels
    assert (labels != NO_TARGET).any()


def test_a_task_without_examples_has_no_batches(make):
    train = make.train
    unrated = type(train)(train.users, train.offsets, train.rows, train.n_items, None, train.times)
    mix = make({"tasks.next_item.weight": 1, "tasks.rating.weight": 1}, data=unrated)
    assert set(counts(mix)) == {"next_item"}
    assert mix.answers() == {}


def test_unlearnable_settings_are_refused(make):
    with pytest.raises(ConfigError, match="no task 'nextitem', did you mean 'next_item'"):
        make({"tasks.nextitem.weight": 1.0})
    with pytest.raises(ConfigError, match="nothing to learn"):
        make()


def test_an_example_longer_than_a_batch_is_a_batch(make):
    mix = make({"tasks.next_item.weight": 1, "training.batch_tokens": 8})
    batches = mix.epoch(0, {})
    assert all(len(batch.ids) == 1 for batch in batches)
    assert len(batches) == int((np.diff(make.train.offsets) > 1).sum())


def test_batches_of_any_lengths_stay_within_their_tokens(make):
    mix, rng = make({"tasks.next_item.weight": 1, "training.batch_tokens": 64}), np.random.default_rng(0)
    for _ in range(50):
        lengths = rng.integers(1, 30, 40)
        pool = [Encoded(np.full(length, 9, np.int32), np.full(length, NO_TARGET, np.int32), 0) for length in lengths]
        batches = mix._batches("next_item", pool, rng)
        assert sum(int((batch.ids == 9).sum()) for batch in batches) == lengths.sum()
        assert all(batch.ids.numel() <= 64 for batch in batches)


@pytest.fixture
def shards(monkeypatch):
    """Make every epoch in shards of five examples."""
    monkeypatch.setattr(task_mixture, "WHOLE_UP_TO", 0)
    monkeypatch.setattr(task_mixture, "SHARD", 5)


@pytest.mark.parametrize("window", [4, 200])
def test_an_epoch_in_shards_sees_every_interaction_once(make, shards, window):
    mix = make({"tasks.next_item.weight": 1, "training.window": window})
    labels = torch.cat([batch.target_ids.flatten() for batch in mix.epoch(0, {})])
    assert Counter((labels[labels != NO_TARGET] - TEXT).tolist()) == Counter(make.train.rows.tolist())


def test_the_number_of_batches_is_known_before_they_are_made(make, tiny_domain, shards):
    weights = {f"tasks.{name}.weight": 1 for name in tiny_domain.tasks}
    mix = make({**weights, "tasks.rating.weight": 2, "training.synthetic": 0.5})
    answers = mix.answers()
    epoch = mix.epoch(1, answers)
    batches = list(epoch)
    found = Counter(batch.task for batch in batches)
    assert len(epoch) == len(batches)
    whole = len(mix._parts) // 5
    assert whole > 2
    assert found["rating"] == pytest.approx(2 * found["title"], abs=2)
    synthetic = sum(
        1 for batch in batches if batch.task == "next_item" and (batch.origins[batch.ids >= TEXT] < 0).any()
    )
    assert synthetic == pytest.approx(found["next_item"] / 3, abs=2)
    assert same(batches, list(mix.epoch(1, answers)))
    assert not same(batches, list(mix.epoch(2, answers)))
    again = make({**weights, "tasks.rating.weight": 2, "training.synthetic": 0.5}).epoch(1, answers)
    for place in (len(again) - 1, 0, len(again) // 2, -1):  # in any order, as a training that resumes asks
        assert same([again[place]], [batches[place]])
    assert same(again[1:3], batches[1:3])
    with pytest.raises(IndexError):
        again[len(again)]


def test_a_task_without_examples_has_no_place_in_shards(make, shards):
    log = make.train
    unrated = Interactions(log.users, log.offsets, log.rows, log.n_items, None, log.times)
    epoch = make({"tasks.next_item.weight": 1, "tasks.rating.weight": 1}, data=unrated).epoch(0, {})
    assert {batch.task for batch in epoch} == {"next_item"}


def test_batches_of_shards_stay_near_their_tokens(make, shards):
    for packed in (True, False):
        mix = make({"tasks.next_item.weight": 1, "training.batch_tokens": 256, "training.window": 8})
        mix._packs = packed
        batches = list(mix.epoch(0, {}))
        assert all((batch.owners is not None) == packed for batch in batches)
        assert max(batch.ids.numel() for batch in batches) <= 256


def test_answers_that_stay_the_same_end_the_search_for_them(make, monkeypatch):
    mix = make({"tasks.fits.weight": 1})
    asked = []
    encoded = mix._encoded
    monkeypatch.setattr(mix, "_encoded", lambda *args: (asked.append(one) or one for one in encoded(*args)))
    whole = mix.answers()
    everything = len(asked)
    monkeypatch.setattr(task_mixture, "SETTLED", 5)
    assert torch.equal(mix.answers()["fits"], whole["fits"])
    assert len(asked) - everything < everything


def test_origins_are_the_interactions_that_items_stand_for(make):
    mix = make({"tasks.next_item.weight": 1, "training.window": 6})
    found = []
    for batch in mix.epoch(0, {}):
        places = batch.origins >= 0
        assert (make.train.rows[batch.origins[places].numpy()] == batch.ids[places].numpy() - TEXT).all()
        assert (batch.origins[batch.target_ids != NO_TARGET] >= 0).all()
        found += batch.origins[places].tolist()
    assert len(set(found)) == len(make.train)  # every user of the sample has two items or more
    assert not same(mix.epoch(0, {}), mix.epoch(1, {}))


def test_similar_texts_are_of_warm_items(make, tiny_domain, sample):
    catalog, _ = sample
    rare = int(make.train.rows[0])
    without = make.train.keep(make.train.rows != rare)
    similar = TaskData(catalog, without, tiny_domain).text_similarity
    assert similar[:, [rare]].nnz == 0
    assert similar[[rare]].nnz > 0
    assert similar.diagonal().sum() == 0


def test_in_a_synthetic_history_one_item_replaces_a_similar_one(make, tiny_domain, sample):
    catalog, train = sample[0], make.train
    data = TaskData(catalog, train, tiny_domain.changed({"training.window": 6}))
    similar, found = data.text_similarity, list(synthetic(data, 200, np.random.default_rng(0)))
    assert len(found) > 100
    for history, context, origins in found:
        (place,) = np.flatnonzero(origins < 0)
        assert context == place
        assert 2 <= len(history) <= 6
        real = np.delete(origins, place)
        assert (np.delete(history.rows, place) == train.rows[real]).all()
        taken = real[place] - 1 if place < len(real) else real[-1] + 1
        assert similar[history.rows[place], train.rows[taken]] > 0
        assert len(set(history.rows.tolist())) == len(history)


def test_rare_items_are_inserted_most_often(make, tiny_domain, sample):
    catalog, rare = sample[0], int(make.train.rows[0])
    data = TaskData(catalog, make.train.keep(make.train.rows != rare), tiny_domain)
    drawn = Counter(
        int(history.rows[context]) for history, context, _ in synthetic(data, 3000, np.random.default_rng(0))
    )
    assert drawn.most_common(1)[0][0] == rare


def test_synthetic_histories_join_the_real_ones_as_often_as_asked_for(make):
    without, half = (make({"tasks.next_item.weight": 1, "training.synthetic": share}) for share in (0, 0.5))
    made_up = [
        int(((batch.origins < 0) & (batch.ids >= TEXT)).sum()) for mix in (without, half) for batch in mix.epoch(0, {})
    ]
    histories = int((np.diff(make.train.offsets) > 1).sum())
    assert 0.3 * histories < sum(made_up) <= 0.5 * histories + 1
    assert not any((batch.origins[batch.ids >= TEXT] < 0).any() for batch in without.epoch(0, {}))


def test_examples_are_packed_if_the_instruction_is_independent_of_the_user(make):
    mix = make({"tasks.next_item.weight": 1, "tasks.fits.weight": 1})
    shared = set()
    for batch in mix.epoch(0, mix.answers()):
        assert (batch.owners is None) == (batch.task == "fits")
        if batch.owners is not None:
            shared |= {tuple(ids[owners == 0].tolist()) for ids, owners in zip(batch.ids, batch.owners, strict=True)}
    assert len(shared) == 1
