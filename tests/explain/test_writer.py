import json
from types import SimpleNamespace

import numpy as np
import outlines
import pytest
import torch
from fakes import byte_tokenizer, tiny_llama
from outlines.types import CFG

from genre_gen.errors import PromptError
from genre_gen.explain import writer
from genre_gen.explain.check import Checker
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.wording import Sentences, grammar, vocabulary
from genre_gen.explain.writer import GrammarWriter
from tests.explain.test_evidence import ALIENS, CATALOG, DATA, DOMAIN, NEW
from tests.explain.test_wording import AWKWARD, MOVIES, ONE, SEEN, named


class TinyModel:
    """What the writer needs of a language model, over a random two-layer Llama and bytes."""

    def __init__(self, seed=0):
        self.tokenizer, self.base = byte_tokenizer(), tiny_llama(seed=seed)
        self.codes = SimpleNamespace(codes=np.zeros((len(CATALOG), 1), np.int64))
        self.text_vocabulary = len(self.tokenizer)
        self.read = []

    def transformers_tokenizer(self):
        return self.tokenizer

    def embed(self, ids):
        self.read.append(ids.shape)
        return self.base.get_input_embeddings()(ids)

    def text_logits(self, hidden):
        return self.base.get_output_embeddings()(hidden)


@pytest.fixture(scope="module")
def model() -> TinyModel:
    return TinyModel()


def choice(*texts) -> CFG:
    return CFG("start: " + " | ".join(json.dumps(text) for text in texts))


def ids(model, text):
    return model.tokenizer(text).input_ids


TEXTS = ("Alien is good.", "Alien is bad.", "Aliens is good.", "Heat it is.", "千と千尋", "千年")


def test_it_writes_what_outlines_own_generator_writes(model):
    generator = outlines.Generator(outlines.from_transformers(model.base, byte_tokenizer(None)), choice(*TEXTS))
    for prompt in ("Why?", "Tell me: ", "Reason one"):
        expected = generator(prompt, max_new_tokens=100, do_sample=False)
        assert GrammarWriter(model).write([ids(model, prompt)], [choice(*TEXTS)], [0]) == [expected]


def test_the_likeliest_token_is_taken_at_each_choice(model):
    prompt = ids(model, "Why? ")
    with torch.no_grad():
        logits = model.base(torch.tensor([prompt])).logits[0, -1]
    letters = {letter: float(logits[ids(model, letter)[0]]) for letter in "QXZ"}
    written = GrammarWriter(model).write([prompt], [choice(*(f"{letter}-rest" for letter in letters))], [0])
    assert written == [max(letters, key=letters.__getitem__) + "-rest"]


def test_texts_written_together_are_those_written_alone(model):
    prompts = [ids(model, text) for text in ("Why Alien?", "Why Aliens?", "Tell me.", "Why")]
    grammars = [choice(*TEXTS), choice(*TEXTS[2:]), choice(*TEXTS), choice("Only this.")]
    together = GrammarWriter(model, 1.0).write(prompts, grammars, [1, 2, 3, 4])
    alone = [
        GrammarWriter(model, 1.0).write([p], [g], [s])[0]
        for p, g, s in zip(prompts, grammars, [1, 2, 3, 4], strict=True)
    ]
    assert together == alone
    assert together[3] == "Only this."


def test_temperature_varies_texts_by_seed_and_a_seed_repeats_its_text(model):
    free, prompt = GrammarWriter(model, 5.0), ids(model, "Why?")
    texts = [free.write([prompt], [choice(*TEXTS)], [seed])[0] for seed in range(20)]
    assert set(texts) <= set(TEXTS)
    assert len(set(texts)) > 1
    assert texts == [free.write([prompt], [choice(*TEXTS)], [seed])[0] for seed in range(20)]
    greedy = GrammarWriter(model)
    assert len({greedy.write([prompt], [choice(*TEXTS)], [seed])[0] for seed in range(5)}) == 1


def test_forced_text_is_read_in_one_piece(model):
    prompt, long = ids(model, "Why?"), "x" * 200
    model.read.clear()
    GrammarWriter(model).write([prompt], [choice(long + "a" + long, long + "b" + long)], [0])
    widths = [shape[1] for shape in model.read]
    assert len(widths) <= 4  # all but the prompt's last token; what is forced before the choice; the choice
    assert sum(widths) < 250  # what is forced after the last choice is never read


@pytest.mark.parametrize("title", AWKWARD)
def test_awkward_titles_are_written_letter_by_letter(model, title, monkeypatch):
    evidence = named("War and Peace", title)
    said = Sentences(MOVIES, evidence, ONE, 1, evidence.reasons(ONE, 1))
    taken, take = [], writer._Text.take
    monkeypatch.setattr(writer._Text, "take", lambda self, new: taken.extend(new) or take(self, new))
    text = GrammarWriter(model).write([ids(model, "Why?")], [grammar(said)], [0])[0]
    assert title in text
    assert said.reasons_in(text)
    assert not set(taken) & set(model.tokenizer.all_special_ids)


def test_a_text_may_be_the_beginning_of_another(model):
    texts = {
        GrammarWriter(model, 8.0).write([ids(model, "Why?")], [choice("So.", "So. Yes.")], [seed])[0]
        for seed in range(30)
    }
    assert texts == {"So.", "So. Yes."}


def test_a_broken_grammar_is_an_error(model):
    with pytest.raises(PromptError, match="does not compile"):
        GrammarWriter(model).write([ids(model, "Why?")], [CFG('start: nowhere "x"')], [0])


def test_the_tokenizer_is_left_as_it_was(model):
    before = (model.tokenizer.padding_side, model.tokenizer("a <|im_end|>").input_ids)
    GrammarWriter(model).write([ids(model, "Why?")], [choice(*TEXTS)], [0])
    assert (model.tokenizer.padding_side, model.tokenizer("a <|im_end|>").input_ids) == before


def test_a_language_models_explanations_are_true(model):
    explainer = Explainer(Evidence(CATALOG, DATA, DOMAIN), MOVIES, language_model=model, temperature=2.0)
    checker = Checker(CATALOG, DATA, DOMAIN, vocabulary(MOVIES))
    rows = [ALIENS, NEW, 0, 4]
    found = explainer.explain_many(SEEN, rows, predicted=[4.8, None, 4.0, 5.0])
    for row, predicted, one in zip(rows, [4.8, None, 4.0, 5.0], found, strict=True):
        assert one.method == "llm"
        assert checker.check(one.text, SEEN, row, predicted).problems == ()
        assert one.facts
        assert all(checker.holds(fact, SEEN, row, predicted) for fact in one.facts)
    assert explainer.explain_many(SEEN, [ALIENS], predicted=[4.8])[0].text == found[0].text
