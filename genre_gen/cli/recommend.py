"""The commands that use a trained recommender: recommend, explain, report, evaluate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from genre_gen.cli.options import (
    AllowModel,
    AsJson,
    Events,
    Model,
    Plugins,
    ServedIn,
    SpokenLanguage,
    TrainedDomain,
    User,
    check_writable,
    folder_or_domain,
    load,
    resumable,
    run_folder,
    show,
    who_asks,
)
from genre_gen.cli.rules import AtLeast, AtMost, Boost, NoRules, Pin, Rerank, RerankWeight, read_rules
from genre_gen.cli.verbosity import shows_progress
from genre_gen.errors import DataError, UsageError

if TYPE_CHECKING:
    from genre_gen.data.splits import Part
    from genre_gen.recommender.batch import Layout
    from genre_gen.recommender.recommender import Recommender
    from genre_gen.recommender.requests import Request


def recommend(
    domain: TrainedDomain = None,
    user: User = None,
    users: Annotated[str | None, typer.Option(help="'all', or a file with one user id per line; needs --out.")] = None,
    events: Events = None,
    n: Annotated[int, typer.Option("-n", help="Number of items.")] = 10,
    query: Annotated[
        str | None, typer.Option(help='Request in words, such as "for kids, no horror, from the 90s".')
    ] = None,
    where: Annotated[str | None, typer.Option(help="Filter, such as \"genre != 'Horror' and year >= 1980\".")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Title or id to leave out. Repeatable.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only these titles or ids may appear. Repeatable.")] = None,
    at: Annotated[
        str | None, typer.Option(help="Moment of the request; later interactions are not seen. ISO text or seconds.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Add a reason to each pick.")] = False,
    rerank: Rerank = None,
    rerank_weight: RerankWeight = None,
    boost: Boost = None,
    pin: Pin = None,
    at_most: AtMost = None,
    at_least: AtLeast = None,
    no_rules: NoRules = False,
    split: Annotated[str | None, typer.Option(help="'test' cuts histories before the test items (--users).")] = None,
    out: Annotated[Path | None, typer.Option(help="File for --users: .parquet or .jsonl.")] = None,
    layout: Annotated[
        Literal["table", "lenskit"], typer.Option(help="One pick per row, or LensKit's lists of items.")
    ] = "table",
    model: Model = None,
    quantization: ServedIn = None,
    language: SpokenLanguage = None,
    plugins: Plugins = None,
    allow_model: AllowModel = None,
    as_json: AsJson = False,
) -> None:
    """Recommend to a user of the data, to a history, or to all users into a file."""
    from genre_gen.data.filters import check_n
    from genre_gen.recommender.requests import Request
    from genre_gen.reporting.formatting import picks_json, picks_text

    check_n(n)
    recommender = load(model, domain, quantization, plugins, language, allow_model)
    recommender = _reranking(recommender, rerank, rerank_weight)
    rules = read_rules(recommender, boost, pin, at_most, at_least, without=no_rules)
    request = Request(
        n=n, query=query, where=where, exclude=exclude or (), include=include, at=at, explain=explain, rules=rules
    )  # fmt: skip
    if users is not None:
        if out is None or user is not None or events or query is not None:
            raise UsageError("--users needs --out FILE, and excludes --user, --history and --query")
        count = _recommend_to_all(recommender, users, request, out, split, layout)
        show(json.dumps({"users": count, "file": str(out)}) if as_json else f"{count:,} users in {out}")
        return
    if split is not None or out is not None or layout != "table":
        raise UsageError("--split, --out and --layout need --users")
    who = who_asks(recommender, user, events)
    picks = recommender.answer_many([replace(request, who=who)])[0]
    show(picks_json(picks) if as_json else picks_text(picks, recommender.state.language))


def _recommend_to_all(
    recommender: Recommender, users: str, request: Request, out: Path, split: str | None, layout: Layout
) -> int:
    """Write the picks of many users into a file, and return the number of users."""
    from genre_gen.recommender.batch import read_users, write_picks

    if split not in {None, "test", "validation"}:
        raise UsageError(f"--split {split}: choose test or validation")
    check_writable(out, file=True)
    if users != "all" and not Path(users).exists():
        raise DataError(f"--users {users}: no such file; write 'all', or a file with one user id per line")
    names = None if users == "all" else read_users(Path(users))
    with resumable():
        part, progress = cast("Part | None", split), shows_progress()
        return write_picks(recommender.state, names, request, out, part=part, layout=layout, progress=progress)


def _reranking(recommender: Recommender, method: str | None, weight: float | None) -> Recommender:
    """Return a recommender with another re-ranking; None keeps the domain's setting."""
    from genre_gen.recommender.recommender import Recommender

    if weight is not None and not 0 <= weight <= 1:
        raise UsageError(f"--rerank-weight {weight:g}: give a number from 0 to 1")
    if method is None and weight is None:
        return recommender
    given = {"rerank.method": method, "rerank.weight": weight}
    state = recommender.state
    domain = state.domain.changed({key: value for key, value in given.items() if value is not None})
    if weight is not None and domain.rerank.method == "none":
        raise UsageError(
            f"--rerank-weight {weight:g} has no effect without re-ranking; give --rerank mmr or calibration too"
        )
    return Recommender.from_state(replace(state, domain=domain))


