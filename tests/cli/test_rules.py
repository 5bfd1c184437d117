"""Rules on the command line."""

import json

import polars as pl
import pytest
from fakes import altered

from genre_gen import Rules
from tests.cli.outcomes import refused


@pytest.fixture
def ruled(genre, mixed, tmp_path):
    """Return a function that asks a recommender whose domain pins Casablanca and takes two films of each genre."""
    altered(mixed, {"rules": {"pins": ["Casablanca"], "at_most": {"genre": 2}}}).save_pretrained(tmp_path / "ruled")

    def run(*arguments):
        code, out, err = genre("recommend", "movies", "--model", tmp_path / "ruled", "-n", 5, "--json", *arguments)
        assert (code, err) == (0, "")
        content = json.loads(out)
        return [(pick["title"], pick["pinned"]) for pick in content["picks"]], content["notes"]

    return run


def test_rules_are_given_with_the_request(recommend, tiny_recommender):
    arguments = ["--boost", "0.5 genre == 'Drama'", "--boost", "-0.5 year<1980", "--pin", "Alien", "--pin", "Heat@3"]
    arguments += ["--at-most", "2 genre", "--at-most", "4  year >= 1980", "--at-least", "1 year < 1970"]
    code, out, err = recommend("--user", "17", "-n", 6, "--json", *arguments)
    rules = Rules(
        boosts={"genre == 'Drama'": 0.5, "year<1980": -0.5},
        pins={"Alien": 1, "Heat": 3},
        at_most={"genre": 2, "year >= 1980": 4},
        at_least={"year < 1970": 1},
    )
    expected = tiny_recommender.recommend("17", n=6, rules=rules)
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert [(pick["id"], pick["pinned"]) for pick in content["picks"]] == [(p.item.id, p.pinned) for p in expected]
    assert content["notes"] == list(expected.notes)
    code, out, _ = recommend("--user", "17", "-n", 1, "--pin", "Casablanca (1942)", "--explain")
    assert out.splitlines()[0].endswith("  pinned")
    assert out.splitlines()[1] == "     Casablanca (1942) was placed here by an editor."


def test_rules_of_the_request_come_on_top_of_the_domain(ruled):
    casablanca, alien = ("Casablanca (1942)", True), ("Alien (1979)", True)
    picks, _ = ruled("--user", "17")
    assert picks[0] == casablanca
    assert ruled("--user", "17", "--pin", "Alien@2")[0][:2] == [casablanca, alien]
    assert ruled("--user", "17", "--pin", "Alien")[0][0] == alien  # takes the rank of the other
    assert not any(pinned for _, pinned in ruled("--user", "17", "--no-rules")[0])
    assert [pick for pick in ruled("--user", "17", "--no-rules", "--pin", "Alien@2")[0] if pick[1]] == [alien]
    assert len(ruled("--user", "17", "--at-most", "1 year > 1900")[0]) == 1


def test_files_of_picks_are_made_by_rules(recommend, tmp_path):
    out = tmp_path / "picks.parquet"
    assert recommend("--users", "all", "-n", 4, "--out", out, "--pin", "Casablanca@2")[0] == 0
    table = pl.read_parquet(out)
    pinned = table.filter("pinned")
    assert pinned["rank"].unique().to_list() == [2]
    assert pinned["title"].unique().to_list() == ["Casablanca (1942)"]
    missed = table.filter(~pl.col("user_id").is_in(pinned["user_id"].to_list()))
    assert all("not pinned at rank 2: seen already" in note for note in missed["note"])
    assert set(table["user_id"]) == set(pinned["user_id"]) | set(missed["user_id"])


def test_a_title_may_hold_the_sign_for_ranks(monkeypatch, recommend):
    from genre_gen import Catalog, Item
    from genre_gen.cli import rules

    class Holder:
        class state:
            catalog = Catalog([Item("1", "Night @ 8"), Item("2", "Up")])

    assert rules._pin(Holder, "Night @ 8") == ("Night @ 8", "first")
    assert rules._pin(Holder, "Night @ 8@3") == ("Night @ 8", 3)
    assert rules._pin(Holder, "Up@2") == ("Up", 2)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["--boost", "genre == 'Drama'"],
            ["--boost \"genre == 'Drama'\": write an amount, a space and what it is for"],
        ),
        (["--boost", "much genre == 'Drama'"], ["--boost", "write an amount, a space"]),
        (["--boost", "0.5"], ["--boost '0.5': write an amount", "'0.5 year >= 1990'"]),
        (["--boost", "nan year > 1980"], ["rules.boosts.year > 1980: should be a finite number"]),
        (["--boost", "1 yeer > 1980"], ["rules.boosts: where 'yeer > 1980': no field yeer", "did you mean year?"]),
        (["--boost", "1 year > > 1980"], ["cannot be read at character 8"]),
        (["--pin", "Alein@2"], ["rules.pins: no item 'Alein'", "did you mean 'Alien (1979)'"]),
        (["--pin", "Alien@first"], ["--pin 'Alien@first': 'first' is not a rank; write ITEM@RANK, such as 'Alien@1'"]),
        (["--pin", "Alien@0"], ["rules.pins.Alien: should be greater than or equal to 1"]),
        (["--pin", "Alien@2", "--pin", "Heat@2"], ["rules.pins.Heat: rank 2 is taken by 'Alien'"]),
        (["--at-most", "genre"], ["--at-most 'genre': write a whole number, a space and what it is for"]),
        (["--at-most", "1.5 genre"], ["--at-most '1.5 genre': write a whole number"]),
        (["--at-most", "0 genre"], ["rules.at_most.genre: should be greater than or equal to 1"]),
        (["--at-most", "2 gerne"], ["rules.at_most.gerne: no such field, did you mean 'genre'?"]),
        (["--at-least", "2 genre"], ["rules.at_least.genre: a field alone"]),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(recommend, arguments, parts):
    refused(recommend("--user", "17", *arguments), 2, *parts)
