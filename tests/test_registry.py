"""Registries: names of built-in and installed components, and a package that brings one of each kind."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from genre_gen import Recommender
from genre_gen.codes import make_codes
from genre_gen.data.readers import load_data
from genre_gen.data.splits import leave_one_out
from genre_gen.domain import CodeSettings
from genre_gen.errors import CheckpointError, ConfigError
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.variables import entry
from genre_gen.registry import CODE_SCHEMES, ENCODERS, MEMBERS, RATERS, READERS, TASKS, TRACKERS

KINDS = {
    "members": (MEMBERS, "Rarest"),
    "raters": (RATERS, "Middle"),
    "tasks": (TASKS, "Decade"),
    "readers": (READERS, "Mine"),
    "code_schemes": (CODE_SCHEMES, "backwards"),
    "encoders": (ENCODERS, "Lengths"),
    "trackers": (TRACKERS, "Printed"),
}
SOURCE = """
from pathlib import Path

import numpy as np

from genre_gen.codes import atomic
from genre_gen.codes.base import Codes
from genre_gen.collaborative import CollaborativeModel, RatingModel
from genre_gen.data.readers.table import PlainTable
from genre_gen.tasks.base import in_words


class Rarest(CollaborativeModel):
    name = "mine"
    hyperparameters, learned, grid = ("base",), ("scores",), ({"base": (1.0, 2.0)},)

    def __init__(self, base=1.0):
        self.base = base

    def fit(self, interactions):
        counts = np.bincount(interactions.rows, minlength=interactions.n_items)
        self.scores = (1 / (self.base + counts)).astype(np.float32)
        return self

    def score(self, histories):
        return np.tile(self.scores, (len(histories), 1))


class Middle(RatingModel):
    name = "mine"
    hyperparameters, learned = RatingModel.SHARED, ("rated_items",)

    def __init__(self, rating_scale=None, duplicates="refused"):
        super().__init__(rating_scale, duplicates)

    def fit(self, interactions):
        self.checked(interactions)
        return self

    def estimate(self, history, rows):
        return np.full(len(rows), self.mean), len(history) > 0


class Decade:
    name, depth = "mine", "exit"
    variables, templates = {"item": "the item", "answer": "its decade"}, Path(__file__).parent / "prompts"

    def examples(self, data, book, rng, *, open=False):
        for row in rng.permutation(len(data.catalog)).tolist():
            decade = f"{(data.catalog[row].attributes['year'] or 1900) // 10}0s"
            yield in_words(book, self.name, answer=decade, open=open, item=data.entry(row))

    def grade(self, answers, truths):
        return {"equal": float(np.mean([a == b for a, b in zip(answers, truths)]))} if answers else {}


class Mine(PlainTable):
    name = "mine"


def backwards(settings, catalog, embed):
    codes = atomic(len(catalog))
    return Codes("mine", codes.codes[::-1].copy(), codes.names)


class Lengths:
    def __init__(self, base, tokenizer):
        pass

    def encode(self, texts):
        return np.array([[len(text), text.count("a"), text.count("e")] for text in texts], np.float32)


class Printed:
    def __init__(self, folder):
        self.folder = folder

    def start(self, run):
        print(run.name)

    def log(self, values, step):
        print(step, values)

    def finish(self, status, metrics):
        print(status)
"""
TEMPLATES = {
    "mine.system.jinja": "You know when films were made.",
    "mine.user.jinja": "When was {{ item.code }} made?",
    "mine.assistant.jinja": "{{ answer }}",
}
CHOSEN = {
    "data.reader": "mine",
    "codes.scheme": "mine",
    "codes.encoder": "mine",
    "blend.members": ["popularity", "mine"],
    "ratings.members": ["mine"],
    "tasks": {"next_item": {"depth": "exit"}, "mine": {"weight": 0.2, "depth": "exit"}},
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a package with one component of each kind, all called ``mine``."""

    def forget():
        for name in [name for name in sys.modules if name.startswith("genre_mine")]:
            del sys.modules[name]
        for registry, _ in KINDS.values():
            registry._loaded.clear()

    def install(source=SOURCE, package="genre-mine", name="mine"):
        module = package.replace("-", "_")
        folder, info = tmp_path / package / module, tmp_path / package / f"{module}-1.0.dist-info"
        (folder / "prompts").mkdir(parents=True)
        info.mkdir()
        (folder / "__init__.py").write_text(source)
        for file, text in TEMPLATES.items():
            (folder / "prompts" / file).write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        groups = [f"[genre_gen.{group}]\n{name} = {module}:{brought}\n" for group, (_, brought) in KINDS.items()]
        (info / "entry_points.txt").write_text("\n".join(groups))
        monkeypatch.syspath_prepend(str(folder.parent))
        forget()
        return module

    yield install
    forget()


@pytest.fixture
def chosen(install, tiny_domain):
    """Return a domain that names components of another package."""
    install()
    return tiny_domain.changed(CHOSEN)


