"""Shapes of films: anime, TMDB, three of MovieLens, HetRec, Netflix, RecBole's files and a frame of LensKit."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from eval.own_data.shapes import (
    Refusal,
    Shape,
    at,
    counted,
    delimited,
    plain,
    written_by_hand,
)
from eval.own_data.world import shuffled, world

_FIELDS = '[fields.genres]\ntype = "list"\n'


def anime() -> Shape:
    """Kaggle's anime: -1 is "watched, not rated"; the log is sorted by user and item number."""
    own = world(4)
    head = ("anime_id", "name", "genre", "type", "episodes", "rating", "members")
    rows = [
        (
            3 * item.number + 5, item.title, ", ".join(item.kinds), ("TV", "Movie", "OVA")[item.number % 3],
            "Unknown" if item.number % 11 == 0 else 12 + item.number, f"{6 + item.number % 30 / 10:.2f}",
            1000 * item.number + 17,
        )
        for item in own.items
    ]  # fmt: skip
    log = sorted(own.events, key=lambda event: (event.user, event.item))
    rated = [-1 if (event.user + event.item) % 5 == 0 else 2 * event.rating for event in log]
    lines = [(event.user + 1, 3 * event.item + 5, value) for event, value in zip(log, rated, strict=True)]
    right = counted(
        log,
        lambda user: f"{user + 1}",
        lambda item: f"{3 * item + 5}",
        len(own.items),
        {"user": "user_id", "item": "anime_id", "item_id": "anime_id", "rating": "rating", "title": "name"},
        titles={f"{3 * n + 5}": own.items[n].title for n in (0, 7, 30)},
        labels={"8": own.items[1].kinds},
        scale=(1, 10),
        rated=sum(value > 0 for value in rated),
        said=("(?i)-1.*not rated|not rated.*-1", "(?i)ascending|sorted by|by item"),
        unsaid=("-1 to 10",),
    )
    files = {
        "anime.csv": delimited([head, *rows]).encode(),
        "rating.csv": delimited([("user_id", "anime_id", "rating"), *lines]).encode(),
    }
    return Shape("anime", files, ("--items", "anime.csv", "--interactions", "rating.csv"), right)


def tmdb() -> Shape:
    """The Movies Dataset: genres as lists of Python objects, texts of several lines, many columns without use."""
    own = world(5)
    head = (
        "adult", "belongs_to_collection", "budget", "genres", "homepage", "id", "imdb_id", "original_language",
        "original_title", "overview", "popularity", "poster_path", "production_companies", "release_date", "revenue",
        "runtime", "status", "tagline", "title", "video", "vote_average", "vote_count",
    )  # fmt: skip
    rows = [
        (
            "False", "{'id': 10, 'name': 'A Collection'}" if item.number % 9 == 0 else "", 1000 * item.number,
            str([{"id": 20 + len(kind), "name": kind} for kind in item.kinds]), "", 11 * item.number + 2,
            f"tt{1_000_000 + item.number}", "en", item.title, item.text.replace(". ", ".\n"), f"{item.number / 7:.6f}",
            f"/p{item.number}.jpg", str([{"name": maker, "id": len(maker)} for maker in item.makers]),
            f"{item.year}-05-06", "0", f"{90 + item.number}.0", "Released", "", item.title, "False",
            f"{5 + item.number % 40 / 10}", f"{item.number * 31}",
        )
        for item in own.items
    ]  # fmt: skip
    lines = [(event.user + 1, 11 * event.item + 2, event.rating - 0.5, event.time) for event in own.by_user()]
    right = counted(
        own.events,
        lambda user: f"{user + 1}",
        lambda item: f"{11 * item + 2}",
        len(own.items),
        {
            "user": "userId", "item": "movieId", "item_id": "id", "rating": "rating", "time": "timestamp",
            "title": "title", "text": "overview",
        },
        titles={f"{11 * n + 2}": own.items[n].title for n in (0, 7, 30)},
        labels={"13": own.items[1].kinds},
        scale=(0.5, 5),
        rated=len(own.events),
    )  # fmt: skip
    files = {
        "movies_metadata.csv": delimited([head, *rows]).encode(),
        "ratings_small.csv": delimited([("userId", "movieId", "rating", "timestamp"), *lines]).encode(),
    }
    return Shape("tmdb", files, ("--items", "movies_metadata.csv", "--interactions", "ratings_small.csv"), right)


