"""Every call of a function over HTTP ends as an answer or as words; each address has its share."""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from tokenarium.backend import Cancelled, Lab, UserError, in_words
from tokenarium.ui.shell.panel import stay_unchecked
from tokenarium.ui.shell.visitor import visitor_of

AT_ONCE = 3
"""Calls of one address that are worked on together, such as cost cards and figures."""
WAITING = 32
"""Those that may wait for these."""
CLASS_WAITING = 240
"""The same of a class, whose members count for it and not for their address."""
OWN_AT_ONCE, OWN_WAITING = 2, 16
"""The same of one visitor, so that others behind the same address come to their turn."""
DEFECT = (
    "This could not be answered, because of what was sent or of a fault of the program: reload the "
    "page and try again."
)
_PASSED = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
_ROOT = Path(__file__).resolve().parents[2]
_log = logging.getLogger(__name__)


def answer_in_words(blocks: gr.Blocks, lab: Lab) -> None:
    """Let every call of a function of ``blocks`` end in words where it fails.

    Gradio takes apart what was sent, calls the function and puts together what it returns in
    ``process_api``; whatever is raised on the way would reach a browser as an error without words,
    and the log with the visitor's text.

    Args:
        blocks: the application.
        lab: whose mode says whether calls are counted.
    """
    process: Callable[..., Awaitable[dict[str, Any]]] = blocks.process_api
    shares = Shares()

    async def answered(block_fn: Any, *given: Any, **named: Any) -> dict[str, Any]:
        found = blocks.fns.get(block_fn) if isinstance(block_fn, int) else block_fn
        try:
            stay_unchecked(found.inputs if found else (), named.get("state"))
            # A run waits in a queue of its own, and its steps hold no share.
            if not lab.settings.hosted or (found is not None and found.types_generator):
                return await process(block_fn, *given, **named)
            asker = visitor_of(lab, named.get("request"))
            async with shares.of(str(asker), asker.address, asker.group):
                return await process(block_fn, *given, **named)
        except gr.Error:
            raise
        except _PASSED:
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in Rust is no Exception
            raise gr.Error(words_of(error), print_exception=False) from None

    blocks.process_api = answered  # type: ignore[method-assign]


def words_of(error: BaseException) -> str:
    """Return what a person is told of an error; a defect goes to the log, without any text.

    Args:
        error: anything that a call raised.
    """
    if isinstance(error, Cancelled):
        return str(error)
    known = error if isinstance(error, UserError) else None
    if known is None and not isinstance(error, ValueError):  # Gradio's quote all that was sent
        known = in_words(error)
    if known is not None:
        return str(known)
    _log.error("%s at %s", type(error).__name__, _place(error))
    return DEFECT


class Share:
    """What one name may have worked on and waiting at once; used in one event loop.

    Args:
        at_once: calls that are worked on.
        waiting: calls that wait for these.
        whose: the words for it in a refusal.
    """

    def __init__(self, at_once: int, waiting: int, whose: str = "of your address") -> None:
        self._at_once, self._most, self._whose = at_once, at_once + waiting, whose
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._here: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn and have it.

        Raises:
            UserError: if too many wait.
        """
        if self._here[name] >= self._most:
            raise UserError(
                f"busy: {self._here[name]} requests {self._whose} are waiting and {self._most} "
                "are allowed: try again in a moment"
            )
        self._here[name] += 1
        turns = self._turns.setdefault(name, asyncio.Semaphore(self._at_once))
        try:
            async with turns:
                yield
        finally:
            self._here[name] -= 1
            if not self._here[name]:
                del self._here[name], self._turns[name]


class Shares:
    """What one visitor, and one address, may have worked on and waiting at once."""

    def __init__(self) -> None:
        self._visitors = Share(OWN_AT_ONCE, OWN_WAITING, "of yours")
        self._addresses = Share(AT_ONCE, WAITING)
        self._classes = Share(AT_ONCE, CLASS_WAITING, "of your class")

    @asynccontextmanager
    async def of(self, visitor: str, address: str, group: str = "") -> AsyncIterator[None]:
        """Wait for a turn of both and have it; what is empty counts for nothing.

        Raises:
            UserError: if too many wait.
        """
        async with AsyncExitStack() as turns:
            if visitor:
                await turns.enter_async_context(self._visitors.of(visitor))
            if group:
                await turns.enter_async_context(self._classes.of(group))
            elif address:
                await turns.enter_async_context(self._addresses.of(address))
            yield


def _place(error: BaseException) -> str:
    """Return where an error was raised, as file and line of this program, or of another."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(_ROOT)]
    for frame in reversed(own or list(frames)):
        return f"{Path(frame.filename).name}:{frame.lineno}"
    return "an unknown place"
