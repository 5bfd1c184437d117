"""Does the search keep its promises on catalogs and requests at random? A million places in lists, each checked.

    python eval/random_catalogs.py [--places 1000000] [--json eval/results/random_catalogs.json]

Each round draws a catalog (codes of one to four tokens, of equal or different lengths, none the beginning of another;
every third one changed since it was built: items taken out, others put in), 64 users with lists of what they may get,
what they have had, prompts and a number of items, and a model whose scores are random, in two rounds of three now and
then NaN. Counted are items that the catalog lacks, items twice in a list, items
that are not allowed, lists of another length than they must have, scores that are not finite and lists out of order:
all must be 0. A round whose model says NaN must be refused as a whole, and every refusal must have such a reason.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genre_gen.decoding.base import CatalogTrie
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
    if not changed or len(codes) < 4:  # noqa: PLR2004 - half of half of it must be something
        return Trie.build(codes, TOKENS), np.ones(len(codes), bool)
    half = len(codes) // 2
    gone = random.permutation(half)[: half // 2]
    trie = LiveTrie.of(Trie.build(codes[:half], TOKENS)).remove(gone).insert(codes[half:])
    there = np.ones(trie.size, bool)
    there[gone] = False
    return trie, there


def round_of(seed: int) -> Counter[str]:
    """Ask for one catalog; return the counts."""
    random, found = np.random.default_rng(seed), Counter({"rounds": 1})
    trie, there = catalog(random, changed=seed % 3 == 0)
    n = int(random.integers(1, 90))
    allowed = random.random((USERS, trie.size)) < random.random((USERS, 1))
    allowed[random.random(USERS) < 0.05] = False  # noqa: PLR2004 - some may get nothing
    had = [random.choice(np.flatnonzero(there), size=random.integers(0, 40)) for _ in range(USERS)]
    model = HashModel(seed, random.choice([0.0, 1e-5, 1e-3]))
    prompts = [[user, *[7] * int(random.integers(0, 5))] for user in range(USERS)]
    subset = trie.subset(allowed, had)
    for user, rows in enumerate(had):
        allowed[user, rows] = False
    try:
        rankings = search_many(model, prompts, trie, n, subset)
    except DecodingError:
        found["refused"] += 1
        found["refused_without_reason"] += not model.said_nan
        return found
    for user, ranking in enumerate(rankings):
        found.update(checked(ranking, n, there & allowed[user], allowed[user], there))
    return found


def checked(
    ranking: Ranking, n: int, may: NDArray[np.bool_], allowed: NDArray[np.bool_], there: NDArray[np.bool_]
) -> dict[str, int]:
    """Return the counts of one list; ``may`` are rows that hold an item and are allowed."""
    rows = ranking.rows[(ranking.rows >= 0) & (ranking.rows < len(there))]
    return {
        "lists": 1,
        "places": len(ranking),
        "invalid": len(ranking) - int(there[rows].sum()),
        "duplicate": len(ranking) - len(np.unique(ranking.rows)),
        "filtered": int((~allowed[rows]).sum()),
        "wrong_length": int(len(ranking) != min(n, int(may.sum()))),
        "not_finite": int((~np.isfinite(ranking.scores)).sum()),
        "disordered": int((np.diff(ranking.scores) > 0).any()),
    }


def run(places: int) -> Counter[str]:
    """Go on until so many places are checked."""
    found: Counter[str] = Counter(dict.fromkeys((*WRONG, "refused"), 0))
    while found["places"] < places:
        found.update(round_of(found["rounds"]))
    return found


def main() -> None:
    """Check, print, write JSON; exit code 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=Path("eval/results/random_catalogs.json"))
    options = parser.parse_args()
    begin = time.perf_counter()
    found = run(options.places)
    content = {**found, "broken": sum(found[name] for name in WRONG), "seconds": round(time.perf_counter() - begin)}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print("\n".join(f"{name:24} {value:>12,}" for name, value in content.items()))
    raise SystemExit(1 if content["broken"] else 0)


if __name__ == "__main__":
    main()
