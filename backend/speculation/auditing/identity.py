"""Whether greedy decoding with drafts gives the tokens of greedy decoding without."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tokenarium.backend.speculation.auditing.audit import Check

NAME = "greedy identity"
GAP_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.25}
"""Logits closer than this may change places between one pass and another, by format."""


def check_identity(
    prompt: Sequence[int],
    tokens: Sequence[int],
    plain: Sequence[int],
    logits: Callable[[Sequence[int]], Tensor],
    dtype: torch.dtype,
) -> Check:
    """Compare a run at temperature 0 with autoregressive decoding of the same model.

    Args:
        prompt: tokens before both.
        tokens: new tokens of the run.
        plain: new tokens of autoregressive decoding, to the same length and ends.
        logits: the target's logits [V] after some tokens, read in one plain pass, processed.
        dtype: of the target; says which gap rounding explains.
    """
    if not plain:
        return Check(NAME, "not applicable", "Plain decoding was not asked for.")
    both = zip(tokens, plain, strict=False)
    first = next((at for at, (one, other) in enumerate(both) if one != other), None)
    if first is None:
        if len(tokens) == len(plain):
            numbers = {"tokens": float(len(plain))}
            return Check(NAME, "passed", f"All {len(plain)} tokens are those of plain decoding.",
                         numbers)  # fmt: skip
        lengths = f"the run has {len(tokens)} tokens and plain decoding {len(plain)}"
        return Check(NAME, "failed", f"One text goes on where the other ends: {lengths}.")
    return _divergence(first, tokens[first], plain[first],
                       logits([*prompt, *plain[:first]]), dtype)  # fmt: skip


def not_greedy() -> Check:
    """Return the check of a run whose tokens are sampled."""
    return Check(NAME, "not applicable", "Tokens are drawn at random: two runs differ rightly.")


def _divergence(at: int, token: int, plain: int, logits: Tensor, dtype: torch.dtype) -> Check:
    logits = logits.double()
    best = logits.topk(2).values
    # How far the worse of the two tokens is from the best: the top-2 gap if they are the top 2.
    gap = float(best[0] - torch.minimum(logits[token], logits[plain]))
    tolerance = GAP_TOLERANCE.get(dtype, GAP_TOLERANCE[torch.float32])
    tie = gap <= tolerance
    numbers = {
        "first_divergence": float(at),
        "gap": gap,
        "top2_gap": float(best[0] - best[1]),
        "tolerance": tolerance,
    }
    name = str(dtype).removeprefix("torch.")
    evidence = (
        f"New token {at} is {token} in place of {plain}; their logits are {gap:.2g} below the "
        f"best at most, and rounding in {name} explains {tolerance:g}."
    )
    return Check(NAME, "numeric tie" if tie else "failed", evidence, numbers)
