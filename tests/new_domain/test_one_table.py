"""One table for both: titles and attributes stand in the lines of the interactions."""

from pathlib import Path

import polars as pl
import pytest

from genre_gen import Dataset
from genre_gen.data.readers import load_catalog, load_data
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from genre_gen.new_domain.inference import infer_domain
from genre_gen.new_domain.scaffold import start_domain
from genre_gen.new_domain.validate import check

NAMES = ("WHITE HANGING HEART", "RED WOOLLY HOTTIE", "GLASS STAR", "SET 7 BABUSHKA", "HAND WARMER", "JAM MAKING SET")
COUNTRIES = ("United Kingdom", "France", "Norway")


def retail(lines: int = 60) -> str:
    """Return an invoice list as Online Retail has it; each tenth description is another one."""
    rows = ["InvoiceNo,StockCode,Description,Department,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"]
    for n in range(lines):
        item, user = (5 * n + n // 6) % 6, n % 7
        name = "wrongly marked" if n % 10 == 9 else NAMES[item]
        price = (2.55, 3.39, 2.75)[n % 3]
        rows.append(
            f"5363{n // 4:02},8512{item}A,{name},{('Home', 'Toys')[item % 2]},{n % 4 + 1},"
            f"2010-12-{n % 28 + 1:02} 08:26:00,{price},{17850 + user},{COUNTRIES[user % 3]}"
        )
    return "\n".join(rows) + "\n"


@pytest.fixture
def log(tmp_path) -> Path:
    (tmp_path / "retail.csv").write_text(retail())
    return tmp_path / "retail.csv"


def titles(data) -> set[str]:
    return {item.title for item in data.catalog}


@pytest.mark.parametrize("twice", [False, True])
def test_an_invoice_list_is_a_table_of_items_too(log, tmp_path, twice):
    started = start_domain("shop", log, log if twice else None, tmp_path)
    columns = started.proposal.columns
    assert {role: columns[role] for role in ("user", "item", "item_id", "title")} == {
        "user": "CustomerID", "item": "StockCode", "item_id": "StockCode", "title": "Description",
    }  # fmt: skip
    assert [*started.proposal.fields] == ["department"]
    assert {choice.column for choice in started.proposal.left_out} >= {"InvoiceNo", "Quantity", "UnitPrice", "Country"}
    domain = Domain.load(started.catalog_folder)
    assert domain.data.items == domain.data.interactions == "retail.csv"
    data = load_data(domain)
    assert titles(data) == set(NAMES)
    assert {item.attributes["department"] for item in data.catalog} == {("Home",), ("Toys",)}
    assert load_catalog(domain)[0].fingerprint() == data.catalog.fingerprint() == started.data.catalog.fingerprint()
    assert not [problem for problem in data.report if "repeated" in problem.kind]
    moved = log.rename(tmp_path / "other.csv")
    assert titles(load_data(domain, moved)) == set(NAMES)


def test_frames_and_parquet_are_read_the_same_way(log, tmp_path):
    ours = infer_domain(log)
    pl.read_csv(log, schema_overrides={"StockCode": pl.String}).write_parquet(tmp_path / "retail.parquet")
    assert titles(infer_domain(tmp_path / "retail.parquet").data) == set(NAMES)
    framed = Dataset.from_frames(None, pl.read_csv(log))
    assert framed.catalog.fingerprint() == ours.data.catalog.fingerprint()
    frame = pl.read_csv(log)
    assert Dataset.from_frames(frame, frame).catalog.fingerprint() == ours.data.catalog.fingerprint()


def test_a_domain_of_one_table_can_be_checked(log, tmp_path, tiny_model):
    started = start_domain("shop", log, None, tmp_path)
    assert check(started.catalog_folder, llm=str(tiny_model)).problems == []


def test_ids_that_are_titles_are_titles(tmp_path):
    games = ("Dota 2", "The Elder Scrolls V Skyrim", "Portal", "Half-Life 2", "Left 4 Dead")
    (tmp_path / "steam.csv").write_text(
        "user_id,game,behavior,hours\n" + "".join(f"{n % 5},{games[n % 4 + n // 20]},play,{n}.5\n" for n in range(40))
    )
    found = infer_domain(tmp_path / "steam.csv")
    assert found.proposal.columns["title"] == "game"
    assert titles(found.data) == set(games)


def test_a_log_with_ids_only_stays_without_titles(tmp_path):
    (tmp_path / "log.csv").write_text(
        "user_id,item_id,device\n" + "".join(f"{n % 5},{n % 4},{'ab'[n % 3 == 0]}\n" for n in range(40))
    )
    found = infer_domain(tmp_path / "log.csv")
    assert (found.domain.data.items, titles(found.data), [*found.domain.fields]) == (
        None,
        {f"item {n}" for n in range(4)},
        [],
    )


def test_lists_in_lines_and_a_named_title_are_taken(tmp_path):
    frame = pl.DataFrame(
        {
            "user": [f"u{n % 7}" for n in range(42)],
            "item": [n % 6 for n in range(42)],
            "what": [f"T {n % 6}" for n in range(42)],
            "genres": [["a", "b"] if n % 2 else ["c"] for n in range(42)],
        }
    )
    frame.write_parquet(tmp_path / "log.parquet")
    found = infer_domain(tmp_path / "log.parquet", columns={"title": "what"})
    assert titles(found.data) == {f"T {n}" for n in range(6)}
    assert found.data.catalog[1].attributes == {"genres": ("a", "b")}


def test_ids_that_are_called_titles_are_the_titles(tmp_path):
    lines = [f"u{user},Band {song % 3},Song of {song} nights" for user in range(9) for song in range(user, user + 12)]
    (tmp_path / "log.csv").write_text("user_id,artistname,trackname\n" + "\n".join(lines) + "\n")
    found = infer_domain(tmp_path / "log.csv")
    assert (found.proposal.columns["item"], found.proposal.columns["title"]) == ("trackname", "trackname")
    assert found.data.catalog[0].title == "Song of 0 nights"


def test_several_lines_of_one_moment_do_not_repeat(tmp_path):
    lines = [
        f"u{user},i{item},{tag},{1_600_000_000 + item}" for user in range(5) for item in range(9) for tag in (1, 2)
    ]
    (tmp_path / "log.csv").write_text("user,item,tag,time\n" + "\n".join(lines) + "\n")
    found = infer_domain(tmp_path / "log.csv")
    assert (found.proposal.repeats, found.domain.repeat, len(found.data.interactions)) == (0, False, 45)
    moved = [f"{line[:-1]}{row % 10}" for row, line in enumerate(lines)]
    (tmp_path / "log.csv").write_text("user,item,tag,time\n" + "\n".join(moved) + "\n")
    assert infer_domain(tmp_path / "log.csv").domain.repeat


def test_lists_of_records_in_a_line_are_told(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"session": 1, "events": [{"aid": 7, "ts": 1}, {"aid": 8, "ts": 2}]}\n' * 3)
    with pytest.raises(
        DataError, match=r"each line has a list of records in 'events', such as \[.*; write a line for each"
    ):
        infer_domain(tmp_path / "log.jsonl")
