"""Every public class and verb has an example in its docstring, and each runs and gives what it says."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import numpy as np
import pytest

import genre_gen
from genre_gen import PromptBook, Recommender

CLASSES = {name: getattr(genre_gen, name) for name in genre_gen.__all__ if inspect.isclass(getattr(genre_gen, name))}
WITH_METHODS = ("Recommender", "Dataset", "Split", "Report", "Prediction", "Recommendations", "Domain", "PromptBook")


def documented() -> dict[str, object]:
    """Return the public classes, and the public methods and properties that some of them define, by name."""
    parts: dict[str, object] = dict(CLASSES)
    for name in WITH_METHODS:
        for attribute, value in vars(CLASSES[name]).items():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if not attribute.startswith("_") and inspect.isfunction(function):
                parts[f"{name}.{attribute}"] = function
    return parts


PARTS = documented()


def test_methods_are_found():
    assert {"Recommender.recommend", "Recommender.from_pretrained", "Recommender.state", "Domain.available"} <= set(
        PARTS
    )


@pytest.mark.parametrize("name", PARTS)
def test_it_has_an_example(name):
    docstring = inspect.getdoc(PARTS[name]) or ""
    assert "\nExample:\n    >>> " in docstring


@pytest.fixture(scope="module")
def report(tiny_recommender, dataset):
    """Return an evaluation of the tiny recommender."""
    return tiny_recommender.evaluate(dataset.leave_one_out(), baselines=False)


@pytest.fixture
def names(home, tiny_recommender, dataset, report):
    """Return what examples find: a tiny recommender, its data and its report, where ``movies`` is the sample."""
    recommender = Recommender.from_state(tiny_recommender.state)
    recommender.state.generator.clear_caches()  # as in a new process: what users were asked before changes last digits
    book = PromptBook.load(dataset.domain)
    found = {"data": dataset, "split": dataset.leave_one_out(), "recommender": recommender, "report": report}
    found |= {"compare_runs": genre_gen.compare_runs}
    return CLASSES | found | {"domain": dataset.domain, "book": book, "np": np, "Path": Path}


RUN_ELSEWHERE = {"Recommender.push_to_hub"}
"""Examples that need more than this machine; tests/recommender/test_hub.py pushes to a hub of its own."""


@pytest.mark.parametrize("name", sorted(PARTS.keys() - RUN_ELSEWHERE))
def test_its_example_runs(name, names, monkeypatch):
    # … and not three dots, which at the beginning of a line continue the code; doctest compares in ASCII.
    monkeypatch.setattr(doctest, "ELLIPSIS_MARKER", "…".encode("ASCII", "backslashreplace").decode())
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(PARTS[name]) or "", dict(names), name, None, None)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=told.append).failed == 0, "".join(told)
