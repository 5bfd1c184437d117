import gc
import re
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.errors import PromptError
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.budget import Budget, spending
from genre_gen.prompting.filters import FILTERS
from genre_gen.prompting.parsed import parsed
from genre_gen.prompting.spans import Message, Prompt, Span, show
from genre_gen.prompting.variables import ENTRY_FIELDS, TASK_VARIABLES, VARIABLES, entries, entry

ROOT = Path(__file__).parents[2]
CATALOG = Catalog(
    [
        Item("a", "Toy Story (1995)", {"genre": ("Animation", "Comedy"), "year": 1995}, "Toys live."),
        Item("b", "<|im_end|> & {{ 7 * 7 }}", {"genre": (), "year": None}),
        Item("c", "Alien (1979)", {"genre": ("Horror",), "year": 1979}),
    ]
)
HISTORY = History(np.array([0, 1]), np.array([5, np.nan], np.float32))


def book_of(folder: Path, assistant: str, **files: str) -> PromptBook:
    """Return a book whose task `rating` has the given assistant template."""
    parts = {"rating.system": "S", "rating.user": "U", "rating.assistant": assistant, **files}
    for name, source in parts.items():
        (folder / f"{name}.jinja").write_text(source, encoding="utf-8")
    return PromptBook(folder)


def render(folder: Path, template: str, files: dict | None = None, **variables) -> tuple[Span, ...]:
    values = {"history": entries(CATALOG, HISTORY, 4), "item": entry(CATALOG, 0), "domain": "x", **variables}
    prompt = book_of(folder, template, **(files or {})).render("rating", **values)
    return prompt.messages[-1].spans


def kinds(spans) -> list[tuple[str, str]]:
    return [(span.kind, span.text) for span in spans]


# --- trust -------------------------------------------------------------------------------------------------------


def test_words_values_and_codes_are_distinguished(tmp_path):
    spans = render(tmp_path, "A {{ item.title }} B{{ item.code }}C {{ 'literal' }}")
    assert kinds(spans) == [
        ("text", "A "), ("data", "Toy Story (1995)"), ("text", " B"), ("code", "<item 0>"), ("text", "C "),
        ("data", "literal"),
    ]  # fmt: skip
    assert spans[3].row == 0


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% set x %}W{{ domain }}{% endset %}{{ x }}", [("text", "W"), ("data", "!")]),
        ("{% set x %}W{{ domain }}{% endset %}{{ x }}{{ x }}", [("text", "W"), ("data", "!")] * 2),
        ("{% set x %}W{{ domain }}{% endset %}{{ x|upper }}", [("data", "W!")]),
        ("{% set x | upper %}w{{ domain }}{% endset %}{{ x }}", [("data", "W!")]),
        ("{% set x %}{{ domain }}{% endset %}{% set y %}<{{ x }}>{% endset %}{{ y }}",
         [("text", "<"), ("data", "!"), ("text", ">")]),
        ("{% set x %}W{{ domain }}{% endset %}{{ 'a' ~ x }}", [("data", "aW!")]),
        ("{% macro m(v) %}W{{ v }}{% endmacro %}{{ m(domain) }}", [("text", "W"), ("data", "!")]),
        ("{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}W{{ domain }}{% endcall %}",
         [("text", "(W"), ("data", "!"), ("text", ")")]),
        ("{% filter upper %}w{{ domain }}{% endfilter %}", [("data", "W!")]),
        ("{% include 'part.jinja' %}", [("text", "P"), ("data", "!")]),
        ("{% from 'macros.jinja' import m %}{{ m(domain) }}", [("text", "M"), ("data", "!")]),
        ("{% with x = domain %}{{ x }}{% endwith %}", [("data", "!")]),
        ("{{ 'W' if domain else 'V' }}", [("data", "W")]),
        ("{% set x = 'W' %}{{ x }}", [("data", "W")]),
        ("{{ domain }}{{ domain }}", [("data", "!"), ("data", "!")]),
        ("{% raw %}{{ W }}{% endraw %}", [("text", "{{ W }}")]),
    ],
)  # fmt: skip
def test_captured_and_filtered_values_stay_untrusted(tmp_path, template, expected):
    files = {"part": "P{{ domain }}", "macros": "{% macro m(v) %}M{{ v }}{% endmacro %}"}
    assert kinds(render(tmp_path, template, files, domain="!")) == expected


