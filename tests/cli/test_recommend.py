"""The commands that ask a trained recommender: recommend, explain, report."""

import json
from pathlib import Path

import polars as pl
import pytest
from fakes import altered

from genre_gen import Catalog, Item
from genre_gen.cli import options
from tests.cli.outcomes import refused

ROOT = Path(__file__).parents[2]


def test_a_user_is_recommended_to(recommend, tiny_recommender):
    code, out, err = recommend("--user", "17", "-n", "5")
    expected = tiny_recommender.recommend("17", n=5)
    assert code == 0
    assert [line.split(". ", 1)[1].split("  [")[0] for line in out.splitlines()] == [
        pick.item.title for pick in expected
    ]
    assert err == ""


def test_a_history_is_recommended_to_with_reasons(recommend):
    code, out, err = recommend("--history", "Toy Story (1995)", "--history", "Alien (1979)=4", "-n", "3", "--explain")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 6
    assert all(lines[number].lstrip().startswith(f"{number // 2 + 1}. ") for number in (0, 2, 4))
    assert all(lines[number].startswith("     ") for number in (1, 3, 5))
    assert "Toy Story" not in "".join(line.split("  [")[0] for line in lines[::2])
    assert err == ""


def test_filters_hold(recommend):
    code, out, _ = recommend("--user", "17", "-n", "40", "--where", "year >= 1990", "--exclude", "Heat", "--json")
    content = json.loads(out)
    assert code == 0
    titles = [pick["title"] for pick in content["picks"]]
    assert titles
    assert all(int(title[-5:-1]) >= 1990 for title in titles)
    assert "Heat (1995)" not in titles
    assert content["notes"][0].startswith(f"{len(titles)} of 40 items: 40 in the catalog, less")


def test_a_request_needs_no_history_and_is_printed(recommend):
    code, out, _ = recommend("--query", "no horror, from the 90s, zzz", "-n", 2)
    assert code == 0
    assert out.splitlines()[0] == "understood: only genre != 'Horror' and 1990 <= year < 2000; not understood: zzz"
    assert len(out.splitlines()) == 4
    assert out.splitlines()[-1].startswith("note: no history")
    code, out, _ = recommend("--user", "17", "--query", "horror", "-n", 1, "--json")
    assert json.loads(out)["parsed_query"] == {"where": None, "preferences": ["genre Horror"], "unknown": []}
    refused(recommend("--query", "x" * 501), 2, "501 characters; at most 500")
    refused(recommend("--users", "all", "--out", "x.jsonl", "--query", "horror"), 2, "--query")


def test_re_ranking(recommend, saved):
    plain = recommend("--user", "17", "-n", "5")[1]
    assert recommend("--user", "17", "-n", "5", "--rerank", "none")[1] == plain
    for weight, same in (("0", True), ("1", False)):
        code, out, err = recommend("--user", "17", "-n", "5", "--rerank", "mmr", "--rerank-weight", weight)
        assert (code, err) == (0, "")
        assert (out == plain) is same
    assert recommend("--user", "17", "--rerank", "variety")[0] == 2
    refused(recommend("--user", "17", "--rerank-weight", "0.3"), 2, "give --rerank mmr or calibration too")
    refused(recommend("--user", "17", "--rerank", "mmr", "--rerank-weight", "2"), 2, "--rerank-weight 2: give")
    refused(recommend("--user", "17", "--rerank", "mmr", "--rerank-weight", "nan"), 2, "--rerank-weight nan: give")


def test_answering_in_fewer_bits(recommend, genre, saved, tmp_path):
    exact, served = (
        json.loads(recommend("--user", "17", "--quantization", name, "--json")[1]) for name in ("none", "int8")
    )
    first, second = ({pick["id"] for pick in answer["picks"]} for answer in (exact, served))
    assert len(first & second) >= 8  # of 10; processors round in eight bits differently
    assert exact == json.loads(recommend("--user", "17", "--json")[1])
    code, _, err = recommend("--user", "17", "--quantization", "int3")
    assert code == 2
    assert all(part in err for part in ("--quantization", "int3", "int8"))
    code, out, _ = genre("explain", "movies", "--model", saved, "--item", "9", "--user", "17", "--quantization", "nf4")
    assert code == 0
    assert out
    arguments = ("evaluate", "movies", "--model", saved, "--out", tmp_path / "e", "--quantization", "int8", "--json")
    assert json.loads(genre(*arguments)[1])["notes"]["quantization"] == "int8"


