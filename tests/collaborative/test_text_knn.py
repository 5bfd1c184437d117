import numpy as np

from genre_gen.collaborative import text_knn
from genre_gen.collaborative.text_knn import similar_texts

RARE = [f"opus {100 + number // 2} music" for number in range(60)]  # each opus twice; "opus" and "music" are in all


def test_among_many_texts_common_words_lead_to_some_and_rare_ones_to_all(monkeypatch):
    rows = np.arange(len(RARE))
    exact = similar_texts(RARE, 3, rows, rows)
    monkeypatch.setattr(text_knn, "ALL_UP_TO", 10)
    monkeypatch.setattr(text_knn, "POSTINGS", 5)
    found = similar_texts(RARE, 3, rows, rows)
    twins = rows ^ 1
    for similar in (exact, found):  # the numbers are rare words
        assert (np.asarray(similar[rows, twins]).ravel() > 0).all()
    others, exactly = (
        {column for row in rows for column in similar[row].indices if column != twins[row]}
        for similar in (found, exact)
    )
    assert 0 < len(others) <= 5  # the same texts of both common words
    assert others != exactly


def test_a_bound_above_the_number_of_texts_changes_nothing(monkeypatch):
    rows = np.arange(len(RARE))
    exact = similar_texts(RARE, 3, rows, rows)
    monkeypatch.setattr(text_knn, "ALL_UP_TO", 10)
    monkeypatch.setattr(text_knn, "POSTINGS", len(RARE))
    assert (similar_texts(RARE, 3, rows, rows) != exact).nnz == 0
