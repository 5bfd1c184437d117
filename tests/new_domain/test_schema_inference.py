"""What the columns of unknown tables are taken for, and what is asked for instead of guessed."""

import re
from pathlib import Path

import polars as pl
import pytest

from genre_gen.errors import DataError, UsageError
from genre_gen.new_domain.schema_inference import NONE, Proposal, propose
from genre_gen.new_domain.tables import read_tables

BOOKS = """isbn,name,authors,shelf,pages,blurb,cover,price
b1,The Long Way,Ann Berg,Novel|Travel,320,"{0}",http://x/1,12.50
b2,Bread,Jo Kuhn,Cooking|Bread,120,"{0}",http://x/2,20
b3,Small Kitchens,Jo Kuhn,Cooking,180,"{0}",http://x/3,18
b4,Over the Pass,Ann Berg,Novel|Travel,210,"{0}",http://x/4,11
b5,Sourdough,Mia Ott,Cooking|Bread,,"{0}",http://x/5,15
b6,North Wind,Lea Lund,Novel|Sea,400,"{0}",http://x/6,14
""".format("A book of which there is a great deal to say, and here it is said at length, so that nothing is left over.")

LOANS = """borrower_no,book,lent_on,points,branch
7,b1,2024-01-03,8,east
7,b4,2024-01-09,9,east
7,b6,2024-02-01,10,east
8,b2,2024-01-02,7,west
8,b5,2024-01-30,3,west
8,b3,2024-03-01,6,west
9,b2,2024-01-05,8,west
9,b3,2024-01-06,9,east
"""


def proposed(folder: Path, log: str = LOANS, items: str | None = BOOKS, **given: str) -> Proposal:
    (folder / "log.csv").write_text(log, encoding="utf-8")
    if items is not None:
        (folder / "books.csv").write_text(items, encoding="utf-8")
    tables = read_tables(folder / "log.csv", folder / "books.csv" if items is not None else None)
    return propose(tables.interactions, tables.items, given)


def fields(proposal: Proposal) -> dict[str, tuple]:
    return {name: (field.type, field.separator) for name, field in proposal.fields.items()}


def test_a_library_with_names_of_its_own(tmp_path):
    assert "time" not in proposed(tmp_path, time=NONE).columns
    found = proposed(tmp_path)
    assert found.columns == {
        "user": "borrower_no", "item": "book", "item_id": "isbn", "time": "lent_on", "rating": "points",
        "title": "name", "text": "blurb",
    }  # fmt: skip
    types = {"shelf": ("list", "|"), "authors": ("text", None), "pages": ("number", None), "price": ("number", None)}
    assert fields(found) == types
    assert found.labels == "shelf"
    assert found.rating_scale == (1, 10)
    assert {choice.column: choice.why for choice in found.left_out} == {
        "branch": "belongs to the interaction, not to the item",
        "cover": "contains addresses, such as 'http://x/1'",
    }
    assert all(choice.why for choice in found.choices)
    assert {choice.column for choice in found.choices} == set(found.columns.values()) | set(found.fields)


def timed(times: list[str], name: str = "ordered_at") -> str:
    return f"user,item,{name}\n" + "".join(f'u{n % 3},b{n % 6 + 1},"{time}"\n' for n, time in enumerate(times))


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        (["4/16/2024 10:15", "6/10/2024 05:15"], "such as '4/16/2024 10:15', read with the month first"),
        (["16-04-2024", "10-06-2024"], "such as '16-04-2024', read with the day first"),
        (["02.07.2024", "2024-07-03"], "such as '02.07.2024'"),
    ],
)
def test_the_order_of_day_and_month_is_reported(tmp_path, times, shown):
    found = proposed(tmp_path, timed(times * 3))
    assert [choice.why for choice in found.choices if choice.role == "time"] == [f"by its name, {shown}"]


@pytest.mark.parametrize("given", [{}, {"time": "ordered_at"}])
@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["16 Abr 2024", "17 Abr 2024"], "'ordered_at' seems to be the time, but '16 Abr 2024' cannot be read; write"),
        (["4/16/2024", "13/13/2024"], "'ordered_at' seems to be the time, but '13/13/2024' cannot be read; write ISO"),
        (["02/07/2024", "03/08/2024"], "'02/07/2024' and the other dates may have the day or the month first"),
    ],
)
def test_invalid_times_are_reported(tmp_path, times, message, given):
    with pytest.raises(DataError, match=rf'{re.escape(message)}.*or go without: columns\["time"\]="none"'):
        proposed(tmp_path, timed(times * 3), **given)
    assert "time" not in proposed(tmp_path, timed(times * 3), time=NONE).columns


