"""What do loading, saving and a request take?

    python -m eval.serving.folder_time RUN [--rounds 8]

The smallest and the median time of each, in one process after a first load. To compare two versions, train with each,
and run this in both checkouts alternately.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, script
from genre_gen.recommender.recommender import Recommender

USERS = 60


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "demo run")
    parser.add_argument("--rounds", type=int, default=8)
    with script(parser, arguments) as options:
        at_least_one(options, "rounds")
        figures = measured(options.run, options.rounds)
        rows = [(name, f"{1000 * low:.1f}", f"{1000 * middle:.1f}") for name, (low, middle) in figures.items()]
        text = table(("", "smallest, ms", "median, ms"), rows)
        record(options.out, "folder_time", options.run.name, figures, text)
        print(text)


def measured(run: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the smallest and the median seconds of loading, saving and a request."""
    recommender = Recommender.from_pretrained(run)
    users = recommender.state.histories.users[:USERS]
    recommender.recommend(users[0])
    with tempfile.TemporaryDirectory() as folder:
        times = {
            "load": [seconds(lambda: Recommender.from_pretrained(run)) for _ in range(rounds)],
            "save": [seconds(lambda: recommender.save_pretrained(Path(folder) / "saved")) for _ in range(rounds)],
            "request": [seconds(lambda user=user: recommender.recommend(user)) for user in users],  # type: ignore[misc]
        }
    return {name: (min(values), float(np.median(values))) for name, values in times.items()}


def seconds(act: Callable[[], object]) -> float:
    """Return how long a call takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
