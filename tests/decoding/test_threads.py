"""Many threads get, bit for bit, what one thread gets: one model, one small prefix cache, one processor.

A prompt that is read on from a cached one differs in rounding from one that is read whole. So the answers of one thread
are a set: one for every state that the user's cache entry can have, found by going through all of them.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fakes import tiny_llama

from genre_gen.decoding import onednn
from genre_gen.decoding.processors import CatalogOutlinesProcessor, Constraint
from genre_gen.decoding.search import search, search_many
from genre_gen.decoding.tree import TreeModel
from genre_gen.decoding.trie import Trie
from tests.decoding.test_tree import CODES, TEXT, wrap

PREFIX = [1, 2, 3, 4]
USERS, EVENTS, THREADS = 3, 3, 8
RANDOM = np.random.default_rng(7)
ITEMS = np.unique(RANDOM.integers(CODES, size=(60, 2)), axis=0)
HISTORIES = RANDOM.integers(5, TEXT, size=(USERS, 2 + 2 * EVENTS)).tolist()
FILTERS = RANDOM.random((EVENTS, len(ITEMS))) < 0.6


@pytest.fixture
def model(monkeypatch):
    """A decoder that is prepacked, so that a thread which reads without that is found out by its bits."""
    monkeypatch.setattr(onednn, "is_faster", lambda precision: precision == torch.float32)
    return tiny_llama(vocabulary=TEXT + CODES)


@pytest.fixture
def switching():
    """Let threads take turns as often as they can, and not wait for torch's own threads."""
    interval, n_threads = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-6)
    torch.set_num_threads(1)
    yield
    sys.setswitchinterval(interval)
    torch.set_num_threads(n_threads)


def bits(*arrays):
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


class Service:
    """Answers requests as a recommender does; a cache of so many bytes evicts all but two users."""

    def __init__(self, model, cache_bytes):
        self.model = wrap(model, cache_bytes=cache_bytes)
        self.trie = Trie.build(ITEMS, CODES)

    def ask(self, request):
        if not self.model.prefixes.shared:
            self.model.cache_prefix(PREFIX)
        user, event = request
        if user == "batch":
            rankings = search_many(self.model, [prompt(k, event) for k in range(USERS)], self.trie, 5, FILTERS[event])
            return bits(*(part for ranking in rankings for part in (ranking.rows, ranking.scores)))
        if user == "variants":
            variants = [prompt(event, EVENTS - 1)[:length] for length in (12, 11, 9, 12)]
            return bits(self.model.shared_prefix().prefill_many(variants).numpy())
        ranking = search(self.model.for_user(user), prompt(user, event), self.trie, 5, FILTERS[event])
        return bits(ranking.rows, ranking.scores)


def prompt(user, event):
    return [*PREFIX, *HISTORIES[user][: 4 + 2 * event]]


def possible_answers(model):
    """Return what one thread answers to each request, whatever it has cached of the user."""
    service = Service(model, 2**28)
    requests = [(name, event) for name in ("batch", "variants") for event in range(EVENTS)]
    answers = {request: {service.ask(request)} for request in requests}
    for user in range(USERS):
        states, waiting = set(), [None]
        while waiting:
            cached = waiting.pop()
            for event in range(EVENTS):
                cache = service.model.prefixes
                cache.by_user.clear()
                if cached is not None:
                    cache.put(user, cached)
                answers.setdefault((user, event), set()).add(service.ask((user, event)))
                entry = cache.by_user[user]
                state = bits(entry.ids.numpy(), *(part.numpy() for layer in entry.layers for part in layer))
                if state not in states:
                    states.add(state)
                    waiting.append(entry)
        assert len(states) < 500  # 31 here; rounding differs from machine to machine
    return answers


def test_threads_get_the_answers_of_a_single_thread(model, switching):
    with ThreadPoolExecutor(1) as pool:  # a thread like those below
        expected = pool.submit(possible_answers, model).result()
    assert not any(one & other for k, one in expected.items() for j, other in expected.items() if j != k)
    service, start = Service(model, 2 * longest(model).nbytes), threading.Barrier(THREADS)

    def ask_many(seed):
        random = np.random.default_rng(seed)
        requests = [(user, event) for event in range(EVENTS) for user in random.permutation(USERS).tolist()]
        requests += [list(expected)[k] for k in random.integers(len(expected), size=12)]
        start.wait()
        return [(request, service.ask(request)) for request in requests]

    with ThreadPoolExecutor(THREADS) as pool:
        answered = [pair for pairs in pool.map(ask_many, range(THREADS)) for pair in pairs]
    assert {request for request, answer in answered if answer not in expected[request]} == set()
    cache = service.model.prefixes
    assert 0 < len(cache.by_user) < USERS
    assert sum(entry.nbytes for entry in cache.by_user.values()) == cache.nbytes <= cache.max_bytes


def longest(model):
    """Return what is cached of a longest prompt."""
    service = Service(model, 2**28)
    service.ask((0, EVENTS - 1))
    return service.model.prefixes.by_user[0]


def test_a_running_request_caches_nothing_of_old_weights(model):
    """The weights change while ann's prompt is read, and bob asks before ann's answer is cached."""
    tree, plain = wrap(model), model.get_input_embeddings()
    tree.for_user("ann").prefill([PREFIX])

    def embed(ids):
        if not changed:
            changed.append(True)
            with torch.no_grad():
                model.model.layers[0].mlp.up_proj.weight.mul_(2)
            tree.for_user("bob").prefill([PREFIX])
        return plain(ids)

    changed: list[bool] = []
    tree = TreeModel(model.model, embed, tree.head, TEXT)
    tree.for_user("ann").prefill([[*PREFIX, 5, 6]])
    assert list(tree.prefixes.by_user) == ["bob"]
    _, logits = tree.for_user("ann").prefill([[*PREFIX, 5, 6]])
    assert torch.equal(logits, wrap(model).prefill([[*PREFIX, 5, 6]])[1])


def test_generations_of_two_threads_share_a_processor():
    constraint = Constraint(Trie.build(ITEMS, CODES), TEXT, 2)
    processor, logits = CatalogOutlinesProcessor(constraint), torch.zeros(1, TEXT + CODES)
    ids = torch.tensor([[5, 6, 7, TEXT + ITEMS[0, 0]]])

    def begin(prompt):
        processor.reset()
        processor.process_logits(prompt, logits)

    begin(ids[:, :3])
    other = threading.Thread(target=begin, args=(ids[:, :1],))
    other.start()
    other.join()
    assert torch.equal(processor.process_logits(ids, logits), constraint.scores(ids[:, 3:], logits))
