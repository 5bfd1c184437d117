"""Showing picks, and what the model sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from genre_gen.codes import atomic
from genre_gen.data.catalog import Catalog
from genre_gen.data.printable import about, printable, shown
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.explain.attribution import Attribution, Effect, ValueEffect
from genre_gen.explain.comparison import Comparison, Counterfactual
from genre_gen.explain.explainer import Explanation
from genre_gen.languages.language import Language, TerminalWords, put
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt, show
from genre_gen.recommender.requests import Recommendations
from genre_gen.tasks import TASKS, TaskData
from genre_gen.tasks.next_item import NextItem


def picks_text(picks: Recommendations, language: DomainLanguage | None = None) -> str:
    """Return picks as lines: what a query was understood to be, then rank, score, title, facts, parts and reason.

    Labels and the words around them are those of ``language``; by default the data's, and English.
    """
    lines, words = [], _words(language)
    for pick in picks:
        facts = "; ".join(
            _attribute(name, value, language) for name, value in pick.item.attributes.items() if value not in {None, ()}
        )
        parts = ", ".join(f"{name} {share:+.2f}" for name, share in pick.parts.items())
        known = f"  [{facts}]" if facts else ""
        pinned = f"  {words.pinned}" if pick.pinned else ""
        lines.append(f"{pick.rank:>3}. {pick.item.title}{known}  {words.score} {pick.score:.2f} = {parts}{pinned}")
        if pick.explanation is not None:
            lines.append(f"     {pick.explanation}")
    if picks.parsed_query is not None:
        lines.insert(0, put(words.understood, str(picks.parsed_query)))
    return "\n".join(printable(line) for line in [*lines, *(put(words.note, note) for note in picks.notes)])


def picks_json(picks: Recommendations) -> str:
    """Return picks as JSON."""
    return json.dumps(
        {
            "picks": [
                {
                    "rank": pick.rank,
                    "id": pick.item.id,
                    "title": pick.item.title,
                    "score": pick.score,
                    "parts": dict(pick.parts),
                    "pinned": pick.pinned,
                    "explanation": None if pick.explanation is None else pick.explanation.text,
                }
                for pick in picks
            ],
            "notes": list(picks.notes),
            **({} if picks.parsed_query is None else {"parsed_query": picks.parsed_query.to_dict()}),
        },
        ensure_ascii=False,
        indent=2,
    )


def reasons_text(
    catalog: Catalog,
    explanation: Explanation,
    attribution: Attribution | None = None,
    comparison: Comparison | None = None,
    change: Counterfactual | None = None,
    language: DomainLanguage | None = None,
) -> str:
    """Return an explanation as lines: its text, the facts, and what was measured on top of it."""
    words = _words(language)
    lines = [
        explanation.text,
        *(f"  {put(words.fact, fact.text(catalog, language))}" for fact in explanation.facts),
    ]
    lines += [one.text for one in (comparison, change) if one is not None and one.text]
    if attribution is not None:
        lines.append(put(words.measured, f"{attribution.score:.2f}", f"{attribution.log_probability:.2f}"))
        effects: list[tuple[Effect | ValueEffect, str]] = [(effect, effect.item.title) for effect in attribution.items]
        effects += [(effect, _group(effect, language)) for effect in attribution.values]
        llm = words.language_model
        lines += [f"  {effect.blend:+.2f}, {llm} {effect.llm:+.2f}: {name}" for effect, name in effects]
    lines += [put(words.note, note) for note in explanation.notes]
    return "\n".join(map(printable, lines))


def reasons_json(
    catalog: Catalog,
    explanation: Explanation,
    attribution: Attribution | None = None,
    comparison: Comparison | None = None,
    change: Counterfactual | None = None,
    language: DomainLanguage | None = None,
) -> str:
    """Return an explanation as JSON, with what was measured where that was asked for."""
    measured = {"attribution": attribution, "comparison": comparison, "what_if": change}
    content = {
        "text": explanation.text,
        "method": explanation.method,
        "facts": [fact.text(catalog, language) for fact in explanation.facts],
        **({"notes": list(explanation.notes)} if explanation.notes else {}),
        **{name: one.to_dict() for name, one in measured.items() if one is not None},
    }
    return json.dumps(content, ensure_ascii=False)


def _words(language: DomainLanguage | None) -> TerminalWords:
    return (Language.load() if language is None else language.tables).terminal


def _attribute(name: str, value: Any, language: DomainLanguage | None) -> str:
    """Return an attribute for people; a number comes with its field, since a bare 0 has no meaning."""
    if language is None:
        return about({name: value})
    if isinstance(value, (int, float)):
        return f"{language.field(name)} {shown(value)}"
    return shown(language.shown(name, value), language.tables.facts.list)


def _group(effect: ValueEffect, language: DomainLanguage | None) -> str:
    """Return what was left out together: all items with a value."""
    field, value = effect.field, effect.value
    if language is not None:
        field, value = language.field(field), language.label(effect.field, value)
    return put(_words(language).all_with, str(effect.items), field, value)


def render_prompt(
    domain_name: str,
    task: str,
    user: str,
    path: Path | None = None,
    *,
    as_json: bool = False,
    color: bool = False,
) -> str:
    """Return a user's prompt for a task as text, or its messages and spans as JSON.

    Raises:
        UsageError: no such task, or a user the task has no example of.
    """
    from genre_gen.data.dataset import Dataset

    if task not in TASKS:
        raise UsageError(f"no task {task!r}; there are: {', '.join(TASKS)}")
    domain = Domain.load(domain_name)
    book = PromptBook.load(domain)
    data = Dataset.load(domain, path)
    interactions = data.interactions.keep(data.interactions.owners == data.interactions.user_row(user))
    prompt = _prompt(task, TaskData(data.catalog, interactions, domain), book, user)
    if as_json:
        return json.dumps(_spans(prompt), ensure_ascii=False, indent=2)
    return show(prompt, atomic(len(data.catalog)), color)


def _prompt(task: str, data: TaskData, book: PromptBook, user: str) -> Prompt:
    known = TASKS[task]
    if isinstance(known, NextItem):  # as it is served: the whole history
        return known.prompt(data, book, data.interactions.history(user).last(data.domain.model.max_history))
    example = next(iter(known.examples(data, book, np.random.default_rng(0), open=True)), None)
    if example is None:
        raise UsageError(f"the task {task} has no example of user {user!r} (too short a history, or nothing rated)")
    return example.prompt


def _spans(prompt: Prompt) -> list[dict[str, object]]:
    return [
        {
            "role": message.role,
            "spans": [
                {"kind": span.kind, "row": span.row} if span.kind == "code" else {"kind": span.kind, "text": span.text}
                for span in message.spans
            ],
        }
        for message in prompt.messages
    ]
