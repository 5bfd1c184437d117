"""What do fewer bits cost and gain? One trained recommender, served in each quantization.

    python -m eval.serving.quantization [runs/movies] [--parts size speed quality] [--settings none bf16 int8 ...]
        [--users 64] [--rounds 5] [--minutes 4] [--threads 2] [--quick]

* size: bytes of all weights, of the pre-trained base among them, and of the layers that items are ranked by;
* speed: ms of a request (top 10 of one user, without that user's cached prefix), of a user in batches of 64, and of a
  token of a text at full depth; settings are measured alternately, so that ratios are valid on a busy machine too. Both
  processor time and wall-clock time are given;
* quality: NDCG@10 of the language model alone and of the blend, on the validation and the test cases of leave-one-out,
  each against full precision on the same users; and the changes of scores and lists of ten.

Settings: those of ``serving.quantization``, and ``int8-bitsandbytes``. A setting that has not finished a set of cases
after ``--minutes`` is reported for the users done. Parts and settings that are not measured remain in the file; if they
were measured with another recommender, machine or number of threads, all parts in the file must be measured again. The
speed of full precision is measured again with each other setting: its times are the latest ones, and ratios are within
a measurement. A refit recommender has learned from the validation items, whose figures are for comparison only.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from eval.bench.plots import new_figure, save
from eval.bench.results import read, record, table
from eval.bench.script import new_parser, say, script
from genre_gen.data.history import History, allowed_items
from genre_gen.data.splits import Case, leave_one_out
from genre_gen.decoding.decoders import decoder_of
from genre_gen.domain import ServingSettings
from genre_gen.downloads.models import ensure_model
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, mixtures, scorers
from genre_gen.llm.decoder import KeyValues
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.hardware import examine_machine
from genre_gen.llm.quantize import quantize, weight_bytes
from genre_gen.metrics import ndcg_at, ranks
from genre_gen.recommender.persistence import WEIGHTS
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import RecommenderState

EXACT, OTHER_INT8 = "none", "int8-bitsandbytes"
SETTINGS = (*get_args(ServingSettings.model_fields["quantization"].annotation), OTHER_INT8)
STEM = "quantization"
PARTS = ("size", "speed", "quality")
BATCH = 64
WORDS = 16  # tokens of a text
DIFFERENCE = "NDCG@10 of the blend, test, less\nfull precision's; 95 % intervals"
OF = {"recommender": "recommender", "threads": "number of threads", "torch": "torch", "flags": "processor"}
"""Conditions that the figures of a table must share, as named in errors."""
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write table and picture."""
    with script(parser(), arguments) as options:
        settle(options)
        torch.set_num_threads(options.threads)
        state = Recommender.from_pretrained(options.run, quantization=EXACT).state
        content = begun(options, state.fingerprint())
        content["disk"] = disk_bytes(options.run, state.domain.model.llm)
        measure(content, state, options)
        print(markdown(content))


def begun(options: argparse.Namespace, key: str) -> Row:
    """Return the recorded content with its conditions; empty if all of it has other conditions and is replaced.

    Raises:
        UsageError: figures of another recommender, machine or number of threads would remain in the table.
    """
    machine = {"threads": options.threads, "torch": torch.__version__, "flags": list(examine_machine().cpu_flags)}
    file = options.out / f"{STEM}.json"
    content: Row = read(file).get(options.run.name, {}) if file.exists() else {}
    before: Row = {"recommender": content.get("recommender")} | content.get("machine", {})
    now: Row = {"recommender": key} | machine
    if content and (other := [name for name in now if before.get(name) != now[name]]):
        asked = {(part, name) for part in options.parts for name in options.settings}
        if staying := sorted({part for part, _ in set(measured_parts(content)) - asked}):
            raise UsageError(
                f"{file}: its {', '.join(staying)} would remain, but has another "
                f"{' and '.join(OF[name] for name in other)}, or none recorded; "
                "measure all parts in it, or give another --out"
            )
        content = {}
    return content | {"recommender": key, "machine": machine}


