"""Codes of classes that were tried in vain: whoever guesses is stopped, whoever mistypes is not."""

import threading
import time
from collections import OrderedDict

from tokenarium.backend.errors import UserError

MOST_WRONG = 100
"""Different wrong codes from one address within an hour. With 200 classes among 31^6 codes, one of
44,000 addresses that try as many finds one in an hour."""
WITHIN_S = 3_600.0
MOST_ADDRESSES = 10_000


class Guesses:
    """Wrong codes by address, the newest addresses only. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()

    def refuse_many(self, address: str) -> None:
        """Let nobody try another code who tried too many wrong ones.

        Raises:
            UserError: if so; whether the code was right is not said.
        """
        with self._lock:
            wrong = self._of(address)
        if len(wrong) >= MOST_WRONG:
            raise UserError(
                f"{len(wrong)} codes that belong to no class were tried from your address within "
                "an hour, which is the most: ask the teacher for the code, and come back later"
            )

    def add(self, address: str, code: str) -> None:
        """Count a wrong code; one that is tried again counts once."""
        if not address:
            return
        with self._lock:
            wrong = self._of(address)
            wrong[code] = time.monotonic()
            wrong.move_to_end(code)
            self._wrong[address] = wrong
            self._wrong.move_to_end(address)
            while len(self._wrong) > MOST_ADDRESSES:
                self._wrong.popitem(last=False)

    def _of(self, address: str) -> "OrderedDict[str, float]":
        """Return what an address tried lately; the lock is held."""
        wrong = self._wrong.get(address, OrderedDict())
        before = time.monotonic() - WITHIN_S
        while wrong and next(iter(wrong.values())) < before:
            wrong.popitem(last=False)
        return wrong
