import numpy as np
import pytest

from eval.requests import queries, query_words
from genre_gen.data.readers import load_catalog


def test_requests_are_fulfilled_and_no_hard_preference_is_broken(saved, tmp_path, run, entry):
    assert run(queries, saved, "--part", "test", "--out", tmp_path) == 0
    content = entry(tmp_path / "queries.json")
    assert content["users"] + content["others"] == 30
    rows = {row["request"]: row for row in content["rows"]}
    requests = [queries.WITHOUT, queries.LABELS, queries.ALL, queries.DENIED, queries.LIKE, queries.OTHER]
    assert list(rows) == requests
    assert all(row["broken"] == 0 for row in rows.values())
    assert rows[queries.ALL]["fulfilled"] > rows[queries.WITHOUT]["fulfilled"]
    assert rows[queries.ALL]["N@10"] > rows[queries.OTHER]["N@10"]
    assert "| another user's labels and decade |" in content["table"]


def test_broken_preferences_are_counted(tiny_recommender):
    asker = queries.Asker(tiny_recommender.state)
    has = asker.has
    label = int(np.flatnonzero((has.sum(axis=0) > 1) & (has.sum(axis=0) < len(has)))[0])
    having, lacking = np.flatnonzero(has[:, label]), np.flatnonzero(~has[:, label])
    rows = np.array([having[0], lacking[0], having[1]])
    assert asker.broken(queries.Request("", denied=(label,)), rows) == 2
    assert asker.broken(queries.Request("", named=int(rows[1])), rows) == 1
    decade = int(asker.years[rows[0]] // 10 * 10)
    inside = sum(decade <= asker.years[row] < decade + 10 for row in rows)
    assert asker.broken(queries.Request("", decade=decade), rows) == 3 - inside
    assert asker.fulfilled(queries.Request("", labels=(label,)), rows) == pytest.approx(2 / 3)


def test_the_control_is_another_users_request(tiny_recommender, dataset):
    cases = dataset.leave_one_out().test
    asked = queries.requests(queries.Asker(tiny_recommender.state), cases)
    others = [each[queries.OTHER] for each in asked]
    assert sorted(each.text for each in others) == sorted(each[queries.ALL].text for each in asked)
    assert all(each[queries.ALL] is not other for each, other in zip(asked, others, strict=True))


def test_each_way_says_a_label_for_every_word(tiny_domain):
    result = query_words.measured(tiny_domain, load_catalog(tiny_domain)[0])
    *_, always = result["rows"]
    assert len(set(always["said"].values())) == 1
    for row in result["rows"]:
        assert len(row["said"]) == result["words"] > 0
        assert 0 <= row["right"] <= result["words"]
    assert query_words.markdown(result).count("\n") == 4 + len(result["rows"])
