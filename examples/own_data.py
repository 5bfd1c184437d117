"""Two tables of your own, items and interactions, become a recommender.

Needs: genre_gen. Without arguments the script writes two small tables of books and loans, to show what they look like.

    python examples/own_data.py                         # or --items books.csv --interactions loans.csv
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import polars as pl

from genre_gen import Dataset, Recommender

GENRES = ("Fantasy", "Crime", "Travel", "Poetry")


def write_tables(folder: Path) -> tuple[Path, Path]:
    """Write 40 books, and loans of 30 readers, each of whom keeps to two genres."""
    chance = random.Random(0)
    books = [(f"b{n}", f"{GENRES[n % 4]} book {n}", f"{GENRES[n % 4]}|Novel", 1990 + n % 30) for n in range(40)]
    loans = []
    for reader in range(30):
        liked = [book for book in books if book[2].startswith((GENRES[reader % 4], GENRES[(reader + 1) % 4]))]
        for day, book in enumerate(chance.sample(liked, 9), start=1):
            loans.append((f"reader{reader}", book[0], chance.randint(3, 5), f"2024-{day:02}-{1 + reader % 28:02}"))
    items, interactions = folder / "books.csv", folder / "loans.csv"
    pl.DataFrame(books, ["id", "title", "genre", "year"], orient="row").write_csv(items)
    pl.DataFrame(loans, ["reader", "book", "rating", "date"], orient="row").write_csv(interactions)
    return items, interactions


def main() -> None:
    """Read the tables, say what was made of them, train and recommend."""
    parser = argparse.ArgumentParser(description="From two tables to a recommender.")
    parser.add_argument("--items", type=Path, help="CSV, TSV or Parquet with a row per item")
    parser.add_argument("--interactions", type=Path, help="CSV, TSV or Parquet with a row per interaction")
    parser.add_argument("--noun", default="book", help="what an item is called, such as book")
    parser.add_argument("--minutes", type=float, default=2.0, help="time budget of the training (2)")
    parser.add_argument("--llm", help="another language model: a name, a folder, or an id on the hub")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for tables and model (the present one)")
    options = parser.parse_args()

    items, interactions = options.items, options.interactions
    if interactions is None:
        items, interactions = write_tables(options.out)
    data = Dataset.from_tables(items, interactions, noun=options.noun)
    domain = data.domain
    print(f"{len(data.catalog)} items, {len(data.interactions)} interactions of {len(data.interactions.users)} users")
    print("Fields:", ", ".join(f"{name} ({field.type})" for name, field in domain.fields.items()))
    print("Ratings:", domain.rating_scale, "liked from", domain.liked_from)

    split = data.leave_one_out()
    recommender = Recommender(domain, max_minutes=options.minutes, llm=options.llm).fit(split, progress=True)
    user = data.interactions.users[0]
    for pick in recommender.recommend(user, n=3, explain=True):
        print(f"{pick.rank}. {pick.item.title}: {pick.explanation}")
    recommender.save_pretrained(options.out / "runs" / domain.name)
    print(f"Saved in {options.out / 'runs' / domain.name}")


if __name__ == "__main__":
    main()