def measured_parts(content: Row) -> Iterator[tuple[str, str]]:
    """Yield each part and setting with figures."""
    for part in ("size", "quality"):
        yield from ((part, name) for name in content.get(part, {}))
    for rows in content.get("speed", {}).values():
        yield from (("speed", name) for name in rows)


def measure(content: Row, state: RecommenderState, options: argparse.Namespace) -> None:
    """Measure the requested parts, setting by setting, and write the content after each part."""
    served = {name: quantized(state, name).generator for name in options.settings}
    for part in options.parts:
        if part == "size":
            content.setdefault("size", {}).update((name, sizes(generator)) for name, generator in served.items())
        elif part == "speed":
            for kind, rows in speeds(state, served, options.users, options.rounds).items():
                content.setdefault("speed", {}).setdefault(kind, {}).update(rows)
        else:
            for name, row in qualities(state, served, options):
                content.setdefault("quality", {})[name] = row
                write(content, options)
        write(content, options)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "demo run", "threads", "quick")
    made.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    made.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    made.add_argument("--users", type=int, help="users whose requests are timed [64; 8 with --quick]")
    made.add_argument("--rounds", type=int, help="number of alternating rounds [5; 1 with --quick]")
    made.add_argument("--cases", type=int, help="maximum number of users of each set of cases [all; 64 with --quick]")
    made.add_argument("--minutes", type=float, default=2.0, help="limit of each setting and set of cases")
    return made


def settle(options: argparse.Namespace) -> None:
    """Set the missing options; full precision comes first."""
    options.settings = [EXACT, *(name for name in options.settings if name != EXACT)]
    options.users = options.users or (8 if options.quick else 64)
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.cases = options.cases or (64 if options.quick else None)


def quantized(state: RecommenderState, name: str) -> RecommenderState:
    """Return the recommender with a copy of its language model, in a setting."""
    llm = copy.deepcopy(state.llm)
    scheme, _, kernels = name.partition("-")
    quantize(llm, scheme, kernels or None)  # type: ignore[arg-type]
    say(f"{name}: ready")
    return replace(state, llm=llm)


def sizes(generator: ItemGenerator) -> Row:
    """Return bytes in memory: all, the pre-trained base, and the layers of the item backbone."""
    llm = generator.llm
    return {"all": weight_bytes(llm), "base": weight_bytes(llm.base), "tower": weight_bytes(llm.item_backbone)}  # type: ignore[arg-type]


def disk_bytes(run: Path, llm: str) -> Row:
    """Return bytes on disk, which are the same for all settings: rounding happens when a model is loaded."""
    base = sum(file.stat().st_size for file in ensure_model(llm).glob("*.safetensors"))
    return {"base": base, "recommender": (run / WEIGHTS).stat().st_size}


def speeds(state: RecommenderState, served: dict[str, ItemGenerator], users: int, rounds: int) -> Row:
    """Return the time of one unit for each kind of work and each setting."""
    # Without a user id no prefix is cached, so that each round does the same work.
    histories = [History(history.rows, history.ratings) for history in state.histories.histories()[:users]]
    masks = allowed_items(histories, len(state.catalog), state.domain.repeat)
    batches = range(0, len(histories), BATCH)

    def history(k: int) -> Callable[[ItemGenerator], Any]:
        return lambda generator: generator.generate(histories[k], 10, masks[k])

    def several(b: int) -> Callable[[ItemGenerator], Any]:
        return lambda generator: generator.score(histories[b : b + BATCH])

    work: dict[str, tuple[Sequence[Callable[[ItemGenerator], Any]], int]] = {
        "request": ([history(k) for k in range(len(histories))], 1),
        "batch": ([several(b) for b in batches], min(users, BATCH)),
        "text": ([write_words], WORDS),
    }
    times: Row = {}
    for kind, (asked, units) in work.items():
        times[kind] = by_turns(served, asked, rounds, units)
        say(f"speed: {kind}")
    return times


