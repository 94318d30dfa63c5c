"""Statistics of rows of logits by the compiled kernel: a share of the rows for each worker."""

import ctypes
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import workers
from tokenarium.kernels.attention_stats.native.library import Library, Rows
from tokenarium.kernels.vocab_stats.declaration import VocabStats

TAKEN = (torch.float32, torch.bfloat16)
SMALL = 1 << 17
"""Below this many logits one worker is enough."""


@torch.inference_mode()
def vocab_stats(
    library: Library,
    logits: Tensor,
    targets: Tensor | None,
    top_k: int,
    varentropy: bool,
    other: VocabStats | None,
    keep_probs: bool,
) -> VocabStats:
    """Compute what ``tokenarium.kernels.vocab_stats`` documents, on a CPU."""
    logits = logits if logits.dtype in TAKEN else logits.float()
    logits = logits if logits.stride(1) == 1 else logits.contiguous()
    count, vocabulary = logits.shape
    numbers = torch.empty(5, count)
    logsumexp, entropy, spread, surprisal, crossed = numbers
    rank = torch.empty(count if targets is not None else 0, dtype=torch.int64)
    top_ids = torch.empty(count, top_k, dtype=torch.int64)
    top_probs = torch.empty(count, top_k)
    probs = torch.empty(count, vocabulary) if keep_probs else None
    before = other.probs if other is not None else None
    before = before if before is None or before.stride(1) == 1 else before.contiguous()
    targets = None if targets is None else targets.to(torch.int64).contiguous()
    rows = Rows(
        logits=logits.data_ptr(),
        targets=_address(targets),
        other=_address(before),
        probs=_address(probs),
        logsumexp=logsumexp.data_ptr(),
        entropy=entropy.data_ptr(),
        varentropy=spread.data_ptr() if varentropy else None,
        surprisal=surprisal.data_ptr() if targets is not None else None,
        crossed=crossed.data_ptr(),
        top_probs=top_probs.data_ptr(),
        rank=rank.data_ptr(),
        top_ids=top_ids.data_ptr(),
        vocabulary=vocabulary,
        stride=logits.stride(0),
        other_stride=0 if before is None else before.stride(0),
        k=top_k,
        rounded=logits.dtype == torch.bfloat16,
    )
    share = 1 if logits.numel() < SMALL else min(torch.get_num_threads(), count)
    edges = [n * count // share for n in range(share + 1)]
    jobs = [
        partial(library.vocab_rows, ctypes.byref(rows), start, stop)
        for start, stop in pairwise(edges)
    ]
    if share == 1:
        jobs[0]()
    else:
        workers.run(jobs, share)
    return VocabStats(
        logsumexp=logsumexp,
        entropy=entropy,
        varentropy=spread if varentropy else None,
        surprisal=surprisal if targets is not None else None,
        rank=rank if targets is not None else None,
        top_ids=top_ids if top_k else None,
        top_probs=top_probs if top_k else None,
        # between equal rows it comes out as a rounding error of either sign
        kl=None if other is None else (crossed - other.entropy).clamp_min_(0),
        probs=probs,
    )


def _address(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()
