"""Explanations in Chinese are checked as the English ones are: true ones pass, and each kind of untruth is noticed."""

import numpy as np
import pytest

from genre_gen.data.history import History
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.facts import Fact
from genre_gen.explain.free import correct, free_checker
from genre_gen.explain.wording import Sentences, vocabulary
from genre_gen.languages.scripts import made_of
from tests.explain.test_evidence import ALIEN, ALIENS, CATALOG, DATA, HEAT, SOLARIS, history
from tests.explain.test_wording import ANCHORS, HAD, LIKED, POPULAR, TRUE, all_texts
from tests.explain.test_wording import SEEN as SEEN_BY_ALL
from tests.languages.chinese import CHINESE, book_of, checker_of, evidence

MOVIES = book_of("movies")
SEEN = history((HEAT, 3), (SOLARIS, 4), (ALIEN, 5))  # 3 items, mean rating 4
TRUE_TEXTS = (
    "你给《Alien (1979)》打了 5 星；看过它的 10 位观众中有 6 位后来看了《Aliens (1986)》。",
    "你打了 5 星的《Alien (1979)》，它的 10 位观众中有 6 位后来看了《Aliens (1986)》，两部都是动作、科幻片。",
    "和你打了 5 星的《Alien (1979)》一样，《Aliens (1986)》也是一部动作、科幻片。",
    "你评过的 2 部科幻片都得到了 4 星或更高，这一部也属于这一类。",
    "你评过的 2 部科幻片中，有 2 部得到了 4 星或更高，这一部也属于这一类。",
    "它是一部科幻片，你看过的 3 部电影中有 2 部属于这一类。",
    "按你以往的评分，你大概会给它打 4.6 星，高于你 4 星的平均分。",
    "《Aliens (1986)》在 9 位观众中平均得到 3.9 星。",
    "这里的 30 位观众中有 9 位看过《Aliens (1986)》。",
    "你给《Alien (1979)》打了 5 星。你给《Solaris (1972)》打了 4 星，这同样是一部科幻片！",
    "《Aliens (1986)》和你打了 5 星的《Alien (1979)》有相同的制片人。",
    "《Aliens (1986)》是你打了 5 星的《Alien (1979)》的续集。",
)
FALSE_TEXTS = {
    # wrong counts and ratings
    "你给《Alien (1979)》打了 4 星；看过它的 10 位观众中有 6 位后来看了《Aliens (1986)》。": "numbers",
    "你给《Alien (1979)》打了 5 星；看过它的 10 位观众中有 7 位后来看了《Aliens (1986)》。": "numbers",
    "你给《Alien (1979)》打了 5 星；看过它的 11 位观众中有 6 位后来看了《Aliens (1986)》。": "numbers",
    "你给《Alien (1979)》打了 5 星；看过它的 10 位观众都后来看了《Aliens (1986)》。": "numbers",
    "你给《Solaris (1972)》打了 5 星。": "numbers",
    "你评过的 3 部科幻片都得到了 4 星或更高，这一部也属于这一类。": "numbers",
    "你评过的 2 部科幻片都得到了 5 星或更高，这一部也属于这一类。": "numbers",
    "按你以往的评分，你大概会给它打 4.7 星，高于你 4 星的平均分。": "numbers",
    "按你以往的评分，你大概会给它打 4.6 星，高于你 3.9 星的平均分。": "numbers",
    "这里的 30 位观众中有 10 位看过《Aliens (1986)》。": "numbers",
    "你给《Alien (1979)》打了 5 星，5 星。": "numbers",
    # the other way around, and what another sentence said
    "《Aliens (1986)》是一部动作片，看过它的 10 位观众中有 6 位后来看了《Alien (1979)》。": "numbers",
    "你给它打了 5 星。和《Alien (1979)》一样，它也是一部科幻片。": "numbers",
    # wrong titles
    "你给《Annie Hall (1977)》打了 5 星。": "'Annie Hall (1977)' is neither the pick nor in the history",
    "和《Blade Runner》一样，《Aliens (1986)》也是一部动作片。": "'Blade' is neither data",
    "和你打了 5 星的《Alien (1980)》一样，《Aliens (1986)》也是一部动作片。": "'Alien' is neither data",
    "和你打了 5 星的《异形》一样，《Aliens (1986)》也是一部动作片。": "'异形' is neither data",
    # wrong labels
    "和《Solaris (1972)》一样，《Aliens (1986)》也是一部动作片。": "'动作' is not true",
    "和《Alien (1979)》一样，《Aliens (1986)》也是一部喜剧片。": "'喜剧' is not true",
    "《Aliens (1986)》是一部Warner片。": "'Warner' is not true",
    "和《Alien (1979)》一样，《Aliens (1986)》也是一部朋克片。": "neither data",
    # wrong links
    "《Aliens (1986)》和你打了 4 星的《Solaris (1972)》有相同的制片人。": "is not what ties",
    "《Aliens (1986)》和你打了 5 星的《Alien (1979)》有 2 位制片人相同。": "is not what ties",
    "《Aliens (1986)》是你打了 4 星的《Solaris (1972)》的续集。": "is not what ties",
    # denied
    "你没有给《Alien (1979)》打了 5 星。": "neither data",
    "《Aliens (1986)》不是一部动作、科幻片。": "neither data",
    "看过它的 10 位观众中没有 6 位后来看了《Aliens (1986)》。": "neither data",
    "《Aliens (1986)》并非你打了 5 星的《Alien (1979)》的续集。": "neither data",
    "和你打了 5 星的《Alien (1979)》不一样，《Aliens (1986)》也是一部动作片。": "neither data",
}


