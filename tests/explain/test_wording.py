import itertools
import json
from pathlib import Path
from typing import get_args

import numpy as np
import outlines
import pytest
from fakes import byte_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, grammar_from
from llguidance.hf import from_tokenizer

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import PromptError
from genre_gen.explain.check import Checker
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.facts import Fact, Kind, Reason
from genre_gen.explain.text import plain
from genre_gen.explain.wording import Sentences, grammar, template, vocabulary
from genre_gen.new_domain.scaffold import start_domain
from genre_gen.prompting.book import PromptBook
from tests.explain.books import SHIPPED, shipped_book
from tests.explain.test_evidence import (
    ALIEN,
    ALIENS,
    ANNIE,
    CATALOG,
    DATA,
    DOMAIN,
    HEAT,
    NEW,
    SOLARIS,
    UNRATED,
    history,
    interactions,
)

MOVIES = shipped_book("movies")
EVIDENCE = Evidence(CATALOG, DATA, DOMAIN)
ONE = History(np.array([0]))
SEEN = history((HEAT, 4), (SOLARIS, 4), (ANNIE, 2), (ALIEN, 5))
RATED, HAD = Fact(None, "rated", ALIEN, numbers=(5.0,)), Fact(None, "had", ALIEN)
SHARES = Fact(ALIENS, "shares", ALIEN, "genre", ("Action", "Sci-Fi"))
FOLLOWED = Fact(ALIEN, "followed_by", ALIENS, numbers=(6, 10))
ANCHORS = [
    Reason("anchor", (first, *others), 1.0, ALIEN)
    for first in (RATED, HAD)
    for others in ((SHARES, FOLLOWED), (SHARES,), (FOLLOWED,))
]
LIKED = Reason("liked", (Fact(None, "liked", None, "genre", ("Sci-Fi",), (2, 2)),), 1.0)
PREDICTED = Reason("predicted", (Fact(None, "predicted", ALIENS, numbers=(4.6, 3.8)),), 1.0)
POPULAR = Reason("popular", (Fact(ALIENS, "had_by", numbers=(9, 30)),), 1.0)
TIES = {"maker": {"relation": "made_by", "plural": "makers"}, "sequel": {"relation": "sequel_of", "items": True}}
GRAPHED = DOMAIN.changed({"knowledge.triples": "triples.csv", "knowledge.relations": TIES})
GRAPH = Knowledge(6, ("maker", "sequel"), (False, True), ("a",), np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]]))
TRUE = [  # of each kind what is said differently; all is so of the pick, and of Aliens after SEEN
    *ANCHORS,
    LIKED,
    PREDICTED,
    POPULAR,
    Reason("linked", (RATED, Fact(ALIENS, "linked", ALIEN, "maker", numbers=(1,))), 1.0, ALIEN),
    Reason("linked", (RATED, Fact(ALIENS, "linked", ALIEN, "sequel")), 1.0, ALIEN),
    Reason("similar", (RATED, Fact(ALIEN, "liked_too", ALIENS, numbers=(8, 8))), 1.0, ALIEN),
    Reason("liked", (Fact(None, "liked", None, "studio", ("Fox",), (1, 1)),), 1.0),
    Reason("often", (Fact(None, "often", None, "genre", ("Sci-Fi",), (2, 4)),), 1.0),
    Reason("average", (Fact(ALIENS, "average", numbers=(3.9, 9)),), 1.0),
    Reason("popular", (Fact(NEW, "had_by", numbers=(0, 30)),), 1.0),
]


def book_of(folder: Path, lines: str) -> PromptBook:
    (folder / "explain.system.jinja").write_text("Explain.")
    (folder / "explain.user.jinja").write_text("Why {{ item.title }}? I had {{ history|length }}.")
    (folder / "explain.assistant.jinja").write_text(lines)
    return PromptBook(folder)


def named(*titles) -> Evidence:
    """Return the evidence for a catalog of war films with these titles, and one film of another kind."""
    items = [Item(str(row), title, {"genre": ("War",)}) for row, title in enumerate(titles)]
    catalog = Catalog([*items, Item("last", "Last", {"genre": ("Drama",)})])
    data = Interactions.from_columns(["u"], np.array([0]), len(catalog))
    return Evidence(catalog, data, DOMAIN)


@pytest.fixture(scope="module", params=[*SHIPPED, "new"])
def any_book(request, tmp_path_factory) -> PromptBook:
    """Return the templates of each domain that is shipped, and of a new one."""
    if request.param != "new":
        return shipped_book(request.param)
    sample = assets_folder() / "catalogs" / "travel"
    tables = (sample / "interactions.csv", sample / "items.csv")
    started = start_domain("new", *tables, tmp_path_factory.mktemp("new"))
    return PromptBook.load(Domain.load(started.catalog_folder))


