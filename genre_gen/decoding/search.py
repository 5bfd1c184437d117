"""Search: the best items of a catalog under the model, and only items, each once.

The score of an item is its log-probability: the sum, over the tokens of its code, of the log-softmax over the *whole*
code vocabulary. It is not renormalised over the tokens that the trie and the allowed set leave, so an item's score does
not depend on what else is allowed, scores of different requests compare, and the ranking is that of beam search in
transformers with a constraint and ``length_penalty=0``. The end of a code costs nothing, because codes are prefix-free.
A token that is the only choice still costs its log-probability, hence its forward pass.

Log-probabilities are negative, so a node of the trie bounds all items below it from above. The search follows the best
nodes down to ``n`` complete items and then opens every other node that still beats the ``n``-th of them: what it
returns is the top ``n`` of all items, not of a beam. Where every code is one token, the prompt's own forward pass
already scores all items and nothing more is computed.

Several users are searched together: their prompts are read in one batch, and each forward pass opens nodes of all of
them. The work between two passes is a number of NumPy calls that depends neither on users nor on nodes.
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
_WIDTH = 32  # nodes that one forward pass opens at least, where so many are promising
_LIMIT = 4096
BATCH_TOKENS = 4096
"""Most prompt tokens that are read together, padding included."""


class StepModel(Protocol):
    """A language model to ask for the next code token, after prompts and any number of beginnings of codes."""

    def prefill(self, prompts: Sequence[Ids]) -> tuple[Any, Tensor]:
        """Read prompts of any lengths, one per user.

        Returns:
            A state for :meth:`step`, and the logits of the first code token of each, ``[users, vocabulary]``.
        """
        ...

    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Read prompts that nothing follows; return the logits of the first code token, ``[users, vocabulary]``."""
        ...

    def step(self, state: Any, tokens: Tensor, parents: Tensor, users: Tensor) -> Tensor:
        """Append nodes to the users' trees and return the logits after each, ``[nodes, vocabulary]``.

        Args:
            state: of the prompts; changed.
            tokens: int64 ``[nodes]``, code tokens.
            parents: int64 ``[nodes]``, which node (in the order they were appended) each follows, -1 for the prompt.
            users: int64 ``[nodes]``, non-decreasing, whose tree each belongs to. A user without a node is finished
                and is not asked about again.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What a search found for one user, and what it took.

    Attributes:
        ranking: at most ``n`` items.
        exact: whether these are certainly the best of all allowed items.
        nodes: trie nodes that the model was asked about, beside the prompt.
        passes: forward passes, the prompt's included.
    """

    ranking: Ranking
    exact: bool
    nodes: int
    passes: int


def search(
    model: StepModel,
    prompt_ids: Ids,
    trie: CatalogTrie,
    n: int,
    allowed: Allowed = None,
    *,
    beams: int | None = None,
) -> Ranking:
    """Return the ``n`` best allowed items after a prompt; see :func:`explore`."""
    return explore(model, prompt_ids, trie, n, allowed, beams=beams).ranking


def search_many(
    model: StepModel,
    prompts: Sequence[Ids],
    trie: CatalogTrie,
    n: int,
    allowed: Allowed = None,
    *,
    beams: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Ranking]:
    """Return for each prompt what :func:`search` returns, asking the model about many users at once.

    Args:
        model: the language model.
        prompts: token ids of each user's prompt, of any lengths; those of like length are read together.
        trie: of the catalog's item codes.
        n: items per prompt.
        allowed: bool ``[n_items]`` for all alike or ``[users, n_items]``, a subset of the trie, or None for all.
        beams: as in :func:`explore`.
        batch_tokens: most prompt tokens in one batch, padding included.

    Raises:
        DecodingError: the scores of any prompt are not finite; ask one by one to learn whose.
    """
    _check_sizes(n, beams)
    subset = trie.subset(allowed).check(len(prompts))
    if trie.is_flat and len(prompts):
        return _rank_flat(model, prompts, trie, n, subset)
    rankings: list[Ranking] = [Ranking(np.empty(0, np.int64), np.empty(0, np.float32))] * len(prompts)
    for group in length_groups([len(ids) for ids in prompts], batch_tokens):
        own = subset.of(np.array(group))
        found = _explore(model, [prompts[user] for user in group], trie, n, own, beams, _LIMIT, True)
        for user, outcome in zip(group, found, strict=True):
            rankings[user] = outcome.ranking
    return rankings


