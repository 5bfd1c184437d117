"""What do fewer bits cost, and what do they bring? One trained recommender, served in each quantization.

    python eval/quantization.py [runs/movies] [--parts size speed quality] [--settings none bf16 int8 ...]
        [--users 64] [--rounds 5] [--minutes 4] [--threads 2] [--quick] [--json eval/results/quantization.json]

* size: bytes of all weights, of the pre-trained base among them, and of the layers that items are ranked by;
* speed: ms of a request (top 10 of one user, nothing of that user's kept), of a user in batches of 64, and of a token
  of a text at full depth; all settings by turns, so that the ratios hold on a busy machine too. Time of the processor
  is told beside that of the clock;
* quality: NDCG@10 of the language model alone and of the blend, on the validation and the test cases of leave-one-out,
  each against full precision on the same users; how far scores and lists of ten move.

Settings: those of ``serving.quantization``, and ``int8-bitsandbytes``. A setting that is not done with a set of cases
after ``--minutes`` is told for the users that it got to. Parts and settings that are not asked for stay in the file; if
they were measured with another recommender, machine or number of threads, all that it has must be asked for. The speed
of full precision is measured anew with each other setting's: times of it are of the last day, ratios of their own. The
final training of a recommender may have learned from the validation items: their figures are for comparison only.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from leaderboard import told
from numpy.typing import NDArray

from genre_gen.data.interactions import History, allowed_items
from genre_gen.data.splits import Case
from genre_gen.decoding.snapshot import cache_argument
from genre_gen.domain import ServingSettings
from genre_gen.downloads.models import ensure_model
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.hardware import examine_machine
from genre_gen.llm.quantize import quantize, weight_bytes
from genre_gen.metrics import ndcg_at, ranks
from genre_gen.recommender.persistence import WEIGHTS
from genre_gen.recommender.recommender import Recommender

EXACT, OTHER_INT8 = "none", "int8-bitsandbytes"
SETTINGS = (*get_args(ServingSettings.model_fields["quantization"].annotation), OTHER_INT8)
PARTS = ("size", "speed", "quality")
BATCH = 64
WORDS = 16  # tokens of a text
DIFFERENCE = "NDCG@10 of the blend, test, less\nfull precision's; 95 % intervals"
OF = {"recommender": "recommender", "threads": "number of threads", "torch": "torch", "flags": "processor"}
"""What figures that share a table must be of, in the words of a refusal."""
Row = dict[str, Any]


def main() -> None:
    """Measure, print the table, write JSON and picture; exit code 1 for a failure, and 2 for wrong use."""
    options = parse()
    torch.set_num_threads(options.threads)
    with told():
        recommender = Recommender.from_pretrained(options.run, quantization=EXACT)
        content = begun(options, recommender.key())
        content["disk"] = disk_bytes(options.run, recommender.domain.model.llm)
        measure(content, recommender, options)
        print(table(content))


def begun(options: argparse.Namespace, key: str) -> Row:
    """Return what the file has, with what its figures are of; nothing where all of it is of others and measured anew.

    Raises:
        UsageError: figures of another recommender, machine or number of threads would stay beside the new ones.
    """
    machine = {"threads": options.threads, "torch": torch.__version__, "flags": list(examine_machine().cpu_flags)}
    content: Row = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    was: Row = {"recommender": content.get("recommender")} | content.get("machine", {})
    now: Row = {"recommender": key} | machine
    if content and (other := [name for name in now if was.get(name) != now[name]]):
        asked = {(part, name) for part in options.parts for name in options.settings}
        if staying := sorted({part for part, _ in set(has(content)) - asked}):
            raise UsageError(
                f"{options.json}: what it has of {', '.join(staying)} would stay, but is of another "
                f"{' and '.join(OF[name] for name in other)}, or does not say of which; "
                "ask for all that it has, or give another --json"
            )
        content = {}
    return content | {"recommender": key, "machine": machine}


def has(content: Row) -> Iterator[tuple[str, str]]:
    """Yield each part and setting that there are figures of."""
    for part in ("size", "quality"):
        yield from ((part, name) for name in content.get(part, {}))
    for rows in content.get("speed", {}).values():
        yield from (("speed", name) for name in rows)


def measure(content: Row, recommender: Recommender, options: argparse.Namespace) -> None:
    """Measure what is asked for into the content, setting by setting, and write it after each part."""
    served = {name: variant(recommender, name) for name in options.settings}
    for part in options.parts:
        if part == "size":
            content.setdefault("size", {}).update((name, sizes(generator)) for name, generator in served.items())
        elif part == "speed":
            for kind, rows in speeds(recommender, served, options.users, options.rounds).items():
                content.setdefault("speed", {}).setdefault(kind, {}).update(rows)
        else:
            for name, row in qualities(recommender, served, options):
                content.setdefault("quality", {})[name] = row
                write(content, options.json)
        write(content, options.json)


def parse() -> argparse.Namespace:
    """Return the options; ``--quick`` lowers what was not given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=Path("runs/movies"), help="trained recommender")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--users", type=int, help="users whose requests are timed [64; 8 with --quick]")
    parser.add_argument("--rounds", type=int, help="times that they are, by turns [5; 1 with --quick]")
    parser.add_argument("--cases", type=int, help="most users of each set of cases [all; 64 with --quick]")
    parser.add_argument("--minutes", type=float, default=2.0, help="limit of each setting and set of cases")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("eval/results/quantization.json"))
    options = parser.parse_args()
    options.settings = [EXACT, *(name for name in options.settings if name != EXACT)]
    options.users = options.users or (8 if options.quick else 64)
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.cases = options.cases or (64 if options.quick else None)
    return options