def explain(
    domain: TrainedDomain = None,
    item: Annotated[str, typer.Option(help="Title or id of the item to explain.")] = "",
    user: User = None,
    events: Events = None,
    why: Annotated[
        bool, typer.Option("--why", help="Show the contribution of each recent item of the history.")
    ] = False,
    instead_of: Annotated[str | None, typer.Option(help="Compare it with this title or id.")] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Find the items of the history without which it would lose its rank.")
    ] = False,
    model: Model = None,
    quantization: ServedIn = None,
    language: SpokenLanguage = None,
    plugins: Plugins = None,
    allow_model: AllowModel = None,
    as_json: AsJson = False,
) -> None:
    """Explain why an item would be recommended, with the facts behind it."""
    from genre_gen.reporting.formatting import reasons_json, reasons_text

    if not item:
        raise UsageError("--item is missing: give the item to explain")
    recommender = load(model, domain, quantization, plugins, language, allow_model)
    who = who_asks(recommender, user, events)
    if who is None:
        raise UsageError("give either --user or --history, for whom to explain it")
    explanation = recommender.explain(who, item)
    attribution = recommender.attribute(who, item) if why else None
    comparison = None if instead_of is None else recommender.compare(who, item, instead_of)
    change = recommender.what_if(who, item) if what_if else None
    printed = reasons_json if as_json else reasons_text
    state = recommender.state
    show(printed(state.catalog, explanation, attribution, comparison, change, state.language))


def report(
    run: Annotated[str, typer.Argument(help="Folder of a trained recommender, or a domain's name for runs/DOMAIN.")],
    user: Annotated[list[str] | None, typer.Option(help="User id of the data. Repeatable.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File of the page.")] = Path("report.html"),
    n: Annotated[int, typer.Option("-n", help="Number of items per user.")] = 5,
    language: SpokenLanguage = None,
    plugins: Plugins = None,
    allow_model: AllowModel = None,
) -> None:
    """Write a self-contained HTML page: histories, picks, reasons, and the prompts as the model saw them."""
    from genre_gen.reporting.html_report import write_page

    if not user:
        raise UsageError("--user is missing: give at least one user whose page is written")
    check_writable(out, file=True)
    recommender = load(*folder_or_domain(run), plugins=plugins, language=language, allow_model=allow_model)
    show(f"wrote {write_page(recommender, user, out, n)}")


def evaluate(
    domain: TrainedDomain = None,
    split: Annotated[str, typer.Option(help="leave-one-out or global-time; as in training.")] = "leave-one-out",
    part: Annotated[
        Literal["test", "validation"], typer.Option(help="Held-out items to rank; use validation for tuning.")
    ] = "test",
    picks: Annotated[
        Path | None,
        typer.Option(help="Evaluate these picks instead of the model: a table of user_id, item_id, and rank or score."),
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Picks may hold items that the user had before [the domain's repeat].")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json and evaluation.png [the model's].")
    ] = None,
    model: Model = None,
    quantization: ServedIn = None,
    plugins: Plugins = None,
    allow_model: AllowModel = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate against classic recommenders on the same cases; print the table, write JSON and a plot."""
    from genre_gen.data.dataset import Dataset
    from genre_gen.evaluation.baselines import report_text, write_report
    from genre_gen.evaluation.picks import CUT_OFFS, evaluate_picks
    from genre_gen.recommender.persistence import record_metrics

    if repeat and picks is None:
        raise UsageError("--repeat is for --picks; whether a model repeats items is the domain's repeat in domain.toml")
    recommender = load(model, domain, quantization, plugins, allow_model=allow_model)
    run = run_folder(model, domain)
    folder = out or (run if picks is None and run.is_dir() else None)  # a recommender from the hub has no folder
    if folder is not None:
        check_writable(folder)
    state = recommender.state
    data = Dataset(state.domain, state.catalog, state.histories)
    if state.shared is not None:  # it came without histories, so the domain's own data must be available
        data = Dataset.load(domain or state.domain.name)
    parts = data.split(split)
    if picks is not None:
        report = evaluate_picks(state, parts, part, picks, repeat=repeat or None)
    else:
        report = recommender.evaluate(parts, CUT_OFFS, part=part, progress=shows_progress())
    if folder is not None:
        write_report(report, folder)
        if folder == run and picks is None and quantization is None:
            record_metrics(state, run, report.summary())
    show(report.to_json() if as_json else report_text(report))
