"""Does ``torch.compile`` pay? The layers that items are ranked by, over prompts of every length, on a CPU.

    python eval/compiled.py [runs/movies] [--lengths 20 60 100 200] [--rounds 15] [--threads 2] [--quick]
        [--json eval/results/compiled.json]

The same passes over so many tokens, by turns: layers as torch has them, packed ones as they are served, and two that
``torch.compile`` has made: one for every length alike (``dynamic=True``), and one frozen as well, in which inductor
packs the weights itself. Told are the milliseconds of the quickest pass, the seconds of the first pass of each length,
in which code is compiled, and how far states are apart. Needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from limited import Limited

from genre_gen.decoding.onednn import prepack
from genre_gen.llm.hardware import examine_machine
from genre_gen.recommender.recommender import Recommender

Row = dict[str, Any]
PLAIN, PACKED, COMPILED, FROZEN = WAYS = ("torch", "packed, as served", "torch.compile", "torch.compile, frozen")


def main() -> None:
    """Measure, print, write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=Path("runs/movies"), help="trained recommender")
    parser.add_argument("--lengths", nargs="+", type=int, default=[20, 60, 100, 200], help="tokens of a prompt")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("eval/results/compiled.json"))
    options = parser.parse_args()
    limits = {"seconds": 300, "megabytes": 8000, "threads": options.threads}
    towers = {way: Limited(Tower, options.run, way, **limits) for way in options.ways}
    rows = measured(towers, options.lengths, options.rounds or (3 if options.quick else 15))
    for tower in towers.values():
        tower.close()
    where = {"threads": options.threads, "torch": torch.__version__, "flags": examine_machine().cpu_flags}
    content = {"machine": where, "lengths": options.lengths, "rows": rows}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    options.json.with_suffix(".md").write_text(table(content), encoding="utf-8")
    print(table(content))


class Tower:
    """The layers of a trained recommender, made in one way."""

    def __init__(self, run: Path, way: str) -> None:
        """Load and make; ``torch.compile`` compiles at the first pass."""
        self.tower: Any = Recommender.from_pretrained(run, quantization="none").generator.llm.item_backbone
        if way == PACKED:
            self.tower = prepack(self.tower)
        elif way != PLAIN:
            from torch._inductor import config

            config.freezing = way == FROZEN
            self.tower = torch.compile(self.tower.requires_grad_(False), dynamic=True)

    @torch.inference_mode()
    def read(self, length: int) -> tuple[float, Any]:
        """Return the seconds of a pass over so many tokens, and the last states."""
        random, width = np.random.default_rng(length), self.tower.norm.weight.shape[0]
        prompt = torch.from_numpy(random.normal(size=(1, length, width)).astype(np.float32))
        begin = time.perf_counter()
        states = self.tower(inputs_embeds=prompt, use_cache=False).last_hidden_state
        return time.perf_counter() - begin, states.numpy()


def measured(towers: dict[str, Limited], lengths: list[int], rounds: int) -> list[Row]:
    """Return a row for each way, asked by turns; the first is what others are compared with."""
    rows: dict[str, Row] = {}
    exact: dict[int, Any] = {}
    for name, tower in towers.items():
        first = {length: tower.call("read", length) for length in lengths}
        exact = exact or first
        apart = max(float(np.abs(first[n][1] - exact[n][1]).max()) for n in lengths)
        seconds = [first[n][0] for n in lengths]
        rows[name] = {"name": name, "first_s": seconds, "apart": apart, "ms": [float("inf")] * len(lengths)}
    for _ in range(rounds):
        for place, length in enumerate(lengths):
            for name, tower in towers.items():
                taken = 1e3 * min(tower.call("read", length)[0] for _ in range(2))  # the first one warms the core up
                rows[name]["ms"][place] = min(rows[name]["ms"][place], taken)
    return list(rows.values())


def table(content: Row) -> str:
    """Return all figures as Markdown."""
    lengths = content["lengths"]
    names = ["way", *(f"{n} tokens" for n in lengths), "first passes, s", "furthest state"]
    lines = ["# Compiled layers", "", f"`eval/compiled.py`, {content['machine']['threads']} threads; ms of a pass.", ""]
    lines += ["| " + " | ".join(row) + " |" for row in (names, ["---"] * len(names))]
    for row in content["rows"]:
        cells = [row["name"], *(f"{one:.1f}" for one in row["ms"])]
        cells += [", ".join(f"{one:.1f}" for one in row["first_s"]), f"{row['apart']:.0e}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
