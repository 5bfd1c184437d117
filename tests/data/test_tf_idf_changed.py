"""Documents that are changed and added give the vectors of all documents at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genre_gen.data.tf_idf import TfIdf

documents = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=4)


@given(st.lists(documents, min_size=1, max_size=4), st.lists(documents, max_size=3), st.data())
def test_changed_documents_equal_all_at_once(first, added, data):
    rows = data.draw(st.sets(st.integers(0, len(first) - 1)))
    changed = {row: data.draw(documents) for row in rows}
    changed |= {len(first) + place: terms for place, terms in enumerate(added)}
    whole = [*first, *added]
    for row, terms in changed.items():
        whole[row] = terms
    terms, expected = TfIdf(first).changed(changed), TfIdf(whole)
    assert terms.columns == expected.columns
    np.testing.assert_array_equal(terms.rarity, expected.rarity)
    np.testing.assert_array_equal(terms.vectors.toarray(), expected.vectors.toarray())
    again = terms.changed({0: ["e", "f"]})
    np.testing.assert_array_equal(again.vectors.toarray(), TfIdf([["e", "f"], *whole[1:]]).vectors.toarray())
