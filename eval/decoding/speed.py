"""What does it cost to restrict a language model to a catalog? Ours and the usual ways, on one model, in one run.

    python -m eval.decoding.speed [--parts trie search peers users default] [--items 1700 10000 ...] [--quick]
        [--ways ...] [--model smollm2-135m] [--threads 2] [--rounds 5] [--seconds 90] [--megabytes 4000] [--minutes 25]
        [--resume]

* trie: build time, bytes per item, and microseconds per step of ways to store the codes, without a model;
* search: milliseconds per request by size of the catalog and number of beams, at the depth of serving and at full
  depth, with a bare forward pass over the prompt for comparison;
* peers: milliseconds per request of ways to generate, for the same prompts and codes; the run fails if ours does not
  return the same items with the same scores (within 1e-4);
* users: users per second, one at a time and together, with long and with short histories;
* default: milliseconds per request of two configurations, for histories of the same number of films. GENRE's default
  has one token an item and the first layers, in full precision and in eight bits. The usual configuration has several
  tokens an item, full depth, and ``generate`` with ``prefix_allowed_tokens_fn`` and 20 beams.

Catalogs: 1,682 is MovieLens-100K with semantic codes of four tokens; all others are random codes of four tokens.
All contenders are measured alternately, in rounds; figures are medians with minimum and maximum. Each contender has a
process of its own with limits of time per call and of memory. A contender that passes a limit is reported, and is not
tried on larger catalogs. Parts that are not measured remain in the file, and with ``--resume`` all parts that it has.
A part that has used its share of ``--minutes`` continues with one round of each question.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.limited import GaveUpError, Limited
from eval.bench.results import read, record
from eval.bench.script import new_parser, say, script
from eval.decoding.codes import LENGTH, REAL, make_codes
from eval.decoding.generators import OursDefault, OursServing
from eval.decoding.peers import GENERATORS, SAME_SCORES, USUAL
from eval.decoding.report import Row, draw, markdown
from eval.decoding.stores import STORES, Codes
from genre_gen.domain import Domain
from genre_gen.downloads.models import ensure_model
from genre_gen.llm.hardware import examine_machine

STEM = "decoding_speed"
ITEMS = (REAL, 10_000, 100_000, 1_000_000, 10_000_000)
BEAMS = (1, 5, 20, 50, 200)
PEER_BEAMS = (1, 20)
MANY_BEAMS = 200  # peers answer once, and only for the real catalog
USERS = (1, 4, 16, 64)
PEER_ROUNDS = 5  # maximum
SLOW, SLOW_TIMES = 1.0, 2  # contenders that take this many seconds are called only this many times
PICKS = 20  # items for each user
FILMS, FEW = 27, 7  # items of long and of short histories
SHARES = {"trie": 0.15, "search": 0.2, "peers": 0.5, "users": 0.1, "default": 0.05}  # of the time, by part
TOLERANCE = 1e-4


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write tables and picture; exit code 1 if answers differ."""
    with script(parser(), arguments) as options:
        settle(options)
        file = options.out / f"{STEM}.json"
        content: Row = read(file).get(options.model, {}) if file.exists() else {}
        content |= {"machine": machine(options.threads), "model": options.model, "prompt_tokens": options.tokens}
        bench = SpeedBench(options)
        for part in options.parts:
            if options.resume and part in content:
                continue
            begin = time.perf_counter()
            bench.until = begin + 60 * options.minutes * SHARES[part]
            rows = PARTS[part](bench)
            content[part] = joined(content.get(part, []), rows, options) if part == "peers" and options.ways else rows
            content.setdefault("seconds", {})[part] = round(time.perf_counter() - begin)
            record(options.out, STEM, options.model, content, markdown(content))
            draw(content, options.out / f"{STEM}.png")
        print(markdown(content))
        wrong = [row for part in ("peers", "users") for row in content.get(part, []) if row.get("same") is False]
        raise SystemExit(1 if wrong else 0)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "threads")
    parts = tuple(SHARES)
    made.add_argument("--parts", nargs="+", choices=parts, default=parts)
    made.add_argument("--items", nargs="+", type=int, help=f"sizes of catalogs, {REAL} being the real one {ITEMS}")
    made.add_argument("--beams", nargs="+", type=int, help=f"beams of trie and search {BEAMS}")
    made.add_argument("--ways", nargs="+", choices=tuple(GENERATORS), help="of peers; others remain in the file")
    made.add_argument("--users", nargs="+", type=int, help=f"numbers of users in a batch {USERS}")
    made.add_argument("--model", default="smollm2-135m", help="see model.llm in domain.toml")
    made.add_argument("--tokens", type=int, default=150, help="tokens of the longest prompt")
    made.add_argument("--rounds", type=int, help="number of alternating rounds [5; 2 with --quick]")
    made.add_argument("--seconds", type=float, help="limit of each call [90; 30 with --quick]")
    made.add_argument("--megabytes", type=float, default=4000, help="limit of each process's memory")
    made.add_argument("--minutes", type=float, default=25, help="time limit of all parts together")
    made.add_argument("--resume", action="store_true", help="leave out parts that the file has")
    made.add_argument("--quick", action="store_true", help="small catalogs and few rounds")
    return made


