"""The command line. Progress goes to stderr, results to stdout; each command is a function of its own."""

from __future__ import annotations

import re
import sys

import typer

from genre_gen.cli import compare, domains, export, keys, push, recommend, serve, train, verbosity
from genre_gen.cli.options import FAILED, MISUSED, tell
from genre_gen.errors import GenreGenError, UsageError

app = typer.Typer(
    help="Recommend items of a catalog with a language model, with reasons that can be checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    train.demo, train.fetch, train.train, recommend.recommend, recommend.explain, recommend.report, recommend.evaluate,
    push.push, compare.compare, export.export, serve.serve, serve.ingest,
):  # fmt: skip
    app.command()(command)
app.add_typer(domains.prompts, name="prompts")
app.add_typer(domains.app, name="domains")
app.add_typer(keys.app, name="keys")
app.command()(domains.doctor)
verbosity.add_options(app)


def main() -> None:
    """Run the command line; a mistake ends in one line on stderr and exit code 1 (failed) or 2 (wrong use)."""
    from genre_gen.downloads.third_party_logging import quiet_environment

    quiet_environment()
    try:
        verbosity.set_up()
        app()
    except UsageError as problem:
        _fail(problem, MISUSED)
    except (GenreGenError, OSError) as problem:
        _fail(problem, FAILED)


def _fail(problem: Exception, code: int) -> None:
    text = " ".join(str(problem).split())
    for argument, option in (("plugins=\\['(.+?)'\\]", "--plugin"), ("allow_model='(.+?)'", "--allow-model")):
        text = re.sub(f"load with {argument}", rf"give {option} \1", text)
    tell(f"genre-gen: {text.replace('pass repeat=True', 'give --repeat')}")
    sys.exit(code)


if __name__ == "__main__":
    main()
