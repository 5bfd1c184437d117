"""A domain and its data from tables that nothing is known of: the same from files, frames and `domains new`."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre_gen.data.readers import Data, load_data
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError, DataError, UsageError
from genre_gen.new_domain.inference import check_name, infer_domain
from genre_gen.new_domain.scaffold import start_domain
from genre_gen.prompting.book import PromptBook

SAMPLE = Path(__file__).parents[2] / "catalogs" / "movies"
LOG, FILMS = SAMPLE / "interactions.csv", SAMPLE / "items.csv"


def assert_same(ours: Data, theirs: Data) -> None:
    assert ours.catalog.fingerprint() == theirs.catalog.fingerprint()
    for name in ("users", "offsets", "rows", "ratings", "times"):
        np.testing.assert_array_equal(getattr(ours.interactions, name), getattr(theirs.interactions, name))


def settings_of(domain: Domain) -> dict:
    return {key: value for key, value in domain.settings().items() if key not in ("name", "data")}


def test_files_frames_and_a_new_domain_are_the_same(tmp_path):
    inferred = infer_domain(LOG, FILMS, noun="film")
    assert (inferred.domain.name, inferred.domain.noun) == ("items", "film")
    assert list(inferred.domain.fields) == ["genre", "year"]
    assert (len(inferred.data.catalog), len(inferred.data.interactions)) == (40, 335)
    assert_same(load_data(inferred.domain), inferred.data)  # it says where its files lie
    start_domain("cinema", LOG, FILMS, tmp_path, noun="film")
    assert not [path for path in tmp_path.iterdir() if path.name not in ("catalogs", "prompts")]
    new = Domain.load(tmp_path / "catalogs" / "cinema")
    assert settings_of(new) == settings_of(inferred.domain)
    assert_same(load_data(new), inferred.data)
    framed = infer_domain(pl.read_csv(LOG), pl.read_csv(FILMS), noun="film")
    assert settings_of(framed.domain) == settings_of(inferred.domain)
    assert_same(framed.data, inferred.data)
    book = PromptBook.load(framed.domain)
    assert book.render("next_item", history=()).messages[0].text == "You recommend films."


def test_pandas_gives_the_same_domain():
    pd = pytest.importorskip("pandas")
    log, films = pd.read_csv(LOG), pd.read_csv(FILMS)
    films["genre"] = films["genre"].astype("category")
    log["timestamp"] = pd.to_datetime(log["timestamp"], unit="s", utc=True).dt.tz_convert("Asia/Tokyo")
    log["rating"] = log["rating"].astype("Int64")
    framed = infer_domain(log, films.set_index("item_id"), noun="film")
    inferred = infer_domain(LOG, FILMS, noun="film")
    assert settings_of(framed.domain) == settings_of(inferred.domain)
    assert_same(framed.data, inferred.data)


def test_data_in_memory_has_no_place(tmp_path):
    domain = infer_domain(pl.read_csv(LOG)).domain
    assert (domain.name, domain.noun, domain.data.path, domain.data.source) == ("dataset", "item", None, None)
    with pytest.raises(DataError, match="the domain dataset was made from data in memory and names no files; give"):
        load_data(domain)
    assert len(load_data(domain, LOG).interactions) == 335
    assert Domain.from_settings(domain.settings()).data == domain.data


@pytest.mark.parametrize(
    ("file", "name", "noun"),
    [("books.csv", "books", "book"), ("my books (2).csv", "my-books-2", "item"), ("movies.csv", "my-movies", "movie"),
     ("日本.csv", "dataset", "item")],
)  # fmt: skip
def test_names_come_from_the_item_file(tmp_path, file, name, noun):
    (tmp_path / file).write_bytes(FILMS.read_bytes())
    domain = infer_domain(LOG, tmp_path / file).domain
    assert (domain.name, domain.noun) == (name, noun)


def test_columns_may_be_named():
    log = pl.read_csv(LOG)
    bare = infer_domain(log, columns={"rating": None, "time": None}).data.interactions
    assert (bare.ratings, bare.times) == (None, None)
    equal = infer_domain(log.with_columns(rating=1)).data.interactions
    assert equal.ratings is None  # which tell nothing
    renamed = log.rename({"user_id": "someone"}).with_columns(other=pl.col("someone"))
    with pytest.raises(DataError, match=re.escape("interactions: cannot tell which column is the user; name it as")):
        infer_domain(renamed)
    assert infer_domain(renamed, columns={"user": "someone"}).data.interactions.users[0] == str(log["user_id"][0])


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ({"name": "a b"}, UsageError, "'a b' cannot name a domain"),
        ({"name": "movies"}, ConfigError, "'movies' is the name of a shipped domain; give another, such as my"),
        *(({"noun": noun}, UsageError, "give one or two words of") for noun in ("{{ x }}", "a\nb", "", "film 2")),
    ],
)
def test_names_that_cannot_be_used(names, error, message):
    with pytest.raises(error, match=message):
        infer_domain(LOG, **names)


def test_a_domain_of_the_user_in_a_clone_is_not_a_shipped_one(tmp_path, monkeypatch):
    for name in ("movies", "mine"):
        (tmp_path / "catalogs" / name).mkdir(parents=True)
    (tmp_path / "catalogs" / "movies" / "SOURCE.md").write_text("")
    (tmp_path / "prompts" / "generic").mkdir(parents=True)
    monkeypatch.setattr("genre_gen.new_domain.inference.assets_folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    assert check_name("mine") == "mine"
    for name in ("movies", "generic"):
        with pytest.raises(ConfigError, match="is the name of a shipped domain"):
            check_name(name)
