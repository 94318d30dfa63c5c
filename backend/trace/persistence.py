"""Do the tokens that matter now go on to matter? Pivotal keys in consecutive runs of queries.

Paper: Liu et al., 2023, arXiv:2305.17118. Differs: the threshold is over a whole run of queries,
and a key counts only once it is older than both runs compared.
"""

from functools import lru_cache

import torch
from torch import Tensor

MARGIN = 1e-4
"""Share by which a key must exceed uniform attention; rounding in float32 does not reach it."""


def persistence(sums: Tensor, length: int, window: int | None) -> tuple[Tensor, Tensor]:
    """Compare the pivotal keys of each run of queries with those of the run before.

    A key is pivotal in a run where its mean attention is above uniform attention by more than
    ``MARGIN``. Candidates are the keys older than both runs that the later run can still see.

    Args:
        sums: [H, n, T] attention each key receives from each of n runs; query i lies in run
            floor(i n / T).
        length: T, tokens.
        window: most keys a query sees, itself included.
    Returns:
        [H, n - 1] share of the pivotal keys of run b that were pivotal in run b - 1, NaN where
        there is none; and [H, n - 1] share of all candidates that were pivotal in run b - 1, NaN
        where there is no candidate.
    """
    least, older = _expected(sums.shape[1], length, window, sums.device)
    pivotal = sums.double() > least
    before, now = pivotal[:, :-1] & older, pivotal[:, 1:] & older
    return (before & now).sum(-1) / now.sum(-1), before.sum(-1) / older.sum(-1)


@lru_cache(maxsize=8)
def _expected(
    runs: int, length: int, window: int | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return [n, 1] what a pivotal key exceeds in each run, and [n - 1, T] which are candidates."""
    position = torch.arange(length)
    run = position * runs // length
    queries = torch.bincount(run, minlength=runs)
    seen = position + 1 if window is None else (position + 1).clamp_max(window)
    uniform = torch.zeros(runs, dtype=torch.float64)
    uniform.index_add_(0, run, 1 / seen.double())
    starts = queries.cumsum(0) - queries
    older = position < starts[:-1, None]
    if window is not None:
        older &= position > starts[1:, None] - window
    return (uniform[:, None] * (1 + MARGIN)).to(device), older.to(device)
