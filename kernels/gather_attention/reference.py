"""Attention over chosen entries on a CPU, and in PyTorch where there is no compiled kernel."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.kernels.gather_attention import rows


@torch.inference_mode()
def gather_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Sequence[int],
    counts: Sequence[int],
    chosen: Sequence[Tensor] | Tensor,
    *,
    scaling: float,
    block: int,
    softcap: float | None,
    sinks: Tensor | None,
    want_weights: bool,
    products: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute what ``tokenarium.kernels.gather_attention`` documents."""
    groups, (heads, queries, _) = len(starts), q.shape
    index, held = _entries(chosen, counts, block)
    begin = torch.tensor(starts, device=q.device)[:, None]
    at = index + begin
    hidden = None if held is None else ~held[:, None]
    if queries > 1:
        last = torch.tensor(counts, device=q.device)[:, None, None] - queries
        later = index[:, None] > last + torch.arange(queries, device=q.device)[:, None]
        hidden = later if hidden is None else hidden | later
    if products is None:
        found = rows.products(q.reshape(groups, -1, q.shape[2]), keys, at)
    else:
        each = products.view(groups, heads // groups, -1)
        found = each.gather(2, index[:, None].expand(-1, each.shape[1], -1))
    logits = found.view(groups, heads // groups, queries, -1).mul_(scaling)
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    if hidden is not None:
        hidden = hidden[:, None]
        logits.masked_fill_(hidden, float("-inf"))
    weights = _softmax(logits, sinks)
    if hidden is not None:  # where all are hidden, softmax has no answer
        weights.masked_fill_(hidden, 0)
    out = rows.sums(weights.flatten(1, 2), values, at)
    out = out.view(heads, queries, -1).transpose(0, 1).to(q.dtype)
    return out, weights.flatten(0, 1) if want_weights else None


def _entries(
    chosen: Sequence[Tensor] | Tensor, counts: Sequence[int], block: int
) -> tuple[Tensor, Tensor | None]:
    """Return [G, m] indices of entries, and where there is one; None where there is everywhere."""
    if not isinstance(chosen, Tensor) and len({len(own) for own in chosen}) == 1:
        chosen = torch.stack(tuple(chosen))
    if isinstance(chosen, Tensor) and block == 1:
        return chosen, None
    most = max(len(own) for own in chosen)
    # An index beyond every head marks the places after a head's last block.
    beyond = -(-max(counts) // block)
    rows = [F.pad(own, (0, most - len(own)), value=beyond) for own in chosen]
    blocks = torch.stack(rows)[..., None] * block
    index = (blocks + torch.arange(block, device=blocks.device)).flatten(1)
    held = index < torch.tensor(counts, device=index.device)[:, None]
    return index.where(held, 0), held


def _softmax(logits: Tensor, sinks: Tensor | None) -> Tensor:
    """Return the weights of logits [G, H / G, n, m]."""
    if sinks is None:
        return torch.softmax(logits, -1)
    padded = F.pad(logits, (0, 1))
    padded[..., -1] = sinks.view(*logits.shape[:2], 1)
    return torch.softmax(padded, -1)[..., :-1]
