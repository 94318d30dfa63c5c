"""Points of sweeps that this process has finished, so that a cancelled sweep goes on from there."""

import hashlib
import json
import threading
from collections import OrderedDict

from tokenarium.backend.benchmark.sweep.cell import Cell
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.models.loaded import LoadedModel

MOST_CELLS = 4_096


class FinishedCells:
    """Finished points by what they depend on; the least recently used go first. Thread-safe."""

    def __init__(self, most: int = MOST_CELLS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._cells: OrderedDict[str, Cell] = OrderedDict()

    def get(self, key: str) -> Cell | None:
        """Return a point, or None if it was not computed or has gone."""
        with self._lock:
            cell = self._cells.get(key)
            if cell is not None:
                self._cells.move_to_end(key)
            return cell

    def put(self, key: str, cell: Cell) -> None:
        """Keep a point."""
        with self._lock:
            self._cells[key] = cell
            self._cells.move_to_end(key)
            while len(self._cells) > self._most:
                self._cells.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._cells.clear()


FINISHED = FinishedCells()
"""One for the process."""


def cell_key(
    request: SweepRequest, loaded: LoadedModel, spec: PolicySpec, ratio: float, depth: float | None
) -> str:
    """Return the identity of one point: all that its numbers depend on."""
    shared = request.model_dump(mode="json", exclude={"policies", "budgets", "depths"})
    machine = [loaded.fingerprint, str(loaded.dtype), str(loaded.device)]
    content = [shared, machine, spec.model_dump(mode="json"), ratio, depth]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