@pytest.fixture(scope="module")
def checker():
    return checker_of(MOVIES)


@pytest.mark.parametrize("text", TRUE_TEXTS)
def test_true_texts_pass(checker, text):
    assert checker.check(text, SEEN, ALIENS, predicted=4.62).problems == ()


@pytest.mark.parametrize("text", FALSE_TEXTS)
def test_each_untruth_is_named(checker, text):
    report = checker.check(text, SEEN, ALIENS, predicted=4.62)
    assert not report.ok
    assert any(FALSE_TEXTS[text] in problem for problem in report.problems)


@pytest.mark.parametrize("name", ["movies", "generic"])
def test_every_way_to_say_every_kind_of_reason_is_true_and_chinese(name):
    book = book_of(name)
    checker = checker_of(book)
    for reason in TRUE:
        row = reason.facts[0].subject if reason.kind == "popular" else ALIENS
        seen = History(SEEN_BY_ALL.rows) if HAD in reason.facts else SEEN_BY_ALL
        said = Sentences(book, evidence(), seen, row, [reason])
        assert all(CATALOG[row].title in way for way in said.first[0])
        for way in said.first[0] + said.later[0]:
            assert way.endswith("。")
            assert not {"Action", "Sci-Fi", "maker", "sequel"} & set(way.replace("、", " ").split())
            assert checker.check(way, seen, row, 4.6).problems == ()
            unsaid = [fact for fact in reason.facts if not checker.says(fact, way)]
            assert all(fact.relation == "rated" or 0 in fact.numbers for fact in unsaid)


def test_any_number_off_by_one_is_noticed(checker):
    """Each number of each way to say each reason is changed; titles have numbers of their own."""
    for reason in TRUE:
        row = reason.facts[0].subject if reason.kind == "popular" else ALIENS
        seen = History(SEEN_BY_ALL.rows) if HAD in reason.facts else SEEN_BY_ALL
        said = Sentences(MOVIES, evidence(), seen, row, [reason])
        for way in said.first[0]:
            parts = way.split(" ")
            for place, part in enumerate(parts):
                if part.replace(".", "").isdigit():
                    wrong = " ".join([*parts[:place], f"{float(part) + 1:g}", *parts[place + 1 :]])
                    assert not checker.check(wrong, seen, row, 4.6).ok, wrong


