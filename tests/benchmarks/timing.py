"""Timing of things side by side: interleaved, so that a busy machine disturbs all alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Job = Callable[[], object]


@dataclass(frozen=True)
class Quantiles:
    """The 20th, 50th and 80th percentile of repeated measurements."""

    p20: float
    p50: float
    p80: float

    @staticmethod
    def of(values: list[float]) -> "Quantiles":
        """Summarise values; one stands for itself."""
        if len(values) == 1:
            return Quantiles(*values * 3)
        p20, _, _, p80 = statistics.quantiles(values, n=5, method="inclusive")
        return Quantiles(p20, statistics.median(values), p80)


@dataclass(frozen=True)
class Measured:
    """One job's times, and their ratios to the first job's time in the same round."""

    ms: Quantiles
    ratio: Quantiles


def side_by_side(jobs: dict[str, Job], repeats: int, calls: int = 1) -> dict[str, Measured]:
    """Time every job in each of ``repeats`` rounds, after one round that is not counted.

    A time is that of ``calls`` calls one after the other, divided by their number: what a GPU takes
    for one of them where it, and not the start of its kernels, is what takes long.
    """
    rounds = [
        {name: _milliseconds(job, calls) for name, job in jobs.items()} for _ in range(repeats + 1)
    ]
    base, *_ = jobs
    return {
        name: Measured(
            Quantiles.of([found[name] for found in rounds[1:]]),
            Quantiles.of([found[name] / found[base] for found in rounds[1:]]),
        )
        for name in jobs
    }


def _milliseconds(job: Job, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        job()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3 / calls