def test_re_ranked_files_are_not_mixed_with_others(recommend, saved, tmp_path):
    files = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert recommend("--users", "all", "-n", "5", "--out", files[0])[0] == 0
    assert recommend("--users", "all", "-n", "5", "--out", files[1], "--rerank", "calibration")[0] == 0
    assert files[0].read_text() != files[1].read_text()


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (["--user", "17", "-n", "40", "--where", "genre == 'Horror'"], "of 40 items: 40 in the catalog, less"),
        (["--user", "17", "-n", "41"], "of 41 items: 40 in the catalog, less"),
        (["--user", "nobody"], "no history: ranked as for an unknown user"),
        ([], "no history: ranked as for an unknown user"),
        (["--user", "17", "--at", "1970-01-01"], "no history: ranked as for an unknown user"),
    ],
)
def test_what_is_to_be_said_of_a_list_stands_below_it(recommend, arguments, note):
    code, out, _ = recommend(*arguments)
    assert code == 0
    assert out.splitlines()[-1].startswith("note: ")
    assert note in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["--history", "Toy Stroy"], 1, ["no item 'Toy Stroy'", "did you mean 'Toy Story (1995)'"]),
        (["--history", "Alein"], 1, ["did you mean 'Alien (1979)'"]),
        (["--history", ""], 1, ["no item ''"]),
        (["--user", "17", "--where", "yaer > 1990"], 2, ["no field yaer", "did you mean year"]),
        (["--user", "17", "--where", "year >"], 2, ["cannot be read"]),
        (["--user", "17", "--where", "__import__('os')"], 2, ["not a comparison"]),
        (["--user", "17", "--where", ""], 2, ["where: the expression is empty"]),
        (["--user", "17", "--exclude", "Alein"], 1, ["no item 'Alein'"]),
        (["--user", "17", "--history", "Alien"], 2, ["give either --user or --history"]),
        (["--user", "17", "--at", "soon"], 2, ["'soon' is not a moment"]),
        (["--user", "17", "-n", "0"], 2, ["n = 0; ask for at least one"]),
        (["--user", "17", "-n", "-1"], 2, ["n = -1"]),
        (["--history", "Alien=9"], 2, ["the rating 9 of 'Alien' is off the scale, which runs from 1 to 5"]),
        (["--history", "Alien=nan"], 2, ["'nan' is not a rating of 'Alien'; give a number"]),
        (["--history", "Alien=inf"], 2, ["'inf' is not a rating of 'Alien'"]),
        (["--history", "Alien (1979)=abc"], 2, ["'abc' is not a rating of 'Alien (1979)'"]),
        (["--history", "Alein=abc"], 1, ["no item 'Alein=abc'"]),
        (["--user", "17", "--out", "x.jsonl"], 2, ["--split, --out and --layout need --users"]),
        (["--user", "17", "--split", "test"], 2, ["--split, --out and --layout need --users"]),
        (["--users", "all"], 2, ["--users needs --out"]),
        (["--users", "all", "--split", "train", "--out", "x.jsonl"], 2, ["--split train: choose test or validation"]),
        (["--users", "all", "--user", "17", "--out", "x.jsonl"], 2, ["excludes --user, --history and --query"]),
        (["--users", "all", "--out", "x.csv"], 2, [".parquet or .jsonl"]),
        (["--users", "nowhere", "--out", "x.jsonl"], 1, ["a file with one user id per line"]),
        (["--users", "all", "--out", "/proc/none/x.jsonl"], 1, ["/proc/none"]),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(recommend, arguments, code, parts):
    refused(recommend(*arguments), code, *parts)


def test_n_is_looked_at_before_anything_is_loaded(genre):
    refused(genre("recommend", "movies", "--model", "nowhere", "-n", "0"), 2, "n = 0")


def test_titles_with_an_equals_sign_are_titles(mixed):
    items = mixed.state.catalog
    mixed = altered(mixed, catalog=Catalog([*items[:-1], Item("40", "Area=4", items[-1].attributes)]))
    for text, event in {
        "Area=4": "Area=4", "Area=4=5": ("Area=4", 5.0), "Alien=3.5": ("Alien", 3.5), "Alein=good": "Alein=good",
        "Alien": "Alien",
    }.items():  # fmt: skip
        assert options.read_event(mixed, text) == event


def test_all_users_with_json(recommend, tmp_path):
    code, out, _ = recommend("--users", "all", "-n", "1", "--out", tmp_path / "a.jsonl", "--json")
    assert code == 0
    assert json.loads(out) == {"users": 30, "file": str(tmp_path / "a.jsonl")}


def test_picks_open_in_other_tools(recommend, tmp_path):
    recommend("--users", "all", "-n", "2", "--out", tmp_path / "a.parquet", "--where", "year > 1985")
    table = pl.scan_parquet(tmp_path / "a.parquet").group_by("user_id").len().collect()
    assert table["len"].to_list() == [2] * 30


def test_explaining(genre, saved):
    code, out, _ = genre("explain", "movies", "--item", "alien", "--user", "17", "--model", saved)
    lines = out.splitlines()
    assert code == 0
    assert "Alien (1979)" in lines[0]
    assert all(line.startswith("  fact: ") for line in lines[1:])
    assert len(lines) > 1
    code, out, _ = genre("explain", "--item", "alien", "--history", "Aliens=5", "--model", saved, "--json")
    content = json.loads(out)
    assert code == 0
    assert set(content) == {"text", "method", "facts"}
    more = ("--why", "--instead-of", "Up", "--what-if", "--user", "17", "--model", saved)
    code, out, _ = genre("explain", "--item", "alien", *more)
    assert code == 0
    assert "Alien (1979) scores" in out
    assert "would be number" in out
    assert "log-probability by the LLM" in out
    code, out, _ = genre("explain", "--item", "alien", *more, "--json")
    assert {"attribution", "comparison", "what_if"} < set(json.loads(out))
    refused(genre("explain", "--item", "alien", "--instead-of", "Alien", "--user", "17", "--model", saved), 2, "itself")
    refused(genre("explain", "--user", "17", "--model", saved), 2, "--item is missing")
    refused(genre("explain", "--item", "Alien", "--model", saved), 2, "give either --user or --history")
    refused(genre("explain", "--item", "Alien", "--user", "nobody", "--model", saved), 1, "no user 'nobody' among 30")
    refused(genre("explain", "--item", "Alein", "--user", "17", "--model", saved), 1, "did you mean 'Alien")


def test_a_page_is_written(genre, saved, tmp_path):
    file = tmp_path / "page.html"
    code, out, _ = genre("report", saved, "--user", "17", "--user", "3", "-o", file, "-n", 2)
    assert (code, out) == (0, f"wrote {file}\n")
    assert file.read_text("utf-8").count("<article") == 2
    refused(genre("report", saved), 2, "--user is missing")
