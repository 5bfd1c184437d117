"""The documentation as a site: it builds strictly, loads nothing from another host, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import BROWSER, Browser

import genre_gen
from tests.docs.pages import DOCS, PAGES, ROOT

LOADS = {  # elements that make a browser fetch something, and the attributes that say what
    ("script", "src"), ("img", "src"), ("img", "srcset"), ("iframe", "src"), ("source", "src"), ("source", "srcset"),
    ("video", "src"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("link", "href"),
}  # fmt: skip
NEVER_ASKED = {  # addresses in the theme's script -> what a page would have to contain for them to be asked
    "https://unpkg.com/mermaid@": 'class="mermaid"',
    "https://unpkg.com/resize-observer-polyfill": None,  # for browsers from before 2020
    "https://api.github.com/": 'data-md-component="source"',
    "https://gitlab.com/api/": 'data-md-component="source"',
}


class Page(HTMLParser):
    """What a page loads, links to, and can be linked at."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.text = file, file.read_text(encoding="utf-8")
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        for name, value in attrs:
            if value and (tag, name) in LOADS and given.get("rel") not in {"canonical", "prev", "next"}:
                self.loads.append(value)
            elif value and tag == "a" and name == "href":
                self.links.append(value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the site's folder and what the build printed."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(built: tuple[Path, str]) -> dict[str, Page]:
    """Return the pages by their place in the site."""
    folder, _ = built
    return {file.relative_to(folder).as_posix(): Page(file) for file in sorted(folder.rglob("*.html"))}


def test_it_builds_without_a_warning(built):
    assert "WARNING" not in built[1]
    assert len(re.findall("INFO", built[1])) == 3, built[1]  # cleaning, building, built: nothing to note


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc) and not address.startswith("data:")


def test_no_page_loads_anything_from_another_host(built, site):
    loaded = {address for page in site.values() for address in page.loads}
    assert any(address.endswith(".js") for address in loaded)
    assert not {address for address in loaded if is_elsewhere(address)}
    for page in site.values():
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", page.text), page.file


def test_no_style_and_no_script_loads_anything_from_another_host(built, site):
    folder, _ = built
    for file in folder.rglob("*.css"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import\s+(url)?['\"(]*(https?:)?//", text), file
    fetched = r"""(?:fetch|import|open|_t|src=|\w\()\(?\s*["'`](https?://[^"'`\s]+)"""
    for file in folder.glob("assets/javascripts/*.js"):
        for address in re.findall(fetched, file.read_text(encoding="utf-8")):
            known = [mark for start, mark in NEVER_ASKED.items() if address.startswith(start)]
            assert known, f"{file.name} may fetch {address}"
            assert not [name for name, page in site.items() if known[0] and known[0] in page.text]


def test_every_link_and_anchor_leads_somewhere(built, site):
    folder, _ = built
    broken = []
    for name, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme in {"http", "https", "mailto"}, f"{name}: {link}"
                continue
            path = unquote(parts.path)
            start = folder / path.lstrip("/") if path.startswith("/") else page.file.parent / path  # "/": of 404.html
            target = (start if path else page.file).resolve()
            target = target / "index.html" if target.is_dir() else target
            place = target.relative_to(folder.resolve()).as_posix() if target.is_relative_to(folder.resolve()) else ""
            no_anchor = parts.fragment and place in site and unquote(parts.fragment) not in site[place].anchors
            if not target.is_file() or no_anchor:
                broken.append(f"{name}: {link}")
    assert not broken
    assert sum(len(page.links) for page in site.values()) > 1000


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere_on_a_code_host_too(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = [urlsplit(link) for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link.path for link in links if not link.scheme and link.path and not (page.parent / link.path).exists()]
    assert not missing


class _Nav(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags for Python's own objects do not matter here."""


_Nav.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def pages_of(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list | dict):
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages_of(part)


def test_every_page_of_the_folder_is_in_the_navigation():
    listed = list(pages_of(yaml.load((ROOT / "mkdocs.yml").read_text(), _Nav)["nav"]))
    assert len(listed) == len(set(listed))
    assert {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")} <= set(listed)


def test_the_reference_has_every_public_name(site):
    anchors = set().union(*(page.anchors for name, page in site.items() if name.startswith("api/")))
    homes = {name: f"genre_gen.{home}.{name}" for name, home in genre_gen._HOMES.items()}
    missing = [name for name in genre_gen.__all__ if not {f"genre_gen.{name}", homes.get(name)} & anchors]
    assert not missing
    assert "genre_gen.Recommender.recommend" in anchors


def test_docstrings_are_shown_as_prose_and_code(site):
    for name, page in site.items():
        if name.startswith("api/"):
            assert not re.search(r":(class|meth|func|data|mod|attr):", page.text), name
            assert "<blockquote>" not in page.text, f"{name}: an example that is not shown as code"


@pytest.fixture
def served(built: tuple[Path, str]) -> Iterator[str]:
    """Serve the site on this machine, and return its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(built[0])))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_work_in_a_browser_that_reaches_no_other_host(served, tmp_path, scheme):
    with Browser(tmp_path) as browser:
        browser.call("Network.setBlockedURLs", urls=["https://*"])
        for page in ("index.html", "guides/own-data.html"):
            browser.open(f"{served}/{page}", 1200, scheme=scheme)
            asked = [one["request"]["url"] for one in browser.told("Network.requestWillBeSent")]
            assert asked
            assert not [url for url in asked if not url.startswith((served, "data:", "blob:"))]
            failed = [one for one in browser.told("Network.responseReceived") if one["response"]["status"] >= 400]
            assert not failed
            assert not browser.told("Runtime.exceptionThrown")
            assert browser.evaluate("document.querySelector('h1').innerText").strip()
            assert browser.evaluate("document.documentElement.scrollWidth") <= 1200
            colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", colour)[:3])) > 380) == (scheme == "light")
        assert browser.evaluate("document.querySelectorAll('.highlight').length") > 3
