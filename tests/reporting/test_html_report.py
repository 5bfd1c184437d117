import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from browser import BROWSER, Browser
from fakes import altered, break_language_model

from genre_gen import Catalog, Interactions, Item
from genre_gen.data.titles import article_first
from genre_gen.errors import UnknownUserError, UsageError
from genre_gen.reporting import html_report as pages
from genre_gen.reporting.html_report import page, write_page

VOID = {"meta", "link", "br", "img", "input", "rect", "line"}


class Reader(HTMLParser):
    """Reads a page: its tags, its text, and what is not closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.open, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def attributed(monkeypatch):
    """Let a recommender say that the last item spoke for a pick, the first against it."""

    def contributions(state, history, picks):
        effects = [
            SimpleNamespace(item=state.catalog[int(row)], llm=float(number) - 1, blend=0.25)
            for number, row in enumerate(history.rows[-3:])
        ]
        return [SimpleNamespace(items=tuple(effects))] * len(picks)

    monkeypatch.setattr(pages, "contributions", contributions)


def text_of(html):
    return " ".join(" ".join(Reader(html).text).split())


def test_the_page_tells_who_what_and_why(mixed, monkeypatch):
    attributed(monkeypatch)
    html = page(mixed, ["17", "3"], n=3)
    read, text = Reader(html), text_of(html)
    assert read.open == []
    assert read.tags.count("article") == 2
    for user in ("17", "3"):
        history = mixed.state.histories.history(user)
        assert f"{len(history)} items" in text
        assert all(article_first(mixed.state.catalog[row].title) in text for row in history.rows.tolist())
        for pick in mixed.recommend(user, n=3, explain=True):
            assert article_first(pick.item.title) in text
            assert f"{pick.score:.2f}" in text
            assert pick.explanation.text in "".join(read.text)
            assert all(f"{name} {part:+.2f}" in text for name, part in pick.parts.items())
            assert all(fact.text(mixed.state.catalog) in text for fact in pick.explanation.facts)
    assert text.count("+1.00") == 6  # the last item of each pick's history
    assert "<item_" in text  # codes, as the model saw them


def test_what_an_explanation_cites_is_marked_among_the_effects(mixed):
    effects = [SimpleNamespace(item=mixed.state.catalog[row], llm=row / 10, blend=0.0) for row in range(9)]
    drawn = list(pages._effects(effects, {mixed.state.catalog[7].id}))
    assert [effect.llm.value for effect in drawn] == [0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    assert [effect.cited for effect in drawn] == [False, True, False, False, False, False]
    assert drawn[0].llm.x == drawn[0].llm.width == 50


def test_the_page_reports_a_failing_language_model(mixed):
    assert "What it depends on" in page(mixed, ["17"], n=1)
    break_language_model(mixed)
    html = page(mixed, ["17"], n=1)
    assert "the language model failed" in text_of(html)
    assert "What it depends on" not in html


def test_what_a_rule_pinned_is_marked(mixed):
    assert "pinned by a rule" not in page(mixed, ["17"], n=3)
    ruled = altered(mixed, {"rules": {"pins": ["Casablanca"], "boosts": {"year > 1900": 0.5}}})
    read = Reader(page(ruled, ["17"], n=3))
    text = "".join(read.text)
    assert read.open == []
    assert text.count("pinned by a rule") == 1
    assert "Casablanca (1942) was placed here by an editor." in text
    assert text.count("boost +0.50") == 3
    assert "Asked to explain a pick" in text
    assert "Asked to explain" not in "".join(Reader(page(ruled, ["17"], n=1)).text)  # nothing but the pin


def test_headings_go_down_one_step_at_a_time(mixed):
    levels = [int(tag[1]) for tag in Reader(page(mixed, ["17"])).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))


def test_bars_are_as_long_as_what_they_stand_for(mixed):
    pick = mixed.recommend("17", n=1)[0]
    members = list(pick.parts)
    parts = {**pick.parts, members[0]: -1.0, members[1]: 3.0}
    bars = list(pages._stacked(parts, members, zero=20.0, unit=10.0))
    assert [bar.width for bar in bars] == [abs(value) * 10 for value in parts.values()]
    assert bars[0].x == 10
    assert bars[0].x + bars[0].width == bars[1].x == 20
    right = [bar for bar in bars if bar.value >= 0]
    for one, other in itertools.pairwise(right):
        assert one.x + one.width == pytest.approx(other.x)


def test_evidence_is_marked_and_the_text_is_whole(mixed):
    for pick in mixed.recommend("17", n=5, explain=True):
        pieces = list(pages._highlighted(mixed, pick.explanation))
        assert "".join(piece.text for piece in pieces) == pick.explanation.text
        marked = {piece.text.casefold() for piece in pieces if piece.kind}
        for fact in pick.explanation.facts:
            assert any(value.casefold() in marked for value in fact.values) or not fact.values


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe \x00\x1b[2J \ud800",
    "' onmouseover='alert(1)",
    "<!-- <base href=//evil.example>",
)


@pytest.fixture
def hostile(mixed):
    """Return a recommender whose titles, labels and user are attacks."""
    items = []
    for row, item in enumerate(mixed.state.catalog):
        bad = HOSTILE[row % len(HOSTILE)]
        values = {"genre": (bad, *item.attributes["genre"]), "year": item.attributes["year"]}
        items.append(Item(item.id, f"{bad} {item.title}", values, bad))
    return altered(mixed, catalog=Catalog(items, "movies"))


def test_hostile_data_is_inert(hostile, monkeypatch):
    attributed(monkeypatch)
    html = page(hostile, ["17"], n=5)
    read = Reader(html)
    assert read.open == []
    assert not {"script", "img", "base", "iframe", "object", "embed", "link", "a", "form"} & set(read.tags)
    assert read.tags.count("style") == 1
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in {"style", "src", "href"}]
    assert "<script>alert(1)</script>" in "".join(read.text)  # as text
    assert "{{ 7 * 7 }}" in "".join(read.text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202a-\u202e\ud800-\udfff]", html)
    html.encode("utf-8")


def test_the_policy_allows_the_one_style_sheet_and_nothing_else(mixed):
    html = page(mixed, ["17"])
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in html
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"url\(|@import", style)


def test_users_without_ratings_or_times_have_a_page(mixed):
    known = mixed.state.histories
    plain = altered(mixed, histories=Interactions(known.users, known.offsets, known.rows, known.n_items))
    text = text_of(page(plain, ["17"]))
    summary = text.split("User 17")[1].split("What they")[0]
    assert "items" in summary
    assert "rated" not in summary
    assert "from" not in summary


def test_it_is_written_where_asked(mixed, tmp_path):
    assert write_page(mixed, ["17"], tmp_path / "new" / "page.html").read_text("utf-8") == page(mixed, ["17"])


def test_mistakes_are_told(mixed):
    with pytest.raises(UsageError, match="no users: give at least one user id"):
        page(mixed, [])
    with pytest.raises(UsageError, match="ask for at least one item"):
        page(mixed, ["17"], n=0)
    with pytest.raises(UnknownUserError):
        page(mixed, ["nobody"])


# In a browser


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_errors_or_requests(hostile, monkeypatch, tmp_path, width):
    attributed(monkeypatch)
    file = write_page(hostile, ["17", "3"], tmp_path / "page.html")
    with Browser(tmp_path / "profile") as browser:
        for scheme in ("light", "dark"):
            browser.open(file, width, scheme=scheme)
            browser.screenshot(tmp_path / f"{scheme}.png")
            problems = browser.told("Log.entryAdded") + browser.told("Runtime.exceptionThrown")
            assert (
                not problems + browser.told("Runtime.consoleAPICalled") + browser.told("Page.javascriptDialogOpening")
            )
            asked = {one["request"]["url"] for one in browser.told("Network.requestWillBeSent")}
            assert asked == {file.resolve().as_uri()}
            assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
            assert browser.evaluate("getComputedStyle(document.querySelector('.pick')).display") == "grid"
            assert browser.evaluate(NARROW) == []
            assert browser.evaluate(FAINT) == []
        light, dark = ((tmp_path / f"{scheme}.png").read_bytes() for scheme in ("light", "dark"))
        assert light.startswith(b"\x89PNG")
        assert light != dark


# What has text and is too small to be read or sticks out of the window.
NARROW = """
[...document.querySelectorAll('h1, h2, h3, h4, p, li, td, th, dd')].filter(one => {
  const box = one.getBoundingClientRect();
  return one.checkVisibility() && one.innerText.trim() && !one.closest('.prompt dl')
    && (box.width < 20 || box.left < 0 || box.right > innerWidth + 1);
}).map(one => one.outerHTML.slice(0, 200))
"""

# Text whose contrast to what is behind it is below 4.5 to 1 (WCAG 2.2, level AA).
FAINT = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(one => one / 255)
    .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = one => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if ((parts(colour)[3] ?? 1) === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('body *')].filter(one => {
    if (![...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())) return false;
    const [high, low] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05) < 4.5;
  }).map(one => `${one.className} ${one.outerHTML.slice(0, 120)}`).slice(0, 5);
})()
"""
