"""One language model asked by many threads at once: each gets what it would get alone, to the bit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from outlines.types import CFG
from tiny_training import book_of, tiny_llm

from genre_gen.explain.writer import FreeWriter, GrammarWriter
from genre_gen.llm.generator import ItemGenerator
from genre_gen.tasks import TASKS, TaskData
from genre_gen.training.llm_training import make_finetuner

THREADS = 8


def linear_weights(layers):
    """Return the addresses of the weights of all linear layers, adapters left out."""
    return {
        module.weight.data_ptr()
        for path, module in layers.named_modules()
        if isinstance(module, torch.nn.Linear) and ".lora_" not in path
    }


@pytest.fixture(scope="module", params=["full-none", "lora-none", "lora-int8", "lora-nf4"])
def generator(request, tiny_domain, sample):
    """Return a generator whose heads are there and whose adapters differ clearly from nothing."""
    adapter, quantization = request.param.split("-")
    domain = tiny_domain.changed({"model.adapter": adapter, "model.quantization": quantization})
    book, data = book_of(domain), TaskData(*sample, domain)
    llm = tiny_llm(domain, *sample)
    make_finetuner(llm, book, data, (), None)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in llm.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=noise))
    return ItemGenerator(llm.eval(), book, data)


def requests(generator) -> dict[str, Callable[[], object]]:
    """Return requests of every kind, some for items and some for text."""
    data, histories = generator.data, generator.data.interactions.histories()
    prompts = {
        task: next(TASKS[task].examples(data, generator.book, np.random.default_rng(0), open=True)).prompt
        for task in ("title", "fits")
    }
    ids = generator.encoder.encode(prompts["title"]).ids.tolist()
    chosen, free = GrammarWriter(generator.llm), FreeWriter(generator.llm, max_tokens=4)
    grammar = CFG('start: "Alien" | "Heat" | "Fargo"')
    asked: dict[str, Callable[[], object]] = {
        "title": lambda: generator.write(prompts["title"], max_tokens=4),
        "fits": lambda: generator.answer_probabilities([prompts["fits"]], ["yes", "no"]).tolist(),
        "chosen": lambda: chosen.write([ids], [grammar], [0]),
        "free": lambda: free.write([ids], [0]),
    }
    for number, history in enumerate(histories[:3]):
        asked[f"score {number}"] = lambda history=history: generator.score([history]).tolist()
        asked[f"rate {number}"] = lambda history=history: generator.rate([history] * 2, [0, 1]).tolist()
    return asked


def test_threads_get_the_answers_of_one(generator):
    asked = requests(generator)
    alone = {name: ask() for name, ask in asked.items()}
    generator.clear_caches()
    assert {name: ask() for name, ask in reversed(asked.items())} == alone  # text after items, and items after text
    generator.clear_caches()
    order = np.random.default_rng(0).permutation(list(asked) * 6).tolist()
    with ThreadPoolExecutor(THREADS) as pool:
        for name, answer in zip(order, pool.map(lambda name: asked[name](), order), strict=True):
            assert answer == alone[name], name


def test_adapters_share_the_memory_of_the_base(generator):
    llm = generator.llm
    base = linear_weights(llm.base.model.layers[: len(llm.item_backbone.layers)])
    item = linear_weights(llm.item_backbone.layers)
    assert base
    assert item == base if llm.settings.adapter == "lora" else item.isdisjoint(base)
    names = [name for name, _ in llm.trainable()]
    assert any(".lora_A.text." in name for name in names)
    assert any(".lora_A.item." in name for name in names) == (llm.settings.adapter == "lora")
