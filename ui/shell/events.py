"""How events of a page are handled; written once."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from tokenarium.ui.shell.panel import hidden

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""No endpoint of its own, no veil over what it changes."""
EAGER: dict[str, Any] = {**QUIET, "concurrency_limit": None, "trigger_mode": "always_last"}
"""Only the newest of many is answered, and none waits for others' turns."""
_NEXT = "() => window.tokenarium.next()"


class Signal:
    """What many events raise and one handler hears, which answers the newest of them.

    Gradio's page keeps an event that comes while its handler answers, and sends it again
    afterwards, to every handler of that event: two that hear the same one send each other on
    without end. So whoever shall answer eagerly what others hear, too, hears a signal of its own.
    """

    def __init__(self) -> None:
        self._told = hidden()

    def raised_by(self, events: Sequence[Any]) -> None:
        """Raise it at each of these events."""
        gr.on(events, None, None, self._told, js=_NEXT, **QUIET)

    def raised_after(self, event: Any) -> None:
        """Raise it when the answer to an event has come."""
        event.then(None, None, self._told, js=_NEXT, **QUIET)

    def heard(self, answer: Callable[..., Any], inputs: Any, outputs: Any) -> None:
        """Let a handler answer it."""
        self._told.change(answer, inputs, outputs, **EAGER)
