"""Small data sets in the readers' formats, and what loads them."""

from pathlib import Path

import polars as pl

from genre_gen.data.readers import Data, load_data
from genre_gen.domain import Domain

MOVIES = Domain.load("movies")
N_GENRES = 19
RATINGS = [("7", "2", 5, 300), ("9", "1", 3, 200), ("7", "1", 4, 100), ("9", "3", 1, 200)]
HEADER = "user_id,item_id,rating,timestamp\n"
ITEMS = "item_id,title,genre,year\n1,A,X,2000\n2,B,Y,2001\n"


def flags(*genres: int) -> str:
    return "|".join("1" if number in genres else "0" for number in range(N_GENRES))


def write(folder: Path, **files: str | bytes) -> Path:
    """Write files; ``__`` in a name stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def ml_100k(folder: Path) -> Path:
    items = (
        f"1|Misérables, Les (1995)|01-Jan-1995||http://x|{flags(8)}\n"
        f"2|Alien (1979) (V)|||http://x|{flags(1, 11)}\n"
        f"3|unknown||||{flags(0)}\n"
    )
    ratings = "".join(f"{user}\t{item}\t{rating}\t{time}\n" for user, item, rating, time in RATINGS)
    return write(folder, u__item=items.encode("latin-1"), u__data=ratings)


def ml_1m(folder: Path) -> Path:
    items = "1::Misérables, Les (1995)::Drama\n2::Alien (1979) (V)::Action|Horror\n3::unknown::unknown\n"
    ratings = "".join("::".join(map(str, record)) + "\n" for record in RATINGS)
    return write(folder, movies__dat=items.encode("latin-1"), ratings__dat=ratings)


def ml_10m(folder: Path) -> Path:
    ml_1m(folder)
    (folder / "movies.dat").write_bytes((folder / "movies.dat").read_bytes().decode("latin-1").encode("utf-8"))
    return folder


def ml_latest(folder: Path) -> Path:
    items = (
        'movieId,title,genres\r\n1,"Misérables, Les (1995)",Drama\r\n2,Alien (1979) (V),Action|Horror\r\n'
        "3,unknown,(no genres listed)\r\n"
    )
    ratings = "userId,movieId,rating,timestamp\r\n" + "".join(",".join(map(str, r)) + "\r\n" for r in RATINGS)
    return write(folder, movies__csv=items, ratings__csv=ratings)


def recbole(folder: Path) -> Path:
    items = (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tMisérables, Les\t1995\tDrama\n2\tAlien (1979) (V)\tV\tAction Horror\n3\tunknown\tunkonwn\tunknown\n"
    )
    ratings = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    ratings += "".join("\t".join(map(str, record)) + "\n" for record in RATINGS)
    return write(folder, ml__item=items, ml__inter=ratings)


def table(folder: Path) -> Path:
    items = 'id,title,genre,year\n1,"Misérables, Les",Drama,1995\n2,Alien (1979) (V),Action|Horror,1979\n3,unknown,,\n'
    ratings = "user_id,item_id,rating,timestamp\n" + "".join(",".join(map(str, r)) + "\n" for r in RATINGS)
    return write(folder, items__csv="\ufeff" + items, interactions__csv=ratings)


def parquet(folder: Path) -> Path:
    folder.mkdir()
    items = {"id": [1, 2, 3], "title": ["Misérables, Les", "Alien (1979) (V)", "unknown"]}
    genres = [["Drama"], ["Action", "Horror"], None]
    pl.DataFrame({**items, "genre": genres, "year": [1995.0, 1979.0, None]}).write_parquet(folder / "items.parquet")
    users, ids, ratings, times = zip(*RATINGS, strict=True)
    stamps = pl.Series([time * 1000 for time in times]).cast(pl.Datetime("ms"))
    columns = {"user_id": map(int, users), "item_id": map(int, ids), "rating": ratings, "timestamp": stamps}
    pl.DataFrame({name: list(values) for name, values in columns.items()}).write_parquet(
        folder / "interactions.parquet"
    )
    return folder


def domain(name: str, fields: dict, **changes: object) -> Domain:
    """Return a domain of data in the folder it is given; ``__`` in a changed key stands for a dot."""
    settings = {"name": name, "data": {"path": "."}, "fields": fields}
    return Domain.from_settings(settings).changed({key.replace("__", "."): value for key, value in changes.items()})


def shop(**changes: object) -> Domain:
    fields = {"brand": {"type": "text"}, "categories": {"type": "list"}}
    return domain("shop", fields, data__columns__text="description", **changes)


def load(folder: Path, interactions: str | bytes, items: str | bytes = ITEMS, **changes: object) -> Data:
    """Load tables as the movies domain reads them."""
    write(folder / "set", items__csv=items, interactions__csv=interactions)
    return load_data(MOVIES.changed({key.replace("__", "."): value for key, value in changes.items()}), folder / "set")


def typed(tmp_path, items=None, log=None):
    """Write Parquet tables with these columns in the place of the usual ones."""
    usual = {"item_id": [1, 2], "title": ["One", "Two"], "genre": [["a"], ["b"]], "year": [2000, 2001]}
    pl.DataFrame({**usual, **(items or {})}).write_parquet(tmp_path / "items.parquet")
    usual = {"user_id": [1, 1], "item_id": [1, 2], "rating": [4, 5], "timestamp": [1, 2]}
    pl.DataFrame({**usual, **(log or {})}).write_parquet(tmp_path / "interactions.parquet")
    return tmp_path
