"""docs/article.md: what its tables and settings name exists (test_examples.py compares its output)."""

from __future__ import annotations

import importlib
import re
import runpy
from pathlib import Path

import pytest

from genre_gen import Domain
from genre_gen.domain import Domain as Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "article.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| the article", "| the card"))
]
METHOD = [
    "MTLLoss(task_weights)", "HybridLoss(alpha)", "RecommendationComponent", "ConfigurableRecommendationEngine",
    "LLM(vocab_size, embedding_dim, hidden_dim)", "CollaborativeFiltering(num_users, num_movies)",
    "train(user_ids, movie_ids, ratings, seq_ids)", "predict(user_id, movie_id)", "Loss: 0.20, MSE: 0.10",
]  # fmt: skip


def resolve(name: str) -> object:
    """Return the module or attribute of a dotted name; raises ImportError or AttributeError."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part) if hasattr(found, part) else found.__dataclass_fields__[part]  # type: ignore[attr-defined]
        return found
    raise ImportError(name)


def is_setting(name: str) -> bool:
    """Tell whether ``domain.toml`` has a section such as ``[tasks]``, or a key such as ``training.seed``."""
    settings = Settings
    for part in name.strip("[]").split("."):
        if part not in getattr(settings, "model_fields", {}):
            return False
        settings = settings.model_fields[part].annotation
    return True


def exists(name: str) -> bool:
    if name.startswith("genre_gen"):
        try:
            return resolve(name) is not None
        except (ImportError, AttributeError, KeyError):
            return False
    return is_setting(name) or (ROOT / name).exists()


def test_a_name_that_does_not_exist_is_noticed():
    assert exists("genre_gen.TunedSettings.blend_without_llm")
    assert exists("[rerank]")
    assert exists("training.seed")
    for name in ("genre_gen.Recommender.guess", "genre_gen.hybrid", "training.sed", "[taks]", "catalogs/films"):
        assert not exists(name)


@pytest.mark.parametrize(("said", "here", "where"), ROWS, ids=[row[0] for row in ROWS])
def test_what_the_tables_name_exists(said, here, where):
    assert here
    names = re.findall(r"`([^`]+)`", where)
    assert names or here.startswith("not implemented")
    assert [name for name in names if not exists(name)] == []


def test_every_piece_of_the_articles_code_has_a_row():
    said = " ".join(row[0] for row in ROWS)
    assert [piece for piece in METHOD if piece not in said] == []


def test_the_articles_pieces_are_in_the_example():
    names = runpy.run_path(str(ROOT / "examples" / "article.py"))
    pieces = {piece.partition("(")[0] for piece in METHOD if piece[0].isupper() and "MSE" not in piece}
    assert pieces <= set(names)
    assert all(hasattr(names["ConfigurableRecommendationEngine"], verb) for verb in ("train", "predict"))


def test_the_settings_of_the_page_are_valid():
    import tomllib

    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    assert Domain.from_settings({"name": "films", **tomllib.loads(text)}).tasks["rating"].weight == 0.5
