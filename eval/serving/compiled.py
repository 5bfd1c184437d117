"""Does ``torch.compile`` make the layers faster? The same passes over several lengths, measured alternately.

    python -m eval.serving.compiled [runs/movies] [--lengths 20 60 100 200] [--rounds 15] [--threads 2] [--quick]

Four kinds of layers are compared: torch's own, prepacked ones as in serving, and two made by ``torch.compile``: one for
all lengths (``dynamic=True``), and one that is also frozen, in which inductor packs the weights itself. Figures are the
milliseconds of the fastest pass, the seconds of the first pass of each length, in which code is compiled, and the
difference of states. Needs a C++ compiler.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.bench.limited import Limited
from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.decoding.onednn import prepack
from genre_gen.llm.hardware import examine_machine
from genre_gen.recommender.recommender import Recommender

Row = dict[str, Any]
PLAIN, PACKED, COMPILED, FROZEN = WAYS = ("torch", "packed, as served", "torch.compile", "torch.compile, frozen")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "demo run", "threads", "quick")
    parser.add_argument("--lengths", nargs="+", type=int, default=[20, 60, 100, 200], help="tokens of a prompt")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--rounds", type=int)
    with script(parser, arguments) as options:
        limits = {"seconds": 300, "megabytes": 8000, "threads": options.threads}
        towers = {way: Limited(Tower, options.run, way, **limits) for way in options.ways}
        rows = measured(towers, options.lengths, options.rounds or (3 if options.quick else 15))
        for tower in towers.values():
            tower.close()
        machine = {"threads": options.threads, "torch": torch.__version__, "flags": examine_machine().cpu_flags}
        content = {"machine": machine, "lengths": options.lengths, "rows": rows}
        text = markdown(content)
        record(options.out, "compiled", options.run.name, content, text)
        print(text)


class Tower:
    """The layers of a trained recommender, made in one way."""

    def __init__(self, run: Path, way: str) -> None:
        """Load and make; ``torch.compile`` compiles at the first pass."""
        self.tower: Any = Recommender.from_pretrained(run, quantization="none").state.generator.llm.item_backbone
        if way == PACKED:
            self.tower = prepack(self.tower)
        elif way != PLAIN:
            from torch._inductor import config

            config.freezing = way == FROZEN
            self.tower = torch.compile(self.tower.requires_grad_(False), dynamic=True)

    @torch.inference_mode()
    def read(self, length: int) -> tuple[float, Any]:
        """Return the seconds of a pass over ``length`` tokens, and the last states."""
        random, width = np.random.default_rng(length), self.tower.norm.weight.shape[0]
        prompt = torch.from_numpy(random.normal(size=(1, length, width)).astype(np.float32))
        begin = time.perf_counter()
        states = self.tower(inputs_embeds=prompt, use_cache=False).last_hidden_state
        return time.perf_counter() - begin, states.numpy()


def measured(towers: dict[str, Limited], lengths: list[int], rounds: int) -> list[Row]:
    """Return a row for each way, measured alternately; the others are compared with the first."""
    rows: dict[str, Row] = {}
    exact: dict[int, Any] = {}
    for name, tower in towers.items():
        first = {length: tower.call("read", length) for length in lengths}
        exact = exact or first
        apart = max(float(np.abs(first[n][1] - exact[n][1]).max()) for n in lengths)
        seconds = [first[n][0] for n in lengths]
        rows[name] = {"name": name, "first_s": seconds, "apart": apart, "ms": [float("inf")] * len(lengths)}
    for _ in range(rounds):
        for column, length in enumerate(lengths):
            for name, tower in towers.items():
                taken = 1e3 * min(tower.call("read", length)[0] for _ in range(2))  # the first one warms up the core
                rows[name]["ms"][column] = min(rows[name]["ms"][column], taken)
    return list(rows.values())


def markdown(content: Row) -> str:
    """Return the table."""
    head = ["way", *(f"{n} tokens" for n in content["lengths"]), "first passes, s", "furthest state"]
    rows = [
        [
            row["name"],
            *(f"{ms:.1f}" for ms in row["ms"]),
            ", ".join(f"{seconds:.1f}" for seconds in row["first_s"]),
            f"{row['apart']:.0e}",
        ]
        for row in content["rows"]
    ]
    return f"{content['machine']['threads']} threads; ms of a pass.\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
