"""Beam search over the trie, like ``generate`` of transformers: the exact search is compared with it.

It keeps a number of code prefixes at each level and may miss an item whose prefix is unlikely. The model, the trie and
the passes are those of the exact search, so the two differ only in the nodes that they expand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genre_gen.decoding.base import Allowed, CatalogTrie
from genre_gen.decoding.search import (
    BATCH_TOKENS,
    Expander,
    Ids,
    Reached,
    StepModel,
    finite,
    length_groups,
    rank_by_user,
    search_many,
    to_ranking,
)
from genre_gen.ranking import Ranking


class NormalizedExpander(Expander):
    """For a model whose outputs are log-probabilities (over a larger vocabulary)."""

    def log_probabilities(self, logits: Tensor) -> NDArray[np.float32]:
        """Return the outputs unchanged."""
        return finite(logits)


def beam_search(
    model: StepModel, prompts: Sequence[Ids], trie: CatalogTrie, beams: int, allowed: Allowed = None,
    expander: type[Expander] = Expander,
) -> list[Ranking]:  # fmt: skip
    """Return at most ``beams`` items for each prompt, best first.

    Args:
        model: the language model.
        prompts: token ids of each user's prompt; those of similar length are read together.
        trie: the trie of the catalog's item codes.
        beams: number of code prefixes kept at each level.
        allowed: as in the exact search.
        expander: converts the model's outputs to scores.
    """
    subset, rankings = trie.subset(allowed).check(len(prompts)), {}
    if trie.is_flat and expander is Expander:
        return search_many(model, prompts, trie, beams, subset)  # of one token: both searches are the same
    for group in length_groups([len(ids) for ids in prompts], BATCH_TOKENS):
        asked = expander(model, trie, subset.select(np.array(group)))
        items = _finished(asked, asked.prefill([prompts[user] for user in group]), beams)
        for number, user in enumerate(group):
            rankings[user] = to_ranking(trie, items.take(items.users == number), beams)
    return [rankings[user] for user in range(len(prompts))]


def _finished(expander: Expander, reached: Reached, beams: int) -> Reached:
    """Return the complete codes of beam search in transformers.

    There, a complete code still needs its end token, which comes a level later and only if the code is then among the
    best ``beams``. So complete codes stay in the beam for one more level here.
    """
    finished = complete = Reached.none()
    while len(reached.nodes) or len(complete.nodes):
        if len(complete.nodes):
            both = complete.join(reached)
            best = _best(both, beams)
            finished = finished.join(both.take(best[best < len(complete.nodes)]))
        running = reached.take(_best(reached, beams))
        leaf = expander.trie.is_leaf(running.nodes)
        complete, reached = running.take(leaf), expander.expand(running.take(~leaf))
    return finished


def _best(reached: Reached, k: int) -> NDArray[np.int64]:
    """Return the indices of each user's ``k`` best nodes, by user and best first; ties keep their order."""
    order = np.lexsort((-reached.scores, reached.users))
    return order[rank_by_user(reached.users[order]) < k]
