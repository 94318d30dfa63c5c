"""What a model adds to its attention logits, told apart: a band of keys, a bias by key, or more."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from tokenarium.backend.observe.attention import UnknownArgument

HIDING = -9e3
"""A logit set to this or less is hidden: GPT-1 takes -10,000, others the least number there is."""
_EQUAL = 1e-5
"""Largest difference of biases allowed, as a share of the largest."""


@dataclass(frozen=True)
class Bias:
    """Everything that is added to the logits of one layer."""

    window: int | None
    """Most keys a query sees, itself included; None where it sees all before it."""
    mask: Tensor | None
    """[1 or B, 1 or H, T, S] to be added; None where a band and ``by_key`` say it all."""
    by_key: Tensor | None
    """[H, S] where a key gets the same bias from every query that sees it (ALiBi)."""


def bias_of(
    terms: Sequence[Tensor],
    heads: int,
    queries: int,
    keys: int,
    zeroed: Sequence[Tensor] = (),
) -> Bias:
    """Tell apart what is added to logits.

    Args:
        terms: each broadcasts to [B, H, T, S]; the last query belongs to the last key.
        heads: H.
        queries: T.
        keys: S.
        zeroed: true where a logit was set to 0 before.
    Raises:
        UnknownArgument: if a query sees a key after its own, or one whose logit was set to 0.
    """
    if not terms:
        terms = [torch.zeros(1, 1, 1, 1)]
    hidden = reduce(torch.logical_or, (term <= HIDING for term in terms))
    hidden = hidden.expand(*hidden.shape[:2], queries, keys)
    shown = [term.float().masked_fill(term <= HIDING, 0.0) for term in terms]
    biases = [term for term in shown if bool(term.any())]
    if any(bool((mask & ~hidden).any()) for mask in zeroed):
        raise UnknownArgument("its attention sets logits to 0 that count: choose another model")
    at = torch.arange(keys - queries, keys, device=hidden.device)[:, None]
    key = torch.arange(keys, device=hidden.device)
    if not bool((hidden | (key <= at)).all()):
        raise UnknownArgument("a token sees tokens after it: choose a causal language model")
    seen = int((~hidden[0, 0, -1]).sum())
    band = (key > at) | (key <= at - seen)
    is_band = bool((hidden == band).all())
    window = seen if is_band and seen < keys else None
    if is_band and not biases:
        return Bias(window, None, None)
    total = reduce(torch.add, biases) if biases else torch.zeros(1, 1, 1, 1, device=hidden.device)
    by_key = _by_key(total, hidden, heads) if is_band and window is None else None
    if by_key is not None:
        return Bias(window, None, by_key)
    total = total.expand(*total.shape[:2], queries, keys)
    return Bias(window, total.masked_fill(hidden, torch.finfo(total.dtype).min), None)


def _by_key(total: Tensor, hidden: Tensor, heads: int) -> Tensor | None:
    """Return [H, S] the bias that every query gives a key; None where queries differ in that."""
    last = total[:1, :, -1:]
    difference = (total - last).masked_fill(hidden, 0.0).abs().max()
    if float(difference) > _EQUAL * float(last.abs().max()):
        return None
    return last[0, :, 0].expand(heads, -1)
