"""Eight threads get the explanations of one, in every style."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from fakes import byte_tokenizer

from genre_gen.explain import writer
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from tests.explain.books import shipped_book
from tests.explain.test_evidence import ALIEN, ALIENS, ANNIE, CATALOG, DATA, DOMAIN, HEAT, NEW, SOLARIS, history
from tests.explain.test_writer import TinyModel

HISTORIES = [
    history((HEAT, 4), (SOLARIS, 4), (ANNIE, 2), (ALIEN, 5)),
    history((ANNIE, 5), (HEAT, 4)),
    history((ALIEN, 4), (SOLARIS, 5), (HEAT, 3)),
    history((SOLARIS, 4)),
]
REQUESTS = [(seen, rows) for seen in HISTORIES for rows in ([ALIENS, NEW], [NEW])]


@pytest.fixture(autouse=True)
def one_thread_each():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def exclusive(monkeypatch):
    """Let a tokenizer fail that two threads use at once: its options are one thread's at a time."""
    users = {}

    def guarded(method):
        def call(self, *arguments, **options):
            mine = threading.get_ident()
            nested = users.get(id(self)) == mine
            assert users.setdefault(id(self), mine) == mine, "one tokenizer, two threads"
            time.sleep(0.0005)
            try:
                return method(self, *arguments, **options)
            finally:
                if not nested:
                    del users[id(self)]

        return call

    for name in ("__call__", "decode"):
        owner = next(kind for kind in type(byte_tokenizer()).__mro__ if name in vars(kind))
        monkeypatch.setattr(owner, name, guarded(getattr(owner, name)))


def explainer(style):
    model = None if style == "template" else TinyModel()
    return Explainer(
        Evidence(CATALOG, DATA, DOMAIN), shipped_book("movies"), language_model=model, free=style == "free"
    )


def told(one, request):
    seen, rows = request
    return [(each.text, each.facts, each.method, each.draft) for each in one.explain_many(seen, rows)]


@pytest.mark.parametrize("style", ["template", "llm", "free"])
def test_eight_threads_explain_as_one(style, monkeypatch, exclusive):
    monkeypatch.setattr(writer, "MAX_TOKENS", 12)
    alone, shared = explainer(style), explainer(style)
    expected = [told(alone, request) for request in REQUESTS]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda request: told(shared, request), REQUESTS)) == expected
    assert expected[0][0][2] == style
