"""Users over HTTP: labels, histories, merges and deletion."""

from served import serve


def history(site, user):
    return [each["item"] for each in site.ok("GET", f"/v1/movies/users/{user}")["history"]]


def test_a_trained_user_is_known(site, tiny_recommender):
    trained = tiny_recommender.state.histories.history("17")
    user = site.ok("GET", "/v1/movies/users/17?n=3")
    assert user["interactions"] == len(trained)
    newest = [tiny_recommender.state.catalog[row].id for row in trained.rows[:-4:-1].tolist()]
    assert [each["item"] for each in user["history"]] == newest
    assert user["history"][0]["at"].endswith("Z")
    assert user["labels"] == {}
    site.refused(404, "GET", "/v1/movies/users/nobody-knows")


def test_labels_are_replaced(site):
    assert site.ok("PUT", "/v1/movies/users/ann", {"labels": {"plan": "family", "x": ""}})["labels"]["plan"] == "family"
    site.ok("PUT", "/v1/movies/users/ann", {"labels": {"plan": "single"}})
    assert site.ok("GET", "/v1/movies/users/ann")["labels"] == {"plan": "single"}
    site.refused(422, "PUT", "/v1/movies/users/ann", {"labels": {"plan": 5}})
    site.refused(404, "GET", "/v1/books/users/ann")


def test_a_visitor_becomes_a_known_user(site):
    site.send({"user": "visitor", "item": "12"}, {"user": "visitor", "item": "13"}, {"user": "bob", "item": "14"})
    answer = site.ok("POST", "/v1/movies/users/visitor/merge", {"into": "bob"})
    assert answer == {"user": "visitor", "into": "bob", "events": 2}
    assert sorted(history(site, "bob")) == ["12", "13", "14"]
    assert not {"12", "13", "14"} & {pick["item"] for pick in site.recommend("bob", 40)["items"]}
    assert any("unknown user" in note for note in site.recommend("visitor")["notes"])
    assert len(site.ok("GET", "/v1/movies/events", params={"user": "bob"})["events"]) == 3
    site.refused(422, "POST", "/v1/movies/users/bob/merge", {"into": "bob"})
    site.refused(404, "POST", "/v1/movies/users/nobody-knows/merge", {"into": "bob"})


def test_a_deleted_user_is_an_unknown_user_also_after_a_restart(tiny_recommender, tmp_path):
    with serve(tiny_recommender, tmp_path) as site:
        site.send({"user": "17", "item": "12"}, {"user": "cleo", "item": "12"})
        unknown = [pick["item"] for pick in site.recommend(None)["items"]]
        for user in ("17", "cleo"):
            assert site.ok("DELETE", f"/v1/movies/users/{user}")["notes"]
            site.refused(404, "GET", f"/v1/movies/users/{user}")
            site.refused(404, "DELETE", f"/v1/movies/users/{user}")
            assert [pick["item"] for pick in site.recommend(user)["items"]] == unknown
            assert not site.ok("GET", "/v1/movies/events", params={"user": user})["events"]
    with serve(tiny_recommender, tmp_path) as site:
        site.refused(404, "GET", "/v1/movies/users/17")
        assert [pick["item"] for pick in site.recommend("17")["items"]] == unknown
        site.send({"user": "17", "item": "13"})
        assert history(site, "17") == ["13"]
