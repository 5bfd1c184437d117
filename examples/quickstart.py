"""Train on a domain, recommend, explain, predict, evaluate, save and load: the verbs that most people need.

Needs: genre_gen. The first run fetches MovieLens-100K and SmolLM2-135M; training takes the minutes that you give it.

    python examples/quickstart.py                       # or --minutes 1, --domain travel, --help
"""

from __future__ import annotations

import argparse
from pathlib import Path

from genre_gen import Dataset, Recommender


def main() -> None:
    """Train, ask and save."""
    parser = argparse.ArgumentParser(description="From data to recommendations with reasons.")
    parser.add_argument("--domain", default="movies", help="a domain's name or folder (movies)")
    parser.add_argument("--minutes", type=float, default=5.0, help="time budget of the training (5)")
    parser.add_argument("--llm", help="another language model: a name, a folder, or an id on the hub")
    parser.add_argument("--out", type=Path, help="where the model is saved (runs/ and the domain's name)")
    options = parser.parse_args()

    data = Dataset.load(options.domain)
    split = data.leave_one_out()  # each user's last item for the test, the one before for validation
    recommender = Recommender(data.domain, max_minutes=options.minutes, seed=0, llm=options.llm)
    recommender.fit(split, progress=True)

    user = data.interactions.users[0]
    print(f"For user {user}:")
    for pick in recommender.recommend(user, n=3, explain=True):
        print(f"{pick.rank}. {pick.item.title} ({pick.score:.2f}): {pick.explanation}")

    liked = [data.catalog[row].title for row in data.interactions.history(user).rows[:2]]
    print(f"For a new user, who liked {' and '.join(liked)}:")
    for pick in recommender.recommend(liked, n=3):
        print(f"{pick.rank}. {pick.item.title}")
    print("Close to the first of them:", ", ".join(pick.item.title for pick in recommender.similar(liked[0], n=3)))
    if data.interactions.rated:
        prediction = recommender.predict(user, liked[0])
        print(f"Predicted rating: {prediction.rating:.1f}, by {prediction.reason}")

    print(recommender.evaluate(split, k=10).table("text", ["R@10", "N@10"]))

    out = options.out or Path("runs") / data.domain.name
    recommender.save_pretrained(out)
    again = Recommender.from_pretrained(out)
    print(f"Saved in {out}; loaded, it says the same: {again.recommend(user) == recommender.recommend(user)}")


if __name__ == "__main__":
    main()
