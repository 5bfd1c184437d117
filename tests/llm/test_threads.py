"""One language model asked by many threads at once: each gets what it would get alone, to the bit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from genre_gen.explain import Explainer
from genre_gen.llm.generator import ItemGenerator
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TASKS, TaskData
from genre_gen.training.llm_training import build_llm, train_llm

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
    """Return a generator after an epoch, with adapters that differ clearly from nothing."""
    adapter, quantization = request.param.split("-")
    settings = {"model.adapter": adapter, "model.quantization": quantization, "training.epochs": 1}
    domain = tiny_domain.changed(settings)
    book, data = PromptBook.load(domain), TaskData(*sample, domain)
    llm = build_llm(domain, *sample)
    train_llm(llm, book, data, (), None)
    with torch.no_grad():
        for name, parameter in llm.named_parameters():
            if ".lora_B." in name:
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                parameter.copy_(0.1 * noise)
    return ItemGenerator(llm, book, data)


def questions(generator) -> list[tuple[str, Callable[[], object]]]:
    """Return requests of every kind, to items and to text."""
    data, histories = generator.data, generator.data.interactions.histories()
    explainers = [
        Explainer(data.catalog, data.interactions, data.domain, generator.book, language_model=generator.llm, free=free)
        for free in (False, True)
    ]
    prompts = {
        task: next(TASKS[task].examples(data, generator.book, np.random.default_rng(0), open=True)).prompt
        for task in ("title", "fits")
    }
    asked: list[tuple[str, Callable[[], object]]] = []
    for number, history in enumerate(histories[:4]):
        asked += [
            (f"score {number}", lambda history=history: generator.score([history]).tolist()),
            (f"rate {number}", lambda history=history: generator.rate([history] * 3, [0, 1, 2]).tolist()),
            (f"llm {number}", lambda history=history: explainers[0].explain(history, 5).text),
            (f"free {number}", lambda history=history: explainers[1].explain(history, 5).draft),
        ]
    asked += [(f"write {task}", lambda prompt=prompt: generator.write(prompt)) for task, prompt in prompts.items()]
    fits = prompts["fits"]
    return [*asked, ("fits", lambda: generator.answer_probabilities([fits], ["yes", "no"]).tolist())]


def test_threads_get_the_answers_of_one(generator):
    asked = questions(generator)
    alone = {name: ask() for name, ask in asked}
    assert {name: ask() for name, ask in reversed(asked)} == alone  # text after items, and items after text
    generator.clear_caches()
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(asked)), THREADS)).tolist()
    with ThreadPoolExecutor(THREADS) as pool:
        for place, answer in zip(order, pool.map(lambda place: asked[place][1](), order), strict=True):
            assert answer == alone[asked[place][0]], asked[place][0]


def test_adapters_share_the_memory_of_the_base(generator):
    llm = generator.llm
    base = linear_weights(llm.base.model.layers[: len(llm.item_backbone.layers)])
    own = linear_weights(llm.item_backbone.layers)
    assert base
    assert own == base if llm.settings.adapter == "lora" else own.isdisjoint(base)
