"""The columns of users and items: which is chosen, that the one printed is the one used, and what is asked for."""

import re
from pathlib import Path

import polars as pl
import pytest

from genre_gen.data.readers import load_catalog, load_data
from genre_gen.domain import Domain
from genre_gen.errors import DataError, UsageError
from genre_gen.new_domain import inference
from genre_gen.new_domain.inference import infer_domain
from genre_gen.new_domain.scaffold import start_domain

TWO_IDS = "id,book_id,title\n1,3,One\n2,10,Two\n3,20,Three\n4,30,Four\n5,40,Five\n6,50,Six\n"
LOG = "user_id,book_id,rating\nu,1,5\nu,2,1\nu,3,2\nv,3,1\nv,4,2\nv,5,3\nw,6,4\nw,3,1\nw,9,2\n"


def inferred(folder: Path, log: str, items: str | None, name: str = "books", **columns: str | None):
    (folder / "log.csv").write_text(log)
    if items is not None:
        (folder / f"{name}.csv").write_text(items)
    return infer_domain(folder / "log.csv", None if items is None else folder / f"{name}.csv", columns=columns)


def why(found, role: str) -> str:
    return next(choice.why for choice in found.proposal.choices if choice.role == role)


def history(data, user: str) -> list[tuple[str, str]]:
    rows = data.interactions.history(user).rows
    return [(data.catalog[row].id, data.catalog[row].title) for row in rows]


def test_the_id_column_that_is_printed_is_the_one_that_is_used(tmp_path):
    found = inferred(tmp_path, LOG, TWO_IDS)
    assert (found.proposal.columns["item"], found.proposal.columns["item_id"]) == ("book_id", "id")
    assert 'item = "book_id"' in found.toml
    assert 'item_id = "id"' in found.toml
    assert history(found.data, "u") == [("1", "One"), ("2", "Two"), ("3", "Three")]
    assert [(problem.kind, problem.count) for problem in found.data.report] == [("item not in the catalog", 1)]
    assert found.proposal.unknown_items == 1
    started = start_domain("books", tmp_path / "log.csv", tmp_path / "books.csv", tmp_path)
    again = load_data(Domain.load(started.catalog_folder))
    assert history(again, "u") == history(found.data, "u")
    assert "86% of its different values are in 'id' of books.csv" in started.text()
    assert "only 14% are in 'book_id'" in started.text()


def test_the_best_match_is_chosen_whatever_the_columns_are_called(tmp_path):
    items = "item_id,rank,title\n" + "".join(f"{n},{21 - n},Thing {n}\n" for n in range(1, 21))
    log = "user,item\n" + "".join(f"u{n % 4},{n % 20 + 1}\n" for n in range(40))
    found = inferred(tmp_path, log, items)
    assert found.proposal.columns["item_id"] == "item_id"  # rank has the same values
    assert why(found, "item_id").endswith("; 100% are in 'rank'")
    assert history(found.data, "u0")[0] == ("1", "Thing 1")


def test_an_older_domain_with_both_names_takes_the_column_with_the_ids(tmp_path):
    inferred(tmp_path, LOG, TWO_IDS)
    settings = {"path": ".", "items": "books.csv", "interactions": "log.csv", "policies": {"unknown_items": "drop"}}
    columns = {"item": ["book_id", "id"]}
    domain = Domain.from_settings({"name": "books", "data": settings | {"columns": columns}})
    data = load_data(domain, tmp_path)
    assert history(data, "u") == [("1", "One"), ("2", "Two"), ("3", "Three")]
    assert "books.csv: ids of the interactions in 'id', not in 'book_id': 6 used, the first in line 2 ('1')" in str(
        next(iter(data.report))
    )
    assert load_catalog(domain, tmp_path)[0].fingerprint() == data.catalog.fingerprint()
    named = Domain.from_settings({"name": "books", "data": settings | {"columns": columns | {"item_id": "book_id"}}})
    assert [item.id for item in load_data(named, tmp_path).catalog] == ["3", "10", "20", "30", "40", "50"]


def test_a_proposal_that_loads_less_than_it_counted_is_refused(tmp_path, monkeypatch):
    proposal = inferred(tmp_path, LOG, TWO_IDS).proposal
    wrong = proposal.__class__(**vars(proposal) | {"columns": {**proposal.columns, "item_id": "book_id"}})
    monkeypatch.setattr(inference, "propose", lambda *_: wrong)
    with pytest.raises(DataError, match="finds no item for 6 lines, but the columns were chosen as if only 1 lacked"):
        inferred(tmp_path, LOG, TWO_IDS)


