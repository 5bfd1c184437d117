"""domain.toml: what it may hold, where it is found, and how its mistakes are reported."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from genre_gen import domain as module
from genre_gen.data import settings as data_settings
from genre_gen.data.event_settings import EventSettings
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError

SMALL = 'name = "books"\n[data]\npath = "."\n'


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "domain.toml").write_text(text, encoding="utf-8")
    return folder


def test_movies_as_shipped():
    movies = Domain.load("movies")
    assert movies.data.source == "ml-100k"
    assert {name: field.type for name, field in movies.fields.items()} == {"genre": "list", "year": "number"}
    assert (movies.repeat, movies.liked_from, movies.rating_scale) == (False, 4, (1, 5))
    assert (movies.tasks["next_item"].weight, movies.tasks["next_item"].depth) == (1.0, "exit")
    assert (movies.tasks["title"].weight, movies.tasks["title"].depth) == (0.05, "full")
    assert movies.model.exit_layer is not None
    assert movies.blend.members == ("sequential_rules", "ease", "popularity", "svd")
    assert (movies.catalog_folder / "domain.toml").is_file()
    assert movies.prompts_folder.parts[-2:] == ("prompts", "movies")
    assert "movies" in Domain.available()


def test_every_setting_is_documented_in_the_shipped_file():
    text = (Domain.load("movies").catalog_folder / "domain.toml").read_text(encoding="utf-8")
    models = [
        value
        for value in (vars(module) | vars(data_settings) | {"EventSettings": EventSettings}).values()
        if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    models = [model for model in models if "languages" not in model.__module__]  # docs/guides/languages.md has those
    settings = {name for model in models for name, field in model.model_fields.items() if not field.exclude}
    missing = [name for name in sorted(settings) if not re.search(rf"\b{name}\b", text)]
    assert not missing


@pytest.mark.parametrize(
    ("section", "model"),
    [("codes", module.CodeSettings), ("model", module.ModelSettings), ("training", module.Training),
     ("data.columns", data_settings.Columns), ("data.policies", data_settings.Policies),
     ("events.<kind>", EventSettings)],
)  # fmt: skip
def test_the_tables_of_the_guide_hold_every_key_and_no_other(section, model):
    guide = (Path(__file__).parents[1] / "catalogs" / "README.md").read_text(encoding="utf-8")
    table = guide.partition(f"\n## `[{section}]`")[2].partition("\n## ")[0]
    keys = [key for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)]
    assert sorted(keys) == sorted(model.model_fields)


def test_a_small_file_is_enough_and_the_rest_has_defaults(tmp_path):
    books = Domain.load(write(tmp_path / "books", SMALL))
    assert books.fields == {}
    assert books.model.exit_layer is None
    assert books.training.seed == 0


def test_all_problems_at_once_each_with_its_key(tmp_path):
    folder = write(
        tmp_path / "books",
        'name = "books"\nrepat = true\nliked_from = 9\nrating_scale = [1, 5]\n[data]\npath = "."\n'
        '[fields.genre]\ntype = "labels"\n[training]\nepochs = 0\ndropuot = 0.1\n[tasks.rating]\nwieght = 1\n',
    )
    with pytest.raises(ConfigError) as caught:
        Domain.load(folder)
    message = str(caught.value)
    assert str(folder / "domain.toml") in message
    for part in (
        "repat: unknown key, did you mean 'repeat'?",
        "fields.genre.type: ",
        "'labels'",
        "training.epochs: ",
        "training.dropuot: unknown key, did you mean 'dropout'?",
        "tasks.rating.wieght: unknown key, did you mean 'weight'?",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "books"\nname = "again"\n', "not valid TOML"),
        ('name = "books"\n[data]\nsource = "a"\npath = "b"\n', "either source"),
        ('name = "../books"\n[data]\npath = "."\n', "name"),
        (SMALL + 'reader = "cvs"\n', "'cvs'"),
        (SMALL + '[fields.class]\ntype = "text"\n', "'class' cannot name a field"),
        (SMALL + '[fields.title]\ntype = "text"\n', "'title' cannot name a field"),
        (SMALL + '[fields.genre]\ntype = "list"\nin_title = true\n', "in_title works for number fields"),
        (SMALL + '[fields.year]\ntype = "number"\nseparator = "|"\n', "separator must"),
        (SMALL + "[training]\nlearning_rate = nan\n", "training.learning_rate"),
        ("rating_scale = [5, 1]\n" + SMALL, "from low to high"),
        ("liked_from = 9\nrating_scale = [1, 5]\n" + SMALL, "outside rating_scale"),
        ('catalog_folder = "/"\n' + SMALL, "catalog_folder: unknown key"),
        ("[data]\npath = '.'\n", "name: missing"),
    ],
)
def test_invalid_settings_are_refused(tmp_path, text, expected):
    with pytest.raises(ConfigError, match=re.escape(expected)):
        Domain.load(write(tmp_path / "books", text))


def test_unknown_name_and_missing_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"no domain 'movis', did you mean 'movies'\?"):
        Domain.load("movis")
    with pytest.raises(ConfigError, match="no such file"):
        Domain.load(tmp_path / "nothing")


def test_the_working_directory_comes_before_what_is_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Domain.load("movies").catalog_folder != tmp_path / "catalogs" / "movies"
    (tmp_path / "prompts" / "movies").mkdir(parents=True)
    assert Domain.load("movies").prompts_folder == tmp_path / "prompts" / "movies"
    write(tmp_path / "catalogs" / "movies", SMALL.replace("books", "movies"))
    assert Domain.load("movies").catalog_folder == tmp_path / "catalogs" / "movies"
    write(tmp_path / "catalogs" / "mine", SMALL)
    assert {"mine", "movies"} <= set(Domain.available())


def test_a_folder_may_bring_its_own_prompts(tmp_path):
    folder = write(tmp_path / "saved", SMALL.replace("books", "movies"))
    assert Domain.load(folder).prompts_folder != folder / "prompts"
    (folder / "prompts").mkdir()
    assert Domain.load(str(folder)).prompts_folder == folder / "prompts"


def test_a_folder_elsewhere_finds_the_prompts_that_were_written_with_it(tmp_path):
    folder = write(tmp_path / "sub" / "catalogs" / "movies", SMALL.replace("books", "movies"))
    prompts = tmp_path / "sub" / "prompts" / "movies"
    assert Domain.load(folder).prompts_folder != prompts
    prompts.mkdir(parents=True)
    assert Domain.load(folder).prompts_folder == prompts


def test_a_folder_may_be_relative(tmp_path, monkeypatch):
    write(tmp_path / "books", SMALL)
    monkeypatch.chdir(tmp_path)
    assert Domain.load("./books").name == "books"
    with pytest.raises(ConfigError, match="no domain 'books'"):
        Domain.load("books")


def test_a_domain_cannot_be_changed_in_place():
    movies = Domain.load("movies")
    with pytest.raises(ValidationError):
        movies.model.exit_layer = 3
    with pytest.raises(ValidationError):
        movies.name = "x"


def test_settings_make_the_same_domain_again():
    movies = Domain.load("movies")
    again = Domain.from_settings(movies.settings())
    assert again.settings() == movies.settings()
    assert again.training == movies.training
    assert "catalog_folder" not in movies.settings()


def test_changed_replaces_settings_by_their_dotted_name():
    movies = Domain.load("movies")
    before = movies.settings()
    other = movies.changed({"training.epochs": 3, "model.exit_layer": None, "model.llm": "mine"})
    assert (other.training.epochs, other.model.exit_layer, other.model.llm) == (3, None, "mine")
    assert other.prompts_folder == movies.prompts_folder
    assert movies.settings() == before
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        movies.changed({"training.epoch": 3})
    with pytest.raises(ConfigError, match="not a section"):
        movies.changed({"name.first": "x"})


def test_a_column_may_be_named_without_brackets(tmp_path):
    books = Domain.load(write(tmp_path / "books", SMALL + '[data.columns]\nuser = "reader"\nitem = ["isbn", "id"]\n'))
    assert books.data.columns.user == ("reader",)
    assert books.data.columns.item == ("isbn", "id")


def test_changes_stay_as_they_were_given():
    base = {"tasks.rating": {"weight": 0.5, "depth": "exit"}}
    both = base | {"tasks.rating.weight": 0.0}
    domain = Domain.load("movies")
    assert domain.changed(both).tasks["rating"].weight == 0
    assert domain.changed(base).tasks["rating"].weight == 0.5
