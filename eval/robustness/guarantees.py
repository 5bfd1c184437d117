"""Does the recommender keep its promises? The lists of all users are checked against the data.

    python -m eval.robustness.guarantees runs/movies [-n 10 50 200] [--where "..."]

For all users of the data, each n, and each of several filters (and once with a language model whose weights are NaN),
this counts broken promises as defined in ``genre_gen.evaluation.guarantees``. Exit code 1 if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.blending.blend import Blend
from genre_gen.evaluation.guarantees import BROKEN, FilterRequest, GuaranteeReport, check_guarantees, filter_requests
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import LLM_MEMBER

COLUMNS = ("lists", "items", *BROKEN, "short", "seconds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Check and write; exit code 1 for a broken promise."""
    parser = new_parser(__doc__, "demo run")
    parser.add_argument("-n", type=int, nargs="+", default=[10, 50, 200], help="items per list")
    parser.add_argument("--where", help="a filter; by default one made from the catalog's first field")
    with script(parser, arguments) as options:
        recommender = Recommender.from_pretrained(options.run)
        report = checked(recommender, options.n, options.where)
        users, items = len(recommender.state.histories.users), len(recommender.state.catalog)
        content = {"users": users, "items": items, **report.to_dict()}
        text = markdown(content)
        record(options.out, "guarantees", options.run.name, content, text)
        print(text)
        raise SystemExit(0 if report.kept else 1)


def checked(recommender: Recommender, sizes: Sequence[int], where: str | None = None) -> GuaranteeReport:
    """Return the counts of every request, and of the recommender with a broken language model."""
    requests = filter_requests(recommender, where)
    report = check_guarantees(recommender, sizes, requests=requests)
    broken = FilterRequest("none, and the language model broken", requests[0].allowed)
    recommender = with_broken_llm(recommender)
    return GuaranteeReport(report.rows + check_guarantees(recommender, [min(sizes)], requests=[broken]).rows)


def with_broken_llm(recommender: Recommender) -> Recommender:
    """Make the language model's scores NaN, in the given recommender too, and give it most of the weight."""
    state = recommender.state
    state.llm.code_embedding.data.fill_(float("nan"))
    state.generator.clear_caches()
    return Recommender.from_state(state.with_blend(Blend({LLM_MEMBER: 0.9, **dict.fromkeys(state.members, 0.1)})))


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table."""
    head = ("filter", "n", *(name.replace("_", " ") for name in COLUMNS))
    rows = [(row["request"], row["n"], *(f"{row[name]:,}" for name in COLUMNS)) for row in content["rows"]]
    broken = f"{content['broken']:,} broken promises in {content['lists']:,} lists"
    return f"{content['users']:,} users, {content['items']:,} items: {broken}\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
