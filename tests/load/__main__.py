"""``python -m tests.load``: visitors at two replicas on one PostgreSQL, of which parts are killed.

Everything is on this machine's loopback. Half of the visitors look at stored examples, four in ten
run small texts, one in ten sweeps. After 30 % of the time a replica is killed, after 50 % a worker
of Ray (where Ray is installed), after 70 % PostgreSQL; each is started again. Prints a table; ends
with 1 if an answer was lost, a run is half there, or somebody saw another's.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.load.checking import checked
from tests.load.figures import table
from tests.load.processes import Ray, Replica, ray_if_there, resident_megabytes
from tests.load.visitors import Visitor, connected, crowd
from tests.storage import server

MOST_SECONDS = 420.0
MOST_VISITORS = 400
LOOK_S = 2.0


def main() -> None:
    """Measure it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--visitors", type=int, default=200)
    options.add_argument("--seconds", type=float, default=300.0)
    options.add_argument("--local", action="store_true", help="compute in the replicas")
    given = options.parse_args()
    seconds = min(given.seconds, MOST_SECONDS)
    count = min(given.visitors, MOST_VISITORS)
    with tempfile.TemporaryDirectory() as place, server.running() as postgresql:
        folder = Path(place)
        database = postgresql.new()
        with ray_if_there(folder) as ray:
            used = None if given.local else ray
            well = _measured(_Load(database, postgresql, used, folder), count, seconds)
    sys.exit(not well)


class _Load:
    """What is under load, and what happened to it."""

    def __init__(
        self, database: str, postgresql: server.Server, ray: Ray | None, folder: Path
    ) -> None:
        self.database, self.postgresql, self.ray = database, postgresql, ray
        engine = ray.engine if ray else "local"
        self.replicas = [Replica(database, engine, folder) for _ in range(2)]
        self.events: list[str] = []
        self.megabytes: dict[str, list[float]] = {"first replica": [], "second replica": []}
        if ray:
            self.megabytes["the workers"] = []

    def start(self) -> None:
        """Start the replicas one after the other."""
        for replica in self.replicas:
            replica.start()
            replica.wait()

    def end(self) -> None:
        """End the replicas."""
        for replica in self.replicas:
            replica.end()

    def look(self) -> None:
        """Write down what each holds of memory."""
        for name, replica in zip(self.megabytes, self.replicas, strict=False):
            self.megabytes[name].append(replica.megabytes())
        if self.ray:
            held = sum(resident_megabytes(pid) for pid in self.ray.workers())
            self.megabytes["the workers"].append(held)

    def kill_replica(self) -> None:
        """Kill the second replica and start it again."""
        self.replicas[1].kill()
        self.replicas[1].start()
        began = time.monotonic()
        self.replicas[1].wait()
        self.events.append(f"a replica killed, answers again after {_since(began)}")

    def kill_worker(self) -> None:
        """Kill a worker, which nobody starts again but the next run."""
        if self.ray is None:
            self.events.append("no worker killed: runs were computed in the replicas")
        elif self.ray.kill_worker():
            self.events.append("a worker killed")
        else:
            self.events.append("no worker was there to be killed")

    def restart_database(self) -> None:
        """Restart PostgreSQL, with every connection cut."""
        began = time.monotonic()
        self.postgresql.stop("immediate")
        self.postgresql.start()
        self.events.append(f"PostgreSQL killed, answers again after {_since(began)}")


def _measured(load: _Load, count: int, seconds: float) -> bool:
    try:
        load.start()
        known = examples(load.database)
        asyncio.run(_warm(load))
        visitors = crowd(count, known)
        spent, began = time.process_time(), time.monotonic()
        asyncio.run(_live(load, visitors, seconds))
        share = (time.process_time() - spent) / (time.monotonic() - began)
        load.events.append(f"the visitors themselves took {share:.0%} of a processor")
        asked = [each for visitor in visitors for each in visitor.asked]
        found = checked(load.database, visitors)
    finally:
        load.end()
    sys.stdout.write(f"{count} visitors, {seconds:.0f} s.\n\n")
    sys.stdout.write(table(asked, found, load.megabytes, load.events) + "\n")
    sys.stdout.flush()
    return not (found.lost or found.half or found.seen_by_others)


async def _warm(load: _Load) -> None:
    """Have each replica load its model once."""
    for number, replica in enumerate(load.replicas):
        async with connected(replica.url) as http:
            await Visitor("runs", number, ()).once(http, seed=number)


async def _live(load: _Load, visitors: list[Visitor], seconds: float) -> None:
    end = time.monotonic() + seconds
    urls = [replica.url for replica in load.replicas]

    def over() -> bool:
        return time.monotonic() > end

    faults: list[tuple[float, Callable[[], None]]] = [
        (0.3, load.kill_replica),
        (0.5, load.kill_worker),
        (0.7, load.restart_database),
    ]
    tasks = [
        asyncio.create_task(visitor.live(urls, over, seed)) for seed, visitor in enumerate(visitors)
    ]
    tasks += [
        asyncio.create_task(_later(end - seconds * (1 - share), fault)) for share, fault in faults
    ]
    while not over():
        load.look()
        await asyncio.sleep(LOOK_S)
    await asyncio.gather(*tasks)


async def _later(at: float, act: Callable[[], None]) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    await asyncio.to_thread(act)


def examples(database: str) -> list[str]:
    """Return the ids of the traces that come with the program."""
    from tokenarium.storage import RunStore

    with RunStore(database) as store:
        return [run.id for run in store.search(limit=100) if run.kind == "trace"]


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    main()
