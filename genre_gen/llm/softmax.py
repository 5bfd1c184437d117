"""The training loss over item codes: the full softmax, or an estimate from sampled negatives for large vocabularies.

The full softmax costs an operation per target, code token and hidden unit, and gives every code token a gradient. The
sampled one reads a few thousand rows of the code embedding, the same number for any catalog.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from genre_gen.collaborative.negatives import Negatives
from genre_gen.llm.batch import Batch
from genre_gen.llm.encode import NO_TARGET


@dataclass(frozen=True)
class Targets:
    """The code tokens that a batch predicts.

    Attributes:
        tokens: int64 ``[n]``, the code token of each target.
        seen: int64 ``[2, pairs]``, pairs of a target and a code token that its softmax leaves out.
        soft_codes: int64 ``[n, top]``, the code tokens that a teacher expects; None without a teacher.
        soft_shares: float32 ``[n, top]``, their probabilities; the target has the rest.
    """

    tokens: Tensor
    seen: Tensor
    soft_codes: Tensor | None = None
    soft_shares: Tensor | None = None


def code_targets(batch: Batch, first: int, exclude_seen: bool) -> Targets:
    """Return a batch's code targets, row by row; ids from ``first`` on are code tokens.

    With ``exclude_seen``, the code tokens before a target in its example are left out of its softmax.
    """
    row, column = (batch.target_ids >= first).nonzero(as_tuple=True)
    chosen = batch.target_ids[batch.target_ids != NO_TARGET] >= first
    soft = (None if values is None else values[chosen] for values in (batch.soft_codes, batch.soft_shares))
    tokens = batch.target_ids[row, column] - first
    if not exclude_seen:
        return Targets(tokens, row.new_zeros(2, 0), *soft)
    earlier_row, earlier_column = (batch.ids >= first).nonzero(as_tuple=True)
    examples = batch.examples()
    same = examples[row, column][:, None] == examples[earlier_row, earlier_column]
    target, earlier = (same & (earlier_column < column[:, None])).nonzero(as_tuple=True)
    return Targets(tokens, torch.stack([target, batch.ids[earlier_row, earlier_column][earlier] - first]), *soft)


def full_loss(logits: Tensor, targets: Targets, cold: Tensor) -> Tensor:
    """Return the summed cross-entropy of ``logits [n, code vocabulary]``; ``cold`` tokens are left out."""
    excluded = cold.to(logits.device).expand(logits.shape)
    if targets.seen.shape[1]:
        excluded = excluded.index_put((targets.seen[0], targets.seen[1]), torch.ones_like(excluded[0, 0]))
    local = targets.tokens
    logits = logits.masked_fill(excluded.scatter(1, local[:, None], False), float("-inf"))
    if targets.soft_codes is None or targets.soft_shares is None:
        return F.cross_entropy(logits.float(), local, reduction="sum")
    return soft_cross_entropy(logits.float(), local, targets.soft_codes, targets.soft_shares)


def soft_cross_entropy(logits: Tensor, target: Tensor, codes: Tensor, shares: Tensor) -> Tensor:
    """Return the summed cross-entropy with soft targets: probabilities ``shares [n, top]`` of ``codes [n, top]``.

    The target gets the remaining probability, including that of codes which the softmax leaves out.
    """
    known = F.log_softmax(logits, dim=-1)
    taught = known.gather(1, codes)
    excluded = taught.isneginf()
    shares = shares.masked_fill(excluded, 0.0)
    own = (1 - shares.sum(1)) * known.gather(1, target[:, None]).squeeze(1)
    return -(own.sum() + (shares * taught.masked_fill(excluded, 0.0)).sum())


def sampled_loss(
    queries: Tensor, rows_of: Callable[[Tensor], Tensor], targets: Targets, negatives: Negatives, cold: Tensor
) -> Tensor:
    """Return an estimate of :func:`full_loss` that reads few rows of the code embedding.

    The sum over the vocabulary is estimated from the negatives, each divided by its chance of being drawn (importance
    sampling, Bengio and Senecal 2008; log-Q correction, Yi et al. 2019). The target and the codes that its teacher
    expects are always in the sum, so their chance is 1 (Khrylchenko et al. 2025, https://arxiv.org/abs/2507.09331).
    Negatives that are the target itself, a taught code or seen before are left out.

    Args:
        queries: ``[n, dimensions]``, the states of the targets.
        rows_of: returns the rows ``[m, dimensions]`` of code tokens.
        targets: the targets, their exclusions and soft targets.
        negatives: the tokens drawn for this step.
        cold: bool ``[code vocabulary]``, tokens that a teacher may expect and the softmax leaves out.
    """
    taught = targets.tokens[:, None]  # always in the sum: the target, then the codes of its teacher
    shares, left_out = torch.ones_like(taught, dtype=torch.float32), torch.zeros_like(taught, dtype=torch.bool)
    if targets.soft_codes is not None and targets.soft_shares is not None:
        excluded = cold.to(queries.device)[targets.soft_codes] | _seen(targets, targets.soft_codes, len(cold))
        is_own = targets.soft_codes == taught
        given = targets.soft_shares.masked_fill(excluded & ~is_own, 0.0)
        own = 1 - given.masked_fill(is_own, 0.0).sum(1, keepdim=True)
        taught = torch.cat([taught, targets.soft_codes], dim=1)
        shares = torch.cat([own, given.masked_fill(is_own, 0.0)], dim=1)
        left_out = torch.cat([left_out, excluded | is_own], dim=1)
    needed, places = torch.unique(torch.cat([taught.flatten(), negatives.tokens]), return_inverse=True)
    rows = rows_of(needed)
    places, drawn = places[: taught.numel()].view_as(taught), places[taught.numel() :]
    known = (rows[places] @ queries[:, :, None]).squeeze(2).float()
    rivals = F.linear(queries, rows[drawn]).float() - negatives.log_chances
    hidden = torch.zeros_like(rivals, dtype=torch.bool)
    target, token = targets.seen
    ours = torch.arange(len(taught), device=taught.device)[:, None].expand_as(taught)
    for example, tokens in ((target, token), (ours.flatten(), taught.flatten())):
        column = torch.searchsorted(negatives.tokens, tokens).clamp(max=len(negatives.tokens) - 1)
        there = negatives.tokens[column] == tokens
        hidden[example[there], column[there]] = True
    everything = torch.cat(
        [known.masked_fill(left_out, float("-inf")), rivals.masked_fill(hidden, float("-inf"))], dim=1
    )
    return everything.logsumexp(1).sum() - (shares * known).sum()


def _seen(targets: Targets, codes: Tensor, vocabulary: int) -> Tensor:
    """Tell which of the codes ``[n, top]`` each target's softmax leaves out."""
    numbers = torch.arange(len(codes), device=codes.device)[:, None] * vocabulary
    return torch.isin(numbers + codes, targets.seen[0] * vocabulary + targets.seen[1])