def movielens_latest() -> Shape:
    """ml-latest: ``(no genres listed)``, and articles behind the title."""
    own = world(6)
    titles = {item.number: f"{item.title}, The ({item.year})" for item in own.items}
    bare = {n for n in titles if n % 13 == 0}
    films = [(n + 1, titles[n], "(no genres listed)" if n in bare else "|".join(own.items[n].kinds)) for n in titles]
    log = [(event.user + 1, event.item + 1, f"{event.rating - 0.5}", event.time) for event in own.by_user()]
    right = counted(
        own.events,
        lambda user: f"{user + 1}",
        lambda item: f"{item + 1}",
        len(own.items),
        {
            "user": "userId", "item": "movieId", "item_id": "movieId", "rating": "rating", "time": "timestamp",
            "title": "title",
        },
        titles={f"{n + 1}": titles[n] for n in (0, 7, 30)},
        labels={"1": (), "2": own.items[1].kinds},
        scale=(0.5, 5),
        rated=len(own.events),
        said=(r"\(no genres listed\)",),
    )  # fmt: skip
    files = {
        "movies.csv": delimited([("movieId", "title", "genres"), *films]).encode(),
        "ratings.csv": delimited([("userId", "movieId", "rating", "timestamp"), *log]).encode(),
    }
    return Shape("movielens-latest", files, ("--items", "movies.csv", "--interactions", "ratings.csv"), right)


def movielens_1m() -> Shape:
    """ml-1m: no header, ``::`` between values, Latin-1."""
    own = world(7)
    titles = {item.number: f"{item.title} ({item.year})" for item in own.items} | {3: "Misérables, Les (1995)"}
    films = [(item.number + 1, titles[item.number], "|".join(item.kinds)) for item in own.items]
    log = [(event.user + 1, event.item + 1, event.rating, event.time) for event in own.by_user()]
    right = counted(
        own.events,
        lambda user: f"{user + 1}",
        lambda item: f"{item + 1}",
        len(own.items),
        None,
        titles={f"{n + 1}": titles[n] for n in (0, 3, 30)},
        labels={"2": own.items[1].kinds},
        scale=(1, 5),
        rated=len(own.events),
    )
    files = {
        "movies.dat": plain(films, "::").encode("latin-1"),
        "ratings.dat": plain(log, "::").encode("latin-1"),
    }
    toml = (
        'name = "movielens-1m"\nnoun = "film"\nrating_scale = [1, 5]\n'
        f'[data]\npath = "../.."\nreader = "movielens"\n{_FIELDS}'
    )
    refusal = Refusal("(?i)movielens", written_by_hand("movielens-1m", toml))
    return Shape("movielens-1m", files, ("--items", "movies.dat", "--interactions", "ratings.dat"), right, refusal)


