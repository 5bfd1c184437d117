"""Best-first search: the items of a catalog with the highest scores, each once.

The score of an item is its log-probability: the sum, over the tokens of its code, of the log-softmax over the *whole*
code vocabulary. It does not depend on the other allowed items, so scores of different requests are comparable. The end
of a code costs nothing, because codes are prefix-free.

Log-probabilities are negative, so the score of a node is an upper bound for all items below it. The search follows the
best nodes down to ``n`` complete items and then expands every other node that still beats the ``n``-th of them. It
returns the top ``n`` of all items, not of a beam. If every code is one token, the prompt's own forward pass scores all
items.

Several users are searched together: their prompts are read in one batch, and each forward pass expands nodes of all
users. The number of NumPy calls between two passes depends neither on users nor on nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_gen.decoding.base import ROOT, Allowed, CatalogTrie, Ints, Subset
from genre_gen.errors import DecodingError, UsageError
from genre_gen.ranking import Ranking

Ids: TypeAlias = Sequence[int] | NDArray[np.integer] | Tensor
"""The token ids of one prompt."""

PROMPT = -1  # as a parent: the prompt itself
MAX_NODES = 4096
_WIDTH = 32  # the least number of nodes that one forward pass expands, if that many are promising
BATCH_TOKENS = 4096
"""The largest number of prompt tokens in one batch, padding included."""


class StepModel(Protocol):
    """A language model that scores the next code token, after prompts and any number of code prefixes."""

    def prefill(self, prompts: Sequence[Ids]) -> tuple[Any, Tensor]:
        """Read prompts, one per user; return a state for :meth:`step`, and logits ``[users, vocabulary]``."""
        ...

    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Read prompts without later steps; return the logits of the first code token, ``[users, vocabulary]``."""
        ...

    def step(self, state: Any, tokens: Tensor, parents: Tensor, users: Tensor) -> Tensor:
        """Append nodes to the users' trees and return the logits after each, ``[nodes, vocabulary]``.

        Args:
            state: the state of the prompts, changed in place.
            tokens: int64 ``[nodes]``, code tokens.
            parents: int64 ``[nodes]``, the node (in the order they were appended) that each follows, -1 for the prompt.
            users: int64 ``[nodes]``, non-decreasing, the user of each by the order of the prompts. A user without a
                node is finished and does not appear again.
        """
        ...


@dataclass(frozen=True)
class SearchResult:
    """The result of a search for one user, and its cost."""

    ranking: Ranking
    exact: bool  # whether these are proven to be the best of all allowed items
    nodes: int  # nodes that the model scored, without the prompt
    passes: int  # forward passes, including the prompt's


def search(model: StepModel, prompt_ids: Ids, trie: CatalogTrie, n: int, allowed: Allowed = None) -> Ranking:
    """Return the ``n`` best allowed items after a prompt; see :func:`best_first_search`."""
    return best_first_search(model, prompt_ids, trie, n, allowed).ranking


def search_many(
    model: StepModel,
    prompts: Sequence[Ids],
    trie: CatalogTrie,
    n: int,
    allowed: Allowed = None,
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Ranking]:
    """Return the result of :func:`search` for each prompt, with many users in one batch.

    Prompts of similar length are read together, at most ``batch_tokens`` in one batch, padding included; ``allowed``
    may be bool ``[users, n_items]``.

    Raises:
        DecodingError: the scores of a prompt are not finite; search one by one to find which.
    """
    _check_size(n)
    subset = trie.subset(allowed).check(len(prompts))
    if trie.is_flat and len(prompts):
        return _rank_flat(model, prompts, trie, n, subset)
    rankings: list[Ranking] = [Ranking(np.empty(0, np.int64), np.empty(0, np.float32))] * len(prompts)
    for group in length_groups([len(ids) for ids in prompts], batch_tokens):
        results = _search_group(model, [prompts[user] for user in group], trie, n, subset.select(np.array(group)))
        for user, result in zip(group, results, strict=True):
            rankings[user] = result.ranking
    return rankings


def best_first_search(
    model: StepModel,
    prompt_ids: Ids,
    trie: CatalogTrie,
    n: int,
    allowed: Allowed = None,
    *,
    max_nodes: int = MAX_NODES,
) -> SearchResult:
    """Find the ``n`` best allowed items after a prompt, or all if there are fewer; equal scores by catalog row.

    Args:
        model: the language model.
        prompt_ids: the prompt's token ids.
        trie: the trie of the catalog's item codes.
        n: number of items, at least 1.
        allowed: bool ``[n_items]`` by catalog row, a subset of the trie, or None for all.
        max_nodes: after scoring this number of nodes, a search that has ``n`` items returns the best so far.

    Raises:
        UsageError: ``n`` is too small, or ``allowed`` belongs to another catalog.
        DecodingError: a score is NaN or infinite.
    """
    _check_size(n)
    return _search_group(model, [prompt_ids], trie, n, trie.subset(allowed).check(1), max_nodes)[0]


