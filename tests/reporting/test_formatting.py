import json

import pytest

from genre_gen.data.catalog import Item
from genre_gen.errors import UnknownUserError, UsageError
from genre_gen.explain.explainer import Explanation
from genre_gen.recommender.requests import Recommendation, Recommendations
from genre_gen.reporting.formatting import picks_json, picks_text, reasons_json, reasons_text, render_prompt
from genre_gen.tasks import TASKS


@pytest.fixture
def domain(tiny_domain):
    return str(tiny_domain.catalog_folder)


@pytest.fixture
def here(tiny_domain):
    return tiny_domain.catalog_folder


PICKS = Recommendations(
    [
        Recommendation(
            1,
            Item("9", "Alien (1979)", {"genre": ("Horror", "Sci-Fi"), "year": 1979.0, "studio": None}),
            1.25,
            {"llm": 1.5, "ease": -0.25},
            pinned=True,
        ),
        Recommendation(2, Item("x", "Ünï 日本", {"genre": (), "year": None, "studio": "A&B"}), 0.5, {"llm": 0.5}),
        Recommendation(3, Item("7", "Bare", {"genre": (), "year": None, "studio": None}), 0.25, {"llm": 0.25}),
    ],
    ["2 of 5 items: 2 in the catalog"],
)


def test_picks_read_as_lines():
    assert picks_text(PICKS).splitlines() == [
        "  1. Alien (1979)  [Horror, Sci-Fi; year 1979]  score 1.25 = llm +1.50, ease -0.25  pinned",
        "  2. Ünï 日本  [A&B]  score 0.50 = llm +0.50",
        "  3. Bare  score 0.25 = llm +0.25",
        "note: 2 of 5 items: 2 in the catalog",
    ]


def test_reasons_stand_below_their_picks(tiny_recommender):
    picks = tiny_recommender.recommend("17", n=2, explain=True)
    lines = picks_text(picks).splitlines()
    assert len(lines) == 4
    for number, pick in enumerate(picks):
        assert pick.item.title in lines[2 * number]
        assert lines[2 * number + 1].strip() == pick.explanation.text


def test_notes_stand_below_an_explanation(tiny_recommender):
    explanation = Explanation("Because.", (), "template", 0.0, notes=("had already",))
    assert reasons_text(tiny_recommender.state.catalog, explanation) == "Because.\nnote: had already"
    assert json.loads(reasons_json(tiny_recommender.state.catalog, explanation))["notes"] == ["had already"]


def test_no_picks_read_as_the_reason():
    assert picks_text(Recommendations([], ["0 of 5 items: all seen"])) == "note: 0 of 5 items: all seen"


def test_a_title_cannot_command_the_terminal():
    title = "\x1b[2J\rfake\nline \u202ebidi\x07"
    text = picks_text(Recommendations([Recommendation(1, Item("1", title), 0.0)], ["\x1b[31m"]))
    assert len(text.splitlines()) == 2
    assert text.replace("\n", "").isprintable()
    assert "fake" in text


def test_json_holds_all_of_it(tiny_recommender):
    picks = tiny_recommender.recommend("17", n=3, explain=True)
    content = json.loads(picks_json(picks))
    assert [one["title"] for one in content["picks"]] == [pick.item.title for pick in picks]
    assert [one["id"] for one in content["picks"]] == [pick.item.id for pick in picks]
    assert [one["explanation"] for one in content["picks"]] == [pick.explanation.text for pick in picks]
    assert [one["parts"] for one in content["picks"]] == [dict(pick.parts) for pick in picks]
    assert content["notes"] == []
    assert json.loads(picks_json(PICKS))["notes"] == list(PICKS.notes)
    assert json.loads(picks_json(PICKS))["picks"][0]["explanation"] is None
    assert [pick["pinned"] for pick in json.loads(picks_json(PICKS))["picks"]] == [True, False, False]
    assert "日本" in picks_json(PICKS)


def test_the_prompt_shown_is_the_prompt_asked(tiny_recommender, domain, here):
    shown = json.loads(render_prompt(domain, "next_item", "17", here, as_json=True))
    state = tiny_recommender.state
    history = state.histories.history("17")
    assert [message["role"] for message in shown] == ["system", "user", "assistant"]
    codes = [span["row"] for message in shown for span in message["spans"] if span["kind"] == "code"]
    assert codes == history.rows.tolist()
    served = TASKS["next_item"].prompt(state.generator.data, state.book, history)
    texts = [[span.text for span in message.spans if span.kind == "text"] for message in served.messages]
    assert [[span["text"] for span in message["spans"] if span["kind"] == "text"] for message in shown] == texts


def test_every_task_of_the_domain_is_shown(tiny_domain, domain, here):
    for task in tiny_domain.tasks:
        for user in ("17", "4", "1"):  # one of them has an example of it
            try:
                text = render_prompt(domain, task, user, here)
            except UsageError as problem:
                assert "has no example of user" in str(problem)  # noqa: PT017 - either is right
            else:
                assert text.startswith("--- ")
                break
        else:
            pytest.fail(f"{task} is never shown")


def test_people_see_what_is_trusted(domain, here):
    text = render_prompt(domain, "rating", "17", here)
    assert "<item_" in text
    assert "⟦" in text
    assert "\x1b" not in text
    assert "\x1b[3" in render_prompt(domain, "rating", "17", here, color=True)


def test_what_cannot_be_shown_is_refused(domain, here):
    with pytest.raises(UsageError, match="no task 'next'; there are: next_item"):
        render_prompt(domain, "next", "17", here)
    with pytest.raises(UnknownUserError, match="no user 'nobody'"):
        render_prompt(domain, "next_item", "nobody", here)


def test_it_needs_no_model(domain, here, monkeypatch):
    monkeypatch.setattr("genre_gen.downloads.models.ensure_model", None)
    assert "<item_" in render_prompt(domain, "next_item", "17", here)