def variant(recommender: Recommender, name: str) -> ItemGenerator:
    """Return the recommender's generator with a copy of its model, in a setting."""
    own = recommender.generator
    llm = copy.deepcopy(own.llm)
    scheme, _, kernels = name.partition("-")
    quantize(llm, scheme, kernels or None)  # type: ignore[arg-type]
    say(f"{name}: ready")
    return ItemGenerator(llm, own.book, own.data)


def sizes(generator: ItemGenerator) -> Row:
    """Return bytes in memory: all, the pre-trained base, the layers of the tower."""
    llm = generator.llm
    return {"all": weight_bytes(llm), "base": weight_bytes(llm.base), "tower": weight_bytes(llm.item_backbone)}  # type: ignore[arg-type]


def disk_bytes(run: Path, llm: str) -> Row:
    """Return bytes on disk, which are the same for all settings: rounding happens when a model is loaded."""
    base = sum(file.stat().st_size for file in ensure_model(llm).glob("*.safetensors"))
    return {"base": base, "recommender": (run / WEIGHTS).stat().st_size}


def speeds(recommender: Recommender, served: dict[str, ItemGenerator], users: int, rounds: int) -> Row:
    """Return for each kind of work and each setting what one unit takes."""
    # Without a name nothing of a user's own is kept, so that each round does the same work.
    histories = [History(one.rows, one.ratings) for one in recommender.histories.histories()[:users]]
    masks = allowed_items(histories, len(recommender.catalog), recommender.domain.repeat)
    batches = range(0, len(histories), BATCH)

    def one(k: int) -> Callable[[ItemGenerator], Any]:
        return lambda generator: generator.generate(histories[k], 10, masks[k])

    def several(b: int) -> Callable[[ItemGenerator], Any]:
        return lambda generator: generator.score(histories[b : b + BATCH])

    work: dict[str, tuple[Sequence[Callable[[ItemGenerator], Any]], int]] = {
        "request": ([one(k) for k in range(len(histories))], 1),
        "batch": ([several(b) for b in batches], min(users, BATCH)),
        "text": ([write_words], WORDS),
    }
    found: Row = {}
    for kind, (asked, units) in work.items():
        found[kind] = by_turns(served, asked, rounds, units)
        say(f"speed: {kind}")
    return found


