"""The matrix product of the CPU path: by the processor's maker, so that it never depends on load.

MKL takes a slow path on processors of other makers, at about half of oneDNN's speed; on Intel's own
they are level. The two may differ in a product's last bits, so the choice is not timed: on a busy
machine a trial would choose now one, now the other, and the same text would be measured otherwise.
oneDNN's float32 product is reached through a private operator, so it may go away: then MKL's is
used.
"""

import platform
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]

INTEL = "GenuineIntel"
CPU_INFO = Path("/proc/cpuinfo")


def mkl(a: Tensor, b: Tensor) -> Tensor:
    """Return a [m, k] times the transpose of b [n, k]."""
    return torch.mm(a, b.t())


def onednn(a: Tensor, b: Tensor) -> Tensor:
    """Return a [m, k] times the transpose of b [n, k]; raises where the operator is missing."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")  # noqa: SLF001
    return product


@lru_cache(maxsize=1)
def fastest() -> tuple[Product, str]:
    """Return the faster product on processors of this maker, and why; equal in every process."""
    made_by = maker()
    if not made_by or made_by == INTEL or not torch.backends.mkl.is_available():
        return mkl, f"torch's default on {made_by or 'this kind of processor'}"
    try:
        onednn(torch.ones(2, 3), torch.ones(4, 3))
    except (AttributeError, RuntimeError) as problem:
        return mkl, f"oneDNN's product is not reachable: {problem}"
    return onednn, f"MKL takes a slow path on {made_by}"


def maker() -> str:
    """Return the x86 vendor string, such as ``AuthenticAMD``; empty where there is none."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux: Windows ends the processor's name with the vendor
        model, _, vendor = platform.processor().rpartition(", ")
        return vendor if model and vendor.isalpha() else ""
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(named, "")