def test_every_domain_has_true_words_for_every_kind_of_reason(any_book):
    assert {reason.kind for reason in TRUE} == {*get_args(Kind)} - {"weighed"}
    evidence = Evidence(CATALOG, DATA, GRAPHED, GRAPH)
    checker = Checker(CATALOG, DATA, GRAPHED, vocabulary(any_book), GRAPH)
    for reason in TRUE:
        row = reason.facts[0].subject if reason.kind == "popular" else ALIENS
        seen = History(SEEN.rows) if HAD in reason.facts else SEEN
        assert all(checker.holds(fact, seen, row, 4.6) for fact in reason.facts)
        said = Sentences(any_book, evidence, seen, row, [reason])
        assert len(set(said.first[0])) == len(said.first[0])
        assert all(CATALOG[row].title in way for way in said.first[0])
        for way in said.first[0] + said.later[0]:
            assert way.endswith(".")
            assert way.lstrip("“")[0].isupper()
            assert checker.check(way, seen, row, 4.6).problems == ()
            unsaid = [fact for fact in reason.facts if not checker.says(fact, way)]
            assert all(fact.relation == "rated" or 0 in fact.numbers for fact in unsaid)  # rated: had; 0: in words


def test_no_domain_says_of_one_kind_what_is_meant_for_others(any_book):
    unheard = Reason("unheard", (Fact(ALIENS, "had_by", numbers=(9, 30)),), 1.0)
    said = Sentences(any_book, EVIDENCE, SEEN, ALIENS, [unheard])
    with pytest.raises(PromptError, match="no line for a reason of kind 'unheard'"):
        _ = said.first


def test_articles_come_before_the_noun():
    evidence = named("Godfather, The (1972)", "Boot, Das (1981)")
    ways = Sentences(MOVIES, evidence, ONE, 1, evidence.reasons(ONE, 1)).first[0]
    assert "You watched The Godfather (1972), and Das Boot (1981) is another war film." in ways


def test_every_line_is_one_way_and_blank_lines_are_none(tmp_path):
    book = book_of(tmp_path, "\n  One  {{ item.title }}. \n\nTwo{% if first %} first{% endif %}.\nTwo.\n")
    said = Sentences(book, EVIDENCE, SEEN, ALIENS, ANCHORS[:1])
    assert said.first == (("One Aliens (1986).", "Two first.", "Two."),)
    assert said.later == (("One Aliens (1986).", "Two."),)


def test_the_prompt_shows_the_history_and_leaves_the_answer_open(tmp_path):
    prompt = Sentences(book_of(tmp_path, "One."), EVIDENCE, SEEN, ALIENS, ANCHORS[:1]).prompt
    assert [message.role for message in prompt.messages] == ["system", "user", "assistant"]
    assert prompt.messages[1].text == "Why Aliens (1986)? I had 4."
    assert prompt.messages[2].spans == ()
    assert prompt.open


def test_a_kind_without_words_is_an_error_that_names_file_and_kind(tmp_path):
    book = book_of(tmp_path, "{% if reason.kind == 'anchor' and first %}One.{% endif %}")
    with pytest.raises(PromptError, match=r"explain.assistant.jinja: .*'anchor' with first = false"):
        _ = Sentences(book, EVIDENCE, SEEN, ALIENS, ANCHORS[:1]).later


def test_a_title_cannot_break_a_line_or_hide_characters(tmp_path):
    evidence = named("A\nb\r\nc\u2028d", "e\u202ef\x00g\u200bh \U0001f468\u200d\U0001f469")
    book = book_of(tmp_path, "{{ reason.anchor.title }} - {{ item.title }}.")
    said = Sentences(book, evidence, ONE, 1, evidence.reasons(ONE, 1))
    assert said.first[0] == ("A b c d - ef gh \U0001f468\u200d\U0001f469.",)


@given(st.text())
def test_plain_text_is_one_line_and_stays_plain(text):
    assert len(plain(text).splitlines()) <= 1
    assert plain(plain(text)) == plain(text)
    plain(text).encode()


def all_texts(said) -> set[str]:
    """List the language by hand: a first sentence, then a later one of another reason, as `following` allows."""
    texts = set()
    for one in said.following(()):
        rest = said.following((one,)) or [None]
        for two in rest:
            later = ("",) if two is None else [" " + way for way in said.later[two]]
            texts |= {a + b for a, b in itertools.product(said.first[one], later)}
    return texts


def test_a_text_begins_with_the_user_and_continues_with_another_kind_of_reason():
    said = Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, [POPULAR, LIKED, *ANCHORS[:2]])
    assert said.following(()) == [2, 3]
    assert said.following((2,)) == [0, 1]
    assert Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, [POPULAR, LIKED]).following(()) == [1]
    assert Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, [POPULAR]).following(()) == [0]
    assert Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, ANCHORS[:2]).following((0,)) == [1]
    assert Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, [POPULAR]).following((0,)) == []


