"""What a running request says while it runs, and how it is cancelled."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenarium.backend.runs.request import ModelRequest
    from tokenarium.backend.runs.result import Result
    from tokenarium.backend.runs.run import Run


class Cancelled(Exception):  # noqa: N818 - an outcome asked for, not an error
    """The request was cancelled by its owner or ran past its time limit; nothing was stored."""


class CancelToken:
    """Stops a request from another thread; checked at least once per layer of a forward pass.

    Args:
        whole: of what the request is a part of, which stops it, too.
    """

    def __init__(self, whole: "CancelToken | None" = None) -> None:
        self._event = threading.Event()
        self._reason = "cancelled"
        self._whole = whole

    def cancel(self, reason: str = "cancelled") -> None:
        self._reason = reason
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set() or (self._whole is not None and self._whole.cancelled)

    def check(self) -> None:
        """Raise ``Cancelled`` if the request was cancelled."""
        if self._event.is_set():
            raise Cancelled(self._reason)
        if self._whole is not None:
            self._whole.check()


_cancel: ContextVar[CancelToken | None] = ContextVar("cancel", default=None)


@contextmanager
def cancelled_by(cancel: CancelToken) -> Iterator[None]:
    """Have what this thread does outside the model end as well when a run is cancelled.

    Tokenizer processes and the hashing of files look for it.
    """
    before = _cancel.set(cancel)
    try:
        yield
    finally:
        _cancel.reset(before)


def current_cancel() -> CancelToken | None:
    """Return what cancels the run that this thread computes, if there is one."""
    return _cancel.get()


@dataclass(frozen=True)
class Queued:
    """Another run uses the model; ``place`` 1 is next."""

    place: int


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` units of ``doing`` are finished."""

    doing: str
    done: int
    total: int


@dataclass(frozen=True)
class Partial:
    """What is known so far; never stored."""

    result: "Result"


@dataclass(frozen=True)
class ChildRun:
    """A smaller run that a larger one brought along: stored by itself, and not shown to readers."""

    request: "ModelRequest"
    result: "Result"
    duration_ms: float


@dataclass(frozen=True)
class Finished:
    """The stored run."""

    run: "Run"


Event = Queued | Progress | Partial | ChildRun | Finished