def test_repeated_ids_in_the_item_table_are_matched_and_told(tmp_path):
    items = "product_id,title,size\n" + "".join(f"p{n % 5},Shoe {n % 5},{38 + n // 5}\n" for n in range(15))
    found = inferred(tmp_path, "user,product_id\nu,p1\nu,p2\nv,p3\nv,p1\n", items, "products")
    assert len(found.data.catalog) == 5
    assert "10 lines repeat an id, and the first line of each is used" in why(found, "item_id")
    assert [(problem.kind, problem.count) for problem in found.data.report] == [("item id repeated", 10)]
    found = inferred(tmp_path, "user,product_id\nu,p1\nu,p2\nv,p3\nv,p1\n", items + "p2,Boot,40\n", "products")
    assert [(problem.kind, problem.count, problem.value) for problem in found.data.report] == [
        ("item id repeated", 10, "'p0'"),
        ("item id repeated with another title", 1, "'p2: Boot'"),
    ]
    assert found.data.catalog[2].title == "Shoe 2"


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (
            ("sku", "7"),
            ("sku", "00007"),
            "'7' in 'sku' and '00007' in 'sku' differ in leading zeros: write both the same",
        ),
        (("sku", "a7"), ("sku", "A7"), "'a7' in 'sku' and 'A7' in 'sku' differ in case: write both the same way"),
        (("sku", "a-7"), ("sku", "A 7"), "'a-7' in 'sku' and 'A 7' in 'sku' differ in spaces or marks: write"),
        (("item", "x7"), ("sku", "A7"), "'x7' in 'item' there, and 'A7' in 'sku' here: correct the ids, or name"),
    ],
)
def test_ids_that_do_not_match_are_shown_from_both_sides(tmp_path, ours, theirs, message):
    log = f"user,{ours[0]},n\nu,{ours[1]},1\nv,{ours[1]}0,2\nu,{ours[1]}0,1\n"
    items = f"{theirs[0]},title\n{theirs[1]},A b\n{theirs[1]}5,C d\n"
    with pytest.raises(DataError, match=re.escape(message)):
        inferred(tmp_path, log, items)


def test_a_quantity_is_not_matched_by_chance(tmp_path):
    items = "product,title\n" + "".join(f"{n},Thing {n}\n" for n in range(1, 7))
    log = "user,product,amount\n" + "".join(f"u{n % 3},x{n % 4},{n % 6 + 1}\n" for n in range(12))
    with pytest.raises(DataError, match="'x0' in 'product' there, and '1' in 'product' here: correct the ids"):
        inferred(tmp_path, log, items)


def test_single_ids_that_differ_in_case_are_told(tmp_path):
    items = "sku,title\n" + "".join(f"A{n},Thing {n}\n" for n in range(9))
    log = "user,sku\n" + "".join(f"u{n % 3},{'a' if n == 4 else 'A'}{n}\n" for n in range(9))
    assert why(inferred(tmp_path, log, items), "item").endswith("'a4' and 'A4' differ in case")


def test_too_few_matching_ids_are_not_a_match(tmp_path):
    items = "book_id,title\n" + "".join(f"{n},Thing {n}\n" for n in range(30))
    log = "user,book_id\n" + "".join(f"u{n % 9},{n + 28}\n" for n in range(90))
    with pytest.raises(DataError, match="but only 2% of the lines have an id that is in 'book_id'; correct") as caught:
        inferred(tmp_path, log, items)
    named = dict(re.findall(r'columns\["(\w+)"\]="(\w+)"', str(caught.value)))
    assert len(inferred(tmp_path, log, items, **named).data.interactions) == 2


def test_a_line_for_each_property_is_refused_as_items(tmp_path):
    rows = "".join(f"p{n},{name},{name}{n % 3}\n" for n in range(9) for name in ("kind", "size", "color"))
    log = "user,product_id\n" + "".join(f"u{n % 3},p{n % 9}\n" for n in range(18))
    with pytest.raises(DataError, match=r"several lines for an item \(18 repeat an id of 'product_id'\), and no other"):
        inferred(tmp_path, log, "product_id,property,value\n" + rows)
    assert len(inferred(tmp_path, log, None).data.catalog) == 9