@torch.inference_mode()
def write_words(generator: ItemGenerator) -> None:
    """Generate a text at full depth, token by token."""
    llm, cache = generator.llm, KeyValues()
    decoder = decoder_of(llm.base.model)
    ids = torch.arange(100, 132)[None].to(llm.device)
    for _ in range(WORDS):
        ids = llm.text_logits(decoder.read(llm.embed(ids), cache)[:, -1:]).argmax(-1)


def by_turns(
    served: dict[str, ItemGenerator], asked: Sequence[Callable[[ItemGenerator], Any]], rounds: int, units: int
) -> dict[str, Row]:
    """Measure all settings for each question before the next question, after a warm-up round.

    Returns:
        Per setting the median over the questions of the fastest round, in ms per unit, as wall-clock and processor
        time (of all threads); and the median of the ratios to full precision, question by question.
    """
    clock = {name: np.full((rounds, len(asked)), np.inf) for name in served}
    processor = {name: np.full((rounds, len(asked)), np.inf) for name in served}
    for turn in range(-1, rounds):
        for number, ask in enumerate(asked if turn >= 0 else asked[:1]):
            for name, generator in served.items():
                begin = time.perf_counter(), time.process_time()
                ask(generator)
                end = time.perf_counter(), time.process_time()
                if turn >= 0:
                    clock[name][turn, number], processor[name][turn, number] = np.subtract(end, begin)
    rows = {}
    for name in served:
        row = {}
        for what, samples in (("ms", clock), ("processor_ms", processor)):
            best = {setting: values.min(0) for setting, values in samples.items()}
            row[what] = 1e3 * float(np.median(best[name])) / units
            row["times" if what == "ms" else "processor_times"] = float(np.median(best[EXACT] / best[name]))
        rows[name] = row
    return rows


def qualities(
    state: RecommenderState, served: dict[str, ItemGenerator], options: argparse.Namespace
) -> Iterator[tuple[str, Row]]:
    """Yield each setting with its NDCG@10 on both sets of cases, against full precision on the same users."""
    split = leave_one_out(state.histories, state.catalog)
    exact: dict[str, Any] = {}
    for name, generator in served.items():
        row: Row = {}
        for part in ("validation", "test"):
            cases = split.cases(part)[: options.cases]  # type: ignore[arg-type]
            until = time.monotonic() + 60 * options.minutes if name != EXACT else float("inf")
            answered = answers(state, generator, cases, until)
            row[part] = compared(answered, exact.setdefault(part, answered))
            say(f"quality: {name}, {part}, {len(answered[GENRE])} users")
        yield name, row


def answers(
    state: RecommenderState, generator: ItemGenerator, cases: Sequence[Case], until: float
) -> dict[str, NDArray[Any]]:
    """Return the ranks of targets by the model alone and the blend, the model's scores, and its ten best."""
    size, repeat = len(state.catalog), state.domain.repeat
    members, mix = scorers(state), mixtures(state)[GENRE]
    answered: dict[str, list[NDArray[Any]]] = {LLM_ALONE: [], GENRE: [], "scores": [], "best": []}
    for begin in range(0, len(cases), BATCH):
        part = cases[begin : begin + BATCH]
        histories, targets = [case.history for case in part], np.array([case.target for case in part])
        allowed = allowed_items(histories, size, repeat)
        ranked = allowed.copy()
        ranked[np.arange(len(part)), targets] = True
        scores = {name: score(histories) for name, score in members.items() if name != LLM_ALONE}
        scores[LLM_ALONE] = alone = generator.score(histories)
        answered[LLM_ALONE].append(ranks(alone, targets, ranked))
        answered[GENRE].append(ranks(mix(scores, ranked), targets, ranked))
        answered["scores"].append(alone)
        answered["best"].append(np.argsort(-np.where(allowed, alone, -np.inf), axis=1)[:, :10])
        if time.monotonic() > until:
            break
    return {name: np.concatenate(parts) for name, parts in answered.items()}


