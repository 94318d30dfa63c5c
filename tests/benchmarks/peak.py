"""Peak memory of one job, in a process of its own: memory freed by another job would hide it."""

import gc
import subprocess
import sys
from pathlib import Path

import torch

from tests.benchmarks.forward import forward_jobs
from tests.benchmarks.models import build

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
WARM_UP_TOKENS = 16


def peak_bytes(shape: str, dtype: str, device: str, length: int, job: str) -> int | None:
    """Return the highest memory during a forward pass above that before it; None if unknown."""
    if not (RESET.exists() or device == "cuda"):
        return None
    told = subprocess.run(
        [sys.executable, "-m", __name__, shape, dtype, device, str(length), job],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(told.stdout.split()[-1])


def _measure(shape: str, dtype: str, device: str, length: int, job: str) -> int:
    models = build(shape, dtype, device)
    forward_jobs(models, WARM_UP_TOKENS)[0][job]()  # what is loaded once does not count
    work = forward_jobs(models, length)[0][job]
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    before = _held_bytes("VmRSS")
    RESET.write_text("5")  # the peak starts again from here
    work()
    return _held_bytes("VmHWM") - before


def _held_bytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(_measure(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5]))
