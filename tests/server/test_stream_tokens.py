"""Stream tokens: valid for one user, one domain and some minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_gen.errors import UsageError
from genre_gen.server.stream_tokens import StreamTokens

TOKENS = StreamTokens(bytes(range(32)))
NOW = 1_800_000_000.0


def issued(user="196", domain="movies", minutes=10.0):
    return TOKENS.issue(domain, user, minutes, NOW)


def test_a_token_is_for_one_user_one_domain_and_some_minutes():
    token = issued()
    assert TOKENS.valid_until(token, "movies", "196", NOW + 599) == NOW + 600
    for domain, user, moment in (("movies", "22", 0), ("books", "196", 0), ("movies", "196", 600), ("movies", "", 0)):
        assert TOKENS.valid_until(token, domain, user, NOW + moment) is None


def test_another_secret_makes_other_tokens():
    other = StreamTokens(b"x" * 32).issue("movies", "196", 10, NOW)
    assert TOKENS.valid_until(other, "movies", "196", NOW) is None


@given(st.integers(0, 200), st.sampled_from("AZaz09-_"))
def test_a_changed_token_is_refused(place, letter):
    token = issued()
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    if changed.rstrip("=") != token:
        # The last letter holds bits that stand for nothing, so another letter there may be the same token.
        expected = {None, NOW + 600} if place == len(token) - 1 else {None}
        assert TOKENS.valid_until(changed, "movies", "196", NOW) in expected


@pytest.mark.parametrize("token", ["", "gs_", "gs_é", "gs_====", "gs_AAAA", "gk_AAAA", "gs_" + "A" * 5000, "gs_A B"])
def test_other_text_than_a_token_is_refused(token):
    assert TOKENS.valid_until(token, "movies", "196", NOW) is None


@given(st.text(min_size=1, max_size=100))
def test_any_user_id_can_have_one(user):
    assert TOKENS.valid_until(issued(user), "movies", user, NOW) == NOW + 600


@pytest.mark.parametrize("minutes", [0, -1, 1441, float("nan"), float("inf")])
def test_minutes_have_bounds(minutes):
    with pytest.raises(UsageError, match="above 0 and up to 1440"):
        issued(minutes=minutes)


def test_a_short_secret_is_refused():
    with pytest.raises(UsageError, match="32 random bytes"):
        StreamTokens(b"short")
