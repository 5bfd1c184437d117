"""The project's texts: docstrings, comments, messages and Markdown, as passages with their places."""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
HISTORY = ("CHANGELOG.md", "docs/log.md", "eval/results/README.md")  # texts and captions of their time
_MARKDOWN = ("*.md", "docs/**/*.md", "prompts/**/*.md", "catalogs/**/*.md", "eval/**/*.md", "examples/**/*.md")
_PYTHON = ("genre_gen/**/*.py", "eval/**/*.py", "examples/**/*.py")
_TOML = ("catalogs/*/domain.toml", "eval/**/*.toml")
_COMMENTED_SETTING = re.compile(r"#\s*\w+ = [^#]*#?")  # of which only the comment behind it is a text
_SENTENCE = 4  # a string literal with this many words is a message, a shorter one a name or a key


class Passage(NamedTuple):
    """A text that a person reads, on one line."""

    file: str  # from the repository's root
    line: int
    text: str

    def __str__(self) -> str:
        """Return place and text."""
        return f"{self.file}:{self.line}: {self.text}"


@cache
def passages() -> tuple[Passage, ...]:
    """Return all texts of the documentation, the package, the evaluation and the examples, read once."""
    return tuple(_passages())


def _passages() -> Iterator[Passage]:
    for file in _files(_MARKDOWN):
        if file not in HISTORY:
            yield from in_markdown((ROOT / file).read_text("utf-8"), file)
    for file in _files(_PYTHON):
        yield from in_python((ROOT / file).read_text("utf-8"), file)
    for file in _files(_TOML):
        yield from in_comments((ROOT / file).read_text("utf-8").splitlines(), file)


def in_markdown(source: str, file: str) -> Iterator[Passage]:
    """Yield the paragraphs, list items and table rows of Markdown, without code blocks."""
    source = re.sub(r"^([ \t]*)```.*?^\1```", lambda block: "\n" * block[0].count("\n"), source, flags=re.S | re.M)
    lines: list[str] = []
    for number, line in enumerate([*source.splitlines(), ""], 1):
        if (not line.strip() or line.lstrip().startswith(("#", "|", "- "))) and lines:
            yield Passage(file, number - len(lines), " ".join(lines))
            lines = []
        if line.strip() and not line.startswith("    "):  # indented lines are code
            lines.append(line.strip())


def in_python(source: str, file: str) -> Iterator[Passage]:
    """Yield the docstrings, messages and comments of Python source."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        if len(text.split()) >= _SENTENCE:
            for start, paragraph in _paragraphs(text):
                yield Passage(file, node.lineno + start, paragraph)
    yield from in_comments(source.splitlines(), file, _comment_columns(source))


def in_comments(lines: list[str], file: str, columns: dict[int, int] | None = None) -> Iterator[Passage]:
    """Yield comments, consecutive lines of comments as one; without ``columns``, of TOML."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        column = (columns or {}).get(number, -1) if columns is not None else line.find("#")
        if columns is None and (setting := _COMMENTED_SETTING.match(line)):
            column = len(setting[0]) - 1 if setting[0].endswith("#") else -1
        alone = column >= 0 and not line[:column].strip()
        if block and not alone:
            yield Passage(file, number - len(block), " ".join(block))
            block = []
        if alone:
            block.append(line[column:].lstrip("#: ").strip())
        elif column >= 0:
            yield Passage(file, number, line[column:].lstrip("#: ").strip())


def _files(patterns: tuple[str, ...]) -> list[str]:
    return sorted({file.relative_to(ROOT).as_posix() for pattern in patterns for file in ROOT.glob(pattern)})


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs of a docstring on one line each, with the number of their first line from 0."""
    start = 0
    for part in re.split(r"(\n[ \t]*\n)", text):
        if part.strip() and "::" not in part.split("\n")[0]:
            yield start, " ".join(textwrap.dedent(part).split())
        start += part.count("\n")


def _comment_columns(source: str) -> dict[int, int]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.start[1] for token in tokens if token.type == tokenize.COMMENT}
