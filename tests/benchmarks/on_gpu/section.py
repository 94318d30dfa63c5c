"""Some measurements in this process: what they are given, and where they write."""

import argparse
import gc
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.on_gpu.table import Journal
from tests.benchmarks.timing import Job, Measured, side_by_side
from tokenarium.backend.environment import commit, device_name, versions

MODEL_PARTS = ("statistics", "trace", "policies", "reading")
"""What is measured of one model, in a process of its own."""


@dataclass(frozen=True)
class Bench:
    """What every section is given.

    ``quick`` asks for shapes that a CPU manages; ``end`` is when nothing new may begin; ``large``
    asks for the larger model.
    """

    section: str
    journal: Journal
    models: Path
    device: str
    quick: bool
    end: float
    large: bool = False

    @contextmanager
    def part(self, what: str, **where: Any) -> Iterator[None]:
        """Keep what goes wrong inside as a line, and go on after it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - any part may fail, and says so
            traceback.print_exc()
            problem = f"{type(error).__name__}: {error}"[:300]
            self.journal.add(section=self.section, what=what, **where, problem=problem)
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def in_time(self, what: str, **where: Any) -> bool:
        """Whether there is time to begin; a line says where there is not."""
        if time.monotonic() < self.end:
            return True
        self.journal.add(section=self.section, what=what, **where, problem="no time was left")
        return False

    def timed(
        self,
        jobs: dict[str, Job],
        repeats: int,
        calls: int = 1,
        remarks: Callable[[str, Measured], str] = lambda name, row: "",
        **where: Any,
    ) -> None:
        """Time jobs side by side and keep their lines; one that fails is kept as that."""
        peaks, working = {}, {}
        for name, job in jobs.items():
            with self.part(name, **where):
                job()
                peaks[name] = self._peak(job)
                working[name] = job
        if not working:
            return
        rows = side_by_side(working, 1 if self.quick else repeats, 1 if self.quick else calls)
        self.journal.measured(
            rows,
            peaks if self.device == "cuda" else None,
            {name: remarks(name, row) for name, row in rows.items()},
            section=self.section,
            **where,
        )

    def _peak(self, job: Job) -> int:
        """Return the bytes that a second run takes above those held before it."""
        if self.device != "cuda":
            return 0
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        job()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before


def main() -> None:
    """Run one section."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("section")
    options.add_argument("journal", type=Path)
    options.add_argument("models", type=Path)
    options.add_argument("device")
    options.add_argument("seconds", type=float)
    options.add_argument("--quick", action="store_true")
    asked = options.parse_args()
    end = time.monotonic() + 0.8 * asked.seconds
    journal = Journal(asked.journal)
    facts = {"device": device_name(asked.device), "commit": commit(), **versions()}
    journal.add(facts=facts)
    names = MODEL_PARTS if asked.section in ("small", "large") else (asked.section,)
    for name in names:
        bench = Bench(
            section=name,
            journal=journal,
            models=asked.models,
            device=asked.device,
            quick=asked.quick,
            end=end,
            large=asked.section == "large",
        )
        if bench.in_time("all"):
            with bench.part("all"):
                import_module(f"tests.benchmarks.on_gpu.{name}").run(bench)


if __name__ == "__main__":
    main()
