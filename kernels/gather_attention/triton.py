"""Attention over chosen entries on a GPU, by decode_attention's kernels, given what to read."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.kernels.decode_attention.triton import Choice, decoding, head_table


@torch.no_grad()
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
) -> tuple[Tensor, Tensor | None]:
    """Compute what ``tokenarium.kernels.gather_attention`` documents, on a CUDA device."""
    heads = head_table(tuple(starts), tuple(counts), q.device)
    choice = Choice(_rectangle(chosen, -(-max(counts) // block)), block)
    slots = choice.blocks.shape[1] * block
    return decoding(
        q, keys, values, heads, slots, choice, scaling, softcap, sinks, None, want_weights
    ).run()


def _rectangle(chosen: Sequence[Tensor] | Tensor, beyond: int) -> Tensor:
    """Return [G, m] contiguous, shorter choices padded with a block that no head has."""
    if isinstance(chosen, Tensor):
        return chosen.contiguous()
    most = max(len(own) for own in chosen)
    return torch.stack([F.pad(own, (0, most - len(own)), value=beyond) for own in chosen])
