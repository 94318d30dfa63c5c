"""Speculative decoding on one screen (Leviathan et al., 2022, arXiv:2211.17192).

A small model drafts a few tokens, the large one reads them all in one forward pass, and each is
accepted with probability min(1, p/q). The first that is rejected is replaced by a token from the
residual distribution max(0, p - q), normalised. The output is distributed exactly as if the large
model had written it alone. ``tests/speculation/test_readable.py`` compares it with the engine.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Model = Callable[[Tensor], Any]
"""From ids [1, T] to an output with logits [1, T, V], as a model of transformers."""


@torch.no_grad()
def speculative_decode(
    target: Model,
    draft: Model,
    ids: Tensor,
    max_new_tokens: int,
    draft_len: int,
    uniform: Callable[[], float],
) -> Tensor:
    """Continue a prompt [T] by sampling at temperature 1; uniform gives numbers in [0, 1)."""
    end = len(ids) + max_new_tokens
    while len(ids) < end:
        # Draft: one token after another, each sampled from the draft's distribution q.
        drafted, q = ids, []
        for _ in range(min(draft_len, end - len(ids) - 1)):
            q.append(draft(drafted[None]).logits[0, -1].softmax(-1))
            drafted = torch.cat([drafted, sample(q[-1], uniform)])

        # Verify: the target's p after the text and after every drafted token, in one pass.
        p = target(drafted[None]).logits[0, len(ids) - 1 :].softmax(-1)

        # Accept in order; the first rejected token is replaced from the residual.
        for at, token in enumerate(drafted[len(ids) :]):
            if uniform() >= p[at, token] / q[at][token]:
                ids = torch.cat([ids, sample((p[at] - q[at]).clamp(min=0), uniform)])
                break
            ids = torch.cat([ids, token[None]])
        else:  # All were accepted: p after the last of them gives one token more, the bonus.
            ids = torch.cat([ids, sample(p[-1], uniform)])
    return ids


def sample(masses: Tensor, uniform: Callable[[], float]) -> Tensor:
    """Return the token [1] where the cumulated masses [V] pass a random share of their sum."""
    edges = masses.double().cumsum(-1)
    return torch.searchsorted(edges, edges[-1:] * uniform(), right=True)
