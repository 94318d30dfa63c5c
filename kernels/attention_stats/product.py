"""The matrix product of the CPU path: whichever library is faster on this processor.

MKL takes a slow path on processors of other makers, at about half of oneDNN's speed; on Intel's own
they are level. oneDNN's float32 product is reached through a private operator, so it may go away:
then MKL's is used.
"""

import time
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]


def mkl(a: Tensor, b: Tensor) -> Tensor:
    """Return a [m, k] times the transpose of b [n, k]."""
    return torch.mm(a, b.t())


def onednn(a: Tensor, b: Tensor) -> Tensor:
    """Return a [m, k] times the transpose of b [n, k]; raises where the operator is missing."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")  # noqa: SLF001
    return product


@lru_cache(maxsize=1)
def fastest() -> tuple[Product, str]:
    """Return the faster product and why, from a trial of some 10 ms, once per process."""
    a, b = torch.randn(192, 64), torch.randn(1024, 64)
    try:
        slow, fast = _best_seconds(mkl, a, b), _best_seconds(onednn, a, b)
    except (AttributeError, RuntimeError) as problem:
        return mkl, f"oneDNN's product is not reachable: {problem}"
    ratio = f"oneDNN's product takes {fast / slow:.2f} of MKL's time"
    return (onednn if fast < 0.9 * slow else mkl), ratio


def _best_seconds(product: Product, a: Tensor, b: Tensor) -> float:
    product(a, b)
    best = float("inf")
    for _ in range(9):
        start = time.perf_counter()
        product(a, b)
        best = min(best, time.perf_counter() - start)
    return best
