"""Are explanations true? Every item, attribute value and number that they name is compared with the data.

    python eval/explanations_check.py runs/movies [--users 100] [-n 5] [--style llm] [--json eval/results/...]

The checker reads the text alone and counts anew; it takes nothing from what wrote it. As controls, each explanation is
also spoilt in five ways (an item of somebody else, a number off by one, a wrong attribute value, another link of the
graph, the explanation of another pick), and the share of these that the checker notices is told: a checker that notices
nothing proves nothing.

With ``--style free`` the language model's sentences are also counted before they are checked: how many name nothing
that is not so (whatever else they say), and how many are borne out by the data altogether and so were kept.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaderboard import told

from genre_gen.collaborative import SVD
from genre_gen.data.interactions import History
from genre_gen.data.titles import article_first
from genre_gen.explain.check import Checker
from genre_gen.explain.claims import ScoreClaims
from genre_gen.explain.explainer import Explanation
from genre_gen.explain.facts import labels
from genre_gen.explain.text import plain
from genre_gen.explain.wording import LENGTH, vocabulary
from genre_gen.recommender.recommender import Recommender

SHOWN = 5  # untrue explanations printed


@dataclass(frozen=True)
class Said:
    """One explanation and what it is about."""

    history: History
    row: int
    predicted: float | None
    explanation: Explanation


@told()
def main() -> None:
    """Explain, check, print the rates and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a trained recommender")
    parser.add_argument("--users", type=int, default=100, help="how many, spread over the data")
    parser.add_argument("-n", type=int, default=5, help="picks per user")
    parser.add_argument(
        "--style", choices=("llm", "template", "free"), default="template", help="who chooses the words"
    )
    parser.add_argument("--json", type=Path, default=Path("eval/results/explanations_check.json"))
    parser.add_argument("--know", help="domain whose [knowledge] is added to the run [what it was saved with]")
    options = parser.parse_args()
    recommender = Recommender.from_pretrained(options.run)
    if options.know:
        recommender.know(options.know)
    said = list(explained(recommender, options.users, options.n, options.style))
    result = {"run": Path(options.run).name, "style": options.style, **measured(recommender, said)}
    print(table(result))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False))


