"""What is computed beside the thread that asks, and is no run: looked after again, or cancelled."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import Cancelled, CancelToken, cancelled_by

Found = TypeVar("Found")
MOST = 16
"""Computations that are kept, those that have ended and were not asked for again among them."""


class Computations(Generic[Found]):
    """Computations by a name that nobody can guess; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Future[Found], CancelToken]] = OrderedDict()

    def begin(self, work: Callable[[], Found]) -> str:
        """Begin a computation in a thread of its own and return its name.

        Args:
            work: what ``current_cancel`` cancels.

        Raises:
            UserError: if too many are going on.
        """
        name, cancel = secrets.token_hex(12), CancelToken()
        future: Future[Found] = Future()
        with self._lock:
            if sum(not each.done() for each, _ in self._kept.values()) >= MOST:
                raise UserError(f"{MOST} computations are going on here: try again in a minute")
            while len(self._kept) >= MOST:
                done = next(key for key, (each, _) in self._kept.items() if each.done())
                del self._kept[done]
            self._kept[name] = future, cancel

        def compute() -> None:
            try:
                with cancelled_by(cancel):
                    future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever asks is told
                future.set_exception(error)

        threading.Thread(target=compute, name="computation", daemon=True).start()
        return name

    def found(self, name: str, seconds: float) -> Found | None:
        """Return what a computation found, which is then forgotten; None while it goes on.

        Args:
            name: as ``begin`` returned it.
            seconds: that are waited at most.

        Raises:
            UserError: if there is no such computation, it was cancelled, or it failed so.
        """
        with self._lock:
            known = self._kept.get(name)
        if known is None:
            raise UserError("this computation is no longer here: begin it again")
        try:
            result = known[0].result(seconds)
        except TimeoutError:
            if not known[0].done():
                return None
            raise
        except Cancelled as error:
            self._forget(name)
            raise UserError("cancelled: begin it again where you need it") from error
        except BaseException:
            self._forget(name)
            raise
        self._forget(name)
        return result

    def cancel(self, name: str) -> bool:
        """Cancel a computation, and return whether there is one of this name."""
        with self._lock:
            known = self._kept.get(name)
        if known is None:
            return False
        known[1].cancel()
        return True

    def _forget(self, name: str) -> None:
        with self._lock:
            self._kept.pop(name, None)