def score_items(model: StepModel, prompts: Sequence[Ids], trie: CatalogTrie) -> NDArray[np.float32]:
    """Return the log-probability of every item after every prompt, float32 ``[users, catalog rows]``.

    One-token codes cost one pass over the prompts. Longer codes cost a pass over the whole trie for each prompt, which
    suits small catalogs and tests of the search. A catalog row without an item gets ``-inf``.

    Raises:
        DecodingError: a score is NaN or infinite.
    """
    if trie.is_flat and len(prompts):
        return _score_flat(trie, log_probabilities(model.prefill_many(prompts)))
    scores = np.full((len(prompts), trie.size), -np.inf, dtype=np.float32)
    for user, ids in enumerate(prompts):
        expander = Expander(model, trie, trie.subset())
        reached = expander.prefill([ids])
        while len(reached.nodes):
            leaf = trie.is_leaf(reached.nodes)
            scores[user, trie.row(reached.nodes[leaf])] = reached.scores[leaf]
            reached = expander.expand(reached.take(~leaf))
    return scores


def _score_flat(trie: CatalogTrie, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores of all catalog rows from those of all tokens, of which each is one item at most."""
    if trie.is_identity:
        return values
    scores = np.full((len(values), trie.size), -np.inf, dtype=np.float32)
    rows, tokens = trie.flat_tokens()
    scores[:, rows] = values[:, tokens]
    return scores


def length_groups(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group prompts, shortest first, so that no group exceeds ``batch_tokens`` once padded to its longest."""
    groups: list[list[int]] = []
    for k in np.argsort(lengths, kind="stable").tolist():
        if groups and (len(groups[-1]) + 1) * lengths[k] <= batch_tokens:
            groups[-1].append(k)
        else:
            groups.append([k])
    return groups


class Reached(NamedTuple):
    """Nodes of the trie that a search has reached: parallel arrays."""

    nodes: NDArray[np.int64]
    scores: NDArray[np.float64]  # log-probability of the tokens from the root to each node
    parents: NDArray[np.int64]  # the parent's number in the model, -1 for the prompt
    depths: NDArray[np.int64]
    users: NDArray[np.int64]

    @classmethod
    def none(cls) -> Reached:
        """Return an empty set of nodes."""
        empty = np.empty(0, dtype=np.int64)
        return cls(empty, np.empty(0), empty, empty, empty)

    def take(self, which: NDArray[Any]) -> Reached:
        """Return some of the nodes, by a mask or by indices."""
        return Reached(*(array[which] for array in self))

    def join(self, other: Reached) -> Reached:
        """Return these nodes and then others."""
        return Reached(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class Expander:
    """Expands nodes of the trie with the model, for the users of one request; counts nodes and passes."""

    def __init__(self, model: StepModel, trie: CatalogTrie, subset: Subset) -> None:
        """Prepare a request whose allowed items are ``subset``."""
        self.model, self.trie, self.subset = model, trie, subset
        self._asked = 0

    def prefill(self, prompts: Sequence[Ids]) -> Reached:
        """Read the prompts; return the root's children, once for each user."""
        n_users = len(prompts)
        self.nodes, self.passes = np.zeros(n_users, dtype=np.int64), np.ones(n_users, dtype=np.int64)
        if self.trie.is_flat:
            logits = self.model.prefill_many(prompts)
        else:
            self._state, logits = self.model.prefill(prompts)
        start = np.full(n_users, PROMPT)
        roots = Reached(np.full(n_users, ROOT), np.zeros(n_users), start, start * 0, np.arange(n_users))
        return self._children(roots, start, logits)

    def expand(self, chosen: Reached) -> Reached:
        """Score the children of inner nodes in one forward pass, and return them. ``chosen`` is ordered by user."""
        if not len(chosen.nodes):
            return chosen
        tokens = torch.from_numpy(self.trie.token(chosen.nodes))
        parents, users = torch.from_numpy(chosen.parents), torch.from_numpy(chosen.users)
        logits = self.model.step(self._state, tokens, parents, users)
        numbers = np.arange(self._asked, self._asked + len(tokens))
        self._asked += len(tokens)
        asked = np.bincount(chosen.users, minlength=len(self.nodes))
        self.nodes += asked
        self.passes += asked > 0
        return self._children(chosen, numbers, logits)

    def _children(self, expanded: Reached, numbers: NDArray[np.int64], logits: Tensor) -> Reached:
        """Return the children that lead to allowed items; ``numbers`` are the model's numbers of the expanded nodes."""
        values = self.log_probabilities(logits)
        owners, children = self.trie.expand(expanded.nodes)
        alive = self.trie.count(children, self.subset, expanded.users[owners]) > 0
        owners, children = owners[alive], children[alive]
        scores = expanded.scores[owners] + values[owners, self.trie.token(children)]
        return Reached(children, scores, numbers[owners], expanded.depths[owners] + 1, expanded.users[owners])

    def log_probabilities(self, logits: Tensor) -> NDArray[np.float32]:
        """Return the scores of the next tokens; see the function of that name."""
        return log_probabilities(logits)


def _search_group(
    model: StepModel, prompts: Sequence[Ids], trie: CatalogTrie, n: int, subset: Subset, max_nodes: int = MAX_NODES
) -> list[SearchResult]:
    """Search for some users together; their prompts are read in one batch."""
    users = np.arange(len(prompts))
    if not trie.count(np.full(len(prompts), ROOT), subset, users).any():
        return [SearchResult(to_ranking(trie, Reached.none(), n), exact=True, nodes=0, passes=0) for _ in prompts]
    expander = Expander(model, trie, subset)
    items, exact = _best_items(expander, expander.prefill(prompts), n, max_nodes)
    figures = zip(users, exact.tolist(), expander.nodes.tolist(), expander.passes.tolist(), strict=True)
    return [SearchResult(to_ranking(trie, items.take(items.users == user), n), *each) for user, *each in figures]


def _best_items(expander: Expander, reached: Reached, n: int, max_nodes: int) -> tuple[Reached, NDArray[np.bool_]]:
    """Return at least the ``n`` best items of each user, and for which users they are exact despite ``max_nodes``."""
    items = frontier = Reached.none()
    n_users, width = len(expander.nodes), max(n, _WIDTH)
    exact = np.ones(n_users, dtype=bool)
    while True:
        leaf = expander.trie.is_leaf(reached.nodes)
        items, frontier = items.join(reached.take(leaf)), frontier.join(reached.take(~leaf))
        bound = _nth_best(items, n, n_users)
        items = items.take(items.scores >= bound[items.users])
        frontier = frontier.take(frontier.scores > bound[frontier.users])
        stopped = (expander.nodes >= max_nodes) & np.isfinite(bound)
        exact[frontier.users[stopped[frontier.users]]] = False
        frontier = frontier.take(~stopped[frontier.users])
        if not len(frontier.nodes):
            return items, exact
        # Until a user has a bound, the deepest nodes come first, which reaches n items soonest.
        haste = np.where(np.isfinite(bound[frontier.users]), 0, -frontier.depths)
        frontier = frontier.take(np.lexsort((-frontier.scores, haste, frontier.users)))
        chosen = rank_by_user(frontier.users) < width
        reached, frontier = expander.expand(frontier.take(chosen)), frontier.take(~chosen)


def rank_by_user(users: Ints) -> NDArray[np.int64]:
    """Return each element's index among those of its user, from 0; ``users`` is non-decreasing."""
    return np.arange(len(users)) - np.searchsorted(users, users)


def _nth_best(items: Reached, n: int, n_users: int) -> NDArray[np.float64]:
    """Return each user's ``n``-th best score, ``-inf`` if there are fewer items."""
    bound = np.full(n_users, -np.inf)
    order = np.lexsort((-items.scores, items.users))
    nth = order[rank_by_user(items.users[order]) == n - 1]
    bound[items.users[nth]] = items.scores[nth]
    return bound


def _rank_flat(model: StepModel, prompts: Sequence[Ids], trie: CatalogTrie, n: int, subset: Subset) -> list[Ranking]:
    """Rank one-token codes, which are scored by the pass over the prompts."""
    scores = score_items(model, prompts, trie)
    _, leaves = trie.expand(np.array([ROOT]))
    rows, rankings = trie.row(leaves), []
    for user, user_scores in enumerate(scores):
        alive = rows[trie.count(leaves, subset, user) > 0]
        best = Ranking.from_scores(user_scores[alive], n)
        rankings.append(Ranking(alive[best.rows], best.scores))
    return rankings


def to_ranking(trie: CatalogTrie, items: Reached, n: int) -> Ranking:
    """Return the ``n`` best of one user's items; equal scores are ordered by catalog row."""
    rows, scores = trie.row(items.nodes), items.scores.astype(np.float32)
    order = np.lexsort((rows, -scores))[:n]
    return Ranking(rows[order], scores[order])


def log_probabilities(logits: Tensor) -> NDArray[np.float32]:
    """Return log-probabilities over the last axis; see :func:`finite` for errors."""
    return finite(torch.log_softmax(logits.detach().float(), dim=-1))


def finite(scores: Tensor) -> NDArray[np.float32]:
    """Return a model's scores as an array; raise DecodingError unless all are finite."""
    values = scores.detach().float().cpu().numpy()
    if not np.isfinite(values).all():
        raise DecodingError(
            "the language model's scores are not finite, so nothing can be recommended from them; "
            "check the weights, and try quantization = none"
        )
    return values


def _check_size(n: int) -> None:
    if n < 1:
        raise UsageError(f"n = {n}; ask for at least one item")
