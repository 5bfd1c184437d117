"""Names of columns: the role that the words of a name indicate, and names for attributes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from typing import Literal, TypeAlias

from genre_gen.prompting.variables import ENTRY_FIELDS

Role: TypeAlias = Literal["user", "item", "rating", "time", "event", "item_id", "title", "text"]

WORDS: dict[Role, tuple[str, ...]] = {
    "user": (
        "user", "customer", "member", "visitor", "client", "reader", "reviewer", "person", "buyer", "guest", "player",
        "listener", "viewer", "traveller", "traveler", "tourist", "subscriber", "patron", "borrower", "shopper",
        "student", "learner", "patient", "employee", "rater", "voter", "gamer", "profilename", "cust", "uid",
        "username", "email", "kunde", "nutzer", "benutzer", "usuario", "utilisateur", "pengguna", "account",
        "household", "session", "u",
    ),
    "item": (
        "item", "product", "article", "sku", "asin", "isbn", "news", "ad", "banner", "creative", "place", "movie",
        "film", "book", "song", "track", "hotel", "destination", "document", "content", "recipe", "game", "course",
        "video", "listing", "offer", "iid", "anime", "manga", "app", "stock", "joke", "beer", "wine", "job", "podcast",
        "episode", "restaurant", "business", "venue", "poi", "show", "album", "artist", "i",
    ),
    "rating": (
        "rating", "ratings", "stars", "star", "score", "grade", "points", "overall", "vote", "rate", "bewertung",
        "nota",
    ),
    "time": (
        "timestamp", "time", "date", "datetime", "ts", "when", "created", "at", "day", "datum", "zeit", "fecha",
        "tanggal",
    ),
    "event": (
        "event", "events", "action", "actions", "behavior", "behaviour", "feedback", "activity", "interaction", "type",
        "kind", "verb", "ereignis", "aktion", "evento", "accion", "acción",
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

ID_WORDS = {"id", "ids", "no", "nr", "num", "number", "key", "code", "uuid", "guid", "idx"}
_KINDS = {
    "category", "categories", "genre", "genres", "kind", "type", "topic", "topics", "tag", "tags", "subject", "section",
    "class", "department", "theme",
    "kategorie", "kategorien", "rubrik", "warengruppe", "gattung", "typ", "thema", "bereich", "abteilung",
    "categoría", "categorías", "categoria", "categorias", "género", "genero", "tipo", "tema", "sección", "seccion",
    "catégorie", "catégories", "categorie", "thème", "rayon", "rubrique",
    "kategori", "jenis",
}  # fmt: skip
_KNOWN = frozenset({*ID_WORDS, *_KINDS, *(word for words in WORDS.values() for word in words if len(word) > 1)})


def words_of(name: str, further: Collection[str] = ()) -> list[str]:
    """Return the words of a column's name: ``customerId``, ``Customer-ID`` and ``customerid`` are ``customer``, ``id``.

    Words without a mark between them are told apart if all of them are known or ``further`` words.
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    known = _KNOWN | {*further}
    return [word for letters in re.findall(r"[^\W\d_]+", parted) for word in _known_words(letters.lower(), known)]


def _known_words(letters: str, known: Collection[str]) -> list[str]:
    """Return the known words that letters are made of, the first as long as possible; else the letters as one word."""
    if letters in known:
        return [letters]
    for end in range(len(letters) - 2, 1, -1):
        rest = _known_words(letters[end:], known) if letters[:end] in known else []
        if rest and all(word in known for word in rest):
            return [letters[:end], *rest]
    return [letters]


def named(column: str, role: Role, stem: str = "") -> float:
    """Return how clearly a name indicates a role: 1, or 0.7 with additional words, or 0.

    Words of ``stem``, the name of the item file, also indicate items (``books``).
    """
    stems = {form for word in words_of(stem) for form in (word, word.rstrip("s"))} if role == "item" else set[str]()
    words = words_of(column, stems)
    bare = [word for word in words if word not in ID_WORDS]
    if not bare:
        return 0.5 if role == "item" and words else 0.0
    if role in ("title", "rating") and len(bare) < len(words):
        return 0.0  # a number of a title or of a rating is neither
    if role in ("user", "item") and bare[-1] in (*WORDS["rating"], *WORDS["time"]):
        return 0.0  # the rating of a user does not identify users
    hits = sum(word in stems or word in WORDS.get(role, ()) for word in bare)
    return 0.0 if not hits else 1.0 if hits == len(bare) else 0.7


def word_rank(column: str, role: Role) -> int:
    """Return the position of a name's first usual word among those of a role, to choose between equally clear names."""
    usual = WORDS.get(role, ())
    return next((usual.index(word) for word in words_of(column) if word in usual), len(usual))


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