def test_sentences_follow_each_other_without_a_space():
    said = Sentences(MOVIES, evidence(), SEEN, ALIENS, [POPULAR, LIKED, ANCHORS[0]])
    text = said.first[2][0] + said.later[0][0]
    assert text.count("。") == 2
    assert "。 " not in text
    assert said.reasons_in(text) == (2, 0)
    assert said.reasons_in(text + "快买！") is None


def test_the_grammar_of_the_llm_style_allows_these_texts_and_no_others():
    from tests.explain.test_wording import accepts, grammar

    said = Sentences(MOVIES, evidence(), SEEN, ALIENS, [ANCHORS[0], LIKED])
    definition = grammar(said).definition
    texts = sorted({text.replace("。 ", "。") for text in all_texts(said)})
    assert all(accepts(definition, text) for text in texts)
    assert not accepts(definition, texts[0].replace("5 星", "4 星"))


def test_explanations_differ_and_are_true(checker):
    explainer = Explainer(evidence(), MOVIES)
    rows = [row for row in range(len(CATALOG)) if row != ALIEN]
    told = explainer.explain_many(history((ALIEN, 5), (SOLARIS, 4)), rows, predicted=[4.4] * len(rows))
    for row, explanation in zip(rows, told, strict=True):
        report = checker.check(explanation.text, history((ALIEN, 5), (SOLARIS, 4)), row, 4.4)
        assert report.problems == ()
        assert not explanation.text.isascii()
    assert len({each.text for each in told}) == len(rows)


@pytest.mark.parametrize(
    ("draft", "kept"),
    [
        ("我推荐《Aliens (1986)》，因为你给《Alien (1979)》打了 5 星", 1),  # a full stop is added
        ("我推荐《Aliens (1986)》，因为你给《Alien (1979)》打了 4 星。", 0),
        ("你没有给《Alien (1979)》打了 5 星。", 0),
        ("《Aliens (1986)》非常精彩。", 0),  # names no fact
        ("你给《Alien (1979)》打了 5 星，这部电影很好莱坞。", 0),
    ],
)
def test_the_free_style_keeps_true_sentences(draft, kept):
    known = evidence()
    options = Sentences(MOVIES, known, SEEN, ALIENS, [ANCHORS[0], LIKED])
    free = free_checker(known, MOVIES)
    text, facts, count = correct(draft, options, free, lambda text, words: free.check(text, SEEN, ALIENS, words=words))
    assert count == kept
    assert facts
    assert (draft.rstrip("。") + "。" in text) is bool(kept)
    assert checker_of(MOVIES).check(text, SEEN, ALIENS).ok or kept


def test_words_without_spaces_are_those_of_the_templates_as_they_stand_there():
    words = vocabulary(MOVIES)
    assert made_of("位观众中有", words)
    assert not made_of("没有", words)
    assert not made_of("不", words)
    assert made_of("看过它的", {"看过", "它", "的"})
    assert not made_of("看过她的", {"看过", "它", "的"})
    assert not made_of("watchedfilm", {"watched", "film"})  # spaces stand between these


def test_facts_are_written_in_the_language():
    fact = Fact(ALIENS, "shares", ALIEN, "genre", ("Action", "Sci-Fi"))
    assert fact.text(CATALOG) == "Aliens (1986) | shares genre Action, Sci-Fi | Alien (1979)"
    assert fact.text(CATALOG, evidence().language) == "Aliens (1986) | 共同的 类型 动作、科幻 | Alien (1979)"
    counted = Fact(None, "liked", None, "genre", ("Sci-Fi",), (2, 3))
    assert counted.text(CATALOG, evidence().language) == "用户 | 喜欢的 类型 科幻 | 2 / 3"


def test_profiles_are_told_in_the_language():
    from genre_gen.explain.profile import Profiler

    profiler = Profiler(CATALOG, np.bincount(DATA.rows, minlength=len(CATALOG)), CHINESE, MOVIES)
    text = profiler.profile(SEEN).text
    assert text.startswith("你看过 3 部电影，平均打 4 星。按类型：科幻 2 部")
    assert "制片公司" in profiler.profile(history((ALIEN, 5), (ALIENS, 5))).text
