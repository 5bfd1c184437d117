"""What do the words and the length of the prompt do to the ranking? Phrasings, histories, and templates of your own.

    python eval/prompt_ablation.py runs/movies [--lengths 5 20 50 200] [--templates my_prompts ...] [--part test]

The language model alone, as it was trained, ranks the same cases under each phrasing of the task next_item
(``next_item.user.2.jinja`` and so on), under histories cut to their last items, and under other folders of templates,
such as ones that print facts that the shipped ones do not. Each is compared with the first phrasing and the longest
history, which is how it serves: NDCG@10 with its 95 % interval, and the p-value of the paired permutation test,
corrected by Holm. Writes ``prompt_ablation.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from leaderboard import told

from genre_gen.data.splits import Split
from genre_gen.evaluation.baselines import check_trained_for
from genre_gen.evaluation.protocol import evaluate_scorers
from genre_gen.llm.generator import ItemGenerator
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.recommender import Recommender

TASK = "next_item"
AS_SERVED = "as served"
METRICS = ("R@10", "N@10")


def variants(recommender: Recommender, lengths: list[int], folders: list[Path]) -> dict[str, ItemGenerator]:
    """Return name -> generator that asks in its own way."""
    generator = recommender.generator
    longest = recommender.domain.model.max_history

    def asking(book: PromptBook, length: int = longest) -> ItemGenerator:
        domain = generator.data.domain
        model = domain.model.model_copy(update={"max_history": length})
        data = replace(generator.data, domain=domain.model_copy(update={"model": model}))
        return ItemGenerator(generator.llm, book, data)

    book = recommender.book
    found = {AS_SERVED: asking(book)}
    found |= {f"phrasing {number}": asking(book.phrased(number)) for number in range(2, book.phrasings(TASK) + 1)}
    found |= {f"last {length} items": asking(book, length) for length in lengths if length < longest}
    return found | {f"templates {folder.name}": asking(PromptBook(folder)) for folder in folders}


def measured(
    recommender: Recommender, split: Split, part: Literal["validation", "test"], ways: Mapping[str, ItemGenerator]
) -> dict[str, Any]:
    """Return the figures of each way to ask.

    Raises:
        UsageError: a recommender trained on other interactions.
    """
    check_trained_for(recommender, split, part)
    cases, seconds = split.cases(part), dict.fromkeys(ways, 0.0)

    def timed(name: str, generator: ItemGenerator) -> Callable[..., Any]:
        def score(histories: Any) -> Any:
            begin = time.perf_counter()
            found = generator.score(histories)
            seconds[name] += time.perf_counter() - begin
            return found

        return score

    scorers = {name: timed(name, generator) for name, generator in ways.items()}
    report = evaluate_scorers(scorers, cases, len(recommender.catalog), (10,), repeat=recommender.domain.repeat)
    compared = {one.peer: one for one in report.compare(AS_SERVED)}
    rows = []
    for name in ways:
        row: dict[str, Any] = {"name": name, **{metric: report[name].figure(metric) for metric in METRICS}}
        row |= {"interval": list(report.interval(name, METRICS[1])), "seconds": seconds[name]}
        if name in compared:
            row |= {"difference": -compared[name].difference, "p_holm": compared[name].corrected}
        rows.append(row)
    return {"data": recommender.domain.name, "part": part, "users": len(cases), "task": TASK, "rows": rows}


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"{result['data']}, {result['part']}, {result['users']:,} users, the language model alone",
        "",
        "| how it is asked | R@10 | N@10 | 95 % of N@10 | difference | p | s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        low, high = row["interval"]
        more = (f"{row['difference']:+.4f}", f"{row['p_holm']:.3f}") if "p_holm" in row else ("", "")
        figures = (f"{row['R@10']:.4f}", f"{row['N@10']:.4f}", f"{low:.4f} to {high:.4f}", *more)
        lines.append("| " + " | ".join((row["name"], *figures, f"{row['seconds']:.0f}")) + " |")
    return "\n".join(lines)


@told()
def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a trained recommender")
    parser.add_argument("--split", default="leave-one-out", help="leave-one-out or global-time; as in training")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--lengths", type=int, nargs="*", default=[5, 20, 50], help="most recent items of a history")
    parser.add_argument("--templates", type=Path, nargs="*", default=[], help="folders of templates to compare")
    parser.add_argument("--out", type=Path, default=Path("eval/results"))
    options = parser.parse_args()
    recommender = Recommender.from_pretrained(options.run)
    ways = variants(recommender, options.lengths, options.templates)
    result = measured(recommender, recommender.histories.split(options.split), options.part, ways)
    print(table(result))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "prompt_ablation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
