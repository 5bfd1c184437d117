import numpy as np
import pytest
import torch
from tiny_training import book_of, tiny_llm
from transformers import LogitsProcessorList

from genre_gen.decoding.processors import CatalogLogitsProcessor, Constraint
from genre_gen.llm.export import to_transformers
from genre_gen.llm.generator import ItemGenerator
from genre_gen.tasks import TaskData


@pytest.mark.parametrize("changes", [{}, {"codes.scheme": "semantic", "codes.length": 2, "codes.width": 8}])
@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_generate_finds_the_items_of_our_search(tiny_domain, sample, adapter, changes):
    catalog, interactions = sample
    domain = tiny_domain.changed({"model.adapter": adapter, **changes})
    llm = tiny_llm(domain, catalog, interactions)
    generator = ItemGenerator(llm, book_of(domain), TaskData(catalog, interactions, domain))
    with torch.no_grad():  # adapters that do something
        for name, value in llm.trainable():
            if "lora" in name:
                value.normal_(std=0.1)
    model, tokenizer = to_transformers(llm)
    history = interactions.history_at(0)
    allowed = np.ones(len(catalog), bool)
    allowed[history.rows] = False
    constraint = Constraint(generator.trie, llm.text_vocabulary, tokenizer.eos_token_id, allowed)
    prompt = torch.tensor([generator.encode(history).ids.tolist()])
    found = model.generate(
        prompt,
        logits_processor=LogitsProcessorList([CatalogLogitsProcessor(constraint, prompt.shape[1])]),
        num_beams=10,
        num_return_sequences=5,
        max_new_tokens=4,
    )
    rows = constraint.rows(found[:, prompt.shape[1] :])
    ours = generator.generate(history, 5, allowed)
    if not changes:
        assert rows.tolist() == ours.rows.tolist()
    else:  # a beam may miss items that the exact search finds, but finds its first
        assert rows[0] == ours.rows[0]
        assert set(rows.tolist()) <= set(np.flatnonzero(allowed).tolist())


def test_code_tokens_survive_decoding(tiny_recommender):
    llm = tiny_recommender.state.generator.llm
    _, tokenizer = to_transformers(llm)
    ids = [llm.text_vocabulary, llm.text_vocabulary + 3]
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == "".join(
        llm.codes.names[k] for k in (0, 3)
    )
