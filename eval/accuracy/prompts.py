"""How do the length and the words of the prompt affect the ranking? Shorter histories, and your own templates.

    python -m eval.accuracy.prompts runs/movies [--lengths 5 20 50 200] [--templates my_prompts ...] [--part test]

The trained language model alone ranks the same cases with histories cut to their last items, and with other folders of
templates, such as ones that print more facts. Each is compared with the longest history, which serving uses: NDCG@10
with its 95 % interval, and the p-value of the paired permutation test, corrected by Holm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from eval.bench.cases import named_split
from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.data.splits import Split
from genre_gen.evaluation.protocol import check_trained_for, evaluate_scorers
from genre_gen.llm.generator import ItemGenerator
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import RecommenderState

TASK = "next_item"
AS_SERVED = "as served"
METRICS = ("R@10", "N@10")


def variants(state: RecommenderState, lengths: list[int], folders: list[Path]) -> dict[str, ItemGenerator]:
    """Return name -> generator with its own prompts."""
    generator = state.generator
    longest = state.domain.model.max_history

    def asking(book: PromptBook, length: int = longest) -> ItemGenerator:
        domain = generator.data.domain
        model = domain.model.model_copy(update={"max_history": length})
        data = replace(generator.data, domain=domain.model_copy(update={"model": model}))
        return ItemGenerator(generator.llm, book, data)

    def own_templates(folder: Path) -> PromptBook:
        return PromptBook.load(state.domain.model_copy(update={"prompts_folder": folder}))

    book = state.book
    ways = {AS_SERVED: asking(book)}
    ways |= {f"last {length} items": asking(book, length) for length in lengths if length < longest}
    return ways | {f"templates {folder.name}": asking(own_templates(folder)) for folder in folders}


def measured(
    state: RecommenderState, split: Split, part: Literal["validation", "test"], ways: Mapping[str, ItemGenerator]
) -> dict[str, Any]:
    """Return the figures of each variant of the prompt.

    Raises:
        UsageError: the recommender was trained on other interactions.
    """
    check_trained_for(state.trained_on, split, part)
    cases, seconds = split.cases(part), dict.fromkeys(ways, 0.0)

    def timed(name: str, generator: ItemGenerator) -> Callable[..., Any]:
        def score(histories: Any) -> Any:
            begin = time.perf_counter()
            scores = generator.score(histories)
            seconds[name] += time.perf_counter() - begin
            return scores

        return score

    scorers = {name: timed(name, generator) for name, generator in ways.items()}
    report = evaluate_scorers(scorers, cases, len(state.catalog), (10,), repeat=state.domain.repeat)
    compared = {test.peer: test for test in report.compare(AS_SERVED)}
    rows = []
    for name in ways:
        row: dict[str, Any] = {"name": name, **{metric: report[name].figure(metric) for metric in METRICS}}
        row |= {"interval": list(report.interval(name, METRICS[1])), "seconds": seconds[name]}
        if name in compared:
            row |= {"difference": -compared[name].difference, "p_holm": compared[name].corrected}
        rows.append(row)
    return {"data": state.domain.name, "part": part, "users": len(cases), "task": TASK, "rows": rows}


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    rows = []
    for row in result["rows"]:
        low, high = row["interval"]
        test = (f"{row['difference']:+.4f}", f"{row['p_holm']:.3f}") if "p_holm" in row else ("", "")
        figures = (f"{row['R@10']:.4f}", f"{row['N@10']:.4f}", f"{low:.4f} to {high:.4f}", *test)
        rows.append((row["name"], *figures, f"{row['seconds']:.0f}"))
    head = ("prompt", "R@10", "N@10", "95 % of N@10", "difference", "p", "s")
    about = f"{result['data']}, {result['part']}, {result['users']:,} users, the language model alone"
    return f"{about}\n\n{table(head, rows)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "run", "split", "part")
    parser.add_argument("--lengths", type=int, nargs="*", default=[5, 20, 50], help="most recent items of a history")
    parser.add_argument("--templates", type=Path, nargs="*", default=[], help="folders of templates to compare")
    with script(parser, arguments) as options:
        state = Recommender.from_pretrained(options.run).state
        ways = variants(state, options.lengths, options.templates)
        result = measured(state, named_split(options.split, state.histories, state.catalog), options.part, ways)
        text = markdown(result)
        record(options.out, "prompts", options.run.name, result, text)
        print(text)


if __name__ == "__main__":
    main()
