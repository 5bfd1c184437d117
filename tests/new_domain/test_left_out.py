"""Left out means left out: roles that somebody excludes, and columns that are no attributes of items."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre_gen import Dataset
from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import GenreGenError
from genre_gen.new_domain.inference import infer_domain
from genre_gen.new_domain.no_attributes import no_attributes
from genre_gen.new_domain.scaffold import start_domain

ITEMS = "item_id,title,description\n" + "".join(f"{n},Thing {n},Text number {n}\n" for n in range(6))
LOG = "user_id,item_id,rating,timestamp\n" + "".join(
    f"u{n % 3},{n % 6},{n % 5 + 1},{1_600_000_900 - n}\n" for n in range(12)
)


@pytest.fixture
def tables(tmp_path) -> tuple[Path, Path]:
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "things.csv").write_text(ITEMS)
    return tmp_path / "log.csv", tmp_path / "things.csv"


def parts(data, domain) -> tuple:
    texts = {item.text for item in data.catalog} - {""}
    titles = {item.title for item in data.catalog} - {f"item {item.id}" for item in data.catalog}
    return data.interactions.ratings is None, data.interactions.times is None, not texts, not titles, [*domain.fields]


@pytest.mark.parametrize("none", ["none", None, "None"])
@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (("rating",), (True, False, False, False, [])),
        (("time",), (False, True, False, False, [])),
        (("text",), (False, False, True, False, [])),
        (("title",), (False, False, False, True, [])),
        (("rating", "time", "text", "title"), (True, True, True, True, [])),
    ],
)
def test_a_role_that_is_left_out_is_not_taken_by_its_usual_name(tables, tmp_path, roles, none, expected):
    given = dict.fromkeys(roles, none)
    found = infer_domain(*tables, columns=given)
    assert parts(found.data, found.domain) == expected
    started = start_domain("things", *tables, tmp_path, given)
    domain = Domain.load(started.catalog_folder)
    assert all(getattr(domain.data.columns, role) == () for role in roles)
    assert parts(load_data(domain), domain) == expected
    frames = Dataset.from_frames(*(pl.read_csv(path) for path in reversed(tables)), columns=given)
    assert parts(frames, frames.domain) == expected
    assert {choice.column for choice in found.proposal.left_out} == {
        {"rating": "rating", "time": "timestamp", "text": "description", "title": "title"}[role] for role in roles
    }


def test_a_role_without_a_column_stays_without_one_if_the_data_gets_it(tables, tmp_path):
    tables[0].write_text(re.sub(r",\d,\d{9,}$|,rating,timestamp", "", LOG, flags=re.M))
    domain = Domain.load(start_domain("things", *tables, tmp_path).catalog_folder)
    tables[0].write_text(LOG)
    assert (load_data(domain).interactions.ratings, load_data(domain).interactions.times) == (None, None)


NUMBERS = "a vector of 16 numbers"


def column(name: str, make) -> pl.Series:
    return pl.Series(name, [make(n) for n in range(40)])


def floats(n: int, length: int = 16) -> list[float]:
    return np.random.default_rng(n).normal(size=length).round(4).tolist()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (column("Unnamed: 0", lambda n: n), "numbers the lines (0, 1, 2, ...)"),
        (column("Unnamed: 0.1", lambda n: (7 * n) % 40), "numbers the lines (0, 7, 14, ...)"),
        (column("nr", lambda n: n + 1), "numbers the lines (1, 2, 3, ...)"),
        (column("isbn13", lambda n: 9780000000000 + 17 * n), "is another id, such as '9780000000000'"),
        (column("best_book_id", lambda n: 3 * n + 1), "is another id, such as '1'"),
        (column("imdb", lambda n: f"tt{1000000 + n}"), "is another id, such as 'tt1000000'"),
        (column("etag", lambda n: f"{n:032x}"), "is another id, such as"),
        (column("image_url", lambda n: f"https://images.example/{n}.jpg"), "contains addresses, such as"),
        (column("poster_path", lambda n: f"/a{n}.jpg"), "contains addresses, such as"),
        (column("embedding", floats), NUMBERS),
        (column("embedding", lambda n: str(floats(n))), NUMBERS),
        (column("embedding", lambda n: " ".join(map(str, floats(n)))), NUMBERS),
        (column("embedding", floats).cast(pl.Array(pl.Float32, 16)), NUMBERS),
        (column("tokens", lambda n: [n] * 16), NUMBERS),
        (column("year", lambda n: 1980 + n), ""),
        (column("pages", lambda n: 100 + 7 * n), ""),
        (column("num_pages", lambda n: 100 + 7 * n), ""),
        (column("number_of_reviews", lambda n: 100_000 + 777 * n), ""),
        (column("genres", lambda n: ["a", "b"][: n % 2 + 1]), ""),
        (column("sizes", lambda n: [38, 39, 40][: n % 3 + 1]), ""),
        (column("maker", lambda n: f"Maker {n % 5}"), ""),
        (column("released", lambda n: 1_600_000_000 + 86_400 * n), ""),
        (column("code", lambda n: n % 5), ""),
        (
            column("added_at", lambda n: 1_600_000_000 + 86_400 * (n // 3)),
            "counts seconds since 1970",
        ),
    ],
)
def test_columns_without_information_are_told(values, reason):
    found = [why for _, why in no_attributes(values.to_frame(), ())]
    assert [why[: len(reason)] for why in found] == ([reason] if reason else [])
    if reason == NUMBERS:
        assert found[0].endswith(
            "text and image vectors are not fields; an encoder of your own can read them (codes.encoder)"
        )


def test_vectors_codes_and_ids_of_an_item_table_are_left_out_and_told(tmp_path):
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({
        "Unnamed: 0": range(40), "article_id": [108775000 + n for n in range(40)],
        "product_code": [f"{n // 2:06}" for n in range(40)], "prod_name": [f"Top {n // 2}" for n in range(40)],
        "product_type_no": [250 + n % 4 for n in range(40)],
        "product_type_name": [("Vest", "Bra", "Sock", "Cap")[n % 4] for n in range(40)],
        "group_no": [1001 + n % 7 for n in range(40)],
        **{f"emb_{k}": rng.normal(size=40) for k in range(12)},
    })  # fmt: skip
    frame.write_csv(tmp_path / "articles.csv")
    log = "".join(f"2020-09-{n % 28 + 1:02},c{n % 5},{108775000 + n % 40}\n" for n in range(80))
    (tmp_path / "log.csv").write_text("t_dat,customer_id,article_id\n" + log)
    found = infer_domain(tmp_path / "log.csv", tmp_path / "articles.csv")
    kinds = {name: settings.type for name, settings in found.domain.fields.items()}
    assert kinds == {"product_type_name": "list", "group_no": "text"}
    assert found.proposal.columns["title"] == "prod_name"
    reasons = {choice.column: choice.why for choice in found.proposal.left_out}
    assert reasons["emb_0 to emb_11"].startswith("a vector of 12 numbers, one in each column")
    assert reasons["product_type_no"] == "a code for each value of 'product_type_name'"
    assert set(reasons) == {"Unnamed: 0", "product_code", "product_type_no", "emb_0 to emb_11"}


def test_an_embedding_is_not_a_description(tables):
    things = (
        pl.read_csv(tables[1])
        .drop("description")
        .with_columns(vector=pl.Series([str(floats(n, 64)) for n in range(6)]))
    )
    things.write_csv(tables[1])
    found = infer_domain(*tables)
    assert "text" not in found.proposal.columns
    assert not found.domain.fields
    assert [choice.column for choice in found.proposal.left_out] == ["vector"]


def test_items_without_titles_are_called_by_their_ids(tables):
    tables[1].write_text("itemid,categoryid\n" + "".join(f"{n},{n % 3}\n" for n in range(6)))
    found = infer_domain(*tables)
    assert "title" not in found.proposal.columns
    assert found.data.catalog[3].title == "item 3"
    assert {name: settings.type for name, settings in found.domain.fields.items()} == {"categoryid": "list"}


# Remedies


REFUSED = [
    ("who,what\n1,a\n2,b\n1,b\n", None, {}),
    ("a,book\nx,b1\ny,b2\nz,b2\n", "book,title\nb1,One\nb2,Two\n", {}),
    ("user,a,b\nu,b1,b2\nv,b2,b1\nu,b2,b2\n", "book,title\nb1,One\nb2,Two\n", {}),
    ("user,book,date\nu,b1,soon\nv,b2,late\nu,b2,x\n", "book,title\nb1,One\nb2,Two\n", {}),
    ("user,book,date\nu,b1,01/02/2020\nv,b2,03/04/2020\nu,b2,05/05/2020\n", "book,title\nb1,One\nb2,Two\n", {}),
    ("user,book\nu,b1\nv,b2\nu,b2\n", "book,x,y\nb1,One way,Up there\nb2,Two ways,Down there\n", {}),
    ("id,what,user\n1,a,u\n2,b,u\n3,b,v\n", None, {}),
    ("customer,session,item\na,s1,x\na,s2,y\nb,s3,x\n", None, {"user": "sesion"}),
    ("who,what,date\n1,a,soon\n2,b,late\n1,b,x\n", None, {}),
    ("user,book\nu,9\nv,2\nu,7\nu,8\nv,5\nv,8\nv,12\nw,12\nw,13\nw,14\nw,15\n", "book,title\n2,One\n3,Two\n", {}),
]  # fmt: skip


def remedies(message: str) -> list[dict[str, str]]:
    """Return the columns to give, read from a message as its reader would: all questions answered, choice by choice."""
    answers: dict[str, str] = dict(re.findall(r'columns\["(\w+)"\]="([^"]+)"', message))
    asked = re.findall(r'name it as columns\["(\w+)"\], one of ([\w, ]+?)(?= \(|;|$)', message)
    options = [answers]
    for role, names in asked:
        options = [option | {role: name} for option in options for name in names.split(", ")]
    for role, close in re.findall(
        r'columns\["(\w+)"\]="\w+": no such column in [^;]*; did you mean \'(\w+)\'', message
    ):
        options = [option | {role: close} for option in options]
    return options


@pytest.mark.parametrize(("log", "items", "given"), REFUSED)
def test_the_remedy_of_every_message_works(tmp_path, log, items, given):
    (tmp_path / "log.csv").write_text(log)
    if items:
        (tmp_path / "books.csv").write_text(items)
    pair = tmp_path / "log.csv", tmp_path / "books.csv" if items else None
    with pytest.raises(GenreGenError) as caught:
        infer_domain(*pair, columns=given)
    worked = []
    for answer in remedies(str(caught.value)):
        try:
            infer_domain(*pair, columns=given | answer)
            worked.append(answer)
        except GenreGenError:
            continue
    assert worked, str(caught.value)


@pytest.mark.parametrize(
    ("log", "items", "settings"),
    [
        ("user_id,item_id\nu,1\nu,\n", "item_id,title\n1,One\n", {}),
        ("user_id,item_id\nu,1\nu,2\n", "item_id,title\n1,One\n", {}),
        ("user_id,item_id,rating\nu,1,5\nv,1,x\n", "item_id,title\n1,One\n", {}),
        ("user_id,item_id,timestamp\nu,1,5\nv,1,x\n", "item_id,title\n1,One\n", {}),
        ("user_id,item_id\nu,1\nv,1\n", "item_id,title\n1,One\n1,Two\n", {}),
        ("user_id,item_id\nu,1\nv,1\n", "item_id,name\n1,One\n", {}),
        ("user_id,item_id\nu,1\nv,1\n", "key,title\n1,One\n", {}),
        ("reader,item_id\nu,1\nv,1\n", "item_id,title\n1,One\n", {}),
        ("user_id,item_id\nu,1\nv,1\n", "item_id,title\n1,One\n", {"rating": "none"}),
    ],
)  # fmt: skip
def test_the_remedy_of_every_message_of_loading_works(tmp_path, log, items, settings):
    (tmp_path / "interactions.csv").write_text(log)
    (tmp_path / "items.csv").write_text(items)
    data = {"path": str(tmp_path), "columns": settings, "policies": {}}
    with pytest.raises(GenreGenError) as caught:
        load_data(Domain.from_settings({"name": "x", "data": data}))
    message = str(caught.value)
    if policy := re.search(r'set data\.policies\.(\w+) = "(\w+)" in domain', message):
        data["policies"] = {policy[1]: policy[2]}
    elif (key := re.search(r"set data\.columns\.(\w+)( \(\[\] for none\))? in", message)) and key[2]:
        data["columns"] = {key[1]: []}
    else:
        data["columns"] = {key[1]: {"user": "reader", "title": "name", "item": "key"}[key[1]]}
        if key[1] == "item":
            data["columns"] = {"item_id": "key"}
    assert len(load_data(Domain.from_settings({"name": "x", "data": data})).interactions)
