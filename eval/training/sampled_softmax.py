"""Is a sampled softmax as good as the full one, and what do factored codes cost? On real data and a made-up log.

    python -m eval.training.sampled_softmax [--data ml-100k amazon-sports law] [--epochs 3] [--steps 0] [--quick]

Only the language model is trained, with one task and no teacher; each variant sees the same batches. ``law`` is a log
of 10,000 items drawn from a known law, whose own NDCG@10 bounds what is possible. NDCG@10 is the best of the
validations, on the same users; the milliseconds are of a step's tokens, so nothing else should run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, say, script
from eval.training.llm_alone import Measured, Subject, measure
from genre_gen.collaborative.negatives import NEGATIVES
from genre_gen.llm.factors import FACTORS

LAW, QUICK_LAW = (10_000, 8_000, 160_000), (100, 30, 400)
DATA = ("ml-100k", "amazon-sports", "law")
VARIANTS = {
    "full": {"training.negatives": 0, "codes.factors": 0},
    "sampled": {"training.negatives": NEGATIVES, "codes.factors": 0},
    "sampled, factored": {"training.negatives": NEGATIVES, "codes.factors": FACTORS},
}
HEAD = ("data", "softmax", "NDCG@10", "of the first", "of the law", "ms a token", "of the first", "request, ms",
        "peak GB")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train every variant and print the table."""
    parser = new_parser(__doc__, "threads", "quick")
    parser.add_argument("--data", nargs="+", default=list(DATA), help=f"{' '.join(DATA)}, or other folders [all]")
    parser.add_argument("--epochs", type=int, default=3, help="[3]")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each variant [1]")
    parser.add_argument("--users", type=int, default=2000, help="validation users at most [2000]")
    parser.add_argument("--steps", type=int, default=0, help="end each training after so many steps [0: all epochs]")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="[all]")
    with script(parser, arguments) as options:
        at_least_one(options, "threads", "epochs", "seeds", "users")
        torch.set_num_threads(options.threads)
        for name in options.data:
            subject = Subject.made_up(*(QUICK_LAW if options.quick else LAW)) if name == "law" else Subject.read(name)
            settings = {
                "training.epochs": options.epochs,
                "training.patience": options.epochs,
                "training.validations_per_epoch": 1,
            }
            found: dict[str, list[Measured]] = {}
            for variant in options.variants:
                changed = replace(subject, domain=subject.domain.changed({**settings, **VARIANTS[variant]}))
                found[variant] = [
                    measure(changed, options.users, options.steps or None, seed) for seed in range(options.seeds)
                ]
                say(f"{name}, {variant}: {[each.ndcg for each in found[variant]]}")
            text = table(HEAD, rows(name, found), words=2)
            figures = {variant: [vars(each) for each in runs] for variant, runs in found.items()}
            record(options.out, "sampled_softmax", name, figures, text)
            print(text)


def rows(name: str, found: dict[str, list[Measured]]) -> list[list[str]]:
    """Return a line for each variant, next to the first; figures are means over seeds."""
    full = next(iter(found.values()))
    lines = []
    for variant, runs in found.items():
        best, speed = mean(runs, "best"), mean(runs, "token_ms")
        bound = runs[0].bound
        lines.append(
            [
                name,
                variant,
                f"{best:.4f}",
                f"{best / max(1e-9, mean(full, 'best')):.3f}",
                "" if bound is None else f"{best / bound:.3f}",
                f"{speed:.3f}",
                f"{speed / max(1e-9, mean(full, 'token_ms')):.2f}",
                f"{mean(runs, 'request_ms'):.1f}",
                f"{max(run.peak_gigabytes for run in runs):.2f}",
            ]
        )
    return lines


def mean(runs: Sequence[Measured], figure: str) -> float:
    """Return the mean of a figure over seeds."""
    return float(np.mean([getattr(run, figure) for run in runs]))


if __name__ == "__main__":
    main()
