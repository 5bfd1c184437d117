"""The interface as somebody writes a first script with it: ``test_interface.py`` runs it, and has mypy read it."""

from __future__ import annotations

import sys

from genre_gen import Case, Dataset, Prediction, Progress, Recommendations, Recommender, Report, Request, Split


def show(progress: Progress) -> None:
    """Print how far the training is."""
    sys.stdout.write(f"{progress.stage} {progress.share:.0%} {progress.remaining or 0:.0f} s\n")


data = Dataset.load("movies")
split: Split = data.leave_one_out()
recommender = Recommender("movies", max_minutes=5, seed=0).fit(split, progress=show)

picks: Recommendations = recommender.recommend("17", n=5, where="year >= 1980", explain=True)
by_hand = recommender.recommend(["Toy Story (1995)", ("Alien (1979)", 4)])
titles: list[str] = [pick.item.title for pick in by_hand]
reasons: list[str] = [str(pick.explanation) for pick in picks]
for user, of_user in recommender.recommend(users=["17", "4", ["Heat"]]):
    sys.stdout.write(f"{user}: {', '.join(pick.item.title for pick in of_user)} {of_user.notes}\n")
several = recommender.answer_many(
    [Request("17", n=2, query="funny"), Request(["Alien"], at="2024-05-01", explain=True)]
)

prediction: Prediction = recommender.predict("17", "Alien (1979)")
rating: float = prediction.rating
report: Report = recommender.evaluate(split, k=10, baselines=True)
sys.stdout.write(f"{report}\n{rating:.1f}, since {prediction.reason}\n")
case: Case = split.test[0]
target: str = split.catalog[case.target].title

close = recommender.similar("Alien (1979)", n=10)
fit: float = recommender.fits("17", "Alien (1979)").probability
wanted: tuple[str, ...] = recommender.intent("17").labels
taste = recommender.profile("17")
why: str = recommender.explain("17", "Heat").text
owed = recommender.attribute("17", "Heat").items[0].item.title
instead: str = recommender.compare("17", "Heat", "Up").text
changed: bool = recommender.what_if("17", picks[0].item.id, n=5).changed

recommender.save_pretrained("runs/movies")
again = Recommender.from_pretrained("runs/movies")
blend: dict[str, float] = dict(again.state.blend.weights)
newer = Recommender(data.domain).fit(data.hold_out_last(), tuned=again.state.tuned)