def hetrec() -> Shape:
    r"""HetRec's MovieLens: tabs, Latin-1, ``\N`` for missing values, and a time in six columns."""
    own = world(8)
    titles = {item.number: item.title for item in own.items} | {3: "Amélie à Paris"}
    head = ("id", "title", "imdbID", "spanishTitle", "imdbPictureURL", "year", "rtID", "rtAllCriticsRating")
    films = [
        (
            item.number + 1, titles[item.number], f"{114_000 + item.number}", f"El {titles[item.number]}",
            f"http://images.example.org/{item.number}.jpg", item.year, item.title.lower().replace(" ", "_"),
            r"\N" if item.number % 6 == 0 else f"{item.number % 10}.5",
        )
        for item in own.items
    ]  # fmt: skip
    when = "%d\t%m\t%Y\t%H\t%M\t%S"
    parts = ("date_day", "date_month", "date_year", "date_hour", "date_minute", "date_second")
    log = [(event.user + 75, event.item + 1, event.rating, at(event.time, when)) for event in shuffled(own.events)]
    right = counted(
        own.events,
        lambda user: f"{user + 75}",
        lambda item: f"{item + 1}",
        len(own.items),
        None,
        titles={f"{n + 1}": titles[n] for n in (0, 3, 30)},
        scale=(1, 5),
        rated=len(own.events),
        said=("(?i)cp1252|windows-1252|latin-1", r"user +userID", r"item +movieID", r"item_id +id", r"title +title"),
    )
    files = {
        "movies.dat": plain([head, *films], "\t").encode("latin-1"),
        "user_ratedmovies.dat": plain([("userID", "movieID", "rating", *parts), *log], "\t").encode(),
    }
    options = ("--items", "movies.dat", "--interactions", "user_ratedmovies.dat")

    def joined(folder: Path) -> tuple[str, ...]:
        table = pl.read_csv(folder / "user_ratedmovies.dat", separator="\t")
        time = pl.datetime(*(pl.col(f"date_{part}") for part in ("year", "month", "day", "hour", "minute", "second")))
        table.select("userID", "movieID", "rating", time.alias("timestamp")).write_csv(folder / "joined.csv")
        return "--items", "movies.dat", "--interactions", "joined.csv"

    refusal = Refusal("several columns: date_year, .*, date_second; join them into one column", joined)
    return Shape("hetrec", files, options, right, refusal)