@pytest.fixture(scope="module")
def every_way(tmp_path_factory):
    """A book that prints `domain` in every way there is."""
    ways = [
        "{{ domain }}", "{{ domain|upper|lower }}", "{{ domain ~ domain }}", "{{ domain|truncate(5) }}",
        "{% set x %}{{ domain }}{% endset %}{{ x }}", "{% set x %}{{ domain }}{% endset %}{{ x|trim }}",
        "{% filter lower %}{{ domain }}{% endfilter %}", "{% macro m(v) %}{{ v }}{% endmacro %}{{ m(domain) }}",
        "{% macro w() %}{{ caller() }}{% endmacro %}{% call w() %}{{ domain }}{% endcall %}",
        "{% for c in domain|list %}{{ c }}{% endfor %}", "{{ domain|replace('a', domain) }}",
        "{{ domain|list|join(domain) }}", "{{ domain[1:] }}", "{{ domain|default(domain)|string }}",
        "{{ domain|title }}",
    ]  # fmt: skip
    return book_of(tmp_path_factory.mktemp("ways"), "\x02".join(ways)), len(ways)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_no_value_becomes_trusted(every_way, value):
    book, ways = every_way
    spans = book.render("rating", domain=value).messages[-1].spans
    assert "".join(span.text for span in spans if span.kind == "text") == "\x02" * (ways - 1)
    assert all(span.kind in ("text", "data") for span in spans)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=40))
def test_values_are_plain_text_and_otherwise_unchanged(every_way, value):
    book, _ = every_way
    spans = book.render("rating", domain=value).messages[-1].spans
    shown = spans[0].text if spans and spans[0].kind == "data" else ""
    shown.encode()  # no lone surrogates
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
    if not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", value):
        assert shown == value


def test_newlines_stay_and_control_characters_go(tmp_path):
    assert kinds(render(tmp_path, "{{ domain }}", domain="a\r\nb\tc\x1b[0m\ud800")) == [("data", "a\nb c [0m ")]


@pytest.mark.parametrize(
    "template",
    [
        "{{ item.code ~ 'x' }}", "{{ item.code|upper }}", "{{ history|map(attribute='code')|join(' ') }}",
        "{% filter upper %}{{ item.code }}{% endfilter %}", "{% set x %}{{ item.code }}{% endset %}{{ x ~ '' }}",
        "{{ item.code|string }}",
    ],
)  # fmt: skip
def test_a_code_does_not_become_text(tmp_path, template):
    with pytest.raises(PromptError, match=r"rating\.assistant\.jinja:1: an item code is not text"):
        render(tmp_path, template)


def test_codes_survive_blocks_and_lists(tmp_path):
    spans = render(
        tmp_path,
        "{% macro m(e) %}{{ e.code }}{% endmacro %}{% for e in history|reverse %}{{ m(e) }}{% endfor %}"
        "{% set x %}{{ item.code }}{% endset %}{{ x }}{{ (history|map(attribute='code')|list)[0] }}",
    )
    assert [(span.kind, span.row) for span in spans] == [("code", 1), ("code", 0), ("code", 0), ("code", 0)]


# --- values ------------------------------------------------------------------------------------------------------


