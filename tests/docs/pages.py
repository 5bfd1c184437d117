"""Pages of the documentation as tests see them: their fenced blocks, how these are run, and what they should print."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pytest

from genre_gen import registry
from genre_gen.cli import main as cli
from genre_gen.domain import Domain

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
TITLE = re.compile(r'title="([^"]+)"')
LANGUAGES = {"python", "console", "text", "bash", "toml", "jinja", "json", "csv", "mermaid"}
"""``python`` and ``console`` run, ``text`` after one of them is its output; ``bash`` is only read, since it fetches,
installs or takes hours. A block with a title is a file."""


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int  # of the opening fence, from 1
    language: str
    title: str | None
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page.name}:{self.line}"


def blocks(page: Path, text: str | None = None) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8") if text is None else text
    found = []
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].partition(" ")
        title = TITLE.search(rest)
        lines = match["text"].splitlines(keepends=True)
        content = "".join(line.removeprefix(match["indent"]) for line in lines)
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, title and title[1], content))
    return found


def matches(expected: str, printed: str) -> bool:
    """Tell whether an output is the expected one: ``…`` stands for anything, white space of any kind for a blank."""
    parts = " ".join(expected.split()).split("…")
    return re.fullmatch(".*".join(map(re.escape, parts)), " ".join(printed.split()), re.S) is not None


def check_output(expected: str, printed: str, where: str) -> None:
    """Compare what a page shows with what its example prints.

    Raises:
        AssertionError: another output, or an expectation that any output meets.
    """
    if not re.search(r"\w", expected.replace("…", "")):
        raise AssertionError(f"{where}: expects nothing in particular; show a word of the output")
    if not matches(expected, printed):
        raise AssertionError(f"{where}: the page says\n{expected}\nand it prints\n{printed}")


def shape(text: str) -> list[str]:
    """Return the lines of an output without what another model says otherwise, in alphabetical order.

    Numbers become ``#``, quoted texts ``'…'``; a line that is a rank, a title, a score and more becomes ``pick``, and
    one that begins with five blanks, as reasons on the command line do, ``reason``.
    """
    shapes = []
    for line in filter(str.strip, text.splitlines()):
        if re.match(" {5}[^ ]", line):
            shapes.append("reason")
        elif re.fullmatch(r" *\d+\.? +\S.*? +-?\d+(\.\d+)? +\S.*", line) and not re.search(r" \.?\d+$", line):
            shapes.append("pick")
        else:
            unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", line)
            shapes.append(" ".join(re.sub(r"-?\d*[.,]?\d+", "#", unquoted).split()))
    return sorted(shapes)


def check_shape(expected: str, printed: str, where: str) -> None:
    """Compare the shapes of two outputs, in which ``…`` stands for anything within a line."""
    wanted, got = shape(expected), shape(printed)
    if len(wanted) != len(got) or not all(map(matches, wanted, got)):
        raise AssertionError(f"{where}: the page shows\n{expected}\nand the tiny model prints\n{printed}")


def genre_gen(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["genre-gen", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return code, out.getvalue(), err.getvalue()


def pip(arguments: list[str]) -> tuple[int, str, str]:
    """Install what lies in the working folder into ``site-packages`` there, without any other package."""
    offline = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", *arguments, *offline, "--target", "site-packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    importlib.invalidate_caches()
    registry._entry_points.cache_clear()  # a user's next command is a new process
    return done.returncode, done.stdout, done.stderr


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, and what it shows of the output of each."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        lines = part.splitlines()
        end = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
        yield " ".join(line.rstrip("\\") for line in lines[: end + 1]), "\n".join(lines[end + 1 :])


def run_command(command: str, where: str) -> str:
    """Run one command in the working folder and return what it prints; an error counts where it is the output."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "genre-gen" and not {"|", ">", "&&"} & set(arguments):
        code, out, err = genre_gen(arguments)
    elif program == "pip":
        code, out, err = pip(arguments)
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    if code and not err.startswith("genre-gen: "):
        raise AssertionError(f"{where}: `{command}` ends with {code}: {err[-3000:]}")
    return out + err if code else out


class Session:
    """One page, run from top to bottom in the working folder."""

    def __init__(self, *, exact: bool = True, replaced: dict[str, str] | None = None) -> None:
        self._compare = check_output if exact else check_shape
        self._replaced = replaced or {}
        self._names: dict[str, object] = {"__name__": "__main__"}
        self._printed: str | None = None  # by the block before, until a text block has claimed it

    def run(self, block: Block) -> None:
        """Run a block, or compare it with what the block before printed; AssertionError where the page is wrong."""
        printed, self._printed = self._printed, None
        if block.title is not None and block.language != "text":
            self._file(block)
        elif block.language == "python":
            self._printed = self._python(block)
        elif block.language == "console":
            self._printed = self._console(block)
        elif block.language == "text" and printed is not None:
            self._compare(block.text, printed, block.where)

    def _file(self, block: Block) -> None:
        """Write a file that the page shows; of a table that the working folder has, these must be the first lines."""
        file = Path(block.title)
        if not (block.language == "csv" and file.exists()):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif not file.read_text(encoding="utf-8").startswith(block.text.replace("…\n", "")):
            raise AssertionError(f"{block.where}: {file} begins otherwise:\n{file.read_text()[:500]}")

    def _text(self, block: Block) -> str:
        text = block.text
        for old, new in self._replaced.items():
            text = re.sub(rf"(?<![\w.]){re.escape(old)}(?![\w.])", new, text)
        return text

    def _python(self, block: Block) -> str:
        code = compile("\n" * block.line + self._text(block), block.where.partition(":")[0], "exec")
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            exec(code, self._names)
        return out.getvalue()

    def _console(self, block: Block) -> str:
        printed = ""
        for command, shown in commands(self._text(block)):
            printed = run_command(command, block.where)
            if shown.strip():
                self._compare(shown, printed, block.where)
            elif printed.startswith("genre-gen: "):
                raise AssertionError(f"{block.where}: `{command}` fails: {printed}")
        return printed


def check_fragment(block: Block, domain: Domain) -> None:
    """Check a block that is not run: its language, and whether it could be what it says it is."""
    assert block.language in LANGUAGES, f"{block.where}: a block in {block.language!r}, one of {sorted(LANGUAGES)}"
    if block.language == "toml":
        check_toml(block, domain)
    elif block.language == "jinja":
        jinja2.Environment().parse(block.text)
    elif block.language == "json":
        json.loads(block.text)


def check_toml(block: Block, domain: Domain) -> None:
    """A fragment of ``domain.toml`` must suit a domain; one of ``pyproject.toml`` must be TOML."""
    settings = tomllib.loads(block.text)
    if block.title is not None or {"project", "build-system", "tool"} & set(settings):
        return
    changes: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and key != "tasks":
            changes |= {f"{key}.{name}": setting for name, setting in value.items()}
        else:
            changes[key] = value
    domain.changed(changes, where=block.where)
