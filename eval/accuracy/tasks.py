"""How well has each task been learned? Held-out questions, the model's answers, and what a guess would score.

    python eval/tasks.py runs/movies [--questions 200] [--json eval/results/tasks.json]

Questions come from the whole histories, so that the answer of `next_item` and `rating` is each user's test item, which
was not in training. The other tasks ask about positions and items drawn at random, most of which were. A guess answers
every question with the most frequent truth (the mean rating, the most popular items), which is what a model that had
learned nothing about the question would do best.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from leaderboard import told

from genre_gen.ranking import Ranking
from genre_gen.recommender.recommender import Recommender
from genre_gen.tasks import TASKS, Example, TaskData

CUTOFFS = 10


@told()
def main() -> None:
    """Grade every task of a saved recommender; print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a trained recommender")
    parser.add_argument("--questions", type=int, default=200, help="per task, at most")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    recommender = Recommender.from_pretrained(options.run)
    result = {
        task: grade(recommender, task, options.questions)
        for task, one in recommender.domain.tasks.items()
        if one.weight > 0
    }
    for task, one in result.items():
        figures = "  ".join(
            f"{name} {value:.3f} (guess {one['guess'].get(name, float('nan')):.3f})"
            for name, value in one["grade"].items()
        )
        print(f"{task:12} {one['questions']:4} questions  {figures}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def grade(recommender: Recommender, task: str, questions: int) -> dict[str, Any]:
    """Ask one task's questions; return its grade beside that of a guess."""
    data = TaskData(recommender.catalog, recommender.histories, recommender.domain)
    examples = TASKS[task].examples(data, recommender.book, np.random.default_rng(0), open=True)
    asked = list(islice(examples, questions))
    truths = [example.answer for example in asked]
    return {
        "questions": len(asked),
        "grade": TASKS[task].grade([answer(recommender, example) for example in asked], truths),
        "guess": TASKS[task].grade([guess(recommender, truths)] * len(asked), truths),
    }


def answer(recommender: Recommender, example: Example) -> Any:
    """Return the model's answer to an open example, in the form that its task grades."""
    generator = recommender.generator
    if isinstance(example.answer, float):
        return float(generator.ratings_after([example.prompt])[0])
    if isinstance(example.answer, int):
        seen = [span.row for message in example.prompt.messages for span in message.spans if span.kind == "code"]
        allowed = np.ones(len(recommender.catalog), bool)
        allowed[seen] = recommender.domain.repeat
        return generator.answer(example.prompt, CUTOFFS, allowed)
    return generator.write(example.prompt)


def guess(recommender: Recommender, truths: list[Any]) -> Any:
    """Return the one answer that does best without looking at the question."""
    if isinstance(truths[0], float):
        return float(np.mean(truths))
    if isinstance(truths[0], int):
        counts = np.bincount(recommender.trained_on.rows, minlength=len(recommender.catalog))
        return Ranking.from_scores(counts.astype(np.float64), CUTOFFS)
    return Counter(truths).most_common(1)[0][0]


if __name__ == "__main__":
    main()
