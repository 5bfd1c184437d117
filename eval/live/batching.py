"""Which way of answering many users is best: one by one or in batches, with or without each user's kept prompt?

    python -m eval.live.batching [runs/movies] [--last 27] [--users 256] [--rounds 3] [--threads 1] [--quick]

For the last ``--last`` items of histories and for whole ones, and for batches of several sizes, milliseconds of a
request of ten items (``answer_many``: history to picks, without HTTP), by the clock and by the processor, and the part
of them that the language model takes:

* ``cold``: nothing is kept but the instruction, as for users who come for the first time;
* ``event``: each user has been answered before, and one item was added since;
* ``again``: the same request once more.

In a batch of one the user's kept prompt is used (``TreeModel.for_user``); in larger ones each user's own
(``TreeModel.for_users``), or for ``shared`` only the common instruction (``TreeModel.prefill_many``), which reads every
history from its beginning. The largest difference of scores between a batch and single requests is told too.
Each figure is the fastest of the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, script
from genre_gen.data.history import History
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.requests import Recommendations, Request
from genre_gen.recommender.state import RecommenderState

Row = dict[str, Any]
SIZES = (1, 4, 16, 64)
N = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "demo run", "threads", "quick")
    parser.add_argument("--last", type=int, default=27, help="items of a short history [27]")
    parser.add_argument("--users", type=int, default=256, help="number of users [256]")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of so many counts [3]")
    with script(parser, arguments) as options:
        at_least_one(options, "last", "users", "rounds", "threads")
        torch.set_num_threads(options.threads)
        state = Recommender.from_pretrained(options.run, quantization="none").state
        users = min(options.users, 8) if options.quick else options.users
        sizes = (1, 4) if options.quick else SIZES
        rows = []
        for name, last in (("short", options.last), ("whole", None)):
            histories = chosen(state, users, last)
            mean = float(np.mean([len(history) for history in histories]))
            rows += [{"histories": name, "items": mean} | row for row in measured(state, histories, sizes, options)]
        content = {"threads": options.threads, "users": users, "torch": torch.__version__, "rows": rows}
        text = markdown(rows)
        record(options.out, "batching", options.run.name, content, text)
        print(text)


def chosen(state: RecommenderState, users: int, last: int | None) -> list[History]:
    """Return histories of users, evenly spread, cut to the last items if wanted."""
    rows = np.unique(np.linspace(0, len(state.histories.users) - 1, users).astype(int)).tolist()
    every = [state.histories.history_at(row) for row in rows]
    return every if last is None else [history.last(last) for history in every]


def measured(state: RecommenderState, histories: Sequence[History], sizes: Sequence[int], options: Any) -> list[Row]:
    """Return a row for each size of batches, and whether prompts are kept."""
    later = [with_event(state, history, place) for place, history in enumerate(histories)]
    alone, rows = answers(state, histories, 1, keep=True), []
    for size in sizes:
        for keep in (True, False) if size > 1 else (True,):
            best: dict[str, Row] = {}
            for _ in range(options.rounds):
                state.generator.clear_caches()
                answers(state, [History(histories[0].rows)], 1, keep=keep)  # packs weights, reads the instruction
                times = {"cold": histories, "event": later, "again": later}
                for case, asked in times.items():
                    taken = seconds(state, asked, size, keep=keep)
                    best[case] = min(best.get(case, taken), taken, key=lambda row: row["ms"])
            differs = difference(alone, answers(state, histories, size, keep=keep))
            rows.append({"batch": size, "way": "own" if keep else "shared", "differs": differs, **best})
    return rows


def with_event(state: RecommenderState, history: History, place: int) -> History:
    """Return the history with an item that is not in it, later than all others."""
    row = next(row for row in range(place, 2 * len(state.catalog)) if row % len(state.catalog) not in history.rows)
    ratings = None if history.ratings is None else np.append(history.ratings, np.float32(np.nan))
    times = None if history.times is None else np.append(history.times, history.times[-1:] + 1)
    return History(np.append(history.rows, row % len(state.catalog)), ratings, times, history.user, history.hidden)


def answers(state: RecommenderState, histories: Iterable[History], size: int, *, keep: bool) -> list[Recommendations]:
    """Return the picks for histories, asked in batches."""
    state.generator.keeps_prompts = keep
    every = [*histories]
    batches = [every[begin : begin + size] for begin in range(0, len(every), size)]
    return [picks for batch in batches for picks in answer_many(state, [Request(who, n=N) for who in batch])]


def seconds(state: RecommenderState, histories: Sequence[History], size: int, *, keep: bool) -> Row:
    """Return milliseconds of a request: by the clock, of the processor, and of the language model."""
    model, used, begin = state.generator.seconds_reading, time.process_time(), time.perf_counter()
    answers(state, histories, size, keep=keep)
    taken = {
        "ms": time.perf_counter() - begin,
        "processor": time.process_time() - used,
        "model": state.generator.seconds_reading - model,
    }
    return {name: value * 1000 / len(histories) for name, value in taken.items()}


def difference(some: Sequence[Recommendations], others: Sequence[Recommendations]) -> float:
    """Return the largest difference between scores at the same rank."""
    pairs = [
        (ours.score, theirs.score)
        for one, other in zip(some, others, strict=True)
        for ours, theirs in zip(one, other, strict=True)
    ]
    return float(np.ptp(np.array(pairs), axis=1).max(initial=0.0))


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table: milliseconds of a request, and of the language model in it."""
    cases = ("cold", "event", "again")
    head = ["histories", "items", "batch", "prefixes", *(f"{case}, ms (model)" for case in cases), "largest difference"]
    lines = [
        [
            row["histories"], f"{row['items']:.0f}", str(row["batch"]), row["way"],
            *(f"{row[case]['ms']:.2f} ({row[case]['model']:.2f})" for case in cases), f"{row['differs']:.0e}",
        ]
        for row in rows
    ]  # fmt: skip
    return table(head, lines, words=4)


if __name__ == "__main__":
    main()
