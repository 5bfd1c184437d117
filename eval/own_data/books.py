"""Shapes of books: goodbooks-10k, Book-Crossing, and the UCSD book graph of Goodreads."""

from __future__ import annotations

from eval.own_data.shapes import Right, Shape, at, counted, delimited, lines_of_json, packed
from eval.own_data.world import Event, World, shuffled, world


def goodbooks() -> Shape:
    """goodbooks-10k: four columns of the item file are ids, and the log's ``book_id`` is not the one with its name.

    The log names books by ``id``. ``book_id`` is the number at Goodreads, and some of these numbers are small, so that
    both columns match. The log has no times and is sorted by book; three pairs occur twice.
    """
    own = world(1)
    head = (
        "id", "book_id", "best_book_id", "work_id", "books_count", "isbn", "isbn13", "authors",
        "original_publication_year", "original_title", "title", "language_code", "average_rating", "ratings_count",
        "image_url",
    )  # fmt: skip
    rows = [
        (
            item.number + 1, item.number * 7 % 97 + 1, item.number * 7 % 97 + 1, 4_000_000 + 13 * item.number,
            100 + item.number, f"{439_000_000 + item.number * 977}", f"9.780439{item.number:03}e+12",
            ", ".join(item.makers), f"{item.year}.0", item.title if item.number % 5 else "", item.title,
            "eng" if item.number % 7 else "", f"{3.5 + item.number % 10 / 10:.2f}", 4000 + item.number,
            f"https://images.example.org/books/{item.number}.jpg",
        )
        for item in own.items
    ]  # fmt: skip
    log = own.by_item()
    twice = [event for event in log if event.user][:3]
    lines = [(event.user + 1, event.item + 1, event.rating) for event in log]
    lines += [(event.user + 1, event.item + 1, event.rating) for event in twice]
    right = counted(
        log,
        lambda user: f"{user + 1}",
        lambda item: f"{item + 1}",
        len(own.items),
        {"user": "user_id", "item": "book_id", "item_id": "id", "rating": "rating", "title": "title"},
        titles={f"{n + 1}": own.items[n].title for n in (0, 7, 30)},
        labels={"1": own.items[0].makers, "2": own.items[1].makers},
        scale=(1, 5),
        rated=len(log),
        said=("item more than once for one user: 3", "(?i)ascending|sorted by|by item"),
        unsaid=("field isbn", "not in the catalog"),
    )
    files = {
        "books.csv": delimited([head, *rows]).encode(),
        "ratings.csv": delimited([("user_id", "book_id", "rating"), *lines]).encode(),
    }
    return Shape("goodbooks", files, ("--items", "books.csv", "--interactions", "ratings.csv"), right)


def book_crossing() -> Shape:
    """Book-Crossing: semicolons, quotes around everything, backslash escapes, cp1252; 0 is "used, not rated".

    Ten lines of the log name books that the item file lacks.
    """
    own = world(2)
    titles = {item.number: item.title for item in own.items}
    titles |= {
        0: 'The Comedy of "Errors"; or, the Amber Letters',
        1: "“Curly” – a novel for 5 €",
        2: 'The \\"Real\\" Harbour'.replace("\\", ""),
        3: "Café Zoë",
    }
    isbn = {
        item.number: f"0{312_000_000 + 7919 * item.number}"[:9] + "0123456789X"[item.number % 11] for item in own.items
    }
    head = (
        "ISBN", "Book-Title", "Book-Author", "Year-Of-Publication", "Publisher", "Image-URL-S", "Image-URL-M",
        "Image-URL-L",
    )  # fmt: skip
    rows = [
        (
            isbn[item.number], titles[item.number], item.makers[0], item.year, f"{item.kinds[0]} House",
            *(f"http://images.example.org/P/{isbn[item.number]}.{size}.jpg" for size in ("TH", "MZ", "LZ")),
        )
        for item in own.items
    ]  # fmt: skip
    events = own.by_user()
    rated = [2 * event.rating if (event.user * 7 + event.item * 3) % 10 < 4 else 0 for event in events]
    log = [(f"{276_000 + event.user}", isbn[event.item], value) for event, value in zip(events, rated, strict=True)]
    log += [(f"{276_000 + user}", f"099999{user:04}", 0) for user in range(20, 30)]
    right = counted(
        events,
        lambda user: f"{276_000 + user}",
        isbn.__getitem__,
        len(own.items),
        {"user": "User-ID", "item": "ISBN", "item_id": "ISBN", "rating": "Book-Rating", "title": "Book-Title"},
        titles={isbn[n]: titles[n] for n in range(4)},
        scale=(1, 10),
        rated=sum(value > 0 for value in rated),
        said=("(?i)cp1252|windows-1252", "not in the catalog: 10", r"(?i)not rated|unrated|no rating"),
        unsaid=("field image",),
    )
    files = {
        "BX-Books.csv": _escaped([head, *rows]).encode("cp1252"),
        "BX-Book-Ratings.csv": _escaped([("User-ID", "ISBN", "Book-Rating"), *log]).encode("cp1252"),
    }
    return Shape("book-crossing", files, ("--items", "BX-Books.csv", "--interactions", "BX-Book-Ratings.csv"), right)


