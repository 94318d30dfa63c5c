"""``python -m tests.load.simulation FILE``: how many visitors go together, from measured times.

A discrete-event simulation (SimPy): each visitor pauses, asks, and waits for the processor of its
replica, which its threads share, a worker and the database, which do one at a time; on a machine
of few processors workers stand back for both. Service times are those of a request that
``tests.load.service`` measured, drawn each time; nothing is killed.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import simpy

from tests.load.service import PLACES
from tests.load.visitors import KINDS, PAUSES_S, SHARES

Seconds = Mapping[str, Sequence[Mapping[str, float]]]
"""By kind of visitor the seconds of each measured request, by place."""
SLICE_S = 0.02
"""Of a processor that several threads share."""
LONGEST_S = {"looks": 0.3, "runs": 10.0, "sweeps": 30.0}
"""What a visitor of each kind waits at most at the 95th percentile."""
MANY = 10_000
"""Visitors at most, and places where there is room for all."""


@dataclass(frozen=True)
class Machines:
    """What the visitors share.

    Args:
        replicas: of the app, each with the one processor that Python uses.
        workers: of all replicas together.
        database: requests that PostgreSQL answers at once.
        cores: processors for all of it; 0 for as many as are wanted.
        queue: runs that may wait at a replica.
    """

    replicas: int = 2
    workers: int = 2
    database: int = 4
    cores: int = 0
    queue: int = 16


@dataclass
class Outcome:
    """What the visitors saw."""

    waits: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    asked: set[str] = field(default_factory=set)
    """Kinds that asked early enough for an answer."""
    refused: int = 0
    busy: dict[str, float] = field(default_factory=dict)
    """Share of the time that each place works."""

    def quantile(self, kind: str, share: float) -> float:
        """Return a quantile of the seconds until an answer; infinite where there was none."""
        waits = self.waits[kind]
        return float(np.quantile(waits, share)) if waits else float("inf")

    @property
    def good(self) -> bool:
        """Whether nobody is refused and nobody waits longer than said."""
        late = [kind for kind in self.asked if self.quantile(kind, 0.95) > LONGEST_S[kind]]
        return not late and not self.refused

    @property
    def first_to_break(self) -> str:
        """The place that works the most."""
        return max(self.busy, key=lambda place: self.busy[place])


class _Simulation:
    def __init__(self, seconds: Seconds, machines: Machines, seed: int) -> None:
        self.env = simpy.Environment()
        self._seconds, self._draw = seconds, random.Random(seed)
        self._machines = machines
        self._replicas = [simpy.Resource(self.env, 1) for _ in range(machines.replicas)]
        self._workers = simpy.Resource(self.env, machines.workers)
        self._database = simpy.Resource(self.env, machines.database)
        cores = machines.cores
        self._cores = simpy.PriorityResource(self.env, cores) if cores else None
        self._worked = dict.fromkeys(PLACES, 0.0)
        self.outcome = Outcome()

    def run(self, visitors: Sequence[str], length_s: float) -> Outcome:
        """Let them live for so long; the first tenth of the time is not counted."""
        for number, kind in enumerate(visitors):
            self.env.process(self._live(kind, number, length_s / 10, length_s / 2))
        self.env.run(length_s)
        room = {
            "replica": self._machines.replicas,
            "workers": self._machines.workers,
            "database": self._machines.database,
        }
        self.outcome.busy = {
            place: worked / (length_s * room[place]) for place, worked in self._worked.items()
        }
        return self.outcome

    def _live(
        self, kind: str, number: int, counted_from: float, early: float
    ) -> Generator[Any, Any, None]:
        replica = self._replicas[number % len(self._replicas)]
        yield self.env.timeout(self._draw.uniform(0, PAUSES_S[kind][1]))
        while True:
            began = self.env.now
            if counted_from <= began < early:
                self.outcome.asked.add(kind)
            if kind != "looks" and len(self._workers.queue) >= self._machines.queue * len(
                self._replicas
            ):
                self.outcome.refused += 1
            else:
                took = self._draw.choice(self._seconds[kind])
                yield from self._use(replica, "replica", took["replica"], SLICE_S)
                if kind != "looks":  # what Ray itself spends meanwhile nobody awaits
                    yield from self._use(self._workers, "workers", took["workers"])
                yield from self._use(self._database, "database", took["database"])
                if began >= counted_from:
                    self.outcome.waits[kind].append(self.env.now - began)
            yield self.env.timeout(self._draw.uniform(*PAUSES_S[kind]))

    def _use(
        self, place: simpy.Resource, name: str, took: float, slice_s: float = math.inf
    ) -> Generator[Any, Any, None]:
        """Work at a place for so long, in slices that take turns with those of others."""
        left = took
        while left > 0:
            with place.request() as turn:
                yield turn
                yield from self._work(min(slice_s, left), last=name == "workers")
            left -= slice_s
        self._worked[name] += took

    def _work(self, seconds: float, *, last: bool) -> Generator[Any, Any, None]:
        """Let time go by; where there are few processors, in slices on one of them.

        Args:
            seconds: of work.
            last: whether all other work goes first.
        """
        if self._cores is None:
            yield self.env.timeout(seconds)
            return
        while seconds > 0:
            with self._cores.request(priority=int(last)) as core:
                yield core
                yield self.env.timeout(min(SLICE_S, seconds))
            seconds -= SLICE_S


def simulated(
    seconds: Seconds,
    count: int,
    machines: Machines,
    shares: Mapping[str, float] = SHARES,
    length_s: float = 120.0,
    seed: int = 0,
) -> Outcome:
    """Return what ``count`` visitors in these shares would see."""
    draw = random.Random(seed)
    kinds = draw.choices(list(shares), list(shares.values()), k=count)
    return _Simulation(seconds, machines, seed).run(kinds, length_s)


def most_visitors(
    seconds: Seconds, machines: Machines, shares: Mapping[str, float] = SHARES, most: int = MANY
) -> tuple[int, str]:
    """Return how many visitors see what they should, and what breaks first with more."""
    low, high, broken = 0, 1, ""
    while high <= most:
        outcome = simulated(seconds, high, machines, shares)
        if not outcome.good:
            broken = outcome.first_to_break
            break
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        outcome = simulated(seconds, middle, machines, shares)
        if outcome.good:
            low = middle
        else:
            high, broken = middle, outcome.first_to_break
    return low, broken or "nothing"


def faster(seconds: Seconds, times: float) -> Seconds:
    """Return the seconds with workers so many times as fast, as a GPU's might be."""
    return {
        kind: [{**took, "workers": took["workers"] / times} for took in found]
        for kind, found in seconds.items()
    }