def settle(options: argparse.Namespace) -> None:
    """Set the missing options."""
    quick = options.quick
    options.items = sorted(options.items or (ITEMS[1:3] if quick else ITEMS))
    options.beams = options.beams or ((1, 20) if quick else BEAMS)
    options.users = options.users or ((1, 4) if quick else USERS)
    options.rounds = options.rounds or (2 if quick else 5)
    options.seconds = options.seconds or (30 if quick else 90)


@dataclass(frozen=True)
class Question:
    """A method of a process, and its arguments in each round (the last ones are used for further rounds)."""

    process: Limited
    method: str
    arguments: Sequence[tuple[Any, ...]]

    def ask(self, turn: int) -> Any:
        """Return the answer of a round."""
        return self.process.call(self.method, *self.arguments[min(turn, len(self.arguments) - 1)])


class SpeedBench:
    """The common part of all measurements: catalogs, processes with limits, and rounds.

    Attributes:
        options: options of the command line.
        folder: folder of the model.
        exit_layer: the exit layer of the movies domain.
        files: catalog size -> file of its codes.
        until: end of the part's time, on ``time.perf_counter``.
    """

    until = float("inf")

    def __init__(self, options: argparse.Namespace) -> None:
        """Find the model and write the codes of every catalog to files."""
        self.options = options
        self.folder = ensure_model(options.model)
        domain = Domain.load("movies")
        self.exit_layer = domain.model.exit_layer
        self._scratch = tempfile.TemporaryDirectory()
        self.files = {size: self.write(str(size), make_codes(size, domain)) for size in options.items}

    def write(self, name: str, codes: Codes) -> Path:
        """Write codes to a file that is deleted with this process."""
        file = Path(self._scratch.name) / f"{name}.npy"
        np.save(file, codes)
        return file

    def start(self, stack: ExitStack, make: Callable[..., Any], *arguments: Any) -> Limited:
        """Start a process that ends with ``stack``."""
        limits = {"seconds": self.options.seconds, "megabytes": self.options.megabytes}
        process = Limited(make, *arguments, **limits, threads=self.options.threads)
        stack.callback(process.close)
        return process

    def contenders(
        self, stack: ExitStack, makes: Mapping[str, Any], size: int, arguments: tuple[Any, ...], rows: list[Row]
    ) -> dict[str, Limited]:
        """Start contenders one after the other; append the cost of their builds, or the failure, to ``rows``.

        Contenders that gave up at a smaller catalog, according to ``rows``, are skipped.
        """
        out = {row["name"] for row in rows if row.get("gave_up")}
        running = {}
        for name, make in makes.items():
            row: Row = {"items": size, "name": name}
            if name in out:
                rows.append(row | {"failure": "gave up at a smaller catalog", "gave_up": True})
                continue
            try:
                running[name] = self.start(stack, make, self.files[size], *arguments)
            except GaveUpError as why:
                say(f"{name}, {size:,} items: {why}")
                rows.append(row | {"failure": str(why), "gave_up": True})
                continue
            built = running[name].call("built")
            rows.append(row | built | {"bytes_per_item": built["bytes"] / size})
        return running

    def by_turns(
        self, questions: Mapping[Any, Question], rounds: int, failed: dict[str, str] | None = None, warm: bool = False
    ) -> dict[Any, list[Any]]:
        """Ask every question once in each round; a contender that fails is not asked again.

        Unless all are ``warm``, each answers once for warm-up. Slow contenders need no warm-up; they are asked
        ``SLOW_TIMES`` in total, or once when the time is up.
        """
        answers: dict[Any, list[Any]] = {name: [] for name in questions}
        slow: set[Any] = set()
        for turn in range(0 if warm else -1, rounds):
            late = time.perf_counter() > self.until
            if turn > 0 and late:
                break
            for name in list(answers):
                if name in slow and len(answers[name]) >= (1 if late else SLOW_TIMES):
                    continue
                begin = time.perf_counter()
                try:
                    answer = questions[name].ask(len(answers[name]))
                except GaveUpError as why:
                    say(f"{name}: {why}")
                    del answers[name]
                    if failed is not None:
                        failed[name] = str(why)
                    continue
                if time.perf_counter() - begin > SLOW:
                    slow.add(name)
                if turn >= 0 or name in slow:
                    answers[name].append(answer)
        return answers


