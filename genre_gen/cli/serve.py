"""The commands of the live server: serve, ingest."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genre_gen.cli.options import (
    FAILED,
    AllowModel,
    AsJson,
    DomainName,
    Plugins,
    ServedIn,
    SpokenLanguage,
    check_trained,
    key_values,
    load,
    run_folder,
    show,
    tell,
)
from genre_gen.cli.verbosity import LOGGER, shows_progress
from genre_gen.errors import ConfigError, GenreGenError, UsageError

if TYPE_CHECKING:
    from genre_gen.recommender.state import RecommenderState
    from genre_gen.server.settings import ServerSettings

Store = Annotated[
    str | None,
    typer.Option(help="URL of the store: sqlite:///FILE or postgresql+psycopg://... [sqlite:///live/store.db]."),
]
Url = Annotated[str | None, typer.Option(help="Address of a running server [GENRE_URL].")]
Key = Annotated[str | None, typer.Option(help="Key for that server [GENRE_KEY].")]
_PACKAGES = ("fastapi", "uvicorn", "httptools", "uvloop", "sqlalchemy", "alembic", "prometheus_client")


def check_packages() -> None:
    """Raise MissingPackageError unless the packages of the server are installed."""
    from genre_gen.extras import require

    for package in _PACKAGES:
        require(package, "serve", "the live server and its store")


def serve(
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="DOMAIN...", help="Domains to serve, each from runs/DOMAIN. [movies]")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="Folder of a trained recommender, or its id on the hub. One for each domain."
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1, this machine only].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one [8000].")] = None,
    store: Store = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the model [torch's number].")] = None,
    overload: Annotated[
        Literal["refuse", "degrade"] | None,
        typer.Option(help="Answer with 503 when there is too much to do, or without the language model [refuse]."),
    ] = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make a key for administrators and print it, although there are keys.")
    ] = False,
    no_request_log: Annotated[bool, typer.Option("--no-request-log", help="Log no line for each request.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another setting, such as timeout_ms=500. Repeatable."),
    ] = None,
    quantization: ServedIn = None,
    language: SpokenLanguage = None,
    plugins: Plugins = None,
    allow_model: AllowModel = None,
) -> None:
    """Serve trained recommenders over HTTP: lists that follow each event, at once.

    The first start prints a key for administrators. Ctrl-C or SIGTERM ends it: requests are answered, streams closed.
    """
    names = domains or ["movies"]
    check_packages()
    given = {"host": host, "port": port, "store": store, "threads": threads, "overload": overload}
    chosen = _server_settings(given, settings or ())
    from genre_gen.cli.api_client import LOOPBACK
    from genre_gen.server import run
    from genre_gen.server.logs import set_up_logs

    common = (quantization, plugins, language, allow_model)
    loaders = _loaders(names, model, common)
    if chosen.host not in LOOPBACK:
        tell(f"{chosen.host} can be reached from other machines, where keys can be read on their way: put TLS in front")
    set_up_logs(_level())
    if no_request_log:
        logging.getLogger("genre_gen.server.logs").setLevel(logging.WARNING)
    run.serve(loaders, chosen, show, new_key=new_key)


def _loaders(names: list[str], models: list[str] | None, common: tuple[Any, ...]) -> dict[str, Any]:
    """Return what loads each domain's recommender; raises UsageError for one that is not there, or given twice."""
    if models and len(models) != len(names):
        raise UsageError(f"--model is given {len(models)} times for {len(names)} domains; give one for each, in order")
    loaders: dict[str, Any] = {}
    for place, domain in enumerate(names):
        folder = models[place] if models else None
        check_trained(folder, domain)
        name = _name(domain)
        if name in loaders:
            raise UsageError(f"the domain {name} is given twice; give each once")
        loaders[name] = partial(_state, folder, domain, *common)
    return loaders


def _name(domain: str) -> str:
    """Return the name of a domain, of which only the trained recommender need be there."""
    from genre_gen.domain import Domain

    try:
        return Domain.load(domain).name
    except GenreGenError:
        return run_folder(None, domain).name


def _level() -> int:
    if LOGGER.isEnabledFor(logging.DEBUG):
        return logging.DEBUG
    return logging.INFO if shows_progress() else logging.ERROR


def _state(
    model: str | None,
    domain: str,
    quantization: str | None,
    plugins: list[str] | None,
    language: str | None,
    allow_model: str | None,
) -> RecommenderState:
    return load(model, domain, quantization, plugins, language, allow_model).state


def _server_settings(given: dict[str, Any], pairs: list[str] | tuple[()]) -> ServerSettings:
    """Return the settings of options and KEY=VALUE pairs; raises UsageError for one that is invalid."""
    from pydantic import ValidationError

    from genre_gen.server.settings import ServerSettings

    values = {name: value for name, value in given.items() if value is not None}
    values |= key_values(pairs, "timeout_ms=500")
    try:
        return ServerSettings(**values)
    except (ValidationError, ConfigError) as problem:
        told = problem.errors()[0] if isinstance(problem, ValidationError) else {"loc": (), "msg": str(problem)}
        where = ".".join(map(str, told["loc"]))
        known = ", ".join(ServerSettings.model_fields)
        raise UsageError(f"setting {where}: {told['msg']}; there are {known}") from None


def ingest(
    file: Annotated[Path, typer.Argument(help="A log: delimited text, JSON lines or Parquet, also packed.")],
    domain: DomainName = "movies",
    url: Url = None,
    key: Key = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Send a log's records to a running server as events, or write them into a store that no server has open.

    Columns are those of the domain's domain.toml. It can be repeated: what is there already is counted as duplicates.
    """
    from tqdm import tqdm

    from genre_gen.cli.api_client import KEY_VARIABLE, Api, given_key, given_url
    from genre_gen.cli.ingest import Ingested, read_events, send
    from genre_gen.domain import Domain

    address, secret = given_url(url), given_key(key)
    if store is not None and url is not None:
        raise UsageError("give either --url, for a running server, or --store, for a store that no server has open")
    loaded, ingested = Domain.load(domain), Ingested()
    if store is None and address is not None and secret is None:
        raise UsageError(f"a server wants a key: give --key, or set {KEY_VARIABLE}; `genre-gen keys new --role ingest`")
    events = read_events(loaded, file, ingested)
    with tqdm(total=ingested.records, unit="event", disable=not shows_progress()) as bar:
        if store is None and address is not None:
            tell(f"into the server at {address}")
            api = Api(address, secret, on_pause=lambda seconds: bar.set_postfix_str(f"busy, waits {seconds:g} s"))
            send(api, loaded.name, events, ingested, bar.update)
        else:
            from genre_gen.cli.ingest_store import into_store

            check_packages()
            into_store(store, loaded, events, ingested, bar.update)
    show(json.dumps(ingested.to_dict()) if as_json else ingested.table())
    if ingested.rejected:
        raise typer.Exit(FAILED)