@torch.inference_mode()
def write_words(generator: ItemGenerator) -> None:
    """Write a text at full depth, one token after the other, whatever it is."""
    from transformers import DynamicCache

    llm, cache = generator.llm, DynamicCache()
    ids = torch.arange(100, 132)[None].to(llm.device)
    for _ in range(WORDS):
        output = llm.base.model(  # type: ignore[operator, union-attr]
            inputs_embeds=llm.embed(ids), use_cache=True, **{cache_argument(generator.model.backbone): cache}
        )
        ids = llm.text_logits(output.last_hidden_state[:, -1:]).argmax(-1)


def by_turns(
    served: dict[str, ItemGenerator], asked: Sequence[Callable[[ItemGenerator], Any]], rounds: int, units: int
) -> dict[str, Row]:
    """Ask every setting each question before the next question; a round goes before that does not count.

    Returns:
        Per setting the median over the questions of the quickest round, in ms per unit, by the clock and by the
        processor (of all threads); and the median of the ratios to full precision, question by question.
    """
    clock = {name: np.full((rounds, len(asked)), np.inf) for name in served}
    processor = {name: np.full((rounds, len(asked)), np.inf) for name in served}
    for turn in range(-1, rounds):
        for place, ask in enumerate(asked if turn >= 0 else asked[:1]):
            for name, generator in served.items():
                begin = time.perf_counter(), time.process_time()
                ask(generator)
                end = time.perf_counter(), time.process_time()
                if turn >= 0:
                    clock[name][turn, place], processor[name][turn, place] = np.subtract(end, begin)
    found = {}
    for name in served:
        row = {}
        for what, samples in (("ms", clock), ("processor_ms", processor)):
            best = {setting: values.min(0) for setting, values in samples.items()}
            row[what] = 1e3 * float(np.median(best[name])) / units
            row["times" if what == "ms" else "processor_times"] = float(np.median(best[EXACT] / best[name]))
        found[name] = row
    return found


def qualities(
    recommender: Recommender, served: dict[str, ItemGenerator], options: argparse.Namespace
) -> Iterator[tuple[str, Row]]:
    """Yield each setting with its NDCG@10 on both sets of cases, against full precision on the same users."""
    split = recommender.histories.leave_one_out()
    known: dict[str, Any] = {}
    for name, generator in served.items():
        row: Row = {}
        for part in ("validation", "test"):
            cases = split.cases(part)[: options.cases]  # type: ignore[arg-type]
            until = time.monotonic() + 60 * options.minutes if name != EXACT else float("inf")
            found = answers(recommender, generator, cases, until)
            row[part] = compared(found, known.setdefault(part, found))
            say(f"quality: {name}, {part}, {len(found[GENRE])} users")
        yield name, row


def answers(
    recommender: Recommender, generator: ItemGenerator, cases: Sequence[Case], until: float
) -> dict[str, NDArray[Any]]:
    """Return the ranks of targets by the model alone and the blend, the model's scores, and its ten best."""
    size, repeat = len(recommender.catalog), recommender.domain.repeat
    members, mix = recommender.scorers(), recommender.mixtures()[GENRE]
    found: dict[str, list[NDArray[Any]]] = {LLM_ALONE: [], GENRE: [], "scores": [], "best": []}
    for begin in range(0, len(cases), BATCH):
        part = cases[begin : begin + BATCH]
        histories, targets = [case.history for case in part], np.array([case.target for case in part])
        allowed = allowed_items(histories, size, repeat)
        ranked = allowed.copy()
        ranked[np.arange(len(part)), targets] = True
        scores = {name: score(histories) for name, score in members.items() if name != LLM_ALONE}
        scores[LLM_ALONE] = own = generator.score(histories)
        found[LLM_ALONE].append(ranks(own, targets, ranked))
        found[GENRE].append(ranks(mix(scores, ranked), targets, ranked))
        found["scores"].append(own)
        found["best"].append(np.argsort(-np.where(allowed, own, -np.inf), axis=1)[:, :10])
        if time.monotonic() > until:
            break
    return {name: np.concatenate(parts) for name, parts in found.items()}