def measure_trie(bench: SpeedBench) -> list[Row]:
    """Build every store for every catalog, and time its steps."""
    rows: list[Row] = []
    rounds = 3 * bench.options.rounds
    for size in bench.files:
        with ExitStack() as stack:
            stores = bench.contenders(stack, STORES, size, (), rows)
            for beams in bench.options.beams:
                given = [(beams, turn) for turn in range(rounds)]
                questions = {name: Question(store, "step", given) for name, store in stores.items()}
                answers_of = bench.by_turns(questions, rounds)
                agree({name: [tokens for _, tokens in answers] for name, answers in answers_of.items()})
                for name, answers in answers_of.items():
                    rows.append({"items": size, "beams": beams, "name": name, "us": spread([us for us, _ in answers])})
                say(f"trie: {size:,} items, {beams} beams")
    return rows


def measure_search(bench: SpeedBench) -> list[Row]:
    """Time requests for catalogs of every size, alternately, at the depth of serving and at full depth."""
    return [row for layers in dict.fromkeys((bench.exit_layer, None)) for row in _search_at(bench, layers)]


def _search_at(bench: SpeedBench, layers: int | None) -> Iterator[Row]:
    rounds = bench.options.rounds
    with ExitStack() as stack:
        ours = {size: bench.start(stack, OursServing, file, bench.folder, layers) for size, file in bench.files.items()}
        prompts = {size: process.call("prompts", 1, bench.options.tokens)[0] for size, process in ours.items()}
        reading = {size: Question(process, "read", [(prompts[size],)]) for size, process in ours.items()}
        bare = bench.by_turns(reading, rounds)
        for beams in bench.options.beams:
            questions = {
                size: Question(process, "ask_parts", [(prompts[size], beams)]) for size, process in ours.items()
            }
            for size, answers in bench.by_turns(questions, rounds).items():
                yield {
                    "layers": layers,
                    "items": size,
                    "beams": beams,
                    "prompt": len(prompts[size]),
                    "ms": spread([1e3 * total for total, *_ in answers]),
                    "outside_model": statistics.median(1 - inside / total for total, inside, _ in answers),
                    "constraint": statistics.median(trie / total for total, _, trie in answers),
                    "bare_pass_ms": spread([1e3 * plain for plain, _ in bare[size]]),
                    "packed_pass_ms": spread([1e3 * packed for _, packed in bare[size]]),
                }
            say(f"search: {layers or 'all'} layers, {beams} beams")


def measure_peers(bench: SpeedBench) -> list[Row]:
    """Time every way to generate on every catalog, alternately, and compare the answers."""
    rows: list[Row] = []
    smallest = bench.options.items[0]
    for size in bench.files:
        with ExitStack() as stack:
            makes = {name: make for name, make in GENERATORS.items() if name in (bench.options.ways or GENERATORS)}
            running = bench.contenders(stack, makes, size, (bench.folder, None), rows)
            most = [MANY_BEAMS] if size == smallest and MANY_BEAMS in bench.options.beams else []
            for beams in [*PEER_BEAMS, *most]:
                rows += _peers_at(bench, running, size, beams)
                say(f"peers: {size:,} items, {beams} beams")
    return rows


def joined(old: Sequence[Row], new: Sequence[Row], options: argparse.Namespace) -> list[Row]:
    """Return new rows, and the old ones that were not measured again."""
    names = {*options.ways, *(row["name"] for row in new)}
    return [row for row in old if row["name"] not in names or row["items"] not in options.items] + list(new)


def _peers_at(bench: SpeedBench, running: Mapping[str, Limited], size: int, beams: int) -> Iterator[Row]:
    rounds = 1 if beams == MANY_BEAMS else min(bench.options.rounds, PEER_ROUNDS)
    prompts = next(iter(running.values())).call("prompts", rounds, bench.options.tokens)
    failed: dict[str, str] = {}
    questions = {name: Question(process, "ask", [(ids, beams) for ids in prompts]) for name, process in running.items()}
    answers_of = bench.by_turns(questions, rounds, failed, warm=beams != PEER_BEAMS[0])
    row: Row = {"items": size, "beams": beams}
    yield from (row | {"name": name, "failure": why} for name, why in failed.items())
    for name, answers in answers_of.items():
        yield row | {"name": name, "ms": spread([1e3 * seconds for _, _, seconds in answers])}
    if beams > 1:  # ``generate`` returns no score with one beam
        yield from (row | pair for pair in compared(answers_of))


def measure_users(bench: SpeedBench) -> list[Row]:
    """Time many users, one at a time and together, for codes of four tokens and of one."""
    flat = bench.write("flat", np.arange(REAL, dtype=np.int32)[:, None])
    catalogs = {LENGTH: bench.files[bench.options.items[0]], 1: flat}
    return [
        row
        for tokens, file in catalogs.items()
        for quantization in ("none", "int8")
        for row in _users_of(bench, tokens, file, quantization)
    ]


