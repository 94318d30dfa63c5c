"""Which devices the Triton kernels run on, and why they do not run on the others."""

from functools import lru_cache

import torch


@lru_cache(maxsize=16)
def why_not_triton(where: torch.device) -> str | None:
    """Return why Triton kernels cannot run on a device; None where they can.

    On a CUDA device a first kernel is run, because Triton also needs a C compiler, which shows
    only then.
    """
    if where.type != "cuda":
        return f"no Triton kernels for {where.type}"
    if not torch.cuda.is_available():
        return f"this PyTorch finds no {where.type} device"
    if torch.version.hip is not None:
        return "the Triton kernels were never tried on AMD devices"
    capability = torch.cuda.get_device_capability(where)
    if capability < (8, 0):
        return f"compute capability {capability[0]}.{capability[1]} is below 8.0"
    try:
        from tokenarium.kernels.vocab_stats import triton

        triton.vocab_stats(torch.zeros(1, 2, device=where), None, 0, False, None, None, False)
    except (ImportError, OSError, RuntimeError) as problem:
        return f"Triton does not work here: {problem}"
    return None
