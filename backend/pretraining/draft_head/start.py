"""The closed-form start: one ridge regression instead of the first minutes of training."""

from collections.abc import Iterable

import torch
from torch.nn import functional

from tokenarium.backend.pretraining.draft_head.head import DraftHead
from tokenarium.backend.pretraining.draft_head.target import Target


def ridge(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]], penalty: float) -> torch.Tensor:
    """Weights [b, a] of the least squares map from x [n, a] to y [n, b], summed over the pairs.

    Formula: (X^T X + penalty mean(diag X^T X) I)^-1 X^T Y, in float64.
    """
    gram = moment = None
    for x, y in pairs:
        x, y = x.double(), y.double()
        gram = x.mT @ x if gram is None else gram + x.mT @ x
        moment = x.mT @ y if moment is None else moment + x.mT @ y
    if gram is None or moment is None:
        raise ValueError("the regression got no rows: generate text first")
    gram.diagonal().add_(penalty * gram.diagonal().mean())
    solved: torch.Tensor = torch.linalg.solve(gram, moment)
    return solved.mT


@torch.no_grad()
def closed_form(
    head: DraftHead,
    target: Target,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    penalty: float = 1e-3,
) -> None:
    """Set ``fc`` to the best linear guess of the next hidden state, the layer's outputs to zero.

    Args:
        batches: ids [B, T] and the target's hidden states [B, T, d] of them.
    The final norm takes the target's gain, so ``fc`` is fitted to h_{p+1} / gain.
    """
    gain = target.norm.float()

    def pairs() -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        for ids, hidden in batches:
            embedded = functional.embedding(ids[:, 1:], target.embedding)
            x = head.inputs(hidden[:, :-1], embedded)
            yield x.flatten(0, 1), (hidden[:, 1:].float() / gain).flatten(0, 1)

    head.fc.weight.copy_(ridge(pairs(), penalty))
    head.norm.copy_(gain)
    head.out.weight.zero_()
    head.down.weight.zero_()