@pytest.mark.parametrize("columns", [{}, {"user": "reader"}])
def test_files_the_other_way_round_are_noticed(tmp_path, columns):
    books = "book,title\n" + "".join(f"b{n},Thing {n}\n" for n in range(6))
    loans = "reader,book\n" + "".join(f"u{n % 3},b{n % 6}\n" for n in range(12))
    with pytest.raises(DataError, match="so the items were given as the interactions; give the files the other way"):
        inferred(tmp_path, books, loans, **columns)
    assert len(inferred(tmp_path, loans, books, **columns).data.catalog) == 6


NAMES = [
    ("userid", "itemid"), ("UserID", "movieId"), ("visitorid", "itemid"), ("User-ID", "ISBN"), ("reviewerID", "asin"),
    ("uid", "iid"), ("customer", "sku"), ("user", "anime_id"), ("CustomerID", "StockCode"), ("userID", "artistID"),
    ("user", "game"), ("u_id", "i_id"), ("USERID", "MOVIEID"), ("user_idx", "item_idx"), ("member", "track_id"),
    ("user", "book-id"), ("cust_id", "article_id"),
]  # fmt: skip


@pytest.mark.parametrize(("user", "item"), NAMES)
def test_names_of_public_data_sets_are_known(tmp_path, user, item):
    log = f"n,{item},{user}\n" + "".join(f"{n},{n % 4},{n % 3}\n" for n in range(12))
    columns = inferred(tmp_path, log, None).proposal.columns
    assert (columns["user"], columns["item"]) == (user, item)


def test_line_numbers_are_not_items_and_an_equal_name_is_told(tmp_path):
    log = "id,customer_id,session_id,game\n" + "".join(f"{n},c{n % 3},s{n % 6},g{n % 4}\n" for n in range(12))
    found = inferred(tmp_path, log, None)
    assert (found.proposal.columns["user"], found.proposal.columns["item"]) == ("customer_id", "game")
    assert why(found, "user") == 'by its name; columns["user"]="session_id" takes the other one'
    assert inferred(tmp_path, log, None, user="session_id").proposal.columns["user"] == "session_id"
    with pytest.raises(DataError, match="cannot tell which column is the item"):
        inferred(tmp_path, log.replace("game", "what"), None)


def test_all_questions_are_asked_at_once_and_their_answers_suffice(tmp_path):
    items = "book,x,y\n" + "".join(f"b{n},One way {n},Up there {n}\n" for n in range(6))
    log = "who,what,book,date\n" + "".join(f"u{n % 3},w{n % 2},b{n % 6},soon\n" for n in range(12))
    with pytest.raises(DataError) as caught:
        inferred(tmp_path, log, items)
    message = str(caught.value)
    assert message.startswith("3 questions: (1) ")
    assert "\n" not in message
    for part in ("which column is the user", "'date' seems to be the time", "which column is the title"):
        assert part in message
    answers = {"user": "who", "time": "none", "title": "x"}
    assert inferred(tmp_path, log, items, **answers).proposal.columns["title"] == "x"


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ({"user": "usr_id", "rating": "Rating"}, ["did you mean 'user_id'?", "did you mean 'rating'?"]),
        ({"title": "book_id", "text": "rating"}, ["no such column", "log.csv has it"]),
        ({"title": "id", "text": "id"}, ['columns["title"] and columns["text"] are both "id"']),
        ({"user": "none", "item": None}, ['columns["user"]="none": there is no user then', "there is no item then"]),
    ],
)
def test_wrong_columns_are_named_all_at_once(tmp_path, given, messages):
    with pytest.raises(UsageError) as caught:
        inferred(tmp_path, LOG, TWO_IDS.replace("book_id", "isbn"), **given)
    assert all(message in str(caught.value) for message in messages), str(caught.value)


def test_a_frame_matches_as_a_file_does(tmp_path):
    found = inferred(tmp_path, LOG, TWO_IDS)
    for name in ("log", "books"):
        pl.read_csv(tmp_path / f"{name}.csv").write_parquet(tmp_path / f"{name}.parquet")
    for pair in (
        (tmp_path / "log.parquet", tmp_path / "books.parquet"),
        (pl.read_csv(tmp_path / "log.csv"), pl.read_csv(tmp_path / "books.csv")),
    ):
        assert history(infer_domain(*pair).data, "u") == history(found.data, "u")
