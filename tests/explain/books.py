"""Prompt books that several tests share."""

from functools import cache
from pathlib import Path

from genre_gen.domain import Domain
from genre_gen.prompting.book import PromptBook

PROMPTS = Path(__file__).parents[2] / "prompts"
SHIPPED = sorted(folder.name for folder in PROMPTS.iterdir() if any(folder.glob("words.jinja")))


@cache
def shipped_book(name: str) -> PromptBook:
    """Return the templates of a shipped domain, or the generic ones."""
    return PromptBook(PROMPTS / "generic") if name == "generic" else PromptBook.load(Domain.load(name))
