"""Questions about single items give what the library gives."""

import pytest


def test_similar_items_are_those_of_the_library(site, tiny_recommender):
    picks = tiny_recommender.similar("12", 4)
    answer = site.ok("GET", "/v1/movies/items/12/similar?n=4")
    assert [pick["item"] for pick in answer["items"]] == [pick.item.id for pick in picks]
    assert answer["item"] == "12"
    site.refused(404, "GET", "/v1/movies/items/none/similar")


def test_an_explanation_is_that_of_the_library(site, tiny_recommender):
    expected = tiny_recommender.explain("17", "12")
    answer = site.ok("POST", "/v1/movies/explain", {"user": "17", "item": "12"})
    assert (answer["text"], answer["notes"]) == (expected.text, list(expected.notes))
    title = tiny_recommender.state.catalog[2].title
    by_title = site.ok("POST", "/v1/movies/explain", {"history": [title], "item": "12"})
    assert by_title["text"] == tiny_recommender.explain([title], "12").text


def test_a_comparison_is_that_of_the_library(site, tiny_recommender):
    expected = tiny_recommender.compare("17", "12", "5")
    answer = site.ok("POST", "/v1/movies/compare", {"user": "17", "item": "12", "other": "5"})
    assert answer["text"] == expected.text
    assert answer["scores"] == pytest.approx(list(expected.scores), abs=1e-4)
    assert answer["parts"].keys() == expected.parts.keys()
    site.refused(422, "POST", "/v1/movies/compare", {"user": "17", "item": "12", "other": "12"})


def test_a_prediction_is_that_of_the_library(site, tiny_recommender):
    expected = tiny_recommender.predict("17", "12")
    answer = site.ok("POST", "/v1/movies/predict", {"user": "17", "item": "12"})
    assert answer["rating"] == pytest.approx(expected.rating, abs=1e-4)
    assert answer["reason"] == expected.reason
    assert site.ok("POST", "/v1/movies/predict", {"history": [{"item": "1", "rating": 1}], "item": "12"})["parts"]


def test_questions_are_about_live_histories(site):
    site.refused(422, "POST", "/v1/movies/explain", {"user": "lea", "item": "12"})
    site.send({"user": "lea", "item": "5"})
    answer = site.ok("POST", "/v1/movies/explain", {"user": "lea", "item": "12"})
    assert answer["text"]
    assert "would not be recommended again" in str(
        site.ok("POST", "/v1/movies/explain", {"user": "lea", "item": "5"})["notes"]
    )


@pytest.mark.parametrize("path", ["explain", "compare", "predict"])
def test_items_that_do_not_exist_are_refused(site, path):
    body = {"user": "17", "item": "no such film"} | ({"other": "5"} if path == "compare" else {})
    assert "no item" in site.refused(422, "POST", f"/v1/movies/{path}", body)["detail"]
