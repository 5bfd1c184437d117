"""Hypothesis looks for contents of saved files that are neither read nor refused in one line."""

import json
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from genre_gen.blending.tuned import TunedSettings
from genre_gen.codes.base import Codes
from genre_gen.collaborative import RatingBlend
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.summary import DataSummary
from genre_gen.errors import CheckpointError
from genre_gen.explain.shared_counts import SharedCounts
from genre_gen.folders.arrays import contents_of
from genre_gen.folders.manifest import Manifest

HERE = Path("x")
FAST = settings(max_examples=100, deadline=None, derandomize=True)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(10**400)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))
ARRAYS: st.SearchStrategy = arrays.arrays(
    st.sampled_from(["i8", "i4", "u1", "f4", "f8", "?"]), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)  # noqa: E501
) | st.lists(st.text(max_size=2) | st.integers(), max_size=3).map(
    lambda words: np.frombuffer(json.dumps(words).encode(), np.uint8)
)  # fmt: skip
TUNED = {
    "blend": {"weights": {"ease": 1.0}}, "blend_without_llm": {"weights": {"ease": 1.0}}, "epochs": 2, "members": {},
    "teacher": {}, "temperature": 1.0, "ratings": {"weights": {"svd": 1.0}, "intercept": 0.0, "rating_scale": [1.0, 5.0]},  # noqa: E501
}  # fmt: skip


def read(load, content):
    try:
        with contents_of(HERE):
            load(content)
    except CheckpointError as problem:
        assert "\n" not in str(problem)  # noqa: PT017 - most are no errors


def named(*names):
    return st.dictionaries(st.sampled_from(names), ARRAYS, max_size=len(names))


@FAST
@given(
    st.fixed_dictionaries({}, optional={name: ANYTHING for name in TUNED}),
    ANYTHING,
    st.sampled_from(["weights", "intercept", "rating_scale"]),
)
def test_settings(changes, value, key):
    read(TunedSettings.from_dict, TUNED | changes)
    read(TunedSettings.from_dict, value)
    read(RatingBlend.restore, TUNED["ratings"] | {key: value})
    read(DataSummary.from_dict, {"users": 1, "interactions": 1, "ratings": value, "since": value})


@FAST
@given(named("users", "offsets", "rows", "n_items", "ratings", "times"))
def test_interactions(given_arrays):
    read(lambda content: Interactions.from_arrays(content).histories(), given_arrays)


@FAST
@given(named("codes", "names", "triples", "n_items"))
def test_codes_and_knowledge(given_arrays):
    read(lambda content: Codes.from_arrays("x", content), given_arrays)
    read(Knowledge.from_arrays, given_arrays)


@FAST
@given(named("interactions", "users_with", "rating_counts", "rating_figures", "totals", "followers.offsets"))
def test_counts(given_arrays):
    read(lambda content: SharedCounts.from_arrays(content, 2), given_arrays)


@FAST
@given(
    st.binary(max_size=60)
    | ANYTHING.map(lambda value: json.dumps({"format": 5, "kind": "recommender", "files": value}).encode())
)
def test_manifests(data):
    try:
        Manifest.from_bytes(data, HERE)
    except CheckpointError as problem:
        assert "\n" not in str(problem)  # noqa: PT017 - most are no errors
