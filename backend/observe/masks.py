"""The mask handed to instrumented attention: a band of keys where one suffices, else a tensor.

A tensor mask has one entry per query and key: 4 GiB in float32 at 32,768 tokens. Nearly every mask
is a band, which two integers describe.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import causal_mask_function, eager_mask

MaskFunction = Callable[..., Any]
"""(batch, head, query, key) indices to whether the query sees the key."""


@dataclass(frozen=True)
class Band:
    """Query i sees the keys j with ``i + offset - window < j <= i + offset``.

    ``offset`` is the index of query 0 among the keys; ``window`` None sees every earlier key.
    ``declared`` is the window by the model's design, also while the text is too short for it.
    """

    offset: int
    window: int | None
    declared: int | None = None
    queries: int | None = field(default=None, compare=False)
    """How many there are, so that rows can be cut out; None where that is not known."""

    def contiguous(self) -> "Band":
        """Return itself: ``generate`` asks this of the mask that goes with a static cache."""
        return self

    def __getitem__(self, cut: Any) -> "Band":
        """Return the band of the latest queries alone: [:, :, start:, :], as Gemma 4 cuts a mask.

        Raises: TypeError for anything else.
        """
        everything = slice(None)
        rows = cut[2] if isinstance(cut, tuple) and len(cut) == 4 else None
        if (
            not isinstance(rows, slice)
            or self.queries is None
            or (cut[0], cut[1], cut[3]) != (everything,) * 3
            or rows.indices(self.queries)[1:] != (self.queries, 1)
        ):
            raise TypeError(f"a band of keys cannot be cut by {cut}: use a model that does not")
        start = rows.indices(self.queries)[0]
        return replace(self, offset=self.offset + start, queries=self.queries - start)


def band_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: MaskFunction = causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    **kwargs: Any,
) -> Band | Tensor:
    """Return the band that transformers' ``mask_function`` describes, or an additive float mask.

    The arguments are those transformers gives to every function in ``AttentionMaskInterface``;
    ``attention_mask`` [B, S] is true for tokens that are no padding.
    """
    first = int(q_offset)
    if allow_is_causal_skip and not use_vmap and not _has_padding(attention_mask):
        last = first + q_length - 1 - kv_offset
        window = local_size if local_size is not None and local_size <= last else None
        # What is causal by definition need not be asked, at every step, whether it is.
        causal = window is None and mask_function is causal_mask_function
        if causal or _is_band(mask_function, q_length, kv_length, first, kv_offset, window, device):
            declared = local_size if _slides(mask_function, local_size, device) else None
            return Band(first - kv_offset, window, declared, queries=q_length)
    return eager_mask(
        batch_size=batch_size,
        q_length=q_length,
        kv_length=kv_length,
        q_offset=first,
        kv_offset=kv_offset,
        mask_function=mask_function,
        attention_mask=attention_mask,
        use_vmap=use_vmap,
        device=device,
        **kwargs,
    )


def _has_padding(attention_mask: Tensor | None) -> bool:
    return attention_mask is not None and not bool(attention_mask.all())


def _slides(
    mask_function: MaskFunction, local_size: int | None, device: torch.device | str
) -> bool:
    """Return whether a layer's own size is that of a window: in a chunk the edge stays in place."""
    if local_size is None or mask_function is causal_mask_function:
        return False
    keys = torch.arange(2, device=device)
    zero, query = torch.zeros_like(keys), torch.full_like(keys, local_size)
    try:
        seen = mask_function(zero, zero, query, keys)
    except IndexError:  # it looks positions up in a table that ends with the text
        return False
    return bool(seen.tolist() == [False, local_size > 1])


def _is_band(
    mask_function: MaskFunction,
    q_length: int,
    kv_length: int,
    q_offset: int,
    kv_offset: int,
    window: int | None,
    device: torch.device | str,
) -> bool:
    """Ask the mask for both edges of the band at every query: chunked masks have others."""
    query = torch.arange(q_offset, q_offset + q_length, device=device)
    newest = query
    oldest = torch.full_like(query, kv_offset) if window is None else query - window + 1
    edges = torch.stack((oldest - 1, oldest, newest, newest + 1))
    expected = torch.tensor([False, True, True, False], device=device)[:, None].expand_as(edges)
    inside = (edges >= kv_offset) & (edges < kv_offset + kv_length)
    zero = torch.zeros((), dtype=torch.long, device=device)
    seen = mask_function(zero, zero, query.expand_as(edges), edges.clamp_min(0))
    return bool((seen == expected)[inside].all())