@pytest.mark.parametrize(
    ("times", "why"),
    [(["2024-01-05", ""], "empty in 3 of 6 lines"), (["17", "35"], "neither dates nor seconds since 1970")],
)
def test_unread_times_are_reported_with_the_reason(tmp_path, times, why):
    left_out = proposed(tmp_path, timed(times * 3)).left_out[0]
    assert left_out.why.startswith(f'has a name like times, but {why}; columns["time"]="ordered_at" reads the')
    assert proposed(tmp_path, timed(times * 3), time="ordered_at").columns["time"] == "ordered_at"


def test_numbers_from_one_to_five_are_not_taken_as_ids(tmp_path):
    items = "id,title\n" + "".join(f"{n},Thing number {n}\n" for n in range(1, 41))
    log = "who,what,stars\n" + "".join(
        f"{u},{(7 * u + 3 * n) % 40 + 1},{n % 5 + 1}\n" for u in range(1, 13) for n in range(6)
    )
    found = proposed(tmp_path, log, items)
    assert (found.columns["item"], found.columns["rating"], found.columns["user"]) == ("what", "stars", "who")
    assert found.rating_scale == (1, 5)


def test_a_column_of_kinds_is_read_as_labels_if_there_are_no_lists(tmp_path):
    items = "item_id,title,maker,kind\n" + "".join(f"i{n},Thing {n},Maker {n % 20},{'ab'[n % 2]}\n" for n in range(40))
    found = proposed(tmp_path, "user,item\nu,i1\nu,i2\nv,i1\n", items)
    assert fields(found) == {"kind": ("list", "|"), "maker": ("text", None)}


def test_kinds_in_other_languages_sort_and_flags_do_not(tmp_path):
    items = "item_id,title,lager,kategorie\n" + "".join(
        f"i{n},Ding {n},{('ja', 'nein')[n % 2]},{'abcd'[n % 4]}\n" for n in range(40)
    )
    assert fields(proposed(tmp_path, "user,item\nu,i1\nu,i2\nv,i1\n", items)) == {
        "kategorie": ("list", "|"), "lager": ("text", None)
    }  # fmt: skip
    alone = re.sub(r",(kategorie|[abcd])$", "", items, flags=re.MULTILINE)
    assert fields(proposed(tmp_path, "user,item\nu,i1\nu,i2\nv,i1\n", alone)) == {"lager": ("text", None)}


def test_ids_that_only_leading_zeros_keep_apart(tmp_path):
    items = "sku,title\n" + "".join(f"{n:05},Thing {n}\n" for n in range(1, 9))
    with pytest.raises(
        DataError, match="'7' in 'sku' and '00007' in 'sku' differ in leading zeros: write both the same way"
    ):
        proposed(tmp_path, "user,sku\nu,7\nv,8\n", items)


def test_delimiters_encodings_and_milliseconds(tmp_path):
    items = "item_id;title\ni1;Käse\ni2;Brot\n".encode("latin-1")
    (tmp_path / "items.csv").write_bytes(items)
    (tmp_path / "log.csv").write_text("user;item;ts\nu;i1;1700000000000\nu;i2;1700000100000\nv;i2;1700000200000\n")
    tables = read_tables(tmp_path / "log.csv", tmp_path / "items.csv")
    assert (tables.items.form.encoding, tables.interactions.form.delimiter) == ("cp1252", ";")
    assert propose(tables.interactions, tables.items).time_unit == "ms"


