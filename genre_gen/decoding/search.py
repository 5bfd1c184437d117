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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_gen.decoding.trie import ROOT, Trie
from genre_gen.errors import DecodingError, UsageError
from genre_gen.ranking import Ranking

Ids: TypeAlias = Sequence[int] | NDArray[np.integer] | Tensor
"""The token ids of one prompt."""

PROMPT = -1  # as a parent: the prompt itself
_WIDTH = 32  # nodes that one forward pass opens at least, where so many are promising
_LIMIT = 4096


class StepModel(Protocol):
    """A language model to ask for the next code token, after a prompt and any number of beginnings of codes."""

    def prefill(self, ids: Ids) -> tuple[Any, Tensor]:
        """Read a prompt; return a state for :meth:`step` and the logits ``[vocabulary]`` of the first code token."""
        ...

    def prefill_many(self, prompts: Sequence[Ids]) -> Tensor:
        """Read prompts of any lengths; return the logits of the first code token of each, ``[batch, vocabulary]``."""
        ...

    def step(self, state: Any, tokens: Tensor, parents: Tensor) -> Tensor:
        """Append nodes to the state's tree and return the logits after each, ``[nodes, vocabulary]``.

        Args:
            state: of the prompt; changed.
            tokens: int64 ``[nodes]``, code tokens.
            parents: int64 ``[nodes]``, which node (in the order they were appended) each follows, -1 for the prompt.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What a search found and what it took.

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
    trie: Trie,
    n: int,
    allowed: NDArray[np.bool_] | None = None,
    *,
    beams: int | None = None,
) -> Ranking:
    """Return the ``n`` best allowed items after a prompt; see :func:`explore`."""
    return explore(model, prompt_ids, trie, n, allowed, beams=beams).ranking


def search_many(
    model: StepModel,
    prompts: Sequence[Ids],
    trie: Trie,
    n: int,
    allowed: NDArray[np.bool_] | None = None,
    *,
    beams: int | None = None,
) -> list[Ranking]:
    """Return for each prompt what :func:`search` returns; one-token codes in batches.

    Args:
        model: the language model.
        prompts: token ids of each prompt, of any lengths.
        trie: of the catalog's item codes.
        n: items per prompt.
        allowed: bool ``[batch, n_items]``, or None to allow all.
        beams: as in :func:`search`.

    Raises:
        DecodingError: the scores of any prompt are not finite; ask one by one to learn whose.
    """
    each = [None] * len(prompts) if allowed is None else list(allowed)
    if not trie.is_flat:
        return [search(model, ids, trie, n, own, beams=beams) for ids, own in zip(prompts, each, strict=True)]
    _check_sizes(n, beams)
    scores = score_items(model, prompts, trie)
    for own in each:
        trie.tally(own)  # refuses one of another catalog
    return [Ranking.from_scores(row, n, own) for row, own in zip(scores, each, strict=True)]


def explore(
    model: StepModel,
    prompt_ids: Ids,
    trie: Trie,
    n: int,
    allowed: NDArray[np.bool_] | None = None,
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
        allowed: bool ``[n_items]`` by catalog row; None allows all.
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
    tally = trie.tally(allowed)
    if not tally[-1]:
        return Outcome(_ranking(trie, _Nodes.none(), n), exact=True, nodes=0, passes=0)
    tree = _Tree(model, trie, None if allowed is None else tally, normalize)
    start = tree.plant(prompt_ids)
    items, exact = _exact(tree, start, n, limit) if beams is None else (_beam(tree, start, beams), False)
    return Outcome(_ranking(trie, items, n), exact or trie.is_flat, tree.nodes, tree.passes)


def score_items(model: StepModel, prompts: Sequence[Ids], trie: Trie, *, normalize: bool = True) -> NDArray[np.float32]:
    """Return the log-probability of every item after every prompt, float32 ``[batch, n_items]``.

    One-token codes cost one pass over the prompts. Longer codes cost a pass over the whole trie for each prompt: meant
    for small catalogs and for checking the search.

    Raises:
        DecodingError: a score is NaN or infinite.
    """
    scores = np.empty((len(prompts), trie.n_items), dtype=np.float32)
    if trie.is_flat and len(prompts):
        scores[:, trie.rows] = _log_probabilities(model.prefill_many(prompts), normalize)[:, trie.tokens[1:]]
        return scores
    for k, ids in enumerate(prompts):
        tree = _Tree(model, trie, None, normalize)
        opened = tree.plant(ids)
        while len(opened.nodes):
            leaf = trie.is_leaf(opened.nodes)
            scores[k, trie.row(opened.nodes[leaf])] = opened.scores[leaf]
            opened = tree.open(opened.take(~leaf))
    return scores


class _Nodes(NamedTuple):
    """Nodes of the trie that a search has reached: parallel arrays."""

    nodes: NDArray[np.int64]
    scores: NDArray[np.float64]  # log-probability of the tokens from the root to each node
    parents: NDArray[np.int64]  # the model's number of each node's parent, -1 for the prompt
    depths: NDArray[np.int64]

    @classmethod
    def none(cls) -> _Nodes:
        empty = np.empty(0, dtype=np.int64)
        return cls(empty, np.empty(0), empty, empty)

    def take(self, which: NDArray[Any] | slice) -> _Nodes:
        return _Nodes(self.nodes[which], self.scores[which], self.parents[which], self.depths[which])

    def join(self, other: _Nodes) -> _Nodes:
        nodes, scores, parents, depths = (np.concatenate(pair) for pair in zip(self, other, strict=True))
        return _Nodes(nodes, scores, parents, depths)

    def best(self, k: int) -> _Nodes:
        """Keep the ``k`` of the highest scores; equal scores in the order they stand in."""
        return self.take(np.argsort(-self.scores, kind="stable")[:k])


class _Tree:
    """The part of the trie that one request has asked the model about."""

    def __init__(self, model: StepModel, trie: Trie, tally: NDArray[np.int32] | None, normalize: bool) -> None:
        self.model, self.trie, self.tally, self.normalize = model, trie, tally, normalize
        self.nodes = self.passes = 0

    def plant(self, prompt_ids: Ids) -> _Nodes:
        """Read the prompt; return the root's children."""
        self.state, logits = self.model.prefill(prompt_ids)
        self.passes += 1
        root = _Nodes(np.array([ROOT]), np.zeros(1), np.array([PROMPT]), np.zeros(1, dtype=np.int64))
        return self._children(root, np.array([PROMPT]), logits[None])

    def open(self, chosen: _Nodes) -> _Nodes:
        """Ask the model about inner nodes, in one forward pass; return their children."""
        if not len(chosen.nodes):
            return chosen
        tokens = torch.from_numpy(self.trie.tokens[chosen.nodes].astype(np.int64))
        logits = self.model.step(self.state, tokens, torch.from_numpy(chosen.parents))
        numbers = np.arange(self.nodes, self.nodes + len(tokens))
        self.nodes += len(tokens)
        self.passes += 1
        return self._children(chosen, numbers, logits)

    def _children(self, opened: _Nodes, numbers: NDArray[np.int64], logits: Tensor) -> _Nodes:
        """Return the children that lead to allowed items; ``numbers`` are the model's numbers of the opened nodes."""
        log_probabilities = _log_probabilities(logits, self.normalize)
        owners, children = self.trie.expand(opened.nodes)
        if self.tally is not None:
            alive = self.trie.below(children, self.tally) > 0
            owners, children = owners[alive], children[alive]
        scores = opened.scores[owners] + log_probabilities[owners, self.trie.tokens[children]]
        return _Nodes(children, scores, numbers[owners], opened.depths[owners] + 1)


