"""``python -m tests.load.service FILE``: what each kind of request takes, one at a time.

Processor seconds of the replica, of Ray's workers and of PostgreSQL for each request, and its time
until the answer, as JSON, from which ``tests.load.simulation`` says how many visitors go together.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from tests.load.asking import Asked
from tests.load.processes import Ray, Replica, descendants, processor_seconds, ray_if_there
from tests.load.visitors import KINDS, Visitor, connected
from tests.storage import server
from tokenarium.backend.environment import processor

PLACES = ("replica", "workers", "database")


def main() -> None:
    """Measure it and write the file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", type=Path)
    options.add_argument("--each", type=int, default=20, help="requests of each kind")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place, server.running() as postgresql:
        folder, database = Path(place), postgresql.new()
        with ray_if_there(folder) as ray:
            replica = Replica(database, ray.engine if ray else "local", folder)
            replica.start()
            try:
                replica.wait()
                found = asyncio.run(_measured(replica, ray, postgresql, database, given.each))
            finally:
                replica.end()
    given.file.write_text(json.dumps({"processor": processor(), "seconds": found}, indent=2) + "\n")


async def _measured(
    replica: Replica, ray: Ray | None, postgresql: server.Server, database: str, each: int
) -> dict[str, list[dict[str, float]]]:
    from tests.load.__main__ import examples

    found = {}
    for number, kind in enumerate(KINDS):
        visitor = Visitor(kind, number, examples(database))
        async with connected(replica.url) as http:
            for _ in range(3):  # what is loaded once
                await visitor.once(http, seed=number)
            requests = []
            for again in range(each):
                before = _spent(replica, ray, postgresql)
                asked = await visitor.once(http, seed=10 + again)
                assert asked.run is not None, asked
                requests.append(_request(asked, before, _spent(replica, ray, postgresql)))
        found[kind] = requests
    return found


def _request(asked: Asked, before: list[float], after: list[float]) -> dict[str, float]:
    spent = [round(end - start, 3) for start, end in zip(before, after, strict=True)]
    return dict(zip(PLACES, spent, strict=True)) | {"wall": round(asked.seconds, 3)}


def _spent(replica: Replica, ray: Ray | None, postgresql: server.Server) -> list[float]:
    """Return the processor seconds of replica, workers and database so far."""
    assert replica.process is not None
    workers = descendants(ray.process.pid) if ray else []
    database = [postgresql.pid, *descendants(postgresql.pid)]
    return [
        processor_seconds([replica.process.pid]),
        processor_seconds(workers),
        processor_seconds(database),
    ]


if __name__ == "__main__":
    main()
