"""Every code block of README and docs: examples run as they stand and print what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from genre_gen.cli.main import app
from tests.docs.pages import (
    DOCS,
    PAGES,
    ROOT,
    Block,
    Session,
    blocks,
    check_fragment,
    check_output,
    check_shape,
    commands,
)

RUN_ELSEWHERE = {DOCS / "guides" / name for name in ("own-models.md", "sharing.md", "serve.md")}
"""Pages with a test of their own next to this one."""
RUNNABLE = [
    page
    for page in PAGES
    if page not in RUN_ELSEWHERE and any(block.language in ("python", "console") for block in blocks(page))
]
USERS = {"196": "17", "22": "4"}  # people of MovieLens-100K that pages name -> people of the sample
MADE_BY_THE_DEMO = {ROOT / "README.md", DOCS / "get-started.md"}
"""Pages whose outputs are those of the model that `make demo` trains. Of these only the shape is compared (`shape` in
`pages.py`): how many lines, and their words where these depend on no model. Whether the figures, titles and reasons
are what the demo prints, this test cannot see."""


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", RUNNABLE, ids=page_id)
def test_examples_run_and_print_what_the_page_says(page, workplace):
    session = Session(exact=page not in MADE_BY_THE_DEMO, replaced=USERS)
    for block in blocks(page):
        session.run(block)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_blocks_that_are_not_run_could_be_what_they_say(page, tiny_domain):
    for block in blocks(page):
        check_fragment(block, tiny_domain)


def problem_of(command: str) -> str | None:
    """Return what is wrong with a command that is only read: no such command, option or script."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "python":
        script = ROOT / f"{arguments[1].replace('.', '/')}.py" if arguments[0] == "-m" else ROOT / arguments[0]
        exists = script.is_file() or script.with_suffix("").joinpath("__main__.py").is_file()
        return None if exists or arguments[0] == "-c" else f"no script {script}"
    if program != "genre-gen":
        return None
    chosen = typer.main.get_command(app)
    while arguments and arguments[0] in getattr(chosen, "commands", ()):
        chosen = chosen.commands[arguments.pop(0)]
    if (
        arguments
        and not arguments[0].startswith("-")
        and not any(one.param_type_name == "argument" for one in chosen.params)
    ):
        return f"no command {arguments[0]!r}"
    known = {"--help", *(name for parameter in chosen.params for name in parameter.opts)}
    return next((f"no option {word}" for word in arguments if re.match("--?[a-z]", word) and word not in known), None)


def named_commands(page: Path) -> list[str]:
    """Return the commands that a page names: in blocks that are not run, and in its sentences."""
    text = page.read_text(encoding="utf-8")
    named = [line for block in blocks(page) if block.language == "bash" for line in block.text.splitlines()]
    named += [command for block in blocks(page) if block.language == "console" for command, _ in commands(block.text)]
    named += re.findall(r"`((?:genre-gen|python -m eval\.)[^`]*)`", text)
    return [line.strip() for line in named]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_that_are_named_exist(page):
    problems = {command: problem for command in named_commands(page) if (problem := problem_of(command))}
    assert not problems, f"{page_id(page)}: {problems}"


@pytest.mark.parametrize(
    "command",
    [
        "genre-gen serve movies --colour red",
        "genre-gen domains rename movies",
        "genre-gen train movies --minutes 5",
        "genre-gen domains new books --itmes books.csv",
        "python -m eval.accuracy.no_such_script",
    ],
)
def test_a_command_that_does_not_exist_is_found(command):
    assert problem_of(command)


def page_of(*parts: str) -> list[Block]:
    """Return the blocks of a page of these parts, each ``language: text``."""
    text = "\n\n".join("```{}\n{}\n```".format(*part.split(": ", 1)) for part in parts)
    return blocks(Path("page.md"), text)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (["python: print(6 * 7)", "text: 41"], r"page\.md:5: the page says\n41\n\nand it prints\n42"),
        (["python: print('a b')", "text: a … c"], "the page says"),
        (["python: print(6 * 7)", "text: …"], "expects nothing in particular"),
        (["console: $ genre-gen domains\nnovels"], "the page says\nnovels"),
        (["console: $ genre-gen recommend nothing"], "`genre-gen recommend nothing` fails: genre-gen: .*nothing"),
        (["console: $ python -c 'raise SystemExit(3)'"], "ends with 3"),
    ],
)
def test_a_page_with_a_wrong_output_is_found(parts, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session()
    *before, last = page_of(*parts)
    for block in before:
        session.run(block)
    with pytest.raises(AssertionError, match=told):
        session.run(last)


def test_a_page_with_right_outputs_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session()
    for block in page_of(
        "python: number = 6 * 7\nprint(number, 'is   the answer')",
        "text: 42 is … answer",
        "python: print(number + 1)",
        "text: 43",
        "text: not an output, since no block ran right before it",
        "console: $ genre-gen domains\n…movies …\n…\n$ genre-gen recommend nothing\ngenre-gen: …no domain…nothing…",
    ):
        session.run(block)


PRINTED = """1 Aliens (1986) 5.9 Aliens (1986) is the sequel of Alien (1979).
Prediction(item=Item(id='183'), rating=3.86, reason='Surprise SVD 3.87')
model                R@10    N@10
GENRE              0.2407  0.1333
popularity         0.0859  0.0443"""


def test_shapes_are_compared_for_pages_with_another_models_outputs():
    other = PRINTED.replace("Aliens (1986)", "Up (2009)").replace("0.1333", "0.5").replace("3.87", "3 and LLM 2")
    assert other != PRINTED
    check_shape(PRINTED, other, "README.md:1")
    check_output(PRINTED, PRINTED, "README.md:1")
    for wrong in (
        PRINTED.replace("popularity", "popular"),
        PRINTED.replace("R@10", "HR@10"),
        PRINTED + "\nease 0.1 0.1",
        PRINTED.replace("1 Aliens (1986) 5.9 ", ""),
        PRINTED.replace("rating=", "value="),
    ):
        with pytest.raises(AssertionError, match="the page shows"):
            check_shape(PRINTED, wrong, "README.md:1")