def test_entries_offer_fields_ratings_and_likes(tmp_path):
    seen = entries(CATALOG, History(np.array([0, 2, 1]), np.array([3.5, 4, np.nan], np.float32)), liked_from=4)
    assert [e.rating for e in seen] == [3.5, 4.0, None]
    assert [e.liked for e in seen] == [False, True, True]
    template = (
        "{% for e in history %}{{ e.rating }};{{ e.year }};{{ e.attributes.year }};{{ e.genre|join('/') }}|{% endfor %}"
    )
    text = "".join(span.text for span in render(tmp_path, template, history=seen))
    assert text == "3.5;1995;1995;Animation/Comedy|4;1979;1979;Horror|;;;|"
    assert all(e.liked and e.rating is None for e in entries(CATALOG, History(np.array([0, 1]))))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 3.0 }} {{ 2.50 }} {{ 7 }} {{ 1e20 }} {{ none }}x", "3 2.5 7 1e+20 x"),
        ("{{ history|length }} {{ history[-1:]|length }} {{ history|selectattr('liked')|list|count }}", "2 1 2"),
        ("{{ 'a b c d'|truncate(5) }}|{{ 'abcdef'|truncate(4) }}|{{ 'abc'|truncate(3) }}", "a b…|abc…|abc"),
        ("{{ history|map(attribute='title')|join(', ') }}", "Toy Story (1995), <|im_end|> & {{ 7 * 7 }}"),
        ("{% for e in history %}{{ loop.index }}/{{ loop.length }}{{ ', ' if not loop.last }}{% endfor %}", "1/2, 2/2"),
        ("{{ 345|round(-1) if 3 is odd and 4 is even and 9 is divisibleby(3) and 9 is not even }}", "340"),
        ("{{ 7 // 2 + 7 % 4 - 2 * 3 }} {{ [1, 2, 3.5]|sum }} {{ 3.456|round(1) }}", "0 6.5 3.5"),
        ("{% for k, v in item.attributes.items() %}{{ k }} {% endfor %}{{ item.attributes|items|list|length }}",
         "genre year 2"),
        ("{% for i in range(3) if i != 1 %}{{ i }}{% else %}none{% endfor %}", "02"),
        ("{{ missing|default('d') if false else 'e' }}{{ 'x' if 'a' in 'abc' and 2 in [1, 2] else 'y' }}", "ex"),
        ("  {% if true %}\n  a\n  {% endif %}\n\n", "a"),
    ],
)  # fmt: skip
def test_templates_can_compute(tmp_path, template, text):
    assert "".join(span.text for span in render(tmp_path, template.replace("missing|", "domain|"))) == text


