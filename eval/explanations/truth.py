"""Are explanations true? Every item, attribute value and number in them is compared with the data.

    python -m eval.explanations.truth runs/movies [--users 100] [-n 5] [--style llm]

The checker reads the text only and counts independently of the code that wrote it. As controls, each explanation is
corrupted in five ways: another user's item, a number off by one, a wrong attribute value, another link of the graph,
the explanation of another pick. The share of corrupted explanations that the checker detects is reported.

With ``--style free`` the language model's sentences are also counted before the check: the number without an untrue
name or number, and the number that the data fully supports, which are kept.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.collaborative import SVD
from genre_gen.data.history import History
from genre_gen.data.titles import article_first
from genre_gen.explain.check import Checker
from genre_gen.explain.claims import ScoreClaims
from genre_gen.explain.explainer import Explanation
from genre_gen.explain.facts import pairs_of
from genre_gen.explain.text import plain
from genre_gen.explain.wording import LENGTH, vocabulary
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.requests import Recommendations, Request
from genre_gen.recommender.state import RecommenderState

SHOWN = 5  # number of untrue explanations in the table
STYLES = ("template", "llm", "free")


@dataclass(frozen=True)
class Said:
    """One explanation with its user and pick."""

    history: History
    row: int
    predicted: float | None
    explanation: Explanation


def main(arguments: Sequence[str] | None = None) -> None:
    """Explain, check, and write the rates."""
    parser = new_parser(__doc__, "run")
    parser.add_argument("--users", type=int, default=100, help="number of users, spread over the data")
    parser.add_argument("-n", type=int, default=5, help="picks per user")
    parser.add_argument("--style", choices=STYLES, default="template", help="style of explanations")
    parser.add_argument("--know", help="domain whose [knowledge] is added to the run [as it was saved]")
    with script(parser, arguments) as options:
        state = load(options.run, options.know, {"explain.style": options.style})
        said = list(explained(state, options.users, options.n))
        result = {"style": options.style, **measured(state, said)}
        text = markdown(result)
        record(options.out, "explanation_truth", f"{options.run.name}, {options.style}", result, text)
        print(text)


def load(run: Path, know: str | None, changes: Mapping[str, Any]) -> RecommenderState:
    """Load a trained recommender, optionally with another domain's knowledge, and change settings."""
    recommender = Recommender.from_pretrained(run)
    if know:
        recommender.load_knowledge(know)
    return replace(recommender.state, domain=recommender.domain.changed(dict(changes)))


def answers(
    state: RecommenderState, histories: Sequence[History], n: int, *, explain: bool = False
) -> list[Recommendations]:
    """Return the picks of all histories."""
    return list(answer_many(state, (Request(history, n, explain=explain) for history in histories)))