def explore(
    model: StepModel,
    prompt_ids: Ids,
    trie: CatalogTrie,
    n: int,
    allowed: Allowed = None,
    *,
    beams: int | None = None,
    limit: int = _LIMIT,
    normalize: bool = True,
) -> Outcome:
    """Find the ``n`` best allowed items after a prompt.

    Args:
        model: the language model.
        prompt_ids: the prompt's token ids.
        trie: of the catalog's item codes.
        n: how many items, at least 1.
        allowed: bool ``[n_items]`` by catalog row, a subset of the trie, or None for all.
        beams: None searches exactly. A number, at least ``n``, makes it the plain beam search of transformers instead,
            which keeps that many beginnings of codes at each level and may miss an item whose beginning is unlikely.
        limit: an exact search that has asked about so many nodes, and has ``n`` items, returns the best found so far
            and says that it is not exact.
        normalize: False where the model's answers are log-probabilities already (over a larger vocabulary).

    Returns:
        ``n`` items, or all that are allowed where these are fewer; never an item twice, never one not allowed. Equal
        scores are ordered by catalog row.

    Raises:
        UsageError: ``n`` or ``beams`` too small, or ``allowed`` of another catalog.
        DecodingError: a score is NaN or infinite; nothing may be recommended from such scores.
    """
    _check_sizes(n, beams)
    return _explore(model, [prompt_ids], trie, n, trie.subset(allowed).check(1), beams, limit, normalize)[0]


def score_items(
    model: StepModel, prompts: Sequence[Ids], trie: CatalogTrie, *, normalize: bool = True
) -> NDArray[np.float32]:
    """Return the log-probability of every item after every prompt, float32 ``[users, catalog rows]``.

    One-token codes cost one pass over the prompts. Longer codes cost a pass over the whole trie for each prompt: meant
    for small catalogs and for checking the search. A catalog row without an item gets ``-inf``.

    Raises:
        DecodingError: a score is NaN or infinite.
    """
    scores = np.full((len(prompts), trie.size), -np.inf, dtype=np.float32)
    if trie.is_flat and len(prompts):
        tokens, rows = _flat_items(trie)
        scores[:, rows] = _log_probabilities(model.prefill_many(prompts), normalize)[:, tokens]
        return scores
    for user, ids in enumerate(prompts):
        tree = _Tree(model, trie, trie.subset(), normalize)
        opened = tree.plant([ids])
        while len(opened.nodes):
            leaf = trie.is_leaf(opened.nodes)
            scores[user, trie.row(opened.nodes[leaf])] = opened.scores[leaf]
            opened = tree.open(opened.take(~leaf))
    return scores