def netflix() -> Shape:
    """The Netflix prize: blocks below a line ``1:``, and titles without a header that have commas."""
    own = world(9)
    titles = {item.number: item.title for item in own.items} | {3: "Lost, Found, and Lost Again"}
    blocks = "".join(
        f"{item.number + 1}:\n"
        + "".join(
            f"{event.user + 1000},{event.rating},{at(event.time, '%Y-%m-%d')}\n"
            for event in own.events
            if event.item == item.number
        )
        for item in own.items
    )
    films = plain([(item.number + 1, item.year, titles[item.number]) for item in own.items], ",")

    def flattened(folder: Path) -> tuple[str, ...]:
        rows, film = [("user_id", "movie_id", "rating", "date")], ""
        for line in (folder / "combined_data_1.txt").read_text().splitlines():
            if line.endswith(":"):
                film = line[:-1]
            else:
                user, rating, date = line.split(",")
                rows.append((user, film, rating, date))
        (folder / "ratings.csv").write_text(delimited(rows))
        lines = (folder / "movie_titles.csv").read_text("latin-1").splitlines()
        split = [("movie_id", "year", "title"), *(line.split(",", 2) for line in lines)]
        (folder / "movies.csv").write_text(delimited(split))
        return "--items", "movies.csv", "--interactions", "ratings.csv"

    # Two films of one day have the order of the blocks.
    right = counted(
        sorted(own.events, key=lambda event: (event.time // 86_400, event.item)),
        lambda user: f"{user + 1000}",
        lambda item: f"{item + 1}",
        len(own.items),
        None,
        titles={f"{n + 1}": titles[n] for n in (0, 3, 30)},
        scale=(1, 5),
        rated=len(own.events),
    )
    files = {"combined_data_1.txt": blocks.encode(), "movie_titles.csv": films.encode("latin-1")}
    options = ("--items", "movie_titles.csv", "--interactions", "combined_data_1.txt")
    refusal = Refusal("(?i)(line 1.*'1:'|block|header|names of columns)", flattened)
    return Shape("netflix", files, options, right, refusal)


def recbole() -> Shape:
    """RecBole's atomic files: names with types."""
    own = world(10)
    films = [
        ("item_id:token", "movie_title:token_seq", "release_year:token", "genre:token_seq"),
        *((item.number + 1, item.title, item.year, " ".join(item.kinds)) for item in own.items),
    ]
    log = [
        ("user_id:token", "item_id:token", "rating:float", "timestamp:float"),
        *((event.user + 1, event.item + 1, event.rating, event.time) for event in own.shuffled()),
    ]
    right = counted(
        own.events,
        lambda user: f"{user + 1}",
        lambda item: f"{item + 1}",
        len(own.items),
        None,
        titles={f"{n + 1}": own.items[n].title for n in (0, 7, 30)},
        labels={"2": own.items[1].kinds},
        scale=(1, 5),
        rated=len(own.events),
    )
    files = {"films.item": plain(films, "\t").encode(), "films.inter": plain(log, "\t").encode()}
    toml = (
        'name = "recbole"\nnoun = "film"\nrating_scale = [1, 5]\n[data]\npath = "../.."\nreader = "recbole"\n'
        '[data.columns]\ntitle = "movie_title"\n[fields.genre]\ntype = "list"\n'
    )
    refusal = Refusal("(?i)recbole|domain.toml", written_by_hand("recbole", toml))
    return Shape("recbole", files, ("--items", "films.item", "--interactions", "films.inter"), right, refusal)


def lenskit() -> Shape:
    """A frame of LensKit in Parquet: numbers as ids, times within a second, one rating missing."""
    own = world(11)
    films = pl.DataFrame(
        {
            "item_id": [item.number + 1 for item in own.items],
            "title": [item.title for item in own.items],
            "genres": [list(item.kinds) for item in own.items],
        }
    )
    # All events of a user are in the same second, so only its fractions tell their order.
    place = {event: index for index, event in enumerate(own.by_user())}
    log = own.shuffled()
    frame = pl.DataFrame(
        {
            "user_id": [event.user + 1 for event in log],
            "item_id": [event.item + 1 for event in log],
            "rating": [None if event.time == own.events[0].time else float(event.rating) for event in log],
            "timestamp": [1_600_000_000_000_000 + 1_000_000 * event.user + 100 * place[event] for event in log],
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )
    right = counted(
        own.events,
        lambda user: f"{user + 1}",
        lambda item: f"{item + 1}",
        len(own.items),
        {
            "user": "user_id", "item": "item_id", "item_id": "item_id", "rating": "rating", "time": "timestamp",
            "title": "title",
        },
        titles={f"{n + 1}": own.items[n].title for n in (0, 7, 30)},
        labels={"2": own.items[1].kinds},
        scale=(1, 5),
        rated=len(own.events) - 1,
    )  # fmt: skip
    files = {"items.parquet": _parquet(films), "ratings.parquet": _parquet(frame)}
    return Shape("lenskit", files, ("--items", "items.parquet", "--interactions", "ratings.parquet"), right)


def _parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def pandas_export() -> Shape:
    """Tables that pandas wrote: its index as ``Unnamed: 0``, ids as floats, dates with fractions, ``NaN``."""
    own = world(12)
    films = [
        ("Unnamed: 0", "movieid", "title", "genre"),
        *((item.number, item.number + 1, item.title, str(list(item.kinds))) for item in own.items),
    ]
    log = [
        (row, f"{event.user + 1}.0", f"{event.item + 1}.0", "NaN" if row % 50 == 7 else f"{event.rating}.0", when)
        for row, event in enumerate(own.shuffled())
        for when in [at(event.time, "%Y-%m-%d %H:%M:%S") + f".{event.time % 1000:03}000"]
    ]
    right = counted(
        own.events,
        lambda user: f"{user + 1}",
        lambda item: f"{item + 1}",
        len(own.items),
        {
            "user": "userid", "item": "movieid", "item_id": "movieid", "rating": "rating", "time": "timestamp",
            "title": "title",
        },
        titles={f"{n + 1}": own.items[n].title for n in (0, 7, 30)},
        labels={"2": own.items[1].kinds},
        scale=(1, 5),
        rated=len(own.events) - sum(row % 50 == 7 for row in range(len(log))),
        said=("Unnamed: 0",),
        unsaid=("field unnamed",),
    )  # fmt: skip
    files = {
        "movies.csv": delimited(films).encode(),
        "ratings.csv": delimited([("Unnamed: 0", "userid", "movieid", "rating", "timestamp"), *log]).encode(),
    }
    return Shape("pandas-export", files, ("--items", "movies.csv", "--interactions", "ratings.csv"), right)
