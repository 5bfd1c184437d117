"""What many tests share: a tiny recommender, trained for seconds on the sample data with a random model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

# The tests of the hub talk to a server of their own; the library reads this variable when it is imported.
os.environ.pop("HF_HUB_OFFLINE", None)
from fakes import byte_tokenizer, tiny_llama
from unchanged import Unchanged

from genre_gen import Catalog, Dataset, Domain, Interactions, Recommender
from genre_gen.blending.blend import Blend
from genre_gen.collaborative import RatingBlend

ROOT = Path(__file__).parent.parent
SHARED = Unchanged()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a random model of four layers and its tokenizer."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    seed = int(os.environ.get("GENRE_TEST_SEED", "0"))  # no test may hold for one random model alone
    tiny_llama(layers=4, hidden=64, seed=seed).save_pretrained(folder)  # 64: rows of 4-bit weights are whole blocks
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_settings(tiny_model: Path) -> dict[str, object]:
    """Return changes that make the movies domain train in seconds, on its sample data."""
    return {
        "model.llm": str(tiny_model),
        "model.exit_layer": 2,
        "data.source": None,
        "data.path": ".",
        "training.epochs": 2,
        "training.max_minutes": None,
        "training.batch_tokens": 1024,
        "training.refit": "none",
        "training.distillation": 0.0,  # it needs codes of one token and members; tests that want it say so
    }


@pytest.fixture(scope="session")
def tiny_domain(tiny_settings: dict[str, object]) -> Domain:
    """Return the movies domain so changed."""
    return Domain.load(ROOT / "catalogs" / "movies").changed(tiny_settings)


@pytest.fixture(scope="session")
def dataset(tiny_domain: Domain) -> Dataset:
    """Return the sample data."""
    return Dataset.load(tiny_domain)


@pytest.fixture(scope="session")
def sample(dataset: Dataset) -> tuple[Catalog, Interactions]:
    """Return the sample catalog and interactions."""
    return dataset.catalog, dataset.interactions


@pytest.fixture(scope="session")
def tiny_recommender(tiny_domain: Domain, dataset: Dataset) -> Recommender:
    """Return a recommender trained on the sample; do not change it."""
    return SHARED.trained("tiny_recommender", Recommender(tiny_domain).fit(dataset.leave_one_out()))


@pytest.fixture(scope="session")
def untouched(tiny_domain: Domain, dataset: Dataset) -> Recommender:
    """Return the same once more, for comparisons to the last bit; ask it nothing."""
    return SHARED.trained("untouched", Recommender(tiny_domain).fit(dataset.leave_one_out()))


@pytest.fixture(scope="module", autouse=True)
def shared_weights_stay() -> Iterator[None]:
    """Fail behind the last test of a file that changed weights of a recommender that other files use."""
    yield
    SHARED.check()


@pytest.fixture(scope="session")
def saved(tiny_recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which that recommender is saved; do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "movies"
    tiny_recommender.save_pretrained(folder)
    return folder


@pytest.fixture
def mixed(saved: Path) -> Recommender:
    """Return a copy of that recommender in which the language model has the largest weight."""
    state = Recommender.from_pretrained(saved).state
    weights = {"llm": 0.6, "ease": 0.2, "popularity": 0.1, "svd": 0.1, "sequential_rules": 0.0}
    tuned = replace(state.tuned, blend=Blend(weights), ratings=RatingBlend({"svd": 0.5, "llm": 0.5}, 0.0, (1, 5)))
    return Recommender.from_state(replace(state, tuned=tuned))


@pytest.fixture
def home(tiny_settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder whose domain ``movies`` is the sample, with a tiny model; return the folder."""
    folder = Path(shutil.copytree(ROOT / "catalogs" / "movies", tmp_path / "catalogs" / "movies"))
    text = (folder / "domain.toml").read_text()
    for old, new in (
        ('source = "ml-100k"', 'path = "."'),
        ('llm = "smollm2-135m"', f'llm = "{tiny_settings["model.llm"]}"'),
        ("exit_layer = 3", "exit_layer = 2"),
        ("epochs = 3 ", "epochs = 1 "),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "domain.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path
