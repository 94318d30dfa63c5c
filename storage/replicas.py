"""What replicas of the program that share one PostgreSQL server take turns at.

Its locks are advisory: they end with the transaction or the connection that took them, so that a
replica that is killed leaves none behind.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

POLL_S = 0.1
"""How soon a replica notices that another is done."""


def take_turn(connection: Connection) -> None:
    """Wait until no other replica changes what stands already; until the end of the transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('tokenarium writes'))"))


@contextmanager
def alone_with(engine: Engine, key: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Let no other replica be in here with the same key.

    Where the server does not answer, nobody is waited for: the work is then done twice at worst.

    Args:
        engine: of the database; another than PostgreSQL has one process, which needs no turns.
        key: content address of what is computed.
        waiting: called while another replica is in here; raises to give up.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    connection = _locked(engine, key, waiting)
    try:
        yield
    finally:
        if connection is not None:
            with suppress(SQLAlchemyError):  # a connection that is gone has let go of it
                _ask(connection, "SELECT pg_advisory_unlock(hashtextextended(:key, 0))", key)
            with suppress(SQLAlchemyError):
                connection.close()


def _locked(engine: Engine, key: str, waiting: Callable[[], None]) -> Connection | None:
    connection = None
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        while not _ask(connection, "SELECT pg_try_advisory_lock(hashtextextended(:key, 0))", key):
            waiting()
            time.sleep(POLL_S)
    except SQLAlchemyError:
        if connection is not None:
            connection.invalidate()
        return None
    except BaseException:
        connection.close()  # type: ignore[union-attr]
        raise
    return connection


def _ask(connection: Connection, sql: str, key: str) -> bool:
    return bool(connection.scalar(text(sql), {"key": key}))
