"""Texts of rows: ids that can be stored, and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from genre_gen.errors import UsageError, quoted
from genre_gen.store.schema import MAX_ID


def check_text(text: str, of: str, what: str = "id") -> str:
    """Return an id that can be stored.

    Args:
        text: the id.
        of: what it is a part of, for the message.
        what: the part.

    Raises:
        UsageError: it is empty, too long, or no valid Unicode without null characters.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID:
        raise UsageError(f"{of}: the {what} {quoted(text)} must have 1 to {MAX_ID} characters")
    if "\0" in text or not (text.isascii() or _is_unicode(text)):
        raise UsageError(f"{of}: the {what} {quoted(text)} has a null character or a lone surrogate; leave it out")
    return text


def are_texts(texts: Sequence[str]) -> bool:
    """Tell whether all are ids that can be stored."""
    try:
        joined = "".join(texts)
    except TypeError:
        return False
    valid = "\0" not in joined and (joined.isascii() or _is_unicode(joined))
    return valid and all(0 < len(text) <= MAX_ID for text in texts)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_json(content: Any) -> str:
    """Return JSON with its keys in order, so that equal values are equal texts; raises UsageError.

    Everything but ASCII is escaped: PostgreSQL's texts have no lone surrogates either.
    """
    try:
        return json.dumps(content, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as problem:
        raise UsageError(f"{quoted(content)} cannot be stored as JSON: {problem}") from None