def test_every_built_in_name_is_that_of_its_component():
    for registry in (MEMBERS, RATERS, TASKS, READERS):
        assert {name: part.name for name, part in registry.built_in().items()} == {name: name for name in registry}
    for registry in (CODE_SCHEMES, ENCODERS):
        assert all(callable(part) for part in registry.built_in().values())
    assert set(RATERS) & set(MEMBERS) == {"svd"}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("blend.members", ["eaze"], r"no member 'eaze', did you mean 'ease'\?; there are: popularity, seq"),
        ("ratings.members", ["svd++"], r"no rating model 'svd\+\+', did you mean 'svd'\?; there are: svd, svdpp"),
        ("tasks.rateing", {"weight": 1}, "no task 'rateing', did you mean 'rating'"),
        ("data.reader", "movielense", "no reader 'movielense', did you mean 'movielens'"),
        ("codes.scheme", "semantics", "no code scheme 'semantics', did you mean 'semantic'"),
        ("codes.encoder", "bert", "no encoder 'bert'; there are: llm, minilm"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_settings(tiny_domain, key, value, told):
    with pytest.raises(ConfigError, match=told):
        tiny_domain.changed({key: value})


def test_names_are_listed_and_checked_without_an_import(install, tiny_domain):
    module = install("raise RuntimeError('imported')")
    for registry, _ in KINDS.values():
        assert "mine" in registry
        assert list(registry)[-1] == "mine"
    domain = tiny_domain.changed({"blend.members": ["mine"], "codes.scheme": "mine"})
    with pytest.raises(
        CheckpointError, match=r"^runs/x: the code scheme 'mine' .* package genre-mine.*plugins=\['genre-"
    ):
        domain.check_components((), "runs/x")
    domain.check_components(["Genre_Mine"], "runs/x")
    with pytest.raises(CheckpointError):
        MEMBERS.load("mine", allowed=["another"])
    assert module not in sys.modules
    with pytest.raises(ConfigError, match=r"member 'mine' of the package genre-mine cannot be imported \(RuntimeError"):
        MEMBERS["mine"]


def test_what_a_package_brings_amiss_is_one_line_that_names_it(install):
    install(
        SOURCE.replace("def score", "def rank").replace('name, depth = "mine", "exit"', 'name, depth = "x", "exit"')
    )
    with pytest.raises(
        ConfigError, match="member 'mine' of the package genre-mine lacks score, which every member needs"
    ):
        MEMBERS["mine"]
    with pytest.raises(ConfigError, match="task 'mine' of the package genre-mine has the name 'x'"):
        TASKS["mine"]
    install(SOURCE.replace("variables, templates = ", "texts = "), package="genre-other", name="other")
    with pytest.raises(ConfigError, match="task 'other' of the package genre-other lacks variables, templates"):
        TASKS["other"]


def test_no_package_takes_a_name_that_is_in_use(install, tiny_domain):
    install(name="ease")
    with pytest.raises(ConfigError, match="package genre-mine has a member 'ease', which is a built-in name"):
        MEMBERS["ease"]
    assert MEMBERS["popularity"].name == "popularity"
    install(package="genre-one", name="same")
    install(package="genre-two", name="same")
    with pytest.raises(ConfigError, match=r"blend.members.0: the packages genre-\w+ and genre-\w+ both have a member"):
        tiny_domain.changed({"blend.members": ["same"]})


def test_a_tracker_of_a_package(install, capsys):
    install()
    TRACKERS["mine"](Path()).log({"loss": 1.0}, 3)
    assert capsys.readouterr().out == "3 {'loss': 1.0}\n"


def test_components_of_a_package_are_read_trained_saved_and_loaded_where_it_is_allowed(chosen, sample, tmp_path):
    catalog, interactions = sample
    folder = tmp_path / "data"
    folder.mkdir()
    rows = (f"{history.user},{catalog[row].id},{rating:g},{time}" for history in interactions.histories()
            for row, rating, time in zip(history.rows, history.ratings, history.times, strict=True))  # fmt: skip
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *rows]) + "\n")
    read = load_data(chosen, folder, catalog)
    assert len(read.interactions) == len(interactions)
    codes = make_codes(CodeSettings(scheme="mine"), catalog)
    assert codes.codes[0, 0] == len(catalog) - 1

    split = leave_one_out(read.interactions, catalog)
    recommender = Recommender(chosen).fit(split)
    state = recommender.state
    assert set(state.members) == {"popularity", "mine"}
    assert state.tuned.members["mine"]["base"] in (1.0, 2.0)
    assert set(state.rating_models) == {"mine"}
    recommender.save_pretrained(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"run: the .* 'mine' is code of the package genre-mine"):
        Recommender.from_pretrained(tmp_path / "run")
    again = Recommender.from_pretrained(tmp_path / "run", plugins=["genre-mine"]).state
    histories = [split.validation[0].history]
    for name, model in again.members.items():
        np.testing.assert_array_equal(model.score(histories), state.members[name].score(histories))
    np.testing.assert_allclose(again.generator.score(histories), state.generator.score(histories), atol=1e-5)
    assert again.book.fingerprint("mine") == state.book.fingerprint("mine")


def test_templates_of_a_domain_replace_those_of_a_package(chosen, sample, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.user.jinja").write_text("Which decade is {{ item.code }} of?")
    book = PromptBook(tmp_path / "own", tasks=TASKS.added(chosen.tasks))
    for templates, asked in ((PromptBook.load(chosen), "When was"), (book, "Which decade is")):
        prompt = templates.render("mine", item=entry(sample[0], 0), answer="1990s")
        assert prompt.messages[-2].text.startswith(asked)
    assert book.variables("mine") == {"item": "the item", "answer": "its decade"}
