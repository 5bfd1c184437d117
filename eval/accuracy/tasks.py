"""How well has each task been learned? Held-out questions, the model's answers, and the score of a guess.

    python -m eval.accuracy.tasks runs/movies [--questions 200]

Questions come from the whole histories, so the answer of `next_item` and `rating` is each user's test item, which was
not in training. The other tasks ask about random positions and items, most of which were in training. A guess answers
every question with the most frequent truth (the mean rating, the most popular items), the best answer of a model that
ignores the question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.ranking import Ranking
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import RecommenderState
from genre_gen.tasks import TASKS, Example, TaskData

CUTOFF = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Grade every task of a saved recommender."""
    parser = new_parser(__doc__, "run")
    parser.add_argument("--questions", type=int, default=200, help="maximum number per task")
    with script(parser, arguments) as options:
        state = Recommender.from_pretrained(options.run).state
        weighted = [task for task, settings in state.domain.tasks.items() if settings.weight > 0]
        result = {task: grade(state, task, options.questions) for task in weighted}
        text = markdown(result)
        record(options.out, "tasks", options.run.name, result, text)
        print(text)


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table, a row for each task and figure."""
    rows = [
        (task, figure, graded["questions"], f"{value:.3f}", f"{graded['guess'].get(figure, float('nan')):.3f}")
        for task, graded in result.items()
        for figure, value in graded["grade"].items()
    ]
    return table(("task", "figure", "questions", "model", "guess"), rows, words=2)


def grade(state: RecommenderState, task: str, questions: int) -> dict[str, Any]:
    """Ask one task's questions; return its grade and that of a guess."""
    data = TaskData(state.catalog, state.histories, state.domain)
    examples = TASKS[task].examples(data, state.book, np.random.default_rng(0), open=True)
    asked = list(islice(examples, questions))
    truths = [example.answer for example in asked]
    return {
        "questions": len(asked),
        "grade": TASKS[task].grade([answer(state, example) for example in asked], truths),
        "guess": TASKS[task].grade([guess(state, truths)] * len(asked), truths),
    }


def answer(state: RecommenderState, example: Example) -> Any:
    """Return the model's answer to an open example, in the form that its task grades."""
    generator = state.generator
    if isinstance(example.answer, float):
        return float(generator.ratings_after([example.prompt])[0])
    if isinstance(example.answer, int):
        seen = [span.row for message in example.prompt.messages for span in message.spans if span.kind == "code"]
        allowed = np.ones(len(state.catalog), bool)
        allowed[seen] = state.domain.repeat
        return generator.answer(example.prompt, CUTOFF, allowed)
    return generator.write(example.prompt)


def guess(state: RecommenderState, truths: list[Any]) -> Any:
    """Return the constant answer with the best grade."""
    if isinstance(truths[0], float):
        return float(np.mean(truths))
    if isinstance(truths[0], int):
        counts = np.bincount(state.trained_on.rows, minlength=len(state.catalog))
        return Ranking.from_scores(counts.astype(np.float64), CUTOFF)
    return Counter(truths).most_common(1)[0][0]


if __name__ == "__main__":
    main()
