import numpy as np
import pytest

from genre_gen.data.filters import Filters
from genre_gen.errors import UsageError
from genre_gen.evaluation.guarantees import BROKEN, FilterRequest, check_guarantees, filter_requests
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.requests import Recommendations

WHERE = "year >= 1980"


def test_a_sound_recommender_keeps_its_promises(tiny_recommender):
    requests = filter_requests(tiny_recommender, WHERE)
    report = check_guarantees(tiny_recommender, (5, 200), requests=[requests[0], *requests[-2:]])
    assert report.kept
    assert report.broken == dict.fromkeys(BROKEN, 0)
    assert [(row.n, row.lists) for row in report.rows] == [(5, 30), (40, 30)] * 3  # the catalog has 40 items
    assert report.lists == 180
    short = {row.request: row.short for row in report.rows if row.n == 5}
    assert short["none"] == 0
    assert short["5 popular items only"] > 20  # all but users who have seen none of them
    content = report.to_dict()
    assert (content["lists"], content["broken"], len(content["rows"])) == (180, 0, 6)


def test_requests_allow_the_items_of_their_filters(tiny_recommender):
    requests = filter_requests(tiny_recommender)
    assert len(requests) == 6
    state = tiny_recommender.state
    stranger = state.histories.histories()[0].slice(0, 0)
    for request in requests:
        filters = Filters(state.catalog, request.where, request.exclude, request.include)
        assert request.allowed.sum() > 0
        np.testing.assert_array_equal(filters.allowed(stranger).mask, request.allowed)
    with pytest.raises(UsageError, match="colour"):
        filter_requests(tiny_recommender, "colour = 3")


def replaced_first(picks, item):
    return Recommendations([type(picks[0])(1, item, picks[0].score), *picks[1:]], picks.notes)


def a_seen_one(state, history, picks):
    return replaced_first(picks, state.catalog[int(history.rows[0])])


def a_filtered_one(state, history, picks):
    row = next(row for row in np.flatnonzero(~state.catalog.where(WHERE)) if row not in history.rows)
    return replaced_first(picks, state.catalog[int(row)])


def an_invented_one(state, history, picks):
    return replaced_first(picks, type(picks[0].item)("invented", "Invented"))


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (a_seen_one, {"seen"}),
        (a_filtered_one, {"filtered"}),
        (an_invented_one, {"invalid", "filtered"}),
        (lambda _, __, picks: Recommendations([picks[0], *picks[:-1]], picks.notes), {"duplicate", "disordered"}),
        (lambda _, __, picks: Recommendations(picks[:-1], ["3 of 4 items"]), {"wrong_length"}),
        (lambda _, __, picks: Recommendations(picks[:-1]), {"wrong_length", "no_reason"}),
        (lambda _, __, picks: Recommendations(picks[::-1], picks.notes), {"disordered"}),
    ],
)
def test_every_broken_promise_is_counted(tiny_recommender, monkeypatch, change, kinds):
    original, state = Recommender.recommend, tiny_recommender.state

    def recommend(self, *, users, **options):
        for who, picks in original(self, users=users, **options):
            yield who, change(state, who, picks)

    monkeypatch.setattr(Recommender, "recommend", recommend)
    request = FilterRequest("where", state.catalog.where(WHERE), WHERE)
    histories = state.histories.histories()[:6]
    report = check_guarantees(tiny_recommender, [4], requests=[request], histories=histories)
    broken = {kind for kind, count in report.broken.items() if count}
    assert broken - {"filtered"} == kinds - {"filtered"}  # a seen item may lie outside the filter too
    assert kinds <= broken
    assert report.rows[0].broken >= len(histories)
    assert not report.kept