def _exact(tree: _Tree, opened: _Nodes, n: int, limit: int) -> tuple[_Nodes, bool]:
    """Return at least the ``n`` best items, and whether the limit left them exact."""
    items = frontier = _Nodes.none()
    width = max(n, _WIDTH)
    while True:
        leaf = tree.trie.is_leaf(opened.nodes)
        items = items.join(opened.take(leaf))
        frontier = frontier.join(opened.take(~leaf))
        if len(items.nodes) >= n:
            bound = np.partition(items.scores, -n)[-n]
            items = items.take(items.scores >= bound)
            frontier = frontier.take(frontier.scores > bound).best(len(frontier.nodes))
            if tree.nodes >= limit or not len(frontier.nodes):
                return items, not len(frontier.nodes)
        elif not len(frontier.nodes):
            return items, True
        else:  # until there is a bound, the deepest nodes first: the shortest way to n items
            frontier = frontier.take(np.lexsort((-frontier.scores, -frontier.depths)))
        opened, frontier = tree.open(frontier.take(slice(width))), frontier.take(slice(width, None))


def _beam(tree: _Tree, opened: _Nodes, beams: int) -> _Nodes:
    """Return what beam search in transformers finishes.

    There, a complete code still needs its end token, which comes a level later and only if the code is then among the
    best ``beams``. So complete codes stay in the beam for one more level here.
    """
    finished = complete = _Nodes.none()
    while len(opened.nodes) or len(complete.nodes):
        both = complete.join(opened)
        best = np.argsort(-both.scores, kind="stable")[:beams]
        finished = finished.join(both.take(best[best < len(complete.nodes)]))
        running = opened.best(beams)
        leaf = tree.trie.is_leaf(running.nodes)
        complete, opened = running.take(leaf), tree.open(running.take(~leaf))
    return finished


def _ranking(trie: Trie, items: _Nodes, n: int) -> Ranking:
    rows, scores = trie.row(items.nodes), items.scores.astype(np.float32)
    order = np.lexsort((rows, -scores))[:n]
    return Ranking(rows[order], scores[order])


def _log_probabilities(logits: Tensor, normalize: bool) -> NDArray[np.float32]:
    """Return log-probabilities over the last axis; raise DecodingError unless all are finite."""
    logits = logits.detach().float()
    values = torch.log_softmax(logits, dim=-1) if normalize else logits
    if not bool(torch.isfinite(values).all()):
        raise DecodingError(
            "the language model's scores are not finite, so nothing can be recommended from them; "
            "check that the weights are sound, and try quantization = none"
        )
    return values.cpu().numpy()


def _check_sizes(n: int, beams: int | None) -> None:
    if n < 1:
        raise UsageError(f"n = {n}; ask for at least one item")
    if beams is not None and beams < n:
        raise UsageError(f"beams = {beams} cannot hold n = {n} items; use beams >= n, or none for the exact search")
