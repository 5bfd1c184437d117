"""The commands for API keys: through a running server, or in a store that no server has open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import typer

from genre_gen.cli.options import AsJson, show, tell
from genre_gen.cli.serve import Key, Store, Url, check_packages
from genre_gen.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


class _Keys(Protocol):
    """Where keys are made."""

    place: str

    def new(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a key, and return it with its secret."""
        ...

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return all keys."""
        ...

    def revoke(self, prefix: str) -> Mapping[str, Any]:
        """Revoke a key, and return it."""
        ...

    def close(self) -> None:
        """Let go of the place."""
        ...


@app.command("new")
def new(
    role: Annotated[
        Literal["read", "ingest", "manage", "admin"],
        typer.Option(help="What it may do; each role includes those before it."),
    ] = "read",
    domains: Annotated[
        list[str] | None, typer.Option("--domain", help="A domain that it opens [all]. Repeatable.")
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[float | None, typer.Option(help="It expires after so many days [never].")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second [the server's].")] = None,
    burst: Annotated[int | None, typer.Option(help="Requests at once [the server's].")] = None,
    url: Url = None,
    key: Key = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only its hash is stored."""
    values = {"role": role, "domains": domains, "label": label, "days": days, "rate": rate, "burst": burst}
    with _Open(url, key, store) as keys:
        made = keys.new(values)
    if as_json:
        show(json.dumps(made))
        return
    show(str(made["key"]))
    tell(_row(made))


@app.command("list")
def list_keys(url: Url = None, key: Key = None, store: Store = None, as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    with _Open(url, key, store) as keys:
        rows = keys.list()
    show(json.dumps(list(rows)) if as_json else "\n".join(map(_row, rows)) or "no keys")


@app.command("revoke")
def revoke(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="The 8 characters after gk_, or the whole key.")],
    url: Url = None,
    key: Key = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: it opens nothing any more."""
    name = prefix.removeprefix("gk_").partition("_")[0]
    with _Open(url, key, store) as keys:
        revoked = keys.revoke(name)
    show(json.dumps(revoked) if as_json else _row(revoked))


def _row(key: Mapping[str, Any]) -> str:
    """Return a key as a line."""
    domains = "all domains" if key["domains"] is None else ", ".join(key["domains"])
    parts = [f"gk_{key['prefix']}", key["role"], domains]
    parts += [f"{state} {key[state]}" for state in ("expires", "revoked") if key[state]]
    parts += ["used " + key["last_used"]] if key["last_used"] else []
    return "  ".join([*parts, *([repr(key["label"])] if key["label"] else [])])


class _Open:
    """Opens the keys of a server or of a store, and says which."""

    def __init__(self, url: str | None, key: str | None, store: str | None) -> None:
        self._url, self._key, self._store = url, key, store

    def __enter__(self) -> _Keys:
        from genre_gen.cli.api_client import KEY_VARIABLE, given_key, given_url

        if self._url is not None and self._store is not None:
            raise UsageError("give either --url, for a running server, or --store, for a store that no server has open")
        url = None if self._store is not None else given_url(self._url)
        if url is None:
            check_packages()
            self._keys: _Keys = _in_store(self._store)
        else:
            key = given_key(self._key)
            if key is None:
                raise UsageError(f"a server wants the key of an administrator: give --key, or set {KEY_VARIABLE}")
            self._keys = _AtServer(url, key)
        tell(f"keys of {self._keys.place}")
        return self._keys

    def __exit__(self, *_: object) -> None:
        self._keys.close()


class _AtServer:
    """The keys of a running server."""

    def __init__(self, url: str, key: str) -> None:
        from genre_gen.cli.api_client import Api

        self._api = Api(url, key)
        self.place = f"the server at {self._api.url}"

    def new(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a key, and return it with its secret."""
        return self._api.ask("POST", "/v1/keys", dict(values))

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return all keys."""
        return self._api.ask("GET", "/v1/keys")["keys"]

    def revoke(self, prefix: str) -> Mapping[str, Any]:
        """Revoke a key, and return it."""
        from urllib.parse import quote

        return self._api.ask("DELETE", f"/v1/keys/{quote(prefix, safe='')}")

    def close(self) -> None:
        """Close the connection."""
        self._api.close()


def _in_store(store: str | None) -> _Keys:
    from genre_gen.cli.store_keys import StoreKeys

    return StoreKeys(store)