def _users_of(bench: SpeedBench, tokens: int, file: Path, quantization: str) -> Iterator[Row]:
    with ExitStack() as stack:
        ours = bench.start(stack, OursDefault, file, bench.folder, bench.exit_layer, quantization)
        for items in (FILMS, FEW):
            yield from _users_with(bench, ours, items, {"code_tokens": tokens, "quantization": quantization})


def _users_with(bench: SpeedBench, ours: Limited, items: int, row: Row) -> Iterator[Row]:
    for users in bench.options.users:
        prompts = ours.call("prompts_of", users, items)
        questions = {way: Question(ours, "ask_many", [(prompts, PICKS, way)]) for way in (False, True)}
        answers_of = bench.by_turns(questions, bench.options.rounds)
        alone, together = answers_of[False][0][0], answers_of[True][0][0]
        # In eight bits, users in one batch share the scale of activations.
        same = bool(np.allclose(alone, together, atol=TOLERANCE)) if row["quantization"] == "none" else None
        for way, answers in answers_of.items():
            rates = {
                "users_per_second": spread([users / seconds for _, seconds, _ in answers]),
                "users_per_processor_second": spread([users / seconds for _, _, seconds in answers]),
            }
            yield row | {"history": items, "users": users, "together": way, "same": same} | rates
        say(f"users: {row}, histories of {items}, {users} users")


def measure_default(bench: SpeedBench) -> list[Row]:
    """Time our default configuration and the usual one, alternately."""
    flat = bench.write("flat", np.arange(REAL, dtype=np.int32)[:, None])
    makes: dict[str, tuple[Any, ...]] = {
        "ours by default": (OursDefault, flat, bench.folder, bench.exit_layer, "none"),
        "ours by default, int8": (OursDefault, flat, bench.folder, bench.exit_layer, "int8"),
        USUAL: (GENERATORS[USUAL], bench.files[bench.options.items[0]], bench.folder, None),
    }
    with ExitStack() as stack:
        rounds = bench.options.rounds
        questions = {}
        for name, (make, *arguments) in makes.items():
            process = bench.start(stack, make, *arguments)
            prompts = process.call("prompts_of", rounds, FILMS)
            questions[name] = Question(process, "ask", [(ids, PICKS) for ids in prompts])
        answers_of = bench.by_turns(questions, rounds)
    usual = [seconds for _, _, seconds in answers_of.get(USUAL, [])]
    rows = []
    for name, answers in answers_of.items():
        times = [seconds for _, _, seconds in answers]
        row: Row = {"name": name, "ms": spread([1e3 * seconds for seconds in times])}
        rows.append(
            row | {"times": statistics.median(a / b for a, b in zip(usual, times, strict=False))} if usual else row
        )
    return rows


PARTS = {
    "trie": measure_trie,
    "search": measure_search,
    "peers": measure_peers,
    "users": measure_users,
    "default": measure_default,
}


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Return median, minimum and maximum."""
    return {"median": statistics.median(samples), "low": min(samples), "high": max(samples), "n": len(samples)}


def agree(counts_of: dict[str, list[int]]) -> None:
    """Raise unless all stores without exclusions found the same number of tokens at each step."""
    numbers = {name: counts for name, counts in counts_of.items() if not name.startswith("ours")}
    for name, counts in numbers.items():
        if counts != next(iter(numbers.values())):
            raise RuntimeError(f"{name} finds other followers than the rest")


def compared(answers_of: dict[str, list[Any]]) -> Iterator[Row]:
    """Yield for each pair whether items and scores are the same, except for ties."""
    for first, second in SAME_SCORES:
        if first in answers_of and second in answers_of:
            # A slow one answers fewer of the same prompts.
            pairs = list(zip(answers_of[first], answers_of[second], strict=False))
            apart = max(float(np.abs(np.subtract(a[1], b[1])).max()) for a, b in pairs)
            same = apart < TOLERANCE and all(same_items(a, b) for a, b in pairs)
            yield {"name": f"{first} = {second}", "same": same, "apart": apart}


def same_items(first: Any, second: Any) -> bool:
    """Tell whether two rankings have the same items, except for ties with the last score within rounding."""
    (items, scores, _), (others, _, _) = first, second
    sure = {item for item, score in zip(items, scores, strict=True) if score > scores[-1] + TOLERANCE}
    return sure <= set(others) and len(set(items)) == len(set(others)) == len(items)


def machine(threads: int) -> Row:
    """Return the conditions of the figures, except for the code."""
    import torch
    import transformers

    examined = examine_machine()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {
        "system": examined.system,
        "cores": examined.cores,
        "threads": threads,
        "flags": examined.cpu_flags,
        **versions,
    }


if __name__ == "__main__":
    main()