def explained(state: RecommenderState, users: int, n: int) -> Iterator[Said]:
    """Yield the explanations of ``n`` picks for ``users`` users."""
    histories = state.histories.histories()
    chosen = histories[:: max(1, len(histories) // users)][:users]
    svd = state.members.get("svd")
    for history, picks in zip(chosen, answers(state, chosen, n, explain=True), strict=True):
        rows = [state.catalog.row(pick.item.id) for pick in picks]
        predictions = svd.predict(history, rows) if isinstance(svd, SVD) else None
        expected = [None] * len(rows) if predictions is None else [each.rating for each in predictions]
        for pick, row, rating in zip(picks, rows, expected, strict=True):
            if pick.explanation is not None:
                yield Said(history, row, rating, pick.explanation)


def checker_of(state: RecommenderState, *, free: bool = False) -> Checker:
    """Return the checker of the recommender's explanations; the free style allows more words."""
    if free or state.domain.explain.style == "free":
        return state.explainer.checker
    words, graph = vocabulary(state.spoken_book), state.knowledge
    return Checker(state.catalog, state.trained_on, state.domain, words, graph)


def measured(state: RecommenderState, said: list[Said]) -> dict[str, Any]:
    """Check explanations and their corrupted copies."""
    checker = checker_of(state)
    counts: Counter[str] = Counter()
    untrue, corrupted, noticed = [], Counter[str](), Counter[str]()
    chance = random.Random(0)
    for number, each in enumerate(said):
        case = (each.history, each.row, each.predicted, ScoreClaims.of_effects(each.explanation.effects))
        report = checker.check(each.explanation.text, *case)
        counts.update(items=report.items, values=report.values, numbers=report.numbers)
        facts = [checker.holds(fact, *case) for fact in each.explanation.facts]
        counts.update(facts=len(facts), facts_untrue=facts.count(False))
        if not report.ok or not all(facts) or not facts:
            untrue.append({"user": each.history.user, "text": each.explanation.text, "problems": list(report.problems)})
        other = said[(number + chance.randrange(1, len(said))) % len(said)] if len(said) > 1 else each
        for way, text in corrupt(state, each, other, chance):
            corrupted[way] += 1
            noticed[way] += not checker.check(text, *case).ok
    return {
        "explanations": len(said),
        "true": len(said) - len(untrue),
        "named": dict(counts),
        "texts": len({each.explanation.text for each in said}),
        "methods": dict(Counter(each.explanation.method for each in said)),
        "seconds_each": round(sum(each.explanation.seconds for each in said) / max(len(said), 1), 4),
        **free_style(state, said),
        "noticed": {way: [noticed[way], corrupted[way]] for way in corrupted},
        "untrue": untrue,
    }


def free_style(state: RecommenderState, said: list[Said]) -> dict[str, Any]:
    """Return the numbers of true sentences of the drafts, before and after the check; {} for the other styles."""
    if not any(each.explanation.method == "free" for each in said):
        return {}
    names = Checker(state.catalog, state.trained_on, state.domain, None, state.knowledge)
    counts: Counter[str] = Counter()
    for each in said:
        case = (each.history, each.row, each.predicted, ScoreClaims.of_effects(each.explanation.effects))
        reports = [names.check(sentence, *case) for sentence in names.sentences(plain(each.explanation.draft))[:LENGTH]]
        counts["written"] += len(reports)
        counts["name nothing untrue"] += sum(report.ok for report in reports)
        counts["of these, name something"] += sum(
            report.ok and report.items + report.values + report.numbers > 0 for report in reports
        )
        counts["kept"] += each.explanation.kept
        final = names.sentences(each.explanation.text)
        counts["in the end"] += len(final)
        counts["in the end, true"] += sum(checker_of(state, free=True).check(part, *case).ok for part in final)
    examples = [
        {"draft": each.explanation.draft, "text": each.explanation.text} for each in said[:: max(1, len(said) // 8)]
    ]
    return {"free_sentences": dict(counts), "examples": examples}


def corrupt(state: RecommenderState, said: Said, other: Said, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield untrue versions of an explanation."""
    catalog, text = state.catalog, said.explanation.text
    seen = {said.row, *said.history.rows.tolist()}
    named = {row for fact in said.explanation.facts for row in (fact.subject, fact.object)} - {None, said.row}
    strangers = [row for row in range(len(catalog)) if row not in seen]
    for row in sorted(row for row in named if row is not None)[:1]:
        for title in (plain(article_first(catalog[row].title)), plain(catalog[row].title)):
            if title in text and strangers:
                yield "another user's item", text.replace(title, plain(catalog[chance.choice(strangers)].title))
                break
    bare = text
    for row in seen & {*named, said.row}:  # digits in titles are not counted as numbers
        for title in (plain(article_first(catalog[row].title)), plain(catalog[row].title)):
            bare = bare.replace(title, "#" * len(title))
    numbers = list(re.finditer(r"\d+(\.\d+)?", bare))
    if numbers:
        number = chance.choice(numbers)
        shown = f"{float(number[0]) + chance.choice([1, -1]):g}"
        yield "number off by one", text[: number.start()] + shown + text[number.end() :]
    called = state.language.label
    right = {called(*pair) for pair in pairs_of(catalog[said.row])}
    wrong = sorted({called(*pair) for item in catalog for pair in pairs_of(item)} - right)
    for value in sorted({called(fact.field, value) for fact in said.explanation.facts for value in fact.values})[:1]:
        if wrong:
            yield "wrong attribute value", re.sub(re.escape(value), chance.choice(wrong), text, flags=re.IGNORECASE)
    yield from _wrong_links(state, said)
    if (other.history.user, other.row) != (said.history.user, said.row):
        yield "explanation of another pick", other.explanation.text


def _wrong_links(state: RecommenderState, said: Said) -> Iterator[tuple[str, str]]:
    """Yield an explanation with a false relation between the pick and an item."""
    graph = state.knowledge
    called = state.language.relations
    for fact in said.explanation.facts:
        if fact.relation != "linked" or graph is None or fact.object is None:
            continue
        several = bool(fact.numbers) and fact.numbers[0] > 1
        for column, name in enumerate(graph.relations):
            tails = graph.tails(said.row, column)
            ties = fact.object in tails if graph.to_items[column] else graph.shared(said.row, column)[fact.object] > 0
            if name != fact.field and not ties:
                yield "wrong link", said.explanation.text.replace(called[fact.field][several], called[name][several])
                return


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    named = result["named"]
    rows = [
        ("true explanations", f"{result['true']} of {result['explanations']}"),
        *((f"{kind} named", named[kind]) for kind in ("items", "values", "numbers")),
        ("facts behind them that are true", f"{named['facts'] - named['facts_untrue']} of {named['facts']}"),
        ("different texts", result["texts"]),
        ("seconds each", result["seconds_each"]),
        *((f"sentences {kind}", count) for kind, count in result.get("free_sentences", {}).items()),
        *((f"noticed: {way}", f"{caught} of {made}") for way, (caught, made) in result["noticed"].items()),
        *(("untrue", f"{untrue['text']} {untrue['problems']}") for untrue in result["untrue"][:SHOWN]),
    ]
    return table((f"style {result['style']}", ""), rows)


if __name__ == "__main__":
    main()
