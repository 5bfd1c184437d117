"""TF-IDF vectors are those of scikit-learn."""

import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from genre_gen.data.tf_idf import counted, tf_idf, unit_rows

TEXTS = {
    "some": ["Red steel hammer", "red RED steel saw", "blue cotton shirt, blue", "", "a 7 of 42 Ärmel", "ab"],
    "two": ["word of", "of of"],
    "without words": ["", "a . !"],
    "none": [],
}


@pytest.mark.parametrize("name", TEXTS)
def test_vectors_are_those_of_scikit_learn(name):
    texts = TEXTS[name]
    columns, vectors = tf_idf(re.findall(r"\b\w\w+\b", text.lower()) for text in texts)
    if name in ("without words", "none"):  # which scikit-learn refuses
        assert (columns, vectors.shape) == ({}, (len(texts), 0))
        return
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    wanted = vectorizer.fit_transform(texts)
    assert columns == vectorizer.vocabulary_
    np.testing.assert_allclose(vectors.toarray(), wanted.toarray(), rtol=1e-12)
    part = vectors[:, 1:]
    np.testing.assert_allclose(unit_rows(part).toarray(), normalize(part).toarray(), rtol=1e-12)


def test_terms_of_any_kind_are_counted_and_sorted():
    columns, counts = counted([[("b", 1), ("a", 2), ("b", 1)], [("a", 1)]])
    assert columns == {("a", 1): 0, ("a", 2): 1, ("b", 1): 2}
    assert counts.toarray().tolist() == [[0, 1, 2], [1, 0, 0]]