def length_groups(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group prompts, shortest first, so that no group exceeds ``batch_tokens`` once padded to its longest."""
    groups: list[list[int]] = []
    for k in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and (len(groups[-1]) + 1) * lengths[k] <= batch_tokens:
            groups[-1].append(k)
        else:
            groups.append([k])
    return groups


def _explore(
    model: StepModel,
    prompts: Sequence[Ids],
    trie: CatalogTrie,
    n: int,
    subset: Subset,
    beams: int | None,
    limit: int,
    normalize: bool,
) -> list[Outcome]:
    """Search for several users together; ``subset`` numbers them as ``prompts`` do."""
    tree = _Tree(model, trie, subset, normalize)
    everyone = np.arange(len(prompts))
    some = trie.count(np.full(len(prompts), ROOT), subset, everyone) > 0
    if not some.any():
        return [Outcome(_ranking(trie, _Nodes.none(), n), exact=True, nodes=0, passes=0) for _ in prompts]
    items, exact = (
        _exact(tree, tree.plant(prompts), n, limit)
        if beams is None
        else (_beam(tree, tree.plant(prompts), beams), np.full(len(prompts), trie.is_flat))
    )
    owned = [items.take(items.users == user) for user in everyone]
    return [
        Outcome(_ranking(trie, own, n), bool(exact[user]), int(tree.nodes[user]), int(tree.passes[user]))
        for user, own in enumerate(owned)
    ]


class _Nodes(NamedTuple):
    """Nodes of the trie that a search has reached: parallel arrays."""

    nodes: NDArray[np.int64]
    scores: NDArray[np.float64]  # log-probability of the tokens from the root to each node
    parents: NDArray[np.int64]  # the model's number of each node's parent, -1 for the prompt
    depths: NDArray[np.int64]
    users: NDArray[np.int64]

    @classmethod
    def none(cls) -> _Nodes:
        empty = np.empty(0, dtype=np.int64)
        return cls(empty, np.empty(0), empty, empty, empty)

    def take(self, which: NDArray[Any]) -> _Nodes:
        return _Nodes(*(array[which] for array in self))

    def join(self, other: _Nodes) -> _Nodes:
        return _Nodes(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class _Tree:
    """The parts of the trie that the users of one request have asked the model about."""

    def __init__(self, model: StepModel, trie: CatalogTrie, subset: Subset, normalize: bool) -> None:
        self.model, self.trie, self.subset, self.normalize = model, trie, subset, normalize
        self.asked = 0

    def plant(self, prompts: Sequence[Ids]) -> _Nodes:
        """Read the prompts; return the root's children, once for each user."""
        n_users = len(prompts)
        self.nodes, self.passes = np.zeros(n_users, dtype=np.int64), np.ones(n_users, dtype=np.int64)
        if self.trie.is_flat:
            logits = self.model.prefill_many(prompts)
        else:
            self.state, logits = self.model.prefill(prompts)
        start = np.full(n_users, PROMPT)
        roots = _Nodes(np.full(n_users, ROOT), np.zeros(n_users), start, start * 0, np.arange(n_users))
        return self._children(roots, start, logits)

    def open(self, chosen: _Nodes) -> _Nodes:
        """Ask the model about inner nodes, in one forward pass; return their children. ``chosen`` is by user."""
        if not len(chosen.nodes):
            return chosen
        tokens = torch.from_numpy(self.trie.token(chosen.nodes))
        parents, users = torch.from_numpy(chosen.parents), torch.from_numpy(chosen.users)
        logits = self.model.step(self.state, tokens, parents, users)
        numbers = np.arange(self.asked, self.asked + len(tokens))
        self.asked += len(tokens)
        asked = np.bincount(chosen.users, minlength=len(self.nodes))
        self.nodes += asked
        self.passes += asked > 0
        return self._children(chosen, numbers, logits)

    def _children(self, opened: _Nodes, numbers: NDArray[np.int64], logits: Tensor) -> _Nodes:
        """Return the children that lead to allowed items; ``numbers`` are the model's numbers of the opened nodes."""
        log_probabilities = _log_probabilities(logits, self.normalize)
        owners, children = self.trie.expand(opened.nodes)
        alive = self.trie.count(children, self.subset, opened.users[owners]) > 0
        owners, children = owners[alive], children[alive]
        scores = opened.scores[owners] + log_probabilities[owners, self.trie.token(children)]
        return _Nodes(children, scores, numbers[owners], opened.depths[owners] + 1, opened.users[owners])


def _exact(tree: _Tree, opened: _Nodes, n: int, limit: int) -> tuple[_Nodes, NDArray[np.bool_]]:
    """Return at least the ``n`` best items of each user, and of whom the limit left them exact."""
    items = frontier = _Nodes.none()
    n_users, width = len(tree.nodes), max(n, _WIDTH)
    exact = np.ones(n_users, dtype=bool)
    while True:
        leaf = tree.trie.is_leaf(opened.nodes)
        items, frontier = items.join(opened.take(leaf)), frontier.join(opened.take(~leaf))
        bound = _nth_best(items, n, n_users)
        items = items.take(items.scores >= bound[items.users])
        frontier = frontier.take(frontier.scores > bound[frontier.users])
        stopped = (tree.nodes >= limit) & np.isfinite(bound)
        exact[frontier.users[stopped[frontier.users]]] = False
        frontier = frontier.take(~stopped[frontier.users])
        if not len(frontier.nodes):
            return items, exact
        # Until a user has a bound, the deepest nodes first: the shortest way to n items.
        haste = np.where(np.isfinite(bound[frontier.users]), 0, -frontier.depths)
        frontier = frontier.take(np.lexsort((-frontier.scores, haste, frontier.users)))
        chosen = _place(frontier.users) < width
        opened, frontier = tree.open(frontier.take(chosen)), frontier.take(~chosen)


def _beam(tree: _Tree, opened: _Nodes, beams: int) -> _Nodes:
    """Return what beam search in transformers finishes.

    There, a complete code still needs its end token, which comes a level later and only if the code is then among the
    best ``beams``. So complete codes stay in the beam for one more level here.
    """
    finished = complete = _Nodes.none()
    while len(opened.nodes) or len(complete.nodes):
        if len(complete.nodes):
            both = complete.join(opened)
            best = _best(both, beams)
            finished = finished.join(both.take(best[best < len(complete.nodes)]))
        running = opened.take(_best(opened, beams))
        leaf = tree.trie.is_leaf(running.nodes)
        complete, opened = running.take(leaf), tree.open(running.take(~leaf))
    return finished


def _best(nodes: _Nodes, k: int) -> NDArray[np.int64]:
    """Return where each user's ``k`` best nodes are, by user and best first; equal scores as they stand."""
    order = np.lexsort((-nodes.scores, nodes.users))
    return order[_place(nodes.users[order]) < k]


def _place(users: Ints) -> NDArray[np.int64]:
    """Return each element's place among those of its user, from 0; ``users`` is non-decreasing."""
    return np.arange(len(users)) - np.searchsorted(users, users)


def _nth_best(items: _Nodes, n: int, n_users: int) -> NDArray[np.float64]:
    """Return each user's ``n``-th best score, ``-inf`` where there are fewer items."""
    bound = np.full(n_users, -np.inf)
    order = np.lexsort((-items.scores, items.users))
    nth = order[_place(items.users[order]) == n - 1]
    bound[items.users[nth]] = items.scores[nth]
    return bound


def _flat_items(trie: CatalogTrie) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the token and the catalog row of each item of one-token codes."""
    _, leaves = trie.expand(np.array([ROOT]))
    leaves = leaves[trie.count(leaves, trie.subset()) > 0]
    return trie.token(leaves), trie.row(leaves)


def _rank_flat(model: StepModel, prompts: Sequence[Ids], trie: CatalogTrie, n: int, subset: Subset) -> list[Ranking]:
    """Rank one-token codes, which the prompts' own pass scores."""
    scores = score_items(model, prompts, trie)
    _, leaves = trie.expand(np.array([ROOT]))
    rows, rankings = trie.row(leaves), []
    for user, own in enumerate(scores):
        alive = rows[trie.count(leaves, subset, user) > 0]
        best = Ranking.from_scores(own[alive], n)
        rankings.append(Ranking(alive[best.rows], best.scores))
    return rankings


def _ranking(trie: CatalogTrie, items: _Nodes, n: int) -> Ranking:
    rows, scores = trie.row(items.nodes), items.scores.astype(np.float32)
    order = np.lexsort((rows, -scores))[:n]
    return Ranking(rows[order], scores[order])


def _log_probabilities(logits: Tensor, normalize: bool) -> NDArray[np.float32]:
    """Return log-probabilities over the last axis; raise DecodingError unless all are finite."""
    logits = logits.detach().float()
    values = (torch.log_softmax(logits, dim=-1) if normalize else logits).cpu().numpy()
    if not np.isfinite(values).all():
        raise DecodingError(
            "the language model's scores are not finite, so nothing can be recommended from them; "
            "check that the weights are sound, and try quantization = none"
        )
    return values


def _check_sizes(n: int, beams: int | None) -> None:
    if n < 1:
        raise UsageError(f"n = {n}; ask for at least one item")
    if beams is not None and beams < n:
        raise UsageError(f"beams = {beams} cannot hold n = {n} items; use beams >= n, or none for the exact search")
