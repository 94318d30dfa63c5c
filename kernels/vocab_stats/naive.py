"""Vocabulary statistics straight from their definitions, in float64: the twin used by tests."""

import torch
from torch import Tensor


def measure(
    logits: Tensor, top_k: int, targets: Tensor | None, against: Tensor | None
) -> dict[str, Tensor | None]:
    """Compute the fields of ``VocabStats`` one row at a time."""
    rows = [
        _row(
            row.double(),
            top_k,
            None if targets is None else int(targets[index]),
            None if against is None else against[index].double(),
        )
        for index, row in enumerate(logits)
    ]
    return {
        name: None if rows[0][name] is None else torch.stack([row[name] for row in rows])  # type: ignore[misc]
        for name in rows[0]
    }


def _row(
    logits: Tensor, top_k: int, target: int | None, against: Tensor | None
) -> dict[str, Tensor | None]:
    probs = logits.exp() / logits.exp().sum()
    surprisals = -probs.log()
    entropy = (probs * surprisals).sum()
    order = sorted(range(len(logits)), key=lambda token: (-float(logits[token]), token))
    top = torch.tensor(order[:top_k])
    return {
        "logsumexp": logits.exp().sum().log(),
        "entropy": entropy,
        "varentropy": (probs * (surprisals - entropy) ** 2).sum(),
        "surprisal": None if target is None else surprisals[target],
        "rank": None if target is None else torch.tensor(order.index(target)),
        "top_ids": top,
        "top_probs": probs[top],
        "divergence": None if against is None else (against.exp() * (against + surprisals)).sum(),
        "log_probs": -surprisals,
    }
