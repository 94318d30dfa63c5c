"""Places of which there are few, counted over all replicas of the program on one PostgreSQL."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

_FREE = text(
    "SELECT number FROM generate_series(0, :most - 1) AS number WHERE CASE "
    "WHEN number = ANY(CAST(:own AS integer[])) THEN false "
    "ELSE pg_try_advisory_lock(hashtextextended(:name || ' ' || number, 1)) END LIMIT 1"
)
_TAKE = text("SELECT pg_try_advisory_lock(hashtextextended(:name || ' ' || :number, 1))")
_GIVE_BACK = text("SELECT pg_advisory_unlock(hashtextextended(:name || ' ' || :number, 1))")


class SharedLimits:
    """Places by name, each an advisory lock of the server, which keeps no name but its hash.

    All are taken on one connection of this replica: where that ends, or the replica does, they are
    free. A server that does not answer limits nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._own: set[tuple[str, int]] = set()

    def take(self, engine: Engine, name: str, most: int) -> Callable[[], None] | None:
        """Take one of ``most`` places of a name.

        Args:
            engine: of the database; another than PostgreSQL has one process, and no such places.
            name: what the places are of, such as a visitor.
            most: how many there are.
        Returns: what gives the place back; None where all are taken, by whichever replica.
        """
        if engine.dialect.name != "postgresql":
            return lambda: None
        with self._lock:
            for _ in range(2):  # the server may have been restarted since the last
                try:
                    number = self._free(self._connected(engine), name, most)
                except SQLAlchemyError:
                    self._drop()
                    continue
                if number is None:
                    return None
                self._own.add((name, number))
                return partial(self._give_back, name, number)
        return lambda: None

    def close(self) -> None:
        """Give all back."""
        with self._lock:
            self._own.clear()
            self._drop()

    def _free(self, connection: Connection, name: str, most: int) -> int | None:
        own = [number for other, number in self._own if other == name]
        found: int | None = connection.scalar(_FREE, {"most": most, "own": own, "name": name})
        return found

    def _give_back(self, name: str, number: int) -> None:
        with self._lock:
            if (name, number) not in self._own:
                return
            self._own.discard((name, number))
            if self._connection is not None:
                try:
                    self._connection.execute(_GIVE_BACK, {"name": name, "number": str(number)})
                except SQLAlchemyError:
                    self._drop()

    def _connected(self, engine: Engine) -> Connection:
        """Return the connection, made anew with what this replica has where the old one ended."""
        if self._connection is None:
            made = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            for name, number in self._own:
                made.execute(_TAKE, {"name": name, "number": str(number)})
            self._connection = made
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None
