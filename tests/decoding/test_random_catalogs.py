"""Does the search keep its promises on catalogs and requests at random? Each place in its lists is checked.

Each round draws a catalog (codes of one to four tokens, of equal or different lengths, none the beginning of another;
every third one changed since it was built: items taken out, others put in), 64 users with allowed items, seen items,
prompts and a number of items, and a model whose scores are random, in two rounds of
three now and then NaN. Counted are items that the catalog lacks, items twice in a list, items that are not allowed,
lists of another length than they must have, scores that are not finite and lists out of order: all must be 0. A round
whose model says NaN must be refused as a whole, and every refusal must have such a reason.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genre_gen.decoding.base import CatalogTrie, Subset
from genre_gen.decoding.live import LiveTrie
from genre_gen.decoding.search import search_many
from genre_gen.decoding.trie import Trie
from genre_gen.errors import DecodingError
from genre_gen.ranking import Ranking

TOKENS, USERS = 40, 64
WRONG = ("invalid", "duplicate", "filtered", "wrong_length", "not_finite", "disordered", "refused_without_reason")


class HashModel:
    """A step model whose logits are a hash of the path, so that nothing about them is kept; some are NaN."""

    def __init__(self, seed: int, broken: float) -> None:
        """Draw a model; ``broken`` is the share of paths after which a score is NaN."""
        self.salt, self.broken = 1 + 7919 * seed, broken
        self.columns = torch.arange(1, TOKENS + 1).double() * 0.618
        self.said_nan = False

    def logits(self, keys: torch.Tensor) -> torch.Tensor:
        """Return the logits of paths."""
        noise = torch.sin(keys[:, None].double() * self.columns) * 1e4
        rows = 6 * (noise - noise.floor()).float()
        bad = torch.frac(noise[:, 0].abs()) < self.broken
        self.said_nan |= bool(bad.any())
        rows[bad, keys[bad] % TOKENS] = float("nan")
        return rows

    def prefill_many(self, prompts: Sequence[Any]) -> torch.Tensor:
        """Answer prompts."""
        return self.logits(self._keys(prompts))

    def prefill(self, prompts: Sequence[Any]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Answer prompts that go on."""
        keys = self._keys(prompts)
        return {"prompts": keys, "keys": keys.new_zeros(0)}, self.logits(keys)

    def step(self, state: Any, tokens: torch.Tensor, parents: torch.Tensor, users: torch.Tensor) -> torch.Tensor:
        """Answer nodes."""
        inner = state["keys"][parents.clamp(min=0)] if len(state["keys"]) else torch.zeros_like(parents)
        keys = (torch.where(parents < 0, state["prompts"][users], inner) * 131 + tokens + 1) % 1_000_003
        state["keys"] = torch.cat([state["keys"], keys])
        return self.logits(keys)

    def _keys(self, prompts: Sequence[Any]) -> torch.Tensor:
        return torch.tensor([self.salt * (sum(ids) + 1) for ids in prompts])


def prefix_free(random: np.random.Generator, most: int, length: int) -> NDArray[np.int64]:
    """Return random codes: sorted, each cut where it first differs from both its neighbours, or a little later."""
    codes = np.unique(random.integers(TOKENS, size=(most, length)), axis=0)
    alike = np.zeros(len(codes) + 1, dtype=np.int64)
    alike[1:-1] = (codes[1:] == codes[:-1]).cumprod(axis=1).sum(axis=1)
    needed = np.maximum(alike[1:], alike[:-1]) + 1
    keep = np.minimum(length, needed + random.integers(0, 2, size=len(codes)))
    codes[np.arange(length) >= keep[:, None]] = -1
    return random.permutation(codes)


def catalog(random: np.random.Generator, changed: bool) -> tuple[CatalogTrie, NDArray[np.bool_]]:
    """Return a trie, and which of its rows hold an item."""
    codes = prefix_free(random, int(random.integers(30, 2000)), int(random.integers(1, 5)))
    if not changed or len(codes) < 4:
        return Trie.build(codes, TOKENS), np.ones(len(codes), bool)
    half = len(codes) // 2
    gone = random.permutation(half)[: half // 2]
    trie = LiveTrie.of(Trie.build(codes[:half], TOKENS)).remove(gone).insert(codes[half:])
    valid = np.ones(trie.size, bool)
    valid[gone] = False
    return trie, valid


def round_of(seed: int) -> Counter[str]:
    """Ask for one catalog; return the counts."""
    random, counts = np.random.default_rng(seed), Counter({"rounds": 1})
    trie, valid = catalog(random, changed=seed % 3 == 0)
    n = int(random.integers(1, 90))
    allowed = random.random((USERS, trie.size)) < random.random((USERS, 1))
    allowed[random.random(USERS) < 0.05] = False
    seen = [random.choice(np.flatnonzero(valid), size=random.integers(0, 40)) for _ in range(USERS)]
    model = HashModel(seed, random.choice([0.0, 1e-5, 1e-3]))
    prompts = [[user, *[7] * int(random.integers(0, 5))] for user in range(USERS)]
    subset = trie.subset(allowed, seen)
    for user, rows in enumerate(seen):
        allowed[user, rows] = False
    try:
        rankings = search_many(model, prompts, trie, n, subset)
    except DecodingError:
        counts["refused"] += 1
        counts["refused_without_reason"] += not model.said_nan
        return counts
    for user, ranking in enumerate(rankings):
        counts.update(checked(ranking, n, valid & allowed[user], allowed[user], valid))
    return counts


def checked(
    ranking: Ranking, n: int, may: NDArray[np.bool_], allowed: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> dict[str, int]:
    """Return the counts of one list; ``may`` are rows that hold an item and are allowed."""
    rows = ranking.rows[(ranking.rows >= 0) & (ranking.rows < len(valid))]
    return {
        "lists": 1,
        "places": len(ranking),
        "invalid": len(ranking) - int(valid[rows].sum()),
        "duplicate": len(ranking) - len(np.unique(ranking.rows)),
        "filtered": int((~allowed[rows]).sum()),
        "wrong_length": int(len(ranking) != min(n, int(may.sum()))),
        "not_finite": int((~np.isfinite(ranking.scores)).sum()),
        "disordered": int((np.diff(ranking.scores) > 0).any()),
    }


def run(places: int) -> Counter[str]:
    """Go on until so many places are checked."""
    counts: Counter[str] = Counter(dict.fromkeys((*WRONG, "refused"), 0))
    while counts["places"] < places:
        counts.update(round_of(counts["rounds"]))
    return counts


@pytest.mark.parametrize("places", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_no_place_is_wrong(places):
    counts = run(places)
    assert counts["places"] >= places
    assert {kind: counts[kind] for kind in WRONG} == dict.fromkeys(WRONG, 0)
    assert 0 < counts["refused"] < counts["rounds"] / 2


def test_every_kind_of_wrong_list_is_counted():
    valid, allowed = np.array([True, True, True, False]), np.array([True, True, False, True])
    bad = Ranking(np.array([0, 0, 2, 3, 9]), np.array([1, 2, np.nan, 0, 0], np.float32))
    assert checked(bad, 2, valid & allowed, allowed, valid) == {
        "lists": 1, "places": 5, "invalid": 2, "duplicate": 1, "filtered": 1, "wrong_length": 1, "not_finite": 1,
        "disordered": 1,
    }  # fmt: skip


def test_a_search_that_lets_a_filtered_item_through_is_found(monkeypatch):
    count = Subset.count
    monkeypatch.setattr(Subset, "count", lambda self, *given: count(self, *given) + 1)
    assert run(2000)["filtered"] > 0