def test_bytes_and_lists_of_them_are_not_used(tmp_path):
    items = {"item_id": [1, 2], "title": ["One", "Two"], "cover": [b"\xff\xd8", b"\xff\xd9"], "tags": [["a"], ["b"]]}
    items["covers"], items["parts"] = [[b"\xff"], [b"\xfe"]], [[["a"]], [["b"]]]
    log = {"user_id": [1, 1, 2], "item_id": [1, 2, 1], "print": [b"\xff"] * 3, "seen": [[1], [2], [3]]}
    for name, columns in (("items", items), ("log", log)):
        pl.DataFrame(columns).write_parquet(tmp_path / f"{name}.parquet")
    tables = read_tables(tmp_path / "log.parquet", tmp_path / "items.parquet")
    found = propose(tables.interactions, tables.items)
    assert fields(found) == {"tags": ("list", None)}
    why = {choice.column: choice.why for choice in found.left_out}
    assert (why["cover"], why["covers"]) == ("contains bytes that are not valid text", "has nested values")
    for option in ({"rating": "seen"}, {"time": "print"}, {"title": "cover"}):
        with pytest.raises(UsageError, match="not one string or number a record; name another column"):
            propose(tables.interactions, tables.items, option)


def test_repeated_and_unknown_items_are_counted(tmp_path):
    found = proposed(tmp_path, LOANS + "9,b3,2024-02-06,9,east\n9,zz,2024-02-07,9,east\n")
    assert found.unknown_items == 1
    assert found.repeats == pytest.approx(0.1)


def test_a_click_column_is_pointed_out(tmp_path):
    found = proposed(tmp_path, "user,item,clicked\nu,b1,1\nu,b2,0\nv,b1,0\n")
    assert [c.why for c in found.left_out if c.column == "clicked"] == [
        "has yes/no values; every line counts as an interaction, so remove the lines that mean that there was none"
    ]


@pytest.mark.parametrize(
    ("log", "items", "message"),
    [
        ("7,b1\n8,b2\n", BOOKS, "log.csv, line 1: looks like data (7, b1), not like names of columns; put a line"),
        ("a,book\nx,b1\ny,b2\n", BOOKS, 'cannot tell which column is the user; name it as columns["user"], one of a'),
        ("user,thing\nu,q1\n", BOOKS, "no column has values that are ids in"),
        ("user,a,b\nu,b1,b2\nv,b2,b1\n", BOOKS, 'cannot tell which column is the item; name it as columns["item"]'),
        ("user,thing\nu,q1\n", None, 'cannot tell which column is the item; name it as columns["item"], one of thing'),
        (LOANS, BOOKS.replace("name", "x").replace("Ann Berg", "Ann"), "cannot tell which column is the title"),
        ("user,item,date\nu,b1,soon\nv,b2,late\n", BOOKS, "'date' seems to be the time, but 'soon' cannot be read"),
        ("user,item\n", BOOKS, "there is no data below the header"),
    ],
)  # fmt: skip
def test_ambiguous_columns_are_asked_for(tmp_path, log, items, message):
    if "x," in (items or ""):
        items = "isbn,x,y\nb1,One way,Up\nb2,Two ways,Down\nb4,Q r,S t\nb6,U v,W x\nb5,A b,C d\nb3,E f,G h\n"
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        proposed(tmp_path, log, items)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "items", "message"),
    [
        ({"user": "usr"}, BOOKS, 'columns["user"]="usr": no such column in .*it has borrower_no, book'),
        ({"title": "book"}, BOOKS, 'columns["title"]="book": no such column in .*it has isbn, name'),
        (
            {"title": "name"},
            None,
            'columns["title"]="name": names a column of the items; give a table of items too, or one of borrower_no',
        ),
        ({"user": "book", "item": "book"}, BOOKS, 'columns["user"] and columns["item"] are both "book"; name another'),
        ({"usr": "book"}, BOOKS, "columns: no role 'usr'; did you mean 'user'?"),
    ],
)
def test_names_that_do_not_exist(tmp_path, given, items, message):
    with pytest.raises(UsageError, match=re.escape(message).replace("\\.\\*", ".*")):
        proposed(tmp_path, LOANS, items, **given)


def test_a_column_named_for_one_role_gets_no_other(tmp_path):
    found = proposed(tmp_path, "user,account\nu,1\nv,2\nv,1\n", None, item="user")
    assert (found.columns["item"], found.columns["user"]) == ("user", "account")
    log = "who,item,x\nu,b1,1\nv,b2,2\nv,b1,1\nu,b3,2\n"
    found = proposed(tmp_path, log, None, rating="x")
    assert (found.columns["user"], found.columns["rating"]) == ("who", "x")
