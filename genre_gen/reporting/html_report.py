"""A page to look at: who some users are, what they had, what is recommended to them and why, and what the model saw.

A self-contained HTML file: no script, no font, no picture, no request. Its text and style are in ``prompts/_report/``.
All data is escaped, and the page's Content-Security-Policy lets a browser run and load only the style sheet inside,
named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from genre_gen.data.catalog import Item
from genre_gen.data.filters import check_n
from genre_gen.data.printable import printable, shown
from genre_gen.data.titles import article_first
from genre_gen.downloads.paths import assets_folder
from genre_gen.errors import DecodingError, PromptError, UsageError
from genre_gen.folders.output import writing
from genre_gen.languages.scripts import UNSPACED
from genre_gen.prompting.spans import Prompt
from genre_gen.prompting.templates import in_language
from genre_gen.recommender.explaining import contributions
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.requests import Recommendation
from genre_gen.tasks import TASKS
from genre_gen.tasks.next_item import NextItem

if TYPE_CHECKING:
    from genre_gen.explain import attribution
    from genre_gen.explain.explainer import Explanation
    from genre_gen.explain.facts import Fact

FOLDER = "_report"  # in prompts/; no domain can have this name
TEMPLATE, STYLE, WORDS = "page.html.jinja", "page.css", "say.jinja"
LABELS = 6  # labels in a user's profile
EFFECTS = 6  # history items whose say in a pick is drawn


@dataclass(frozen=True)
class Bar:
    """A part of a bar: what it stands for, the number of its colour, begin and width in hundredths of the whole."""

    name: str
    value: float
    place: int
    x: float
    width: float


@dataclass(frozen=True)
class Piece:
    """A piece of a text: its words, their class in the style sheet ("" for none), and a word more about them."""

    text: str
    kind: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Seen:
    """An item of a history; ``cited`` are the ranks of the picks whose explanation rests on it."""

    title: str
    about: str
    rating: float | None
    liked: bool
    date: str
    cited: tuple[int, ...]


@dataclass(frozen=True)
class Effect:
    """How much an item of the history spoke for a pick, by language model and blend; is it cited in the explanation?"""

    title: str
    llm: Bar
    blend: float
    cited: bool


@dataclass(frozen=True)
class Pick:
    """A recommendation, ready to be drawn."""

    rank: int
    title: str
    about: str
    score: float
    pinned: bool
    parts: tuple[Bar, ...]
    zero: float
    explanation: tuple[Piece, ...]
    facts: tuple[str, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Portrait:
    """A user, ready to be drawn; ``labels`` are (name, how many items, share of the largest)."""

    name: str
    since: str
    until: str
    count: int
    rated: int
    liked: int
    mean: float | None
    labels: tuple[tuple[str, int, float], ...]
    history: tuple[Seen, ...]
    picks: tuple[Pick, ...]
    notes: tuple[str, ...]
    prompts: tuple[tuple[str, tuple[tuple[str, tuple[Piece, ...]], ...]], ...]


def write_page(recommender: Recommender, users: Sequence[str], path: str | Path, n: int = 5) -> Path:
    """Write the page of some users, and return where; see :func:`page`."""
    path, text = Path(path), page(recommender, users, n)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


def page(recommender: Recommender, users: Sequence[str], n: int = 5) -> str:
    """Return the page of some users, each with ``n`` picks, as HTML.

    Raises:
        UsageError: no users, or n out of range.
        UnknownUserError: a user that the data does not have.
        PromptError: the page has no words in the recommender's language.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    if not users:
        raise UsageError("no users: give at least one user id whose page is written")
    check_n(n)
    folder = assets_folder() / "prompts" / FOLDER
    environment = Environment(
        loader=FileSystemLoader([folder, Path.cwd() / "prompts" / FOLDER]), autoescape=True,
        undefined=StrictUndefined, finalize=_printable, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    language = recommender.state.language.code
    words = in_language(Path(), language) / WORDS
    if words.as_posix() not in environment.list_templates():
        raise PromptError(f"the page has no words in {language!r}: write {Path('prompts') / FOLDER / words}")
    style = (folder / STYLE).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    members = [name for name, weight in recommender.state.blend.weights.items() if weight > 0]
    return environment.get_template(TEMPLATE).render(
        style=Markup(style),  # noqa: S704 - a file of the project, which no data reaches
        style_hash=f"sha256-{digest}",
        language=language,
        words=words.as_posix(),
        domain=recommender.domain,
        catalog=recommender.state.catalog,
        weights=[(name, recommender.state.blend.weights[name]) for name in members],
        trained_on=len(recommender.state.trained_on),
        people=len(recommender.state.histories.users),
        users=[_portrait(recommender, user, n, members) for user in dict.fromkeys(users)],
    )


def _portrait(recommender: Recommender, user: str, n: int, members: Sequence[str]) -> Portrait:
    """Gather what there is to say about a user."""
    history = recommender.state.histories.history(user)
    picks = recommender.recommend(user, n=n, explain=True)
    catalog, rows = recommender.state.catalog, history.rows.tolist()
    ratings = [None] * len(rows) if history.ratings is None else [_known(one) for one in history.ratings.tolist()]
    dates = [""] * len(rows) if history.times is None else [_date(one) for one in history.times.tolist()]
    rated = [one for one in ratings if one is not None]
    liked_from = recommender.domain.liked_from
    cited = _cited(picks)
    seen = [
        Seen(
            article_first(catalog[row].title),
            _about(recommender, catalog[row]),
            rating,
            rating is not None and liked_from is not None and rating >= liked_from,
            date,
            cited.get(row, ()),
        )
        for row, rating, date in zip(rows, ratings, dates, strict=True)
    ]
    return Portrait(
        name=user,
        since=min(filter(None, dates), default=""),
        until=max(filter(None, dates), default=""),
        count=len(rows),
        rated=len(rated),
        liked=sum(one.liked for one in seen),
        mean=float(np.mean(rated)) if rated else None,
        labels=_labels(recommender, rows),
        history=tuple(reversed(seen)),
        picks=tuple(_picks(recommender, user, picks, members)),
        notes=picks.notes,
        prompts=_prompts(recommender, user, picks),
    )


def _picks(
    recommender: Recommender, user: str, picks: Sequence[Recommendation], members: Sequence[str]
) -> Iterator[Pick]:
    above = max((sum(max(part, 0) for part in pick.parts.values()) for pick in picks), default=0.0)
    below = max((sum(max(-part, 0) for part in pick.parts.values()) for pick in picks), default=0.0)
    unit = 100 / ((above + below) or 1.0)
    catalog = recommender.state.catalog
    for pick, effects in zip(picks, _measured(recommender, user, picks), strict=True):
        facts = () if pick.explanation is None else pick.explanation.facts
        yield Pick(
            pick.rank,
            article_first(pick.item.title),
            _about(recommender, pick.item),
            pick.score,
            pick.pinned,
            tuple(_stacked(pick.parts, members, below * unit, unit)),
            below * unit,
            tuple(_highlighted(recommender, pick.explanation)),
            tuple(fact.text(catalog, recommender.state.language) for fact in facts),
            tuple(_effects(effects, {catalog[row].id for row in _named(pick.explanation)})),
        )


def _measured(
    recommender: Recommender, user: str, picks: Sequence[Recommendation]
) -> Sequence[Sequence[attribution.Effect]]:
    """Return what items of the history did for each pick; nothing where the language model fails, as the notes say."""
    state = recommender.state
    history, rows = state.histories.history(user), [state.catalog.row(pick.item.id) for pick in picks]
    try:
        return [each.items for each in contributions(state, history, rows)]
    except DecodingError:
        return [()] * len(picks)


def _stacked(parts: Mapping[str, float], members: Sequence[str], zero: float, unit: float) -> Iterator[Bar]:
    """Yield the parts of a score, those above zero to the right of it, those below to the left."""
    right = left = zero
    for name, value in parts.items():
        width = abs(value) * unit
        if value < 0:
            left -= width
        place = list(members).index(name) if name in members else len(members)
        yield Bar(name, value, place, left if value < 0 else right, width)
        if value >= 0:
            right += width


def _effects(effects: Sequence[Any], cited: Collection[str]) -> Iterator[Effect]:
    """Yield the items with the largest effects, those that spoke most for the pick first, on one scale around 50."""
    largest = sorted(effects, key=lambda one: -abs(one.llm))[:EFFECTS]
    unit = 50 / (max((abs(one.llm) for one in largest), default=0.0) or 1.0)
    for one in sorted(largest, key=lambda one: -one.llm):
        width = abs(one.llm) * unit
        bar = Bar("llm", one.llm, int(one.llm < 0), 50 - width if one.llm < 0 else 50, width)
        yield Effect(article_first(one.item.title), bar, one.blend, one.item.id in cited)


def _cited(picks: Sequence[Recommendation]) -> dict[int, tuple[int, ...]]:
    """Return catalog row -> ranks of the picks whose explanation names the item."""
    named = {pick.rank: _named(pick.explanation) for pick in picks}
    rows = {row for each in named.values() for row in each}
    return {row: tuple(rank for rank, each in named.items() if row in each) for row in rows}


def _named(explanation: Explanation | None) -> set[int]:
    """Return the rows of the items that an explanation rests on."""
    facts = () if explanation is None else explanation.facts
    return {row for fact in facts for row in (fact.subject, fact.object) if row is not None}


def _highlighted(recommender: Recommender, explanation: Explanation | None) -> Iterator[Piece]:
    """Yield an explanation in pieces; what the facts hold (items, values, numbers) is marked as such."""
    if explanation is None:
        return
    known = {word: kind for fact in explanation.facts for word, kind in _evidence(recommender, fact)}
    words = sorted(map(re.escape, known), key=len, reverse=True)
    end = 0
    letter = rf"[^\W{UNSPACED}]"  # of a word that goes on to its next space
    pattern = rf"(?<!{letter})(?:{'|'.join(words)})(?!{letter})" if words else r"(?!)"
    for match in re.finditer(pattern, explanation.text, re.IGNORECASE):
        yield Piece(explanation.text[end : match.start()])
        yield Piece(match[0], known.get(match[0], known.get(match[0].casefold(), "item")))
        end = match.end()
    yield Piece(explanation.text[end:])


def _evidence(recommender: Recommender, fact: Fact) -> Iterator[tuple[str, Literal["item", "value", "number"]]]:
    titles = [recommender.state.catalog[row].title for row in (fact.subject, fact.object) if row is not None]
    yield from ((form, "item") for title in titles for form in (title, article_first(title)))
    names = (recommender.state.language.label(fact.field, value) for value in fact.values)
    yield from ((form, "value") for name in names for form in (name, name.casefold()))
    yield from ((format(number, form), "number") for number in fact.numbers for form in ("g", ".1f", ",.0f"))


def _labels(recommender: Recommender, rows: Sequence[int]) -> tuple[tuple[str, int, float], ...]:
    labels = recommender.state.labels
    if labels is None:
        return ()
    counts = Counter({name: int(one) for name, one in zip(labels.names, labels.matrix[rows].sum(axis=0), strict=True)})
    most = [(name, count) for name, count in counts.most_common(LABELS) if count]
    called = recommender.state.language.label
    return tuple((called(labels.field, name), count, 100 * count / most[0][1]) for name, count in most)


def _prompts(
    recommender: Recommender, user: str, picks: Sequence[Recommendation]
) -> tuple[tuple[str, tuple[tuple[str, tuple[Piece, ...]], ...]], ...]:
    """Return the prompts behind the page: what asked for items, and what asked for the first pick's explanation."""
    history = recommender.state.histories.history(user)
    recent = history.last(recommender.domain.model.max_history)
    task = TASKS["next_item"]
    assert isinstance(task, NextItem)  # noqa: S101 - a fact for the type checker
    found = {task.name: task.prompt(recommender.state.generator.data, recommender.state.book, recent)}
    if pick := next((pick for pick in picks if not pick.pinned), None):
        row = recommender.state.catalog.row(pick.item.id)
        found["explain"] = recommender.state.explainer.sentences(history, row, pick.parts).prompt
    draw = partial(_messages, recommender)
    return tuple((name, tuple(draw(prompt))) for name, prompt in found.items())


def _messages(recommender: Recommender, prompt: Prompt) -> Iterator[tuple[str, tuple[Piece, ...]]]:
    codes = recommender.state.generator.llm.codes
    for message in prompt.messages:
        pieces = []
        for span in message.spans:
            if span.kind == "code":
                name = "".join(codes.names[token] for token in codes.codes[span.row] if token >= 0)
                pieces.append(Piece(name, "code", recommender.state.catalog[span.row].title))
            else:
                pieces.append(Piece(span.text, span.kind))
        yield message.role, tuple(pieces)


def _about(recommender: Recommender, item: Item) -> str:
    language = recommender.state.language
    known = [(name, value) for name, value in item.attributes.items() if value not in {None, ()}]
    return " · ".join(shown(language.shown(name, value), language.tables.facts.list) for name, value in known)


def _known(rating: float) -> float | None:
    return None if np.isnan(rating) else rating


def _date(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return ""


def _printable(value: Any) -> Any:
    """Return a value as a page may hold it: characters that no page can hold, or that turn its text around, shown."""
    return printable(value, keep="\n") if type(value) is str else value