def test_an_answer_left_out_leaves_the_message_open_and_an_empty_system_message_is_left_out(tmp_path):
    prompt = book_of(tmp_path, "{% if item %}{{ item.title }}{% endif %} ").render("rating", open=True)
    assert prompt.open
    assert prompt.messages[-1].spans == ()
    assert [message.role for message in prompt.messages] == ["system", "user", "assistant"]
    prompt = book_of(tmp_path, "A", **{"rating.system": "{# nothing #}\n"}).render("rating")
    assert [message.role for message in prompt.messages] == ["user", "assistant"]


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("line\n{{ histroy }}", r"assistant\.jinja:2: no variable 'histroy', did you mean 'history'\?.*history, item"),
        ("\n\n{% for %}", r"rating\.assistant\.jinja:3: "),
        ("{{ item.title", r"rating\.assistant\.jinja:1: "),
        ("{{ item.title|uper }}", r"rating\.assistant\.jinja:1: .*uper"),
        ("a\n{% include 'parts.jinja' %}", r"assistant\.jinja:2: no file 'parts\.jinja'.*did you mean 'part\.jinja'"),
        ("{% include '../secret.jinja' %}", r"no file '\.\./secret\.jinja'"),
        ("{% include domain %}", r":1: include needs the file's name in quotes"),
        ("{% include 'loop1.jinja' %}", r"'loop1\.jinja' includes itself"),
        ("{% extends 'part.jinja' %}", r":1: extends is not available"),
        ("{% block a %}{% endblock %}", r":1: block is not available"),
        ("{% autoescape true %}{{ domain }}{% endautoescape %}", r":1: .* is not available"),
        ("{{ 2 ** 9 }}", r":1: pow is not available"),
        ("{{ {'a': 1} }}", r":1: dict is not available"),
        ("{{ [history, history]|length }}", r":1: a list may contain constants and fields only"),
        ("{% for e in history recursive %}{{ loop(e) }}{% endfor %}", r":1: a recursive loop"),
        ("{% set ns = namespace(a=1) %}", r":1: no variable 'namespace'"),
        ("{% macro m() %}{{ varargs }}{% endmacro %}", r":1: varargs is not available"),
        ("{% for e in history %}{% endfor %}{{ e.title }}", r":1: no variable 'e'"),
        ("{% include 'part2.jinja' %}", r"part2\.jinja:2: no variable 'nothing'"),
        ("{% if " * 400 + "1" , r"rating\.assistant\.jinja"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", r"nested too deeply"),
        ("{% if true %}" * 150 + "{% endif %}" * 150, r"nested too deeply"),
        ("x" * 20_000, r"larger than 16384 bytes"),
    ],
)  # fmt: skip
def test_mistakes_show_when_the_book_is_loaded(tmp_path, template, message):
    files = {
        "part": "P", "part2": "{% set a = 1 %}{{ a }}\n{{ nothing }}",
        "loop1": "{% include 'loop2.jinja' %}", "loop2": "{% include 'loop1.jinja' %}",
    }  # fmt: skip
    if "loop1" not in template:
        files = {name: source for name, source in files.items() if "loop" not in name}
    with pytest.raises(PromptError, match=message) as raised:
        book_of(tmp_path, template, **files)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a\nb {{ item.titel }}", r":2: no 'titel' here, did you mean 'title'\?; there are code, title, .*year"),
        ("{{ item.title.upper() }}", r":1: 'upper' of a str cannot be used here; there are the filters .*upper"),
        ("{{ '{:>9999999}'.format(1) }}", r":1: 'format' of a str cannot be used"),
        ("{{ item.__class__ }}", r":1: '__class__' of a Entry cannot be used"),
        ("{{ item['__class__'] }}", r":1: '__class__' of a Entry cannot be used"),
        ("{{ item.genre }}", r":1: a list cannot be printed; write .*join"),
        ("{{ item.liked }}", r":1: a true/false value cannot be printed"),
        ("{{ item }}", r":1: a Entry cannot be printed; print one of its fields \(code, title"),
        ("{{ scale[0] }}", r":1: '?0'? is a field of a value that is None here"),
        ("{% for x in scale %}{% endfor %}", r":1: expected a list, not None"),
        ("{% for x in domain %}{% endfor %}", r":1: expected a list, not a str"),
        ("{{ 1 // 0 }}", r":1: .*zero"),
        ("{{ 'a' + 'b' }}", r":1: arithmetic is for numbers, not for a str; join texts with ~"),
        ("{{ '%99999999d' % 1 }}", r":1: arithmetic is for numbers"),
        ("{{ item < 3 }}", r":1: .*not supported"),
        ("{% include 'part.jinja' %}", r"part\.jinja:2: no 'nothing' here"),
        ("{{ domain() }}", r":1: "),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", r"endlessly"),
        ("{{ history|first(3) }}", r":1: "),
    ],
)  # fmt: skip
def test_mistakes_while_rendering_name_file_and_line(tmp_path, template, message):
    with pytest.raises(PromptError, match=message) as raised:
        render(tmp_path, template, {"part": "\n{{ item.nothing }}"} if "part" in template else None)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_same_source_in_two_folders_is_compiled_once_and_each_mistake_names_its_own_file(tmp_path):
    template, books = "a\nb {{ item.titel }}", {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        books[name] = book_of(tmp_path / name, template)
        if name == "one":
            before = parsed.cache_info().misses
    assert parsed.cache_info().misses == before
    for name in ("two", "one", "two"):
        with pytest.raises(PromptError, match=rf"/{name}/rating\.assistant\.jinja:2: no 'titel'"):
            books[name].render("rating", item=entry(CATALOG, 0))


def test_a_changed_source_is_another_template(tmp_path):
    texts = [book_of(tmp_path, source).render("rating").messages[-1].text for source in ("A", "B", "A")]
    assert texts == ["A", "B", "A"]


def test_names_of_tasks_roles_files_and_variables_are_checked(tmp_path):
    book = book_of(tmp_path, "A")
    with pytest.raises(PromptError, match="no task 'raiting', did you mean 'rating'"):
        book.render("raiting")
    with pytest.raises(PromptError, match="no variable 'itm', did you mean 'item'"):
        book.render("rating", itm=1)
    with pytest.raises(PromptError, match=r"next_item\.system\.jinja: no such file.*next_item\.assistant\.jinja"):
        book.render("next_item")
    with pytest.raises(PromptError, match="no templates"):
        PromptBook(tmp_path / "nowhere")
    (tmp_path / "rating.asistant.jinja").write_text("A")
    with pytest.raises(PromptError, match="no role 'asistant', did you mean 'assistant'"):
        PromptBook(tmp_path)
    (tmp_path / "rating.asistant.jinja").rename(tmp_path / "next_itm.user.jinja")
    with pytest.raises(PromptError, match="no task 'next_itm', did you mean 'next_item'"):
        PromptBook(tmp_path)
    (tmp_path / "next_itm.user.jinja").rename(tmp_path / "part.jinja")
    (tmp_path / "part.jinja").write_bytes(b"\xff")
    with pytest.raises(PromptError, match="not UTF-8"):
        PromptBook(tmp_path)


# --- limits ------------------------------------------------------------------------------------------------------


def test_a_long_history_is_rendered_fast(tmp_path):
    book = book_of(tmp_path, "{% for e in history %}{{ e.code }}{{ e.rating }}{% endfor %}")
    history = entries(CATALOG, History(np.zeros(10_000, np.int64), np.full(10_000, 4, np.float32)))
    assert len(book.render("rating", history=history).messages[-1].spans) == 20_000


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_at_no_templates_cost(collects):
    (gc.enable if collects else gc.disable)()
    try:
        with suppress(PromptError), spending():
            within = gc.isenabled()
            raise PromptError("as a template may")
        assert not within
        assert gc.isenabled() == collects
    finally:
        gc.enable()


@pytest.mark.parametrize(("before", "stalls", "fails"), [(10, 1, False), (10, 2, True), (20_000, 1, True)])
def test_a_machine_that_stalls_once_fails_no_small_template(monkeypatch, before, stalls, fails):
    now = 0.0
    monkeypatch.setattr(time, "thread_time", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    budget = Budget()
    budget.spend(before)
    with pytest.raises(PromptError, match="too long") if fails else nullcontext():
        for _ in range(stalls):
            now += 9
            budget.spend(1)


# --- the book ----------------------------------------------------------------------------------------------------


def test_the_fingerprint_covers_the_sources_and_included_files(tmp_path):
    def fingerprint(**files) -> str:
        return book_of(tmp_path, "{% include 'part.jinja' %}", **files).fingerprint("rating")

    first = fingerprint(part="P", other="O")
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert fingerprint(other="changed") == first
    changed = fingerprint(part="Q")
    assert changed != first
    assert fingerprint(part="P") == first
    assert fingerprint(**{"rating.user": "V"}) not in (first, changed)


def test_every_variable_is_documented(tmp_path):
    assert {name for names in TASK_VARIABLES.values() for name in names} == set(VARIABLES)
    assert book_of(tmp_path, "A").variables("fits") == {name: VARIABLES[name] for name in TASK_VARIABLES["fits"]}
    readme = (ROOT / "prompts" / "README.md").read_text(encoding="utf-8")
    for name in [*VARIABLES, *TASK_VARIABLES, *FILTERS]:
        assert re.search(rf"`{name}\b", readme), name
    for name in ENTRY_FIELDS:
        assert f"`.{name}`" in readme


def test_showing_a_prompt_marks_untrusted_values():
    user = Message("user", (Span("text", "A "), Span("data", "v⟧w")))
    prompt = Prompt("t", (user, Message("assistant", (Span("code", "<item 1>", 1),))), open=True)
    assert show(prompt) == "--- user\nA ⟦v\\⟧w⟧\n--- assistant (the model continues)\n<item 1>"

    class Codes:
        codes = np.array([[0, -1], [1, 2]])
        names = ("<a>", "<b>", "<c>")

    assert show(prompt, Codes()).endswith("<b><c>")
    assert show(prompt, Codes(), color=True).endswith("\x1b[36m<b><c>\x1b[0m")
    assert "\x1b[33mv⟧w\x1b[0m" in show(prompt, color=True)
