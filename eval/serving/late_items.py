"""What does it cost that items come while a recommender serves?

    python -m eval.serving.late_items [--items 1682 100000] [--late 1000] [--threads 1] [--quick]

Milliseconds of the clock, medians, of a recommender that is put together without training: its weights and its users'
histories are random, their shapes are those of a trained one. Titles have words of a vocabulary of 20,000, in which few
are frequent. "first" is the first added item, for which the texts of the catalog are indexed once; "one" is one more.
Each kind of request is the first of its kind after an item was added, so it contains what has to be made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy import sparse

from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, script
from genre_gen.blending.blend import Blend
from genre_gen.blending.tuned import TunedSettings
from genre_gen.codes import atomic
from genre_gen.collaborative import ItemKNN, Popularity
from genre_gen.collaborative.text_knn import TextKNN
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.domain import Domain, ModelSettings
from genre_gen.downloads.models import ensure_model
from genre_gen.live.catalog import with_available, with_items
from genre_gen.live.view import View
from genre_gen.llm.factors import number_of_factors
from genre_gen.llm.load import load_base
from genre_gen.llm.model import LLM
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.requests import Request
from genre_gen.recommender.state import RecommenderState

WORDS, LABELS, TITLE, NEIGHBOURS, EVENTS, LENGTH, ROUNDS = 20_000, 30, 4, 100, 100_000, 27, 5
WEIGHTS = {"llm": 0.4, "text_knn": 0.3, "item_knn": 0.2, "popularity": 0.1}
DOMAIN = """
name = "things"
[fields.kind]
type = "list"
[fields.year]
type = "number"
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Time every change at every size and print the table."""
    parser = new_parser(__doc__, "threads", "quick")
    parser.set_defaults(threads=1)
    parser.add_argument("--items", nargs="+", type=int, default=[1_682, 100_000], help="sizes of catalogs")
    parser.add_argument("--late", type=int, default=1_000, help="items that come at once")
    parser.add_argument("--llm", default=ModelSettings().llm, help="name or folder of a model [%(default)s]")
    with script(parser, arguments) as options:
        at_least_one(options, "threads")
        torch.set_num_threads(options.threads)
        sizes, late = ([60, 90], 5) if options.quick else (options.items, options.late)
        found = {n_items: costs(n_items, late, options.llm) for n_items in sizes}
        rows = [[name, *(f"{found[size][name]:.1f}" for size in sizes)] for name in found[sizes[0]]]
        text = table(("", *(f"{size:,} items" for size in sizes)), rows)
        record(options.out, "late_items", f"{options.threads} threads", {str(n): found[n] for n in found}, text)
        print(text)


def costs(n_items: int, late: int, llm: str) -> dict[str, float]:
    """Return the milliseconds of each change, and of the first request of each kind after it."""
    random = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        state = untrained(n_items, llm, Path(folder), random)
    view, new = View.of(state), (_item(f"new-{place}", random) for place in range(10**9))
    history, title = History(random.choice(n_items, LENGTH, replace=False)), state.catalog[5].title
    requests: dict[str, Callable[[View], Request]] = {
        "a list": lambda _: Request(history),
        "with reasons": lambda _: Request(history, explain=True),
        "with a filter": lambda _: Request(history, where="kind == 'kind1' and year > 1990"),
        "without an item by its name": lambda _: Request(history, exclude=[title.upper()]),
        "in words": lambda _: Request(history, query="something of kind1 like kind2 after 1990"),
    }
    list(answer_many(state, [make(view) for make in requests.values()]))
    results = {}
    begin = time.perf_counter()
    view = with_items(view, [next(new)])
    results["first"] = 1e3 * (time.perf_counter() - begin)
    results["one"], view = _median(view, lambda now: with_items(now, [next(new)]))
    for name, make in requests.items():
        seconds = []
        for _ in range(ROUNDS):
            view = with_items(view, [next(new)])
            begin = time.perf_counter()
            list(answer_many(view.state, [make(view)], view.available))
            seconds.append(time.perf_counter() - begin)
        results[f"then {name}"] = 1e3 * float(np.median(seconds))
    begin = time.perf_counter()
    view = with_items(view, [next(new) for _ in range(late)])
    results[f"{late:,} at once"] = 1e3 * (time.perf_counter() - begin)
    results["one, behind these"], view = _median(view, lambda now: with_items(now, [next(new)]))
    renamed = iter(range(10**9))
    results["another title"], view = _median(
        view, lambda now: with_items(now, [replace(now.state.catalog[3], title=f"renamed {next(renamed)}")])
    )
    results["another title of a late one"], view = _median(
        view, lambda now: with_items(now, [replace(now.state.catalog[-1], title=f"renamed {next(renamed)}")])
    )
    results["one withdrawn"], view = _median(view, lambda now: with_available(now, {str(next(renamed)): False}))
    return results


def _median(view: View, change: Callable[[View], View]) -> tuple[float, View]:
    """Return the median milliseconds of a change that is made several times, and the last view."""
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        view = change(view)
        seconds.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(seconds)), view


def untrained(n_items: int, name: str, folder: Path, random: np.random.Generator) -> RecommenderState:
    """Return a recommender of random weights whose parts have the shapes of a trained one."""
    (folder / "domain.toml").write_text(DOMAIN)
    domain = Domain.load(folder).changed({"model.llm": name})
    catalog = Catalog((_item(str(row), random) for row in range(n_items)), "things")
    users = np.sort(random.integers(max(EVENTS // 100, 10), size=EVENTS))
    rows = (n_items * random.random(EVENTS) ** 2).astype(np.int64)
    log = Interactions.from_columns([str(user) for user in users], rows, n_items)
    base, tokenizer = load_base(ensure_model(name))
    settings = domain.model.model_copy(update={"exit_layer": min(3, len(base.model.layers))})
    llm = LLM(base, tokenizer, atomic(n_items), settings, number_of_factors(domain.codes, n_items)).eval()
    llm.code_embedding.data.normal_()
    popularity, neighbours, texts = Popularity().fit(log), ItemKNN(), TextKNN((), NEIGHBOURS)
    for model in (neighbours, texts):
        columns = random.integers(n_items, size=n_items * NEIGHBOURS).astype(np.int32)
        values, begins = random.random(len(columns), dtype=np.float32), np.arange(0, len(columns) + 1, NEIGHBOURS)
        model.similar = sparse.csr_matrix((values, columns, begins), (n_items, n_items))
    members = {"popularity": popularity, "item_knn": neighbours, "text_knn": texts}
    blend = Blend(WEIGHTS)
    tuned = TunedSettings(blend=blend, blend_without_llm=Blend({"text_knn": 1.0}))
    return RecommenderState(domain, PromptBook.load(domain), catalog, log, log, llm, members, {}, tuned)


def _item(item_id: str, random: np.random.Generator) -> Item:
    words = (WORDS * random.random(TITLE) ** 3).astype(int)
    kinds = random.choice(LABELS, 2, replace=False)
    title = " ".join(f"word{word}" for word in words)
    return Item(
        item_id, title, {"kind": tuple(f"kind{kind}" for kind in kinds), "year": int(random.integers(1950, 2026))}
    )


if __name__ == "__main__":
    main()