def main() -> None:
    """Print the tables of the documents."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", type=Path)
    options.add_argument("--visitors", type=int, default=20, help="as in the load test beside it")
    options.add_argument("--cores", type=int, default=2, help="of the machine of that test")
    options.add_argument("--queue", type=int, default=64, help="of each replica of that test")
    options.add_argument("--faster", type=float, default=10, help="a GPU's worker, assumed")
    given = options.parse_args()
    seconds = json.loads(given.file.read_text())["seconds"]
    here = simulated(seconds, given.visitors, Machines(cores=given.cores, queue=given.queue))
    lines = [f"{given.visitors} visitors, {given.cores} cores, ms p50 / p95 / p99:"]
    for kind in KINDS:
        times = [here.quantile(kind, share) * 1000 for share in (0.5, 0.95, 0.99)]
        lines.append(f"  {kind}: " + " / ".join(f"{time:,.0f}" for time in times))
    lines += ["", "| Replicas | Workers | Visitors | Breaks first |", "|---|---|---|---|"]
    for replicas, workers in ((1, 1), (1, 4), (2, 2), (2, 8), (8, 32), (32, 128), (128, 512)):
        count, broken = most_visitors(seconds, Machines(replicas, workers))
        lines.append(f"| {replicas} | {workers} | {count:,} | {broken} |")
    lines += ["", "| Alone, all else ample | looks | runs | sweeps |", "|---|---|---|---|"]
    alone = {
        "a replica": (seconds, Machines(1, MANY, MANY)),
        "a worker": (seconds, Machines(MANY, 1, MANY)),
        f"a worker {given.faster:g} times as fast (assumed)": (
            faster(seconds, given.faster),
            Machines(MANY, 1, MANY),
        ),
        "a database": (seconds, Machines(MANY, MANY)),
    }
    for name, (took, machines) in alone.items():
        counts = [most_visitors(took, machines, {kind: 1.0}) for kind in KINDS]
        said = [f"{count:,}" if broken != "nothing" else "all" for count, broken in counts]
        lines.append(f"| {name} | " + " | ".join(said) + " |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