def test_a_text_tells_which_reasons_it_says():
    said = Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, [POPULAR, LIKED, ANCHORS[0]])
    assert said.reasons_in(f"{said.first[2][1]} {said.later[0][0]}") == (2, 0)
    assert said.reasons_in(said.first[2][1] + " Buy now!") is None
    assert said.reasons_in(said.later[0][0]) is None
    assert {said.reasons_in(text) for text in all_texts(said)} == {(2, 0), (2, 1)}


def matcher_of(definition):
    """Compile a grammar over a byte vocabulary; every text has one tokenization."""
    return LLMatcher(from_tokenizer(byte_tokenizer()), grammar_from("grammar", definition))


def accepts(definition, text) -> bool:
    matcher, ids = matcher_of(definition), byte_tokenizer()(text, split_special_tokens=True).input_ids
    assert not matcher.is_error(), matcher.get_error()
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def test_the_grammar_allows_these_texts_and_no_others():
    said = Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, [ANCHORS[0], LIKED, PREDICTED])
    definition = grammar(said).definition
    texts = sorted(all_texts(said))
    assert len(texts) == 3 * (2 + 2)
    assert all(accepts(definition, text) for text in texts)
    first = said.first[0][0]
    for wrong in (first, first + " " + said.later[0][0], texts[0] + " ", texts[0].replace("5 stars", "4 stars"), ""):
        assert not accepts(definition, wrong)


AWKWARD = [
    '"', "\\", 'He said "hi" \\ back', "%regex{a}", "<[5]>", "/a/i", "{x} | y", "# c", "千と千尋の神隠し", "千年女優",
    "🎬é", "<|im_end|>", "a<|im_start|>system b", "start: a", "\\u0041", "$ref", "%ignore /./", "//c",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(title=st.text(min_size=1, max_size=12) | st.sampled_from([*AWKWARD, "\x7f"]))
def test_any_title_can_be_written_and_only_itself(title):
    evidence = named("War and Peace", title)
    said = Sentences(MOVIES, evidence, ONE, 1, evidence.reasons(ONE, 1))
    definition = grammar(said).definition
    text = template([said])[0]
    assert plain(evidence.catalog[1].title) in text
    assert accepts(definition, text)
    assert not accepts(definition, text.replace("War and Peace", "War and Piece"))


def test_grammars_are_outlines_types():
    said = Sentences(MOVIES, EVIDENCE, SEEN, ALIENS, ANCHORS[:1])
    assert isinstance(grammar(said), outlines.types.CFG)
    assert json.dumps(said.first[0][0]) in grammar(said).definition


def test_the_vocabulary_is_the_templates_words_without_comments():
    words = vocabulary(MOVIES)
    assert {"another", "stars", "viewers", "suits"} <= words
    assert "untrue" not in words  # in the comment only
    assert "drama" not in words


@pytest.mark.parametrize("domain", [DOMAIN, UNRATED], ids=["rated", "unrated"])
def test_explanations_without_a_language_model_are_true_and_differ(domain):
    rated = domain is DOMAIN
    logs = [[(row, 5 if row != ANNIE else 2, row) for row in range(user % 5 + 1)] for user in range(30)]
    data = interactions(*logs, ratings=rated)
    explainer = Explainer(Evidence(CATALOG, data, domain), MOVIES)
    checker = Checker(CATALOG, data, domain, vocabulary(MOVIES))
    rows = list(range(len(CATALOG)))
    for user in range(5):
        seen = data.history_at(user)
        found = explainer.explain_many(seen, rows, predicted=[4.4] * len(rows))
        for row, explanation in zip(rows, found, strict=True):
            assert explanation.method == "template"
            assert explanation.facts
            assert all(checker.holds(fact, seen, row, 4.4) for fact in explanation.facts)
            assert checker.check(explanation.text, seen, row, 4.4).problems == ()
            assert str(explanation) == explanation.text
    again = explainer.explain_many(seen, rows, predicted=[4.4] * len(rows))
    assert [one.text for one in found] == [one.text for one in again]
    openings = {str(one).split()[0] for one in found}
    assert len(openings) > 1


def test_one_pick_is_explained_as_the_first_of_many():
    explainer = Explainer(EVIDENCE, MOVIES)
    (alone,), many = explainer.explain_many(SEEN, [ALIENS]), explainer.explain_many(SEEN, [ALIENS, NEW])
    assert (alone.text, alone.facts) == (many[0].text, many[0].facts)
    assert explainer.explain_many(SEEN, []) == []
