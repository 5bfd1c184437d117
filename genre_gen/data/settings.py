"""``[data]`` and ``[fields]`` of ``domain.toml``: where the data is, how it is written, and what its columns mean."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genre_gen.registry import AUTO, READERS
from genre_gen.settings import Names, NamesOrNone, Settings

USUAL_COLUMNS = {"rating": ("rating",), "time": ("timestamp", "time"), "text": ("description", "text")}
"""Usual names of optional columns, which are found without ``[data.columns]``."""

MISSING = (
    "NULL", "null", "(null)", "<null>", "NaN", "nan", "NAN", "-nan", "-NaN", "None", "none", "NONE", "<NA>", "NA",
    "N/A", "n/a", "n.a.", "#N/A", "#NA", "NaT", "\\N", "undefined",
)  # fmt: skip
"""Marks for a missing value that programs write: SQL, pandas, R, spreadsheets and JavaScript."""


class Columns(Settings):
    """The columns of the data by role. All from rating on are optional; a column named here must exist.

    None means a usual name (``USUAL_COLUMNS``) if the data has it; an empty list means no column. ``item`` is the item
    of the interactions and ``item_id`` its id in the item file; None means that it is called the same there.

    Reviews (``review``) and their headlines (``summary``) are read only if they are named; the kind of event
    (``event``) only with ``[events]``.
    """

    user: Names = ("user_id", "userId", "user")
    item: Names = ("item_id", "itemId", "item", "id")
    item_id: Names | None = None
    title: NamesOrNone = ("title",)
    rating: NamesOrNone | None = None
    time: NamesOrNone | None = None
    text: NamesOrNone | None = None
    review: Names | None = None
    summary: Names | None = None
    event: Names | None = None


class Policies(Settings):
    """Policies for invalid records; dropped records are counted and reported."""

    duplicates: Literal["keep_first", "keep_last", "keep", "error"] = "keep_last"
    unknown_items: Literal["drop", "error"] = "error"
    unknown_events: Literal["drop", "error"] = "error"
    ratings: Literal["drop", "unknown", "error"] = "error"
    times: Literal["drop", "error"] = "error"
    missing_ids: Literal["drop", "error"] = "error"
    repeated_items: Literal["keep_first", "error"] = "error"
    attributes: Literal["unknown", "error"] = "unknown"


class TextFormat(Settings):
    """How a text file is written; what is not set is found out from each file."""

    encoding: str | None = None
    delimiter: Annotated[str, Field(min_length=1)] | None = None
    quote: Annotated[str, Field(pattern=r"^(none|\S)$")] | None = None
    escape: Annotated[str, Field(pattern=r"^(none|\S)$")] | None = None


class DataSettings(TextFormat):
    """The location and format of the data; data in memory has neither ``source`` nor ``path``.

    ``origin`` (who made the data), ``license`` and ``license_url`` are for the model card; a ``source`` has its own.
    ``items_file`` tells where the item file is written otherwise than the interactions.
    """

    source: str | None = None
    path: str | None = None
    origin: str | None = None
    license: str | None = None
    license_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    reader: Annotated[str, READERS.name_check(AUTO)] = AUTO
    items: str | None = None
    interactions: str | None = None
    encoding: str = "auto"
    items_file: TextFormat = TextFormat()
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    not_rated: tuple[float, ...] = ()
    missing: tuple[str, ...] = MISSING
    columns: Columns = Columns()
    policies: Policies = Policies()

    @property
    def one_file(self) -> bool:
        """Tell whether the lines of the interactions describe their items too."""
        return self.items is not None and self.items == self.interactions

    def format_of(self, part: Literal["items", "interactions"]) -> TextFormat:
        """Return how a file is written."""
        form = {key: getattr(self, key) for key in TextFormat.model_fields}
        own = self.items_file.model_dump(exclude_none=True) if part == "items" else {}
        return TextFormat(**{**form, **own})

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.source is not None and self.path is not None:
            raise ValueError('give either source (a name such as "ml-100k") or path (a folder or zip file), not both')
        return self


class FieldSettings(Settings):
    """One attribute of the items."""

    type: Literal["text", "number", "list"]
    columns: Names | None = None
    separator: str | None = None
    unknown: tuple[str, ...] = ()
    in_title: bool = False
    unit: str | None = None

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        if self.in_title and self.type != "number":
            raise ValueError("in_title works for number fields only")
        if self.unit is not None and self.type != "number":
            raise ValueError("unit works for number fields only")
        if self.separator is not None and (self.type != "list" or not self.separator):
            raise ValueError("separator must be a non-empty text, and is for list fields only")
        return self
