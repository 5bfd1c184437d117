"""Options that change the items of a list: re-ranking and rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genre_gen.cli.options import is_item
from genre_gen.errors import UsageError

if TYPE_CHECKING:
    from genre_gen.recommender.recommender import Recommender
    from genre_gen.rules.settings import Rules

Rerank = Annotated[
    Literal["none", "mmr", "calibration"] | None,
    typer.Option(help="Trade score for variety or the user's mix of labels [the domain's]."),
]
RerankWeight = Annotated[float | None, typer.Option(help="0 keeps the ranking, 1 ignores the scores [the domain's].")]
Boost = Annotated[
    list[str] | None,
    typer.Option(metavar="AMOUNT EXPRESSION", help='Raise scores, such as "0.5 year >= 1990". Repeatable.'),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(metavar="ITEM[@RANK]", help="Place an item, by title or id, at a rank [the first]. Repeatable."),
]
AtMost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N FIELD|EXPRESSION",
        help="At most N items with the same value, such as '2 genre', or that satisfy a filter. Repeatable.",
    ),
]
AtLeast = Annotated[
    list[str] | None,
    typer.Option(metavar="N EXPRESSION", help="At least N items that satisfy a filter, if available. Repeatable."),
]
NoRules = Annotated[bool, typer.Option("--no-rules", help="Ignore the domain's rules; only those given here apply.")]


def read_rules(
    recommender: Recommender,
    boost: Sequence[str] | None,
    pin: Sequence[str] | None,
    at_most: Sequence[str] | None,
    at_least: Sequence[str] | None,
    *,
    without: bool,
) -> Rules | None:
    """Return the rules of a request: those given, added to the domain's unless ``without``; None for the domain's only.

    Raises:
        UsageError: rules that cannot be read.
    """
    from genre_gen.rules.settings import Rules

    if not (without or boost or pin or at_most or at_least):
        return None
    given = Rules(
        boosts=dict(_numbered("--boost", text, float) for text in boost or ()),
        pins=dict(_pin(recommender, text) for text in pin or ()),
        at_most=dict(_numbered("--at-most", text, int) for text in at_most or ()),
        at_least=dict(_numbered("--at-least", text, int) for text in at_least or ()),
    )
    return given if without else recommender.domain.rules | given


def _numbered(option: str, text: str, kind: type[float] | type[int]) -> tuple[str, float]:
    """Read a number and its field or expression, such as ``2 genre``."""
    number, _, what = text.strip().partition(" ")
    example = "0.5 year >= 1990" if kind is float else "2 year >= 1990"
    try:
        if what.strip():
            return what.strip(), kind(number)
    except ValueError:
        pass
    called = "an amount" if kind is float else "a whole number"
    raise UsageError(f"{option} {text!r}: write {called}, a space and what it is for, such as {example!r}")


def _pin(recommender: Recommender, text: str) -> tuple[str, Any]:
    """Read ``ITEM@RANK``, or a title or id alone."""
    item, at, rank = text.rpartition("@")
    if not at or is_item(recommender, text):
        return text, "first"
    if not rank.strip().isdecimal():
        raise UsageError(
            f"--pin {text!r}: {rank!r} is not a rank; write ITEM@RANK, such as {item + '@1'!r}, or ITEM alone"
        )
    return item, int(rank)
