"""The free style: what the language model writes is compared with the data, and replaced where it is not so."""

from functools import partial

import pytest

from genre_gen.explain.check import Checker
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.facts import Fact
from genre_gen.explain.free import correct, free_prompt
from genre_gen.explain.wording import vocabulary
from genre_gen.explain.writer import FreeWriter
from tests.explain.test_evidence import ALIEN, ALIENS, CATALOG, DATA, DOMAIN, HEAT, SOLARIS, history, interactions
from tests.explain.test_wording import MOVIES
from tests.explain.test_writer import TinyModel

SEEN = history((HEAT, 3), (SOLARIS, 4), (ALIEN, 5))


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(Evidence(CATALOG, DATA, DOMAIN), MOVIES)


def corrected(explainer, draft):
    said = explainer.sentences(SEEN, ALIENS)
    return correct(draft, said, explainer.checker, partial(explainer.checker.check, history=SEEN, row=ALIENS))


TRUE = (
    "You gave Alien (1979) 5 stars, and 6 of the 10 people who watched it went on to Aliens (1986).",
    "Because you love Alien (1979), which you gave 5 stars, you will enjoy Aliens (1986).",
    "I think Aliens (1986) is another great action and sci-fi film, like Alien (1979)!",
)
FALSE = (
    "You gave Alien (1979) 4 stars.",
    "You gave Annie Hall (1977) 5 stars.",
    "Aliens (1986) is a comedy film, like Alien (1979).",
    "Aliens (1986) is a film by Ridley Scott, like Alien (1979), which you gave 5 stars.",
    "It follows a crew in space, and you gave Alien (1979) 5 stars.",
    "You did not watch Alien (1979), which you gave 5 stars.",
    "Of the people who watched Alien (1979), 7 of the 10 went on to it.",
    "You gave Alien (1979) 5 stars, and all its viewers went on to Aliens (1986).",  # 6 of 10 did
    "You gave Alien (1979) 5 stars, and all people who rated Aliens (1986) liked it.",
    "You gave Alien (1979) 5 stars, and your average is above it.",
    "You gave Alien (1979) 5 stars, and it is so new here.",
    "Of the people who watched Aliens (1986), 6 of the 10 went on to Alien (1979).",
    "You will love it.",  # true, as far as it goes, and says none of the facts
)


@pytest.mark.parametrize("sentence", TRUE)
def test_a_true_sentence_is_kept(explainer, sentence):
    text, told, kept = corrected(explainer, sentence)
    assert text.startswith(sentence + " ")
    assert kept == 1
    assert any(ALIEN in (fact.subject, fact.object) for fact in told)


@pytest.mark.parametrize("sentence", FALSE)
def test_any_other_sentence_is_replaced_by_a_true_one(explainer, sentence):
    for draft in (sentence, f"{TRUE[0]} {sentence}", f"{sentence} {TRUE[0]}"):
        text, told, kept = corrected(explainer, draft)
        assert sentence not in text
        assert kept == (draft != sentence)
        assert Checker(CATALOG, DATA, DOMAIN, explainer.checker.words).check(text, SEEN, ALIENS).ok
        assert told
        assert all(explainer.checker.holds(fact, SEEN, ALIENS) for fact in told)


def test_what_the_domain_would_say_too_may_be_said():
    everybody = interactions(*[[(ALIEN, 5, 1), (ALIENS, 4, 2)] for _ in range(6)], *[[(HEAT, 2, 1)] for _ in range(9)])
    draft = "You gave Alien (1979) 5 stars, and all its 6 viewers went on to Aliens (1986)."
    assert corrected(Explainer(Evidence(CATALOG, everybody, DOMAIN), MOVIES), draft)[0].startswith(draft)


def test_the_mark_of_a_list_is_taken_off(explainer):
    assert corrected(explainer, f"- {TRUE[0]}")[0].startswith(TRUE[0])


@pytest.mark.parametrize("sentence", TRUE)
def test_a_draft_that_was_cut_off_is_closed_before_anything_follows(explainer, sentence):
    cut = sentence.rstrip(".!")
    text, _, kept = corrected(explainer, cut)
    assert kept == 1
    assert text.startswith(f"{cut}. ")
    assert explainer.checker.check(text, SEEN, ALIENS).ok


def test_what_was_said_is_not_said_again(explainer):
    text, told, _ = corrected(explainer, f"{TRUE[0]} {TRUE[0]}")
    assert text.count("6 of the 10") == 1
    assert len(told) == len(set(told))


def test_points_in_titles_end_no_sentence(explainer):
    from tests.explain.test_wording import named

    checker = Checker(named("Dr. No (1962)", "E.T.").catalog, DATA, DOMAIN)
    assert checker.sentences("You saw Dr. No (1962). It is like E.T.! And so on") == [
        "You saw Dr. No (1962).",
        "It is like E.T.!",
        "And so on",
    ]


def test_a_fact_is_said_where_all_it_is_about_is_named(explainer):
    checker = explainer.checker
    fact = Fact(ALIEN, "followed_by", ALIENS, numbers=(6, 10))
    assert checker.says(fact, TRUE[0])
    assert not checker.says(fact, "You gave Alien (1979) 5 stars.")
    assert not checker.says(fact, "6 of the 10 people went on to Aliens (1986).")
    assert not checker.says(Fact(ALIENS, "shares", ALIEN, "genre", ("Action",)), TRUE[0])


def test_the_model_is_shown_facts(explainer):
    said = explainer.sentences(SEEN, ALIENS)
    prompt = free_prompt(said)
    assert said.first[0][0] in prompt.messages[1].text
    assert prompt.open
    assert prompt.messages[-1].spans == ()


def test_its_prompt_lends_no_words_to_explanations():
    assert "told" not in vocabulary(MOVIES)


def test_the_writer_is_repeatable_writes_one_line_and_no_control_token():
    model = TinyModel()
    writer = FreeWriter(model, temperature=1.0, max_tokens=40)
    prompts = [model.tokenizer(text).input_ids for text in ("why this one?", "why that one?")]
    texts = writer.write(prompts, [1, 2])
    assert texts == writer.write(prompts, [1, 2])
    assert texts != writer.write(prompts, [3, 4])
    assert writer.write(prompts[:1], [1]) == texts[:1]  # the shared beginning changes nothing
    assert all(len(text.splitlines()) <= 1 and "<|" not in text for text in texts)


def test_explanations_of_a_model_that_babbles_are_true():
    explainer = Explainer(Evidence(CATALOG, DATA, DOMAIN), MOVIES, language_model=TinyModel(), free=True)
    checker = Checker(CATALOG, DATA, DOMAIN, vocabulary(MOVIES))
    for row, told in zip((ALIENS, 3, 5), explainer.explain_many(SEEN, [ALIENS, 3, 5]), strict=True):
        assert (told.method, told.kept) == ("free", 0)
        assert told.draft
        assert told.facts
        assert checker.check(told.text, SEEN, row).ok
