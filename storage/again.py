"""What is done again while a database server is away for a moment, as when it is restarted."""

import time
from collections.abc import Callable
from typing import TypeVar

from tokenarium.storage.errors import DatabaseGone

AGAIN_S = 20.0
"""How long a server that went away is waited for."""
PAUSE_S = 0.5

Answer = TypeVar("Answer")


def done_again(
    work: Callable[[], Answer],
    done: Callable[[], Answer | None],
    seconds: float | None = None,
    pause: float = PAUSE_S,
) -> Answer:
    """Return what ``work`` returns; it is done again while the server is away.

    Args:
        work: a transaction, which is kept whole or not at all.
        done: returns the answer where it was kept although its own was lost, else None.
        seconds: how long to go on; None for ``AGAIN_S``.
        pause: seconds before it is done again.

    Raises:
        DatabaseGone: if the server stays away.
    """
    end = time.monotonic() + (AGAIN_S if seconds is None else seconds)
    while True:
        try:
            return work()
        except DatabaseGone:
            if time.monotonic() >= end:
                raise
        time.sleep(pause)
        if (kept := done()) is not None:
            return kept
