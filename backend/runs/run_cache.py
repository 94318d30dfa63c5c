"""Runs that were opened lately: a click on the page shall not read every array again."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from tokenarium.backend.runs.run import Run
from tokenarium.storage.record import RunRecord

MOST_BYTES = 256 * 2**20

_Key = tuple[str, datetime]


class RunCache:
    """Runs by id and time of creation, the least recently used go first. Thread-safe.

    A stored run never changes, so what is kept is what would be read; its arrays are read-only.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._runs: OrderedDict[_Key, Run] = OrderedDict()
        self._bytes = 0

    def get(self, record: RunRecord, read: Callable[[], Run]) -> Run:
        """Return the run that ``record`` describes; ``read`` is called where it is not kept."""
        key = (record.id, record.created)
        with self._lock:
            if key in self._runs:
                self._runs.move_to_end(key)
                return self._runs[key]
        run = read()
        for array in run.result.arrays().values():
            array.setflags(write=False)
        with self._lock:
            if key not in self._runs:
                self._runs[key] = run
                self._bytes += _size(run)
            while self._bytes > self._most_bytes:
                _, oldest = self._runs.popitem(last=False)
                self._bytes -= _size(oldest)
        return run


def _size(run: Run) -> int:
    return sum(array.nbytes for array in run.result.arrays().values())
