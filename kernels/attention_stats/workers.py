"""Single-threaded workers for jobs of many small operators.

Threads inside each operator meet at a barrier per operator, which costs most when the machine is
busy; workers that never meet until the end do not.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier, Lock

import torch

KEPT_BYTES = 9 << 20
"""Freed blocks up to this size, twice that of a panel, are used again."""

_creating = Lock()


@lru_cache(maxsize=8)
def _pool(_process: int, size: int) -> ThreadPoolExecutor:
    keep = torch.get_num_threads()
    executor = ThreadPoolExecutor(size, "attention-stats", initializer=_prepare)
    everyone = Barrier(size)
    for started in [executor.submit(everyone.wait) for _ in range(size)]:
        started.result()
    # A worker's setting also becomes the default of every thread started later: put it back.
    torch.set_num_threads(keep)
    return executor


def _prepare() -> None:
    # A thread takes the process-wide count when it first needs one, which would undo a setting
    # made before: read first, then set.
    torch.get_num_threads()
    torch.set_num_threads(1)
    # Far tokens get weights below 1e-38, on which a processor is a hundred times slower.
    torch.set_flush_denormal(True)
    # The C library asks the system for every block larger than the largest it has seen freed, and
    # the fresh pages of a panel take a tenth of its time: let it see one.
    torch.empty(KEPT_BYTES, dtype=torch.uint8)


def run(jobs: Sequence[Callable[[], None]], threads: int) -> None:
    """Do every job, the first ones first, on ``threads`` workers; raise what a job raised."""
    with _creating:
        pool = _pool(os.getpid(), threads)  # a forked process does not inherit the threads
    running = [pool.submit(job) for job in jobs]
    for future in running:
        future.result()