def _escaped(rows: list[tuple[object, ...]]) -> str:
    """Return rows with quotes around everything, and a backslash before quotes inside."""
    return "".join(";".join('"' + str(value).replace('"', '\\"') + '"' for value in row) + "\n" for row in rows)


def goodreads() -> Shape:
    """The UCSD book graph: JSON lines in gzip files, dates of ``ctime`` with a zone, 0 is "on a shelf, not rated"."""
    own = world(3)
    return Shape(
        "goodreads",
        {"goodreads_books.json.gz": _goodreads_books(own), "goodreads_interactions.json.gz": _goodreads_log(own)},
        ("--items", "goodreads_books.json.gz", "--interactions", "goodreads_interactions.json.gz"),
        _goodreads_right(own),
    )


def _shelved(event: Event) -> bool:
    return (event.user + 2 * event.item) % 9 == 0


def _goodreads_books(own: World) -> bytes:
    return packed(
        lines_of_json(
            {
                "isbn": "", "text_reviews_count": f"{item.number + 3}", "series": [], "country_code": "US",
                "popular_shelves": [
                    {"count": f"{99 - len(name)}", "name": name.lower()} for name in ("to-read", *item.kinds)
                ],
                "authors": [{"author_id": f"{604_000 + item.number % 9}", "role": ""}],
                "description": item.text, "book_id": f"{130_000 + item.number}", "num_pages": f"{200 + item.number}",
                "publication_year": f"{item.year}", "title": item.title,
                "link": f"https://books.example.org/show/{130_000 + item.number}",
            }
            for item in own.items
        )
    )  # fmt: skip


def _goodreads_log(own: World) -> bytes:
    # Seven hours behind UTC, and in no order.
    form = "%a %b %d %H:%M:%S -0700 %Y"
    return packed(
        lines_of_json(
            {
                "user_id": f"{event.user:032x}", "book_id": f"{130_000 + event.item}",
                "review_id": f"{event.time:032x}", "is_read": not _shelved(event),
                "rating": 0 if _shelved(event) else event.rating, "review_text_incomplete": "",
                "date_added": at(event.time - 7 * 3600, form), "date_updated": at(event.time + 60 - 7 * 3600, form),
                "read_at": at(event.time, form) if event.item % 3 == 0 else "", "started_at": "",
            }
            for event in shuffled(own.events)
        )
    )  # fmt: skip


def _goodreads_right(own: World) -> Right:
    return counted(
        own.events,
        lambda user: f"{user:032x}",
        lambda item: f"{130_000 + item}",
        len(own.items),
        {
            "user": "user_id", "item": "book_id", "item_id": "book_id", "rating": "rating", "time": "date_added",
            "title": "title", "text": "description",
        },
        titles={f"{130_000 + n}": own.items[n].title for n in (0, 7, 30)},
        labels={"130001": ("to-read", *(kind.lower() for kind in own.items[1].kinds))},
        scale=(1, 5),
        rated=sum(not _shelved(event) for event in own.events),
        said=(r"(?i)not rated|unrated|no rating",),
    )  # fmt: skip
