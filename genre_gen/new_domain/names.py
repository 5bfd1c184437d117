"""Names of columns: the role that the words of a name indicate, and names for attributes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from typing import Literal, TypeAlias

from genre_gen.prompting.variables import ENTRY_FIELDS

Role: TypeAlias = Literal["user", "item", "rating", "time", "item_id", "title", "text"]

WORDS: dict[Role, tuple[str, ...]] = {
    "user": (
        "user", "customer", "member", "visitor", "client", "account", "reader", "reviewer", "person", "buyer", "guest",
        "player", "listener", "viewer", "traveller", "traveler", "tourist", "subscriber", "patron", "borrower", "uid",
        "username", "session", "household", "shopper", "kunde", "nutzer", "benutzer", "usuario", "utilisateur",
        "pengguna",
    ),
    "item": (
        "item", "product", "article", "sku", "asin", "isbn", "news", "ad", "banner", "creative", "place", "movie",
        "film", "book", "song", "track", "hotel", "destination", "document", "content", "recipe", "game", "course",
        "video", "listing", "offer", "iid",
    ),
    "rating": (
        "rating", "ratings", "stars", "star", "score", "grade", "points", "overall", "vote", "rate", "bewertung",
        "nota",
    ),
    "time": (
        "timestamp", "time", "date", "datetime", "ts", "when", "created", "at", "day", "datum", "zeit", "fecha",
        "tanggal",
    ),
    "title": (
        "title", "name", "headline", "label", "caption", "heading", "titel", "titre", "titulo", "nombre", "judul",
    ),
    "text": (
        "description", "text", "abstract", "summary", "plot", "body", "about", "content", "blurb", "details",
        "beschreibung", "deskripsi",
    ),
}  # fmt: skip
"""Words in a column's name that indicate its role, apart from ``id`` and similar words."""

ID_WORDS = {"id", "ids", "no", "nr", "num", "number", "key", "code", "uuid", "guid"}
_KINDS = {
    "category", "categories", "genre", "genres", "kind", "type", "topic", "topics", "tag", "tags", "subject", "section",
    "class", "department", "theme",
    "kategorie", "kategorien", "rubrik", "warengruppe", "gattung", "typ", "thema", "bereich", "abteilung",
    "categoría", "categorías", "categoria", "categorias", "género", "genero", "tipo", "tema", "sección", "seccion",
    "catégorie", "catégories", "categorie", "thème", "rayon", "rubrique",
    "kategori", "jenis",
}  # fmt: skip


def words_of(name: str) -> list[str]:
    """Return the words of a column's name: ``customerId`` and ``Customer-ID`` are ``customer``, ``id``."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", parted)]


def named(column: str, role: Role, stem: str = "") -> float:
    """Return how clearly a name indicates a role: 1, or 0.7 with additional words, or 0.

    Words of ``stem``, the name of the item file, also indicate items (``books``).
    """
    words = words_of(column)
    bare = [word for word in words if word not in ID_WORDS]
    meant = {*WORDS.get(role, ()), *(form for word in words_of(stem) for form in (word, word.rstrip("s")))}
    if not bare:
        return 0.5 if role == "item" and words else 0.0
    if role == "title" and len(bare) < len(words):
        return 0.0
    hits = sum(word in meant for word in bare)
    return 0.0 if not hits else 1.0 if hits == len(bare) else 0.7


def names_kinds(column: str) -> bool:
    """Tell whether a column's name indicates that it sorts items into kinds."""
    return any(word in _KINDS for word in words_of(column))


def field_name(column: str, taken: Collection[str]) -> str:
    """Return a new name for an attribute that templates and filters can use."""
    plain = "".join(letter if f"_{letter}".isidentifier() else "_" for letter in column.lower())
    name = re.sub(r"_+", "_", plain).strip("_") or "field"
    if name[0].isdigit() or keyword.iskeyword(name) or name in {"id", *ENTRY_FIELDS}:
        name = f"item_{name}"
    while name in taken:
        name += "_"
    return name
