"""Does the usual way of generating items find better items? The same trained model, with both ways.

    python -m eval.decoding.usual_way [runs/movies ...] [--users 100] [--beams 20] [--threads 2]

Each trained recommender is exported as a causal model of transformers. The usual way is ``generate`` with beams and
``prefix_allowed_tokens_fn`` over nested dicts without the items that the user has seen. It is compared with the exact
search, and with beam search of as many beams. On test cases of leave-one-out, the measures are NDCG@10 of the language
model alone, the number of common items among ten, and milliseconds of a request. ``generate`` normalizes scores over
the whole vocabulary, the search over the item codes: with codes of one token the order is the same, with longer ones it
may differ.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from eval.decoding.beam_search import beam_search
from eval.decoding.peers import beam_options
from eval.decoding.stores import NestedDicts
from genre_gen.data.history import allowed_items
from genre_gen.data.splits import Case, leave_one_out
from genre_gen.decoding.search import search
from genre_gen.llm.export import to_transformers
from genre_gen.llm.hardware import examine_machine
from genre_gen.metrics import ndcg_at
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import RecommenderState

Row = dict[str, Any]
Ask = Callable[[Case, NDArray[np.bool_]], NDArray[np.int64]]
EXACT, BEAMS, USUAL = "search, exact", "search, beams", "generate"
CUTOFF = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "threads")
    parser.add_argument("runs", nargs="*", type=Path, default=[Path("runs/movies")], help="trained recommenders")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--beams", type=int, default=20)
    with script(parser, arguments) as options:
        torch.set_num_threads(options.threads)
        rows = [row for run in options.runs for row in compared(run, options.users, options.beams)]
        machine = {"threads": options.threads, "torch": torch.__version__, "flags": examine_machine().cpu_flags}
        content = {"machine": machine, "users": options.users, "beams": options.beams, "rows": rows}
        text = markdown(content)
        record(options.out, "usual_way", ", ".join(run.name for run in options.runs), content, text)
        print(text)


def compared(run: Path, users: int, beams: int) -> list[Row]:
    """Return a row for each way to generate."""
    state = Recommender.from_pretrained(run, quantization="none").state
    cases = leave_one_out(state.histories, state.catalog).test[:users]
    masks = allowed_items([case.history for case in cases], len(state.catalog), state.domain.repeat)
    ways = {EXACT: by_search(state, None), BEAMS: by_search(state, beams), USUAL: usual(state, beams)}
    lists_of: dict[str, list[NDArray[np.int64]]] = {name: [] for name in ways}
    ms_of: dict[str, list[float]] = {name: [] for name in ways}
    for case, mask in zip(cases, masks, strict=True):
        for name, ask in ways.items():
            begin = time.perf_counter()
            lists_of[name].append(ask(case, mask)[:CUTOFF])
            ms_of[name].append(1e3 * (time.perf_counter() - begin))
    codes = state.generator.llm.codes.codes
    return [
        {
            "code_tokens": int(codes.shape[1]),
            "name": name,
            "ndcg@10": float(ndcg_at(places(lists, cases), CUTOFF).mean()),
            "alike@10": statistics.mean(
                len(np.intersect1d(a, b)) for a, b in zip(lists, lists_of[EXACT], strict=True)
            ),
            "same_order": sum(np.array_equal(a, b) for a, b in zip(lists, lists_of[EXACT], strict=True)),
            "ms": statistics.median(ms_of[name]),
        }
        for name, lists in lists_of.items()
    ]  # fmt: skip


def places(lists: list[NDArray[np.int64]], cases: Any) -> NDArray[np.float64]:
    """Return the rank of each case's target in its list, from 1; infinite if it is missing."""
    ranks = []
    for listed, case in zip(lists, cases, strict=True):
        positions = np.flatnonzero(listed == case.target)
        ranks.append(positions[0] + 1.0 if len(positions) else np.inf)
    return np.array(ranks)


def by_search(state: RecommenderState, beams: int | None) -> Ask:
    """Return our way: prompt, search, rows."""
    generator = state.generator

    def ask(case: Case, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        ids = generator.encode(case.history).ids
        if beams is not None:
            return beam_search(generator.model, [ids], generator.trie, beams, mask)[0].rows
        return search(generator.model, ids, generator.trie, CUTOFF, mask).rows

    return ask


def usual(state: RecommenderState, beams: int) -> Ask:
    """Return the usual way: prompt, dicts without seen items, ``generate``, rows."""
    generator = state.generator
    model: Any = to_transformers(generator.llm)[0]
    codes, first = generator.llm.codes.codes.astype(np.int32), generator.llm.text_vocabulary
    rows = {tuple(code): row for row, code in enumerate((codes + first).tolist())}

    def ask(case: Case, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        prompt = torch.as_tensor(generator.encode(case.history).ids.astype(np.int64))[None]
        dicts, length, steps = NestedDicts.of(codes[mask] + first), prompt.shape[1], codes.shape[1]
        output = model.generate(
            **beam_options(prompt, steps, beams),
            prefix_allowed_tokens_fn=lambda _, ids: dicts.get(ids[length:].tolist()),
        )
        return np.array([rows[tuple(code)] for code in output[:, length:].tolist()])

    return ask


def markdown(content: Row) -> str:
    """Return the table."""
    about = f"{content['users']} users, {content['beams']} beams, {content['machine']['threads']} threads"
    head = ("tokens per code", "way", "NDCG@10", "same of ten", "lists in the same order", "ms per request")
    rows = [
        (
            row["code_tokens"],
            row["name"],
            f"{row['ndcg@10']:.4f}",
            f"{row['alike@10']:.2f}",
            row["same_order"],
            f"{row['ms']:.1f}",
        )
        for row in content["rows"]
    ]
    return f"{about}\n\n{table(head, rows, words=2)}"


if __name__ == "__main__":
    main()
