"""A component from your own package takes part in the blend, and is chosen by a setting.

Needs: genre_gen, and the package next to this file, whose entry point makes its model known:

    pip install examples/genre-recent
    python examples/own_component.py                    # or --minutes 1, --help

Tasks, readers, code schemes, encoders and trackers are brought in the same way (genre_gen/registry.py).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genre_gen import Dataset, GenreGenError, Recommender
from genre_gen.registry import MEMBERS


def main() -> None:
    """Train with the component, and load what was saved."""
    parser = argparse.ArgumentParser(description="A collaborative model of your own.")
    parser.add_argument("--domain", default="movies", help="a domain's name or folder (movies)")
    parser.add_argument("--minutes", type=float, default=2.0, help="time budget of the training (2)")
    parser.add_argument("--llm", help="another language model: a name, a folder, or an id on the hub")
    parser.add_argument("--out", type=Path, default=Path("runs/own_component"), help="where the model is saved")
    options = parser.parse_args()
    print("Members that there are:", ", ".join(MEMBERS))
    if "recent" not in MEMBERS:
        sys.exit("No member 'recent': run pip install examples/genre-recent first.")

    data = Dataset.load(options.domain)
    split = data.leave_one_out()
    settings = {"blend.members": ["recent", "sequential_rules", "ease"]}  # in domain.toml: [blend] members = [...]
    recommender = Recommender(data.domain, max_minutes=options.minutes, llm=options.llm, settings=settings)
    recommender.fit(split, progress=True)
    tuned = recommender.state.tuned
    print("Chosen on validation cases:", tuned.members["recent"], "and the weights", dict(tuned.blend.weights))
    print(recommender.evaluate(split, baselines=False).table("text", ["R@10", "N@10"]))

    recommender.save_pretrained(options.out)
    try:
        Recommender.from_pretrained(options.out)
    except GenreGenError as problem:  # a folder alone never makes code of another package run
        print(f"Without permission, it is not loaded: {problem}")
    again = Recommender.from_pretrained(options.out, plugins=["genre-recent"])
    print("Loaded with its package:", ", ".join(again.state.members))


if __name__ == "__main__":
    main()
