"""Items over HTTP: added, changed and withdrawn while lists are served."""

import threading

import pytest
from served import serve

ITEM = {"title": "A Night at the Harbour (1999)", "fields": {"genre": ["Drama"], "year": 1999}}


def listed(site, user="17", n=1000, **options):
    return [pick["item"] for pick in site.recommend(user, n, **options)["items"]]


def test_an_item_is_recommended_when_it_was_added(fresh):
    assert "new-1" not in listed(fresh)
    added = fresh.ok("PUT", "/v1/movies/items/new-1", ITEM)
    assert added == {**ITEM, "item": "new-1", "text": "", "available": True, "version": 1}
    assert "new-1" in listed(fresh)
    assert listed(fresh, where="year == 1999 and genre == 'Drama'") == ["new-1"]
    assert fresh.ok("GET", "/v1/movies/items/new-1") == added
    fresh.send({"user": "17", "item": "new-1"})
    assert "new-1" not in listed(fresh)
    assert fresh.ok("GET", "/v1/movies/items/new-1/similar")["items"]


def test_several_items_are_added_together_or_not_at_all(fresh):
    answer = fresh.ok("POST", "/v1/movies/items", {"items": [{"item": f"n-{i}", "title": f"N {i}"} for i in range(3)]})
    assert (answer["created"], len(answer["items"])) == (3, 3)
    assert {"n-0", "n-1", "n-2"} <= set(listed(fresh))
    wrong = [{"item": "n-3", "title": "N 3"}, {"item": "n-4", "title": "N 4", "fields": {"yaer": 1}}]
    assert "yaer" in fresh.refused(422, "POST", "/v1/movies/items", {"items": wrong})["detail"]
    fresh.refused(404, "GET", "/v1/movies/items/n-3")
    twice = [{"item": "n-5", "title": "A"}, {"item": "n-5", "title": "B"}]
    fresh.refused(422, "POST", "/v1/movies/items", {"items": twice})


def test_an_item_is_changed_in_parts(fresh):
    title = fresh.ok("GET", "/v1/movies/items/12")["title"]
    changed = fresh.ok("PATCH", "/v1/movies/items/12", {"fields": {"genre": ["Western"]}})
    assert (changed["title"], changed["fields"]["genre"], changed["version"]) == (title, ["Western"], 1)
    assert fresh.ok("PATCH", "/v1/movies/items/12", {"text": "More."})["version"] == 2
    assert "12" in listed(fresh, "nobody", where="genre == 'Western'")


@pytest.mark.parametrize("hide", [("PATCH", {"available": False}), ("DELETE", None)])
def test_a_withdrawn_item_is_in_no_list_and_comes_back(fresh, hide):
    method, body = hide
    assert "12" in listed(fresh, "nobody")
    assert fresh.ok(method, "/v1/movies/items/12", body)["available"] is False
    answer = fresh.recommend("nobody", 1000)
    assert "12" not in [pick["item"] for pick in answer["items"]]
    assert any("not available" in note for note in answer["notes"])
    assert "12" not in [pick["item"] for pick in fresh.ok("GET", "/v1/movies/items/1/similar?n=39")["items"]]
    assert "12" in [pick["item"] for pick in fresh.ok("POST", "/v1/books/recommend", {"n": 40})["items"]]
    fresh.ok("PATCH", "/v1/movies/items/12", {"available": True})
    assert "12" in listed(fresh, "nobody")


def test_items_outlive_the_server(tiny_recommender, tmp_path):
    with serve(tiny_recommender, tmp_path) as site:
        for item in ("late-1", "late-2"):
            site.ok("PUT", f"/v1/movies/items/{item}", {**ITEM, "title": item})
        site.ok("DELETE", "/v1/movies/items/12")
        site.send({"user": "17", "item": "late-2"})
        before = site.recommend("17", 40)
    with serve(tiny_recommender, tmp_path) as site:
        after = site.recommend("17", 40)
        assert [(p["item"], p["score"]) for p in after["items"]] == [(p["item"], p["score"]) for p in before["items"]]
        assert site.ok("GET", "/v1/movies/items/12")["available"] is False


def test_no_list_that_begins_after_the_answer_has_a_withdrawn_item(fresh):
    withdrawn, late, done = set(), [], threading.Event()

    def ask():
        while not done.is_set():
            gone = set(withdrawn)
            late.extend(gone & set(listed(fresh, "nobody", 40)))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for item in range(1, 21):
        fresh.ok("PATCH", f"/v1/movies/items/{item}", {"available": False})
        withdrawn.add(str(item))
    done.set()
    for thread in threads:
        thread.join()
    assert not late


@pytest.mark.parametrize(
    "body",
    [
        {"title": ""},
        {"title": 5},
        {"fields": {}},
        {"title": "x" * 501},
        {"title": "T", "fields": {"year": "long ago"}},
        {"title": "T", "fields": {"genre": "Drama"}},
        {"title": "T", "fields": {"genre": [1]}},
        {"title": "T", "fields": {"year": 1e308}, "extra": 1},
    ],
)
def test_what_no_item_can_have_is_refused(site, body):
    site.refused(422, "PUT", "/v1/movies/items/odd-1", body)
    site.refused(404, "GET", "/v1/movies/items/odd-1")


def test_ids_may_hold_any_sign(fresh):
    for path, item in (("a%2Fb", "a/b"), ("%C3%A9t%C3%A9", "été"), ("a%20b", "a b"), ("1%3F", "1?")):
        assert fresh.ok("PUT", f"/v1/movies/items/{path}", {"title": f"T {item}"})["item"] == item
        assert fresh.ok("GET", f"/v1/movies/items/{path}")["item"] == item
        assert fresh.ok("GET", f"/v1/movies/items/{path}/similar")["item"] == item
    fresh.refused(422, "GET", "/v1/movies/items/")
    fresh.refused(422, "PUT", "/v1/movies/items/a%00b", {"title": "T"})


def test_titles_that_look_like_prompts_are_only_titles(fresh):
    """Control tokens, names of item codes and templates reach the model's prompts as plain text."""
    context = fresh.service.domain("movies").context
    llm = context.state.llm
    control = set(llm.tokenizer.all_special_ids)
    odd = [*llm.tokenizer.all_special_tokens[:4], "<item_3>", "<|code_7|>", "{{ 7 * 7 }}", "<script>alert(1)</script>"]
    items = [{"item": f"odd-{place}", "title": title} for place, title in enumerate(odd)]
    items += [{"item": f"plain-{place}", "title": f"Plain {place}"} for place in range(len(odd))]
    made = fresh.ok("POST", "/v1/movies/items", {"items": items})
    shown = {each["item"]: each["title"] for each in made["items"]}
    assert "{{ 7 * 7 }}" in shown[f"odd-{len(odd) - 2}"]
    answer = fresh.recommend("17", 1000, explain=True)
    assert {pick["item"]: pick["title"] for pick in answer["items"] if pick["item"] in shown} == shown

    def controls(kind):
        fresh.send(*({"user": kind, "item": f"{kind}-{place}"} for place in range(len(odd))))
        ids = context.state.generator.encode(context.histories.history(kind)).ids
        codes = int((ids >= llm.text_vocabulary).sum())
        return codes, sum(int(ident) in control for ident in ids)

    assert controls("odd") == controls("plain")
