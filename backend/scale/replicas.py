"""Workers by model: started when they are needed, lent to one run each, ended when idle."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tokenarium.backend.scale.worker import Worker, WorkerLost

_POLL_S = 0.05


@dataclass(frozen=True)
class Bounds:
    """How many workers there may be.

    Args:
        most: of all models together.
        least_each: of one model that are kept although idle.
        most_each: of one model.
        idle_s: how long one may be idle before it is ended.
    """

    most: int
    least_each: int
    most_each: int
    idle_s: float


@dataclass(eq=False)
class Replica:
    """A worker, and whether a run uses it."""

    name: str
    worker: Worker | None = None
    """None while it starts."""
    busy: bool = True
    since: float = 0.0
    """When it was given back last."""
    fresh: bool = True
    """Whether no run has used it yet."""


class Replicas:
    """The workers of one program; thread-safe.

    A run that comes later may pass only those who wait for a worker of a model that has as many as
    it may have: whoever waits for room gets the next that is free.

    Args:
        start: starts a worker of a model, given its name; returns before that has loaded it.
        bounds: how many there may be.
    """

    def __init__(self, start: Callable[[str], Worker], bounds: Bounds) -> None:
        self._start, self._bounds = start, bounds
        self._changed = threading.Condition()
        self._replicas: list[Replica] = []
        self._line: list[str] = []
        self._tickets: list[object] = []
        self._closed = False

    @contextmanager
    def lend(
        self, name: str, check: Callable[[], None], on_place: Callable[[int], None]
    ) -> Iterator[Replica]:
        """Lend a worker of a model to nobody else meanwhile; one that is lost is not given back.

        Args:
            name: of the model.
            check: called while waiting; raises to give up.
            on_place: called with the number in line (1 is next) when it changes while waiting.
        """
        replica = self._taken(name, check, on_place)
        try:
            if replica.worker is None:
                replica.worker = self._start(name)
            yield replica
        except WorkerLost:
            self._remove(replica)
            raise
        except BaseException:
            if replica.worker is None:
                self._remove(replica)
            raise
        finally:
            self._give_back(replica)

    def count(self, name: str | None = None) -> int:
        """Return how many workers there are, of one model or of all."""
        with self._changed:
            return sum(name in (None, replica.name) for replica in self._replicas)

    def end_idle(self) -> None:
        """End workers that were idle for long, beyond the least that each model keeps."""
        now, ended = time.monotonic(), []
        with self._changed:
            for replica in [*self._replicas]:
                kept = sum(other.name == replica.name for other in self._replicas)
                long = now - replica.since >= self._bounds.idle_s
                if not replica.busy and long and kept > self._bounds.least_each:
                    self._replicas.remove(replica)
                    ended.append(replica)
            self._changed.notify_all()
        _end(ended)

    def close(self) -> None:
        """End all."""
        with self._changed:
            self._closed = True
            ended, self._replicas = self._replicas, []
        _end(ended)

    def _taken(
        self, name: str, check: Callable[[], None], on_place: Callable[[int], None]
    ) -> Replica:
        ticket = object()
        with self._changed:
            self._line.append(name)
            self._tickets.append(ticket)
        last = 0
        ended: list[Replica] = []
        try:
            while True:
                check()
                with self._changed:
                    before = self._tickets.index(ticket)
                    replica = self._next(name, self._line[:before], ended)
                    if replica is not None:
                        return replica
                    place = sum(other == name for other in self._line[:before]) + 1
                    if place == last:
                        self._changed.wait(_POLL_S)
                if place != last:
                    last = place
                    on_place(place)
        finally:
            with self._changed:
                before = self._tickets.index(ticket)
                del self._tickets[before], self._line[before]
                self._changed.notify_all()
            _end(ended)

    def _next(self, name: str, before: list[str], ended: list[Replica]) -> Replica | None:
        """Return what a run may have now, if anything; the lock is held.

        Args:
            name: of its model.
            before: models that those before it in line wait for.
            ended: receives workers that have to make room.
        """
        if any(other == name or not self._full(other) for other in before):
            return None
        own = [replica for replica in self._replicas if replica.name == name]
        for replica in own:
            if not replica.busy:
                replica.busy = True
                return replica
        if len(own) >= self._bounds.most_each:
            return None
        if len(self._replicas) >= self._bounds.most:
            idle = [replica for replica in self._replicas if not replica.busy]
            if not idle:
                return None
            oldest = min(idle, key=lambda replica: replica.since)
            self._replicas.remove(oldest)
            ended.append(oldest)
        replica = Replica(name)
        self._replicas.append(replica)
        return replica

    def _full(self, name: str) -> bool:
        """Return whether a model has as many workers as it may have, all busy."""
        own = [replica for replica in self._replicas if replica.name == name]
        return len(own) >= self._bounds.most_each and all(replica.busy for replica in own)

    def _remove(self, replica: Replica) -> None:
        with self._changed, suppress(ValueError):
            self._replicas.remove(replica)
        _end([replica])

    def _give_back(self, replica: Replica) -> None:
        with self._changed:
            replica.busy, replica.fresh = False, False
            replica.since = time.monotonic()
            self._changed.notify_all()
            closed = self._closed
        if not closed:
            later = threading.Timer(self._bounds.idle_s, self.end_idle)
            later.daemon = True
            later.start()


def _end(replicas: list[Replica]) -> None:
    for replica in replicas:
        if replica.worker is not None:
            with suppress(WorkerLost):
                replica.worker.end()
