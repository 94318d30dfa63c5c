"""When Python looks for cycles that nobody needs any more."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Take all that is made within for what stays until the process ends, and do not look at it.

    A start makes some million objects: to search them for cycles again and again takes a quarter of
    it, and afterwards each search would hold up whoever asks for something.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