def compared(found: dict[str, NDArray[Any]], exact: dict[str, NDArray[Any]]) -> Row:
    """Return NDCG@10, its difference to full precision with 1.96 standard errors, and how far answers moved."""
    count = len(found[GENRE])
    row: Row = {"users": count}
    for name in (LLM_ALONE, GENRE):
        own, other = ndcg_at(found[name], 10), ndcg_at(exact[name][:count], 10)
        apart = own - other
        row[name] = {
            "ndcg@10": float(own.mean()),
            "difference": float(apart.mean()),
            "error": float(1.96 * apart.std() / count**0.5),
        }
    moved = np.abs(found["scores"] - exact["scores"][:count])
    alike = [len(np.intersect1d(a, b)) for a, b in zip(found["best"], exact["best"], strict=False)]
    return row | {"furthest": float(moved.max()), "mean_moved": float(moved.mean()), "alike@10": statistics.mean(alike)}


def table(content: Row) -> str:
    """Return all figures as Markdown; sizes in MB, times in ms with how many times full precision's speed."""
    lines = ["# Quantization", "", f"`eval/quantization.py`, {content['machine']['threads']} threads.", ""]
    names = ["setting", "MB", "base MB", "tower MB", "ms per request", "ms per user in batches", "ms per token of text"]
    for part in ("validation", "test"):
        names += [f"alone, {part}", f"blend, {part}", "users"]
    names += ["furthest score", "of ten alike"]
    lines += ["| " + " | ".join(row) + " |" for row in (names, ["---"] * len(names))]
    known = {name for _, name in has(content)}
    lines += ["| " + " | ".join(cells_of(content, name)) + " |" for name in SETTINGS if name in known]
    return "\n".join(lines) + "\n"


def cells_of(content: Row, name: str) -> list[str]:
    """Return the cells of a setting, empty ones for what was not measured."""
    size, quality = content.get("size", {}).get(name), content.get("quality", {}).get(name)
    cells = [name, *(f"{size[key] / 1e6:.1f}" if size else "" for key in ("all", "base", "tower"))]
    for kind in ("request", "batch", "text"):
        one = content.get("speed", {}).get(kind, {}).get(name)
        cells.append(f"{one['ms']:.1f} ({one['times']:.2f}x)" if one else "")
    if not quality:
        return cells + [""] * 8
    for part in ("validation", "test"):
        own = quality[part]
        cells += [f"{own[key]['ndcg@10']:.4f} ({own[key]['difference']:+.4f})" for key in (LLM_ALONE, GENRE)]
        cells.append(str(own["users"]))
    return [*cells, f"{quality['test']['furthest']:.3f}", f"{quality['test']['alike@10']:.1f}"]


def write(content: Row, file: Path) -> None:
    """Write JSON, and beside it the table and the picture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(table(content), encoding="utf-8")
    draw(content, file.with_suffix(".png"))


def draw(content: Row, file: Path) -> None:
    """Draw size, speed and what quality changes (with the interval of the change), a bar for each setting."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    request, quality = content.get("speed", {}).get("request", {}), content.get("quality", {})
    blend = {name: row["test"][GENRE] for name, row in quality.items()}
    panels: dict[str, dict[str, float]] = {
        "MB of weights": {name: row["all"] / 1e6 for name, row in content.get("size", {}).items()},
        "requests, times full precision": {name: row["times"] for name, row in request.items()},
        DIFFERENCE: {name: row["difference"] for name, row in blend.items()},
    }
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    for axis, (title, bars) in zip(axes, panels.items(), strict=True):
        names = [name for name in SETTINGS if name in bars]
        errors = [blend[name]["error"] for name in names] if title == DIFFERENCE else None
        axis.barh(names, [bars[name] for name in names], xerr=errors, capsize=3)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10)
    axes[-1].axvline(0, color="black", linewidth=0.8)
    axes[-1].locator_params(axis="x", nbins=5)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def say(text: str) -> None:
    """Tell the progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