def explained(recommender: Recommender, users: int, n: int, style: str) -> Iterator[Said]:
    """Yield the explanations of ``n`` picks for ``users`` users."""
    recommender.domain = recommender.domain.changed({"explain.style": style})
    histories = recommender.histories.histories()
    chosen = histories[:: max(1, len(histories) // users)][:users]
    svd = recommender.members.get("svd")
    for history, picks in zip(chosen, recommender.recommend_many(chosen, n, explain=True), strict=True):
        rows = [recommender.catalog.row(pick.item.id) for pick in picks]
        expected = [one.rating for one in svd.predict(history, rows)] if isinstance(svd, SVD) else [None] * len(rows)
        for pick, row, rating in zip(picks, rows, expected, strict=True):
            if pick.explanation is not None:
                yield Said(history, row, rating, pick.explanation)


def checker_of(recommender: Recommender, *, free: bool = False) -> Checker:
    """Return what checks the recommender's explanations; in the free style more words may stand."""
    if free or recommender.domain.explain.style == "free":
        return recommender.explainer.checker
    words, graph = vocabulary(recommender.book), recommender.knowledge
    return Checker(recommender.catalog, recommender.trained_on, recommender.domain, words, graph)


def measured(recommender: Recommender, said: list[Said]) -> dict[str, Any]:
    """Check explanations and their spoilt copies."""
    checker = checker_of(recommender)
    counts: Counter[str] = Counter()
    untrue, spoilt, noticed = [], Counter[str](), Counter[str]()
    chance = random.Random(0)
    for place, one in enumerate(said):
        case = (one.history, one.row, one.predicted, ScoreClaims.of_effects(one.explanation.effects))
        report = checker.check(one.explanation.text, *case)
        counts.update(items=report.items, values=report.values, numbers=report.numbers)
        facts = [checker.holds(fact, *case) for fact in one.explanation.facts]
        counts.update(facts=len(facts), facts_untrue=facts.count(False))
        if not report.ok or not all(facts) or not facts:
            untrue.append({"user": one.history.user, "text": one.explanation.text, "problems": list(report.problems)})
        other = said[(place + chance.randrange(1, len(said))) % len(said)] if len(said) > 1 else one
        for way, text in spoil(recommender, one, other, chance):
            spoilt[way] += 1
            noticed[way] += not checker.check(text, *case).ok
    return {
        "explanations": len(said),
        "true": len(said) - len(untrue),
        "named": dict(counts),
        "texts": len({one.explanation.text for one in said}),
        "methods": dict(Counter(one.explanation.method for one in said)),
        "seconds_each": round(sum(one.explanation.seconds for one in said) / max(len(said), 1), 4),
        **free_style(recommender, said),
        "noticed": {way: [noticed[way], spoilt[way]] for way in spoilt},
        "untrue": untrue,
    }


def free_style(recommender: Recommender, said: list[Said]) -> dict[str, Any]:
    """Return how many sentences of the drafts are so, before and after the check; nothing for the other styles."""
    if not any(one.explanation.method == "free" for one in said):
        return {}
    names = Checker(recommender.catalog, recommender.trained_on, recommender.domain, None, recommender.knowledge)
    counts: Counter[str] = Counter()
    for one in said:
        case = (one.history, one.row, one.predicted, ScoreClaims.of_effects(one.explanation.effects))
        reports = [names.check(sentence, *case) for sentence in names.sentences(plain(one.explanation.draft))[:LENGTH]]
        counts["written"] += len(reports)
        counts["name nothing that is not so"] += sum(report.ok for report in reports)
        counts["of these, name something"] += sum(
            report.ok and report.items + report.values + report.numbers > 0 for report in reports
        )
        counts["kept"] += one.explanation.kept
        final = names.sentences(one.explanation.text)
        counts["in the end"] += len(final)
        counts["in the end, so"] += sum(checker_of(recommender, free=True).check(part, *case).ok for part in final)
    examples = [
        {"draft": one.explanation.draft, "text": one.explanation.text} for one in said[:: max(1, len(said) // 8)]
    ]
    return {"free_sentences": dict(counts), "examples": examples}


def spoil(recommender: Recommender, one: Said, other: Said, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield untrue versions of an explanation."""
    catalog, text = recommender.catalog, one.explanation.text
    known = {one.row, *one.history.rows.tolist()}
    named = {row for fact in one.explanation.facts for row in (fact.subject, fact.object)} - {None, one.row}
    strangers = [row for row in range(len(catalog)) if row not in known]
    for row in sorted(row for row in named if row is not None)[:1]:
        for title in (plain(article_first(catalog[row].title)), plain(catalog[row].title)):
            if title in text and strangers:
                yield "item of somebody else", text.replace(title, plain(catalog[chance.choice(strangers)].title))
                break
    bare = text
    for row in known & {*named, one.row}:  # digits in titles are no numbers
        for title in (plain(article_first(catalog[row].title)), plain(catalog[row].title)):
            bare = bare.replace(title, "#" * len(title))
    numbers = list(re.finditer(r"\d+(\.\d+)?", bare))
    if numbers:
        number = chance.choice(numbers)
        shown = f"{float(number[0]) + chance.choice([1, -1]):g}"
        yield "number off by one", text[: number.start()] + shown + text[number.end() :]
    own = {value for values in labels(catalog[one.row]).values() for value in values}
    wrong = sorted({value for item in catalog for values in labels(item).values() for value in values} - own)
    for value in sorted({value for fact in one.explanation.facts for value in fact.values})[:1]:
        if wrong:
            yield "wrong attribute value", re.sub(re.escape(value), chance.choice(wrong), text, flags=re.IGNORECASE)
    yield from _wrong_links(recommender, one)
    if (other.history.user, other.row) != (one.history.user, one.row):
        yield "explanation of another pick", other.explanation.text


def _wrong_links(recommender: Recommender, one: Said) -> Iterator[tuple[str, str]]:
    """Yield an explanation that says that a relation ties the pick to the item which does not."""
    graph = recommender.knowledge
    called = {name: each.called(name) for name, each in recommender.domain.knowledge.relations.items()}
    for fact in one.explanation.facts:
        if fact.relation != "linked" or graph is None or fact.object is None:
            continue
        several = bool(fact.numbers) and fact.numbers[0] > 1
        for place, name in enumerate(graph.relations):
            tails = graph.tails(one.row, place)
            ties = fact.object in tails if graph.to_items[place] else graph.shared(one.row, place)[fact.object] > 0
            if name != fact.field and not ties:
                yield "wrong link", one.explanation.text.replace(called[fact.field][several], called[name][several])
                return


def table(result: dict[str, Any]) -> str:
    """Return the result for people."""
    named = result["named"]
    lines = [
        f"{result['true']} of {result['explanations']} explanations ({result['style']}) are true",
        f"  they name {named['items']} items, {named['values']} attribute values and {named['numbers']} numbers;",
        f"  {named['facts'] - named['facts_untrue']} of the {named['facts']} facts behind them hold",
        f"  {result['texts']} different texts, {result['seconds_each']} seconds each",
        *(f"  sentences {what}: {count}" for what, count in result.get("free_sentences", {}).items()),
        "spoilt copies that the checker notices:",
        *(f"  {way}: {caught} of {made}" for way, (caught, made) in result["noticed"].items()),
    ]
    lines += [f"UNTRUE: {one['text']} {one['problems']}" for one in result["untrue"][:SHOWN]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
