"""Timing of things side by side: interleaved, so that a busy machine disturbs all alike."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

Job = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """Quantiles of one job's time, and the memory it needs above what was there before."""

    p20_ms: float
    p50_ms: float
    p80_ms: float
    peak_bytes: int | None


def side_by_side(jobs: dict[str, Job], repeats: int) -> dict[str, Measured]:
    """Time every job ``repeats`` times in turn, after one run that is not counted."""
    peaks = {name: _peak_bytes(job) for name, job in jobs.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            times[name].append(_milliseconds(job))
    return {name: _measured(found, peaks[name]) for name, found in times.items()}


def _measured(times: list[float], peak: int | None) -> Measured:
    p20, _, _, p80 = statistics.quantiles(times, n=5, method="inclusive")
    return Measured(p20, statistics.median(times), p80, peak)


def _milliseconds(job: Job) -> float:
    start = time.perf_counter()
    job()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def _peak_bytes(job: Job) -> int | None:
    """Highest memory during a job above that before it; None where the system cannot tell."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        job()
        return torch.cuda.max_memory_allocated() - before
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        job()
        return None
    before = _kibibytes(status, "VmRSS")
    reset.write_text("5")  # the peak starts again from here
    job()
    return (_kibibytes(status, "VmHWM") - before) * 1024


def _kibibytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
