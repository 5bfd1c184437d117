"""The command that writes a domain's data, whole or split, for other libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genre_gen.cli.options import AsJson, DataPlace, DomainName, check_writable, show

if TYPE_CHECKING:
    from genre_gen.data.dataset import Dataset
    from genre_gen.data.splits import Split

_NEXT = {
    "recbole": "RecBole reads them as dataset={name!r} in data_path={parent!r}, with config_file_list=[{settings!r}]",
    "lenskit": "LensKit reads each folder by lenskit.data.Dataset.load, and each list of items by "
    "lenskit.data.ItemListCollection.load_parquet",
}


def export(
    domain: DomainName,
    to: Annotated[Literal["recbole", "lenskit", "csv", "parquet"], typer.Option(help="Format of the files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; files of the same names there are replaced.")],
    split: Annotated[
        Literal["leave-one-out", "global-time"] | None, typer.Option(help="Write the parts of this split [all as one].")
    ] = None,
    data: DataPlace = None,
    as_json: AsJson = False,
) -> None:
    """Write a domain's items and interactions as RecBole's or LensKit's files, or as tables."""
    from genre_gen.data.dataset import Dataset

    check_writable(out)
    loaded = Dataset.load(domain, data)
    files = _write(loaded if split is None else loaded.split(split), to, out)
    if as_json:
        show(json.dumps({"to": to, "split": split, "files": [str(file) for file in files]}))
        return
    show("\n".join(f"wrote {file}" for file in files))
    if to in _NEXT:
        place = out.resolve()
        settings = str(out / f"{place.name}.yaml")
        show(_NEXT[to].format(name=place.name, parent=str(out.parent), settings=settings))


def _write(source: Dataset | Split, to: str, out: Path) -> list[Path]:
    """Write a data set, or a split of it."""
    from genre_gen.data.dataset import Dataset
    from genre_gen.data.writers import write_tables

    if to == "recbole":
        return source.to_recbole(out)
    if to == "lenskit":
        return source.to_lenskit(out)
    if isinstance(source, Dataset):
        parts = {"interactions": source.interactions.to_frame(source.catalog)}
    else:
        parts = source.to_frames()
        del parts["train_and_validation"]
    return write_tables(out, source.catalog, parts, to)  # type: ignore[arg-type]
