"""Plain English: words that the project's texts do not use, and sentences that are too long to read once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main
from project_text import ROOT, Passage, in_comments, in_markdown, in_python, passages

from genre_gen.cli.main import app

# Texts that are still to be rewritten: an entry is the beginning of a path.
LATER: tuple[str, ...] = ()

LONGEST = 40  # words of a sentence

# A regular expression, which matches whole words in any case -> what to write instead.
INSTEAD = {
    "anew": "again",
    "mend(s|ed|ing)?": "fix",
    "beside": "next to",
    "whoever": "a user who, a model that",
    "somebody|everybody|nobody|anybody": "a user, all users, no user",
    "(do|does) not hold": "is invalid",
    "users (have )?had|has had": "interactions",
    "unmet": "cold",
    "met": "seen, encountered",
    "stands? in for": "replaces",
    "stands? in": "is in",
    "stands where|what stands": "is; the content",
    "shall": "must, will",
    "(?<!there )(is|are|was|were) no(?! (longer|more|less|better|worse|faster|slower|larger))": "is not a",
    "(that|which|it) is (?-i:none)": "is not one, does not exist",
    "but for": "except for",
    "all but(?! the)": "nearly",
    "the more so": "especially",
    "in silence|keeps? silent": "silently; has no score",
    "borne out": "supported",
    "says? so": "warns, reports it",
    "says? nothing(?! about)|knows? nothing": "has no information",
    "(goes|go) on(?! to)": "continues",
    "likeness|of like length": "similarity, of similar length",
    "no good": "unusable",
    "unasked": "without permission",
    "gives? away": "reveals",
    "last word": "decides",
    "from (here|now) on": "afterwards",
    "by turns": "alternately",
    "the field's habit": "the convention",
    "in place of": "instead of",
    "earns? (its|their)": "improves the results",
    "has none of": "lacks",
    "what is left": "the rest",
    "where (there is|there are|there was|there were) (one|any|none)": "if any",
    "from elsewhere": "of another folder, of another package",
    "one and the same": "the same",
    "without end": "without limit",
    "at hand": "available",
    "nothing but|none but": "only",
    "whence|thereof|wherein|hitherto|lest": "from which, of it, in which, until now, so that not",
}
_UNWANTED = re.compile("|".join(rf"\b(?:{words})\b" for words in INSTEAD), re.IGNORECASE)
_CODE = re.compile(r"``.+?``|`.+?`|:\w+:`.+?`")


def problems(passage: Passage) -> Iterator[str]:
    """Yield the unwanted words of a passage, and its sentences that are too long."""
    text = _CODE.sub("x", passage.text)
    for found in _UNWANTED.finditer(text):
        instead = next(plain for words, plain in INSTEAD.items() if re.search(rf"\b(?:{words})\b", found[0], re.I))
        yield f"{passage.file}:{passage.line}: {found[0]!r}; write {instead!r}: {passage.text}"
    if "=====" not in text:  # a table
        for sentence in re.split(r"(?<=[.!?;:])\s+|\s\|\s", text):
            if len(sentence.split()) > LONGEST:
                yield f"{passage.file}:{passage.line}: {len(sentence.split())} words, at most {LONGEST}: {sentence}"


def test_docs_comments_and_messages_are_in_plain_english():
    unwanted = [line for passage in passages() if not passage.file.startswith(LATER) for line in problems(passage)]
    assert not unwanted, "\n".join(unwanted)


def test_names_of_tests_are_in_plain_english():
    names = (
        Passage(file.relative_to(ROOT).as_posix(), node.lineno, node.name.replace("_", " "))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if not ("genre_gen/" + file.relative_to(ROOT / "tests").as_posix()).startswith(LATER)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    unwanted = [line for name in names for line in problems(name)]
    assert not unwanted, "\n".join(unwanted)


@pytest.mark.skipif(any(entry == "genre_gen/cli/" for entry in LATER), reason="its texts are still to be rewritten")
def test_help_of_the_command_line_is_in_plain_english():
    unwanted = [line for text in _help(typer.main.get_command(app), "genre-gen") for line in problems(text)]
    assert not unwanted, "\n".join(unwanted)


def _help(command: click.Command, name: str) -> Iterator[Passage]:
    with click.Context(command, info_name=name) as context:
        yield Passage(name, 0, " ".join(command.get_help(context).split()))
    for child in getattr(command, "commands", {}).values():
        yield from _help(child, f"{name} {child.name}")


@pytest.mark.parametrize("words", ["written anew", "what users had", "a Log is no history", "The title\nthat is none"])
def test_unwanted_words_are_found_in_every_kind_of_text(words):
    line = words.replace("\n", " ")
    texts = [
        *in_markdown(f"# Title\n\nIt says\n{words}.\n", "a.md"),
        *in_python(f'"""It says\n{words}."""\n', "docstring.py"),
        *in_python(f"# It says\n# {line}.\nx = 1\n", "comment.py"),
        *in_python(f'raise ValueError(f"{{x}}: it says {line}")\n', "message.py"),
        *in_comments(["x = 1", f"y = 2  # it says {line}"], "a.toml"),
    ]
    found = {passage.file for passage in texts if list(problems(passage))}
    assert found == {"a.md", "docstring.py", "comment.py", "message.py", "a.toml"}


def test_code_is_not_prose_and_long_sentences_are_found():
    code = "Text.\n\n```python\nshall = 1\n```\n\nCall `shall()` and ``it_is_no(1)``; there is no other.\n"
    assert not [line for passage in in_markdown(code, "a.md") for line in problems(passage)]
    long = Passage("a.md", 1, "word " * (LONGEST + 1))
    assert "41 words" in next(problems(long))
    assert not list(problems(long._replace(text="word; " * (LONGEST + 1))))


def test_the_list_of_texts_to_be_rewritten_has_no_old_entries():
    assert not [entry for entry in LATER if entry != "examples/" and not (Path(ROOT) / entry).exists()]
