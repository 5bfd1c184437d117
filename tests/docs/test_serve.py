"""The guide "Serving" runs as it stands, against a server that the test starts."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import DOCS, Session, blocks
from tests.server.serving import serving

PAGE = DOCS / "guides" / "serve.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the guide asks by curl")
def test_the_guide_runs_as_it_stands(workplace, monkeypatch):
    with serving("movies", folder=workplace) as server:
        monkeypatch.setenv("GENRE_KEY", server.key)
        item = server.api().ask("GET", "/v1/movies/recommend?user=17&n=1")["items"][0]["item"]
        replaced = {"196": "17", "8000": str(urlsplit(server.url).port), "181": item}
        session = Session(replaced=replaced)
        for block in blocks(PAGE):
            session.run(block)
