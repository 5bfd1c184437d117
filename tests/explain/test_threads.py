"""Eight threads get the explanations of one, in every style."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from genre_gen.explain import writer
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


def explainer(style):
    model = None if style == "template" else TinyModel()
    return Explainer(CATALOG, DATA, DOMAIN, shipped_book("movies"), language_model=model, free=style == "free")


def told(one, request):
    seen, rows = request
    return [(each.text, each.facts, each.method, each.draft) for each in one.explain_many(seen, rows)]


@pytest.mark.parametrize("style", ["template", "llm", "free"])
def test_eight_threads_explain_as_one(style, monkeypatch):
    monkeypatch.setattr(writer, "MAX_TOKENS", 12)
    alone, shared = explainer(style), explainer(style)
    expected = [told(alone, request) for request in REQUESTS]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda request: told(shared, request), REQUESTS)) == expected
    assert expected[0][0][2] == style