def compared(answered: dict[str, NDArray[Any]], exact: dict[str, NDArray[Any]]) -> Row:
    """Return NDCG@10, its difference to full precision with 1.96 standard errors, and the changes of answers."""
    count = len(answered[GENRE])
    row: Row = {"users": count}
    for name in (LLM_ALONE, GENRE):
        ndcg, full = ndcg_at(answered[name], 10), ndcg_at(exact[name][:count], 10)
        apart = ndcg - full
        row[name] = {
            "ndcg@10": float(ndcg.mean()),
            "difference": float(apart.mean()),
            "error": float(1.96 * apart.std() / count**0.5),
        }
    moved = np.abs(answered["scores"] - exact["scores"][:count])
    common = [len(np.intersect1d(a, b)) for a, b in zip(answered["best"], exact["best"], strict=False)]
    return row | {
        "furthest": float(moved.max()),
        "mean_moved": float(moved.mean()),
        "alike@10": statistics.mean(common),
    }


def markdown(content: Row) -> str:
    """Return the table; sizes in MB, times in ms with the speed relative to full precision's."""
    names = ["setting", "MB", "base MB", "tower MB", "ms per request", "ms per user in batches", "ms per token of text"]
    for part in ("validation", "test"):
        names += [f"alone, {part}", f"blend, {part}", "users"]
    names += ["furthest score", "of ten alike"]
    names_measured = {name for _, name in measured_parts(content)}
    rows = [cells_of(content, name) for name in SETTINGS if name in names_measured]
    return f"{content['machine']['threads']} threads.\n\n{table(names, rows)}"


def cells_of(content: Row, name: str) -> list[str]:
    """Return the cells of a setting, "" for missing figures."""
    size, quality = content.get("size", {}).get(name), content.get("quality", {}).get(name)
    cells = [name, *(f"{size[key] / 1e6:.1f}" if size else "" for key in ("all", "base", "tower"))]
    for kind in ("request", "batch", "text"):
        timed = content.get("speed", {}).get(kind, {}).get(name)
        cells.append(f"{timed['ms']:.1f} ({timed['times']:.2f}x)" if timed else "")
    if not quality:
        return cells + [""] * 8
    for part in ("validation", "test"):
        figures = quality[part]
        cells += [f"{figures[key]['ndcg@10']:.4f} ({figures[key]['difference']:+.4f})" for key in (LLM_ALONE, GENRE)]
        cells.append(str(figures["users"]))
    return [*cells, f"{quality['test']['furthest']:.3f}", f"{quality['test']['alike@10']:.1f}"]


def write(content: Row, options: argparse.Namespace) -> None:
    """Write JSON, table and picture."""
    record(options.out, STEM, options.run.name, content, markdown(content))
    draw(content, options.out / f"{STEM}.png")


def draw(content: Row, file: Path) -> None:
    """Plot size, speed and the change of quality (with its interval), a bar for each setting."""
    request, quality = content.get("speed", {}).get("request", {}), content.get("quality", {})
    blend = {name: row["test"][GENRE] for name, row in quality.items()}
    bars_of: dict[str, dict[str, float]] = {
        "MB of weights": {name: row["all"] / 1e6 for name, row in content.get("size", {}).items()},
        "requests, times full precision": {name: row["times"] for name, row in request.items()},
        DIFFERENCE: {name: row["difference"] for name, row in blend.items()},
    }
    figure, panels = new_figure(12, 3.4, 3)
    for panel, (title, bars) in zip(panels, bars_of.items(), strict=True):
        names = [name for name in SETTINGS if name in bars]
        errors = [blend[name]["error"] for name in names] if title == DIFFERENCE else None
        panel.barh(names, [bars[name] for name in names], xerr=errors, capsize=3)
        panel.invert_yaxis()
        panel.set_title(title, fontsize=10)
    panels[-1].axvline(0, color="black", linewidth=0.8)
    panels[-1].locator_params(axis="x", nbins=5)
    save(figure, file)


if __name__ == "__main__":
    main()
