"""Answer many requests at once, each with its own filters, words and moment; write the picks of all users to a file.

Needs: genre_gen and a trained recommender, such as ``make demo`` or ``examples/quickstart.py`` leaves in runs/movies.

    python examples/requests_and_filters.py             # or --model runs/movies --out picks.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from genre_gen import Recommender, Request
from genre_gen.recommender.batch import write_picks


def main() -> None:
    """Answer five requests, and then one for each user."""
    parser = argparse.ArgumentParser(description="Many requests in one batch.")
    parser.add_argument("--model", default="runs/movies", help="a saved recommender of the movies domain (runs/movies)")
    parser.add_argument("--out", type=Path, default=Path("picks.parquet"), help="file of the picks of all users")
    options = parser.parse_args()
    recommender = Recommender.from_pretrained(options.model)
    users = recommender.state.histories.users

    requests = [
        Request(users[0], n=3),
        Request(users[0], n=3, where="year >= 1990 and genre == 'Drama'", explain=True),
        Request(users[1], n=3, query="something funny, not too old, no horror"),
        Request([("Toy Story (1995)", 5), ("Alien (1979)", 2)], n=3, exclude=["Aliens (1986)"]),
        Request(users[2], n=3, at="2024-03-01"),  # as if it were then: later interactions are not seen
    ]
    for request, picks in zip(requests, recommender.answer_many(requests), strict=True):
        print(f"\n{request}")
        for pick in picks:
            parts = ", ".join(f"{name} {part:.2f}" for name, part in pick.parts.items() if part)
            print(f"  {pick.rank}. {pick.item.title}: {pick.score:.2f} = {parts}")
            if pick.explanation:
                print(f"     {pick.explanation}")
        for note in picks.notes:
            print(f"  note: {note}")

    # An interrupted run resumes: finished users are kept next to the file.
    written = write_picks(recommender.state, None, Request(n=5), options.out, progress=False)
    print(f"\n{written} users in {options.out}")
    table = pl.read_parquet(options.out) if options.out.suffix == ".parquet" else pl.read_ndjson(options.out)
    print(table.group_by("title").len("users").sort("users", "title", descending=[True, False]).head(3))


if __name__ == "__main__":
    main()
