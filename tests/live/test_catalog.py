"""Items that come, change and go while a recommender serves."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import byte_tokenizer, tiny_llama
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from genre_gen import History, Item, Recommender, Rules
from genre_gen.blending.blend import Blend
from genre_gen.codes import make_codes
from genre_gen.codes.base import Codes
from genre_gen.collaborative.text_knn import TextKNN
from genre_gen.errors import ConfigError, DataError, UnknownItemError, UsageError
from genre_gen.explain.check import Checker
from genre_gen.live.catalog import rebuild, with_available, with_items
from genre_gen.live.items import checked_item
from genre_gen.live.view import View
from genre_gen.llm.model import LLM
from genre_gen.recommender import explaining, predicting
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.requests import Recommendations, Request
from genre_gen.recommender.sharing import without_histories
from genre_gen.recommender.state import RecommenderState

CARTOON = Item("new-1", "Coco (2017)", {"genre": ("Animation", "Children's"), "year": 2017})
NEW = [
    CARTOON,
    Item(
        "new-2", "Toy Story Again (2020)", {"genre": ["Animation", "Comedy"], "year": "2020"}, "A cowboy and a robot."
    ),
    Item("new-3", "Qwxz", {}),
    Item("new-4", "Coco", {"year": 2017.0, "genre": ()}),
    Item("new-5", "Up", {"genre": ("Nonsense",), "year": 2009}),
]


@pytest.fixture(scope="module")
def state(tiny_recommender: Recommender) -> RecommenderState:
    """Return a recommender in which all kinds of models have a say."""
    state = tiny_recommender.state
    texts = TextKNN([item.describe() for item in state.catalog], 10).fit(state.trained_on)
    blend = Blend({"llm": 0.4, "text_knn": 0.3, "ease": 0.2, "popularity": 0.1, "svd": 0.1, "sequential_rules": 0.1})
    members = {**state.members, "text_knn": texts}
    return replace(state, members=members, tuned=replace(state.tuned, blend=blend, blend_without_llm=blend))


@pytest.fixture(scope="module")
def view(state: RecommenderState) -> View:
    return View.of(state)


def with_codes(state: RecommenderState, scheme: str, **options: Any) -> RecommenderState:
    """Return a recommender whose random language model has codes of a scheme."""
    codes = state.domain.codes.model_copy(update={"scheme": scheme, **options})
    domain = state.domain.model_copy(update={"codes": codes})
    vectors = np.random.default_rng(0).normal(size=(len(state.catalog), 8))
    made = make_codes(codes, state.catalog, vectors)
    llm = LLM(tiny_llama(layers=2), byte_tokenizer(), made, domain.model)
    llm.code_embedding.data.normal_()
    return replace(state, domain=domain, llm=llm.eval())


def histories_of(view: View) -> list[History]:
    """Return histories without late items and, where there are some, with them."""
    rows = [
        [3],
        [0, 3, 5],
        [8, 1, 30, 12],
        *([[2, view.late_from, 4]] if len(view.state.catalog) > view.late_from else []),
    ]
    rated = History(np.array([0, 2, 9]), np.array([5, 4, 1], np.float32))
    return [*(History(np.array(each)) for each in rows), rated]


def answers(view: View, **options: Any) -> list[Recommendations]:
    """Return all that may be recommended, with reasons."""
    requests = [Request(history, n=len(view.state.catalog), explain=True, **options) for history in histories_of(view)]
    return list(answer_many(view.state, requests, view.available))


def alike(picks: Sequence[Recommendations], others: Sequence[Recommendations]) -> None:
    """Check that lists are equal to the last bit, with what explains them."""
    for one, other in zip(picks, others, strict=True):
        assert [(pick.item, pick.score, dict(pick.parts)) for pick in one] == [
            (pick.item, pick.score, dict(pick.parts)) for pick in other
        ]
        assert [pick.explanation for pick in one] == [pick.explanation for pick in other]
        assert one.notes == other.notes


def equal(view: View, other: View) -> None:
    """Check that two views are made of the same, to the last bit."""
    assert list(view.state.catalog) == list(other.state.catalog)
    assert view.state.fingerprint() == other.state.fingerprint()
    assert (view.late_from, view.generation) == (other.late_from, other.generation)
    assert (view.available is None) == (other.available is None)
    np.testing.assert_array_equal(view.available, other.available)
    histories = histories_of(view)
    np.testing.assert_array_equal(view.state.generator.score(histories), other.state.generator.score(histories))
    assert sorted(view.state.members) == sorted(other.state.members)
    for name, member in view.state.members.items():
        np.testing.assert_array_equal(member.score(histories), other.state.members[name].score(histories))
        assert member.score(histories).shape == (len(histories), len(view.state.catalog))


def ids(picks: Recommendations) -> list[str]:
    return [pick.item.id for pick in picks]


def test_items_that_are_added_one_by_one_equal_all_at_once(view):
    at_once = one_by_one = view
    at_once = with_items(view, NEW)
    for item in NEW:
        one_by_one = with_items(one_by_one, [item])
    assert one_by_one.number == view.number + len(NEW)
    equal(one_by_one, at_once)
    alike(answers(one_by_one), answers(at_once))
    alike(answers(one_by_one, query="a comedy like Up"), answers(at_once, query="a comedy like Up"))
    alike(answers(one_by_one, where="genre == 'Animation'"), answers(at_once, where="genre == 'Animation'"))


def test_requests_without_the_new_items_are_answered_as_before(view):
    before = answers(view)
    larger = with_items(view, NEW)
    names = [item.id for item in NEW]
    for old, new in zip(before, [answers(larger, exclude=names)[place] for place in (0, 1, 2, 4)], strict=True):
        assert ids(old) == ids(new)
        np.testing.assert_allclose([pick.score for pick in old], [pick.score for pick in new], atol=1e-5)
    alike(answers(view), before)  # the view of before still answers as before


def test_a_new_item_is_recommended_at_once_to_those_who_have_what_is_like_it(view):
    cartoons = [item.id for item in view.state.catalog if "Animation" in item.attributes["genre"]][:3]
    larger = with_items(view, [CARTOON])
    row = larger.state.catalog.row(CARTOON.id)
    (picks,) = answer_many(larger.state, [Request(cartoons, n=5, explain=True)])
    (pick,) = (pick for pick in picks if pick.item.id == CARTOON.id)
    assert (row, larger.late_from, bool(larger.state.cold_items[row])) == (40, 40, True)
    assert {"ease", "popularity", "svd"} & {name for name, share in pick.parts.items() if share} == set()
    told = {fact.relation for fact in pick.explanation.facts}
    assert not told & {"followed_by", "liked_too", "average"}
    checker = Checker(larger.state.catalog, larger.state.trained_on, larger.state.domain, None, larger.state.knowledge)
    history = History(np.array([larger.state.catalog.row(name) for name in cartoons]))
    assert checker.check(pick.explanation.text, history, row).ok
    assert explaining.explain(larger.state, history, row).facts


def test_an_item_that_nothing_resembles_gets_the_mean_of_all_codes(view):
    larger = with_items(view, [NEW[2]])
    llm, trained = larger.state.llm, view.state.llm
    assert llm.late_codes is not None
    np.testing.assert_allclose(llm.late_codes[0], trained.code_embedding.detach().mean(0), atol=1e-6)
    scores = larger.state.generator.score(histories_of(view))
    assert np.isfinite(scores).all()


def test_titles_that_clash_get_the_id_behind_them(view):
    larger = with_items(view, [Item("x", "Up", {"year": 2009}), Item("y", "UP (2009)", {"year": 2009})])
    assert [item.title for item in larger.state.catalog[-2:]] == ["Up (2009) [x]", "UP (2009) [y]"]
    assert larger.state.catalog.find("Up (2009)") == 4
    assert larger.state.catalog.find("Up (2009) [x]") == 40


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Item("", "A"), "empty; give an id"),
        (Item("x" * 501, "A"), "too long"),
        (Item("\ud800", "A"), "not valid text"),
        (Item("NULL", "A"), "mark for missing"),
        (Item(7, "A"), "the id of item 7 is not text"),  # type: ignore[arg-type]
        (Item("x", None), "the title of item 'x' is not text"),  # type: ignore[arg-type]
        (Item("x", "A", {"colour": "red"}), "the field 'colour'; its fields can be genre, year"),
        (Item("x", "A", {"genre": "Drama"}), "has genre = 'Drama'; give a list of texts"),  # type: ignore[dict-item]
        (Item("x", "A", {"genre": ["Drama", 3]}), "give a list of texts"),  # type: ignore[dict-item]
        (Item("x", "A", {"year": "soon"}), "has year = 'soon'; give a finite number"),
        (Item("x", "A", {"year": True}), "give a finite number"),
        (Item("x", "A", {"year": float("inf")}), "give a finite number"),
        (Item("x", "A", {"year": 10**400}), "give a finite number"),
        (Item("x", "A", {"year": [1]}), "give a finite number"),  # type: ignore[dict-item]
        (Item("x", "A", []), "not an object"),  # type: ignore[arg-type]
    ],
)
def test_what_no_item_can_have_is_refused_with_its_name_and_what_it_takes(view, item, said):
    with pytest.raises(DataError, match=said) as problem:
        with_items(view, [CARTOON, item])
    assert "\n" not in str(problem.value)


def test_what_can_be_cleaned_is_cleaned_as_the_readers_do(view):
    hostile = Item(
        " x ",
        "\x1b[31m<|im_end|>\ud800" + "z" * 10_000,
        {"genre": [" Drama ", "", "Drama"], "year": float("nan")},
        " t ",
    )
    larger = with_items(view, [hostile, Item("y", " A  (1999) "), Item("z", "", {"year": "1999"})])
    cleaned, dated, untitled = larger.state.catalog[-3:]
    assert (cleaned.id, len(cleaned.title), cleaned.attributes, cleaned.text) == (
        "x", 500, {"genre": ("Drama",), "year": None}, "t"
    )  # fmt: skip
    assert (dated.title, dated.attributes["year"]) == ("A  (1999)", 1999)
    assert (untitled.title, untitled.attributes["year"]) == ("item z", 1999)
    row = len(larger.state.catalog) - 3
    encoded = larger.state.generator.encode(History(np.array([row])))  # the title's control tokens are plain text
    assert list(encoded.ids).count(2) == list(larger.state.generator.encode(History(np.array([3]))).ids).count(2)


def test_what_was_cleaned_stays_as_it_is(view):
    catalog, domain = view.state.catalog, view.state.domain
    for title in ("Up", "Up (2009)", "Up (2009) (V)", "x" * 600):
        once = checked_item(Item("x", title, {"year": 2010, "genre": ["a"]}), catalog, domain)
        assert once.title.endswith("(2010)")
        assert checked_item(once, catalog, domain) == once


def test_something_else_than_items_is_refused(view):
    for wrong in ("item", [("x", "A")], {CARTOON}):
        with pytest.raises(UsageError):
            with_items(view, wrong)


def test_items_that_are_put_again_change_nothing(view):
    larger = with_items(view, NEW)
    assert with_items(larger, [*NEW, larger.state.catalog[0]]) is larger
    assert with_items(view, []) is view


def test_a_trained_item_with_another_description_keeps_its_code(view):
    changed = with_items(view, [Item("5", "Up and Away", {"genre": ("Romance",), "year": 2010})])
    assert changed.state.catalog[4].title == "Up and Away (2010)"
    assert changed.state.llm is view.state.llm
    history = History(np.array([4, 0]))
    (picks,) = answer_many(changed.state, [Request(history, n=39, where="genre != 'Romance'", explain=True)])
    assert not any("Up (2009)" in pick.explanation.text for pick in picks)
    assert changed.state.catalog.where("genre == 'Romance'")[4]
    (before,) = answer_many(view.state, [Request(history, n=39, explain=True)])
    assert any("Up (2009)" in pick.explanation.text for pick in before)
    back = with_items(changed, [view.state.catalog[4]])
    equal(replace(back, number=view.number), view)


def test_a_late_item_with_another_description_is_placed_by_that(view):
    first = with_items(view, [Item("a", "Alien Planet", {"genre": ("Science Fiction",)}), CARTOON])
    second = with_items(first, [Item("a", "Coco Too", {"genre": ("Animation", "Children's")})])
    fresh = with_items(view, [Item("a", "Coco Too", {"genre": ("Animation", "Children's")}), CARTOON])
    equal(second, fresh)
    assert not np.array_equal(first.state.llm.late_codes, second.state.llm.late_codes)


def test_withdrawn_items_are_left_out_as_if_each_request_excluded_them(view):
    larger = with_items(view, NEW)
    names = ["3", "7", "new-1"]
    less = with_available(larger, dict.fromkeys(names, False))
    assert less.state is larger.state
    assert larger.available is None
    for picks, others in zip(answers(less), answers(larger, exclude=names), strict=True):
        assert not set(ids(picks)) & set(names)
        assert [(pick.item.id, pick.score) for pick in picks] == [(pick.item.id, pick.score) for pick in others]
        assert "3 not available" in picks.notes[-1]
    row = larger.state.catalog.row("new-1")
    told = explaining.explain(less.state, History(np.array([0, 3])), row, less.available)
    assert told.notes == ("Coco (2017) is not available, and would not be recommended",)
    assert with_available(less, {"3": False}) is less
    assert with_available(less, dict.fromkeys(names, True)).available is None
    assert with_items(less, [Item("new-9", "Late")]).available.tolist() == [*less.available, True]
    with pytest.raises(UnknownItemError, match="no item with id 'nothing'"):
        with_available(view, {"nothing": False})
    with pytest.raises(UsageError, match="give true or false"):
        with_available(view, {"3": 0})  # type: ignore[dict-item]


def test_similar_items_are_those_available(view):
    larger = with_items(view, NEW)
    row = larger.state.catalog.row("new-1")
    picks = predicting.similar(larger.state, row, 5)
    assert picks[0].score > 0
    less = with_available(larger, {picks[0].item.id: False})
    assert ids(predicting.similar(less.state, row, 4, less.available)) == ids(picks)[1:]
    assert len(predicting.similar(less.state, row, 99, less.available)) == len(larger.state.catalog) - 2
    alone = replace(larger.state, members={"ease": larger.state.members["ease"]})
    assert predicting.similar(alone, row, 3)[0].parts.keys() == {"llm"}  # who had it tells nothing
    with pytest.raises(UsageError, match="one entry for each of 45 items"):
        predicting.similar(larger.state, row, 3, np.ones(40, bool))


def test_a_mask_of_another_catalog_is_refused(view):
    with pytest.raises(UsageError, match="one entry for each of 40 items"):
        list(answer_many(view.state, [Request(None)], np.ones(41, bool)))


def test_rules_that_no_longer_say_which_item_they_mean_refuse_the_items(state):
    ruled = replace(state, domain=state.domain.model_copy(update={"rules": Rules(pins={"toy story": 1})}))
    view = View.of(ruled)
    with pytest.raises(DataError, match=r"no longer clear.*ambiguous"):
        with_items(view, [Item("x", "Toy Story (1800)")])
    assert len(with_items(view, [CARTOON]).state.catalog) == 41


def test_rebuilding_from_what_is_stored_gives_the_view_that_served(state, view):
    running = with_items(view, NEW[:2])
    running = with_available(running, {"new-1": False, "3": False})
    running = with_items(
        running, [Item("5", "Up and Away", {"year": 2010}), *NEW[2:], replace(NEW[0], title="Coconut")]
    )
    stored = [replace(NEW[0], title="Coconut"), NEW[1], Item("5", "Up and Away", {"year": 2010}), *NEW[2:]]
    built = rebuild(state, stored, {"new-1": False, "3": False}, number=running.number)
    assert built.number == running.number
    equal(running, built)
    alike(answers(running), answers(built))


def test_a_recommender_without_histories_takes_items_too(state):
    shared = replace(without_histories(state))
    larger = with_items(View.of(shared), NEW)
    equal(larger, rebuild(shared, NEW, {}))
    alike(answers(larger), answers(rebuild(shared, NEW, {})))
    assert larger.state.item_counts.tolist() == [*shared.item_counts, 0, 0, 0, 0, 0]


def test_items_that_came_after_training_are_not_saved(view, tmp_path):
    larger = Recommender.from_state(with_items(view, NEW).state)
    with pytest.raises(UsageError, match="items came after training"):
        larger.save_pretrained(tmp_path / "x")


def test_what_was_read_of_prompts_is_kept_when_items_come(view):
    larger = with_items(view, NEW)
    history = replace(histories_of(view)[1], user="somebody")
    before = larger.state.generator.score([history])
    more = with_items(larger, [Item("x", "Another")])
    kept = more.state.generator.model.prefixes
    assert list(kept.by_user) == ["somebody"]
    assert (
        kept.by_user["somebody"].layers[0][0] is larger.state.generator.model.prefixes.by_user["somebody"].layers[0][0]
    )
    after = more.state.generator.score([history])
    np.testing.assert_allclose(after, more.state.generator.score([replace(history, user=None)]), atol=1e-4)
    np.testing.assert_allclose(np.diff(before), np.diff(after)[:, :-1], atol=1e-4)
    moved = with_items(more, [Item("new-1", "Something else")])  # its vector is another
    assert not moved.state.generator.model.prefixes.by_user


def test_views_that_branch_off_do_not_write_into_each_other(view):
    stem = with_items(view, NEW[:1])
    left, right = with_items(stem, NEW[1:2]), with_items(stem, NEW[3:4])
    equal(left, with_items(view, [NEW[0], NEW[1]]))
    equal(right, with_items(view, [NEW[0], NEW[3]]))
    equal(stem, with_items(view, NEW[:1]))


@pytest.mark.parametrize(("scheme", "options"), [("title", {}), ("semantic", {"length": 2, "width": 3})])
def test_codes_of_several_tokens_are_given_to_new_items(state, scheme, options):
    coded = with_codes(state, scheme, **options)
    items = [*NEW, Item("long", "word " * 60), Item("new-10", "Coco (2017)", CARTOON.attributes)]
    view = View.of(coded)
    larger, one_by_one = with_items(view, items), view
    for item in items:
        one_by_one = with_items(one_by_one, [item])
    equal(one_by_one, larger)
    codes = larger.state.llm.codes
    Codes.from_arrays(codes.name, codes.arrays())  # unique, and none a prefix of another
    assert codes.codes.shape == (47, coded.llm.codes.codes.shape[1])
    np.testing.assert_array_equal(codes.codes[:40], coded.llm.codes.codes)
    if scheme == "title":
        assert codes.text(40) == "<word_coco><word_ ><word_(><word_2017><word_)><end>"
    only = np.zeros((1, 47), bool)
    only[0, 40:] = True
    scores = larger.state.generator.score(histories_of(view)[:1], only)
    assert np.isfinite(scores[only]).all()  # the search finds each of them
    changed = with_items(larger, [Item("new-2", "Another (1999)")])
    equal(
        changed, with_items(view, [Item("new-2", "Another (1999)") if item.id == "new-2" else item for item in items])
    )


def test_codes_of_an_unknown_scheme_refuse_items(state):
    coded = with_codes(state, "semantic", length=2, width=3)
    llm = copy.copy(coded.llm)
    llm.codes = replace(llm.codes, name="mine")
    with pytest.raises(ConfigError, match=r"the scheme .mine.*train again"):
        with_items(View.of(replace(coded, llm=llm)), [CARTOON])


def test_a_title_that_a_trained_code_holds_gets_a_token_of_its_own(state):
    view = View.of(with_codes(state, "title"))
    view = with_items(view, [Item("5", "Down (2009)")])
    larger = with_items(view, [Item("x", "Up (2009)")])
    assert "<word_[x]>" in larger.state.llm.codes.text(40)
    assert larger.state.catalog[40].title == "Up (2009)"


ITEMS = st.builds(
    lambda name, title, genre, year: Item(name, title, {"genre": genre, "year": year}),
    st.sampled_from([*(f"n{place}" for place in range(6)), "1", "2", "3"]),
    st.sampled_from(["Up", "Up (2009)", "Alien", "The Matrix", "Coco", "a toy story", "Ὀδύσσεια"]),
    st.sampled_from([(), ("Drama",), ("Animation", "Comedy")]),
    st.sampled_from([None, 1979, 2009]),
)


class Changes(RuleBasedStateMachine):
    """Items are added, changed and withdrawn at random; the view equals one that is built anew."""

    start: View

    def __init__(self) -> None:
        super().__init__()
        self.view, self.stored = self.start, dict[str, Item]()
        self.availability: Mapping[str, bool] = {}
        self.checked = True

    @rule(items=st.lists(ITEMS, min_size=1, max_size=3))
    def put(self, items: list[Item]) -> None:
        self.view = with_items(self.view, items)
        self.stored.update((item.id, item) for item in items)

    @rule(data=st.data(), available=st.booleans())
    def hide_or_show(self, data: st.DataObject, available: bool) -> None:
        item_id = data.draw(st.sampled_from([item.id for item in self.view.state.catalog]))
        self.view = with_available(self.view, {item_id: available})
        self.availability = {**self.availability, item_id: available}

    @invariant()
    def equals_one_that_is_built_anew(self) -> None:
        equal(self.view, rebuild(self.start.state, self.stored.values(), self.availability))
        (picks,) = answer_many(self.view.state, [Request(histories_of(self.view)[-2], n=99)], self.view.available)
        withdrawn = {item_id for item_id, available in self.availability.items() if not available}
        assert not withdrawn & set(ids(picks))


def test_random_changes_equal_a_view_that_is_built_again(view):
    class OfTheSample(Changes):
        start = view

    machine = settings(max_examples=5, stateful_step_count=5, deadline=None, suppress_health_check=list(HealthCheck))
    OfTheSample.TestCase.settings = machine
    OfTheSample.TestCase().runTest()
