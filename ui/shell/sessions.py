"""What Gradio keeps of every session: as little as its events need.

Gradio keeps a copy of the settings of all components per session, and in it the newest value of
each output, so that a page can be linked to as it stands. Pages here have addresses of their own;
a caller of an endpoint would leave the whole answer behind, 10 MB and more for a text of 400
tokens, up to 10,000 times.
"""

from typing import Any

from gradio.state_holder import SessionState, StateHolder

from tokenarium.ui.shell.unread import keep_few_unread

MOST_SESSIONS = 2_000
"""Newest sessions that are kept; one that is older begins anew with its next event."""


class _Nothing(dict[int, Any]):
    """Settings that nobody reads."""

    def __setitem__(self, key: int, value: Any) -> None:
        """Keep nothing."""


class _Bare:
    """An application with its functions, and no components whose settings would be copied."""

    def __init__(self, blocks: Any) -> None:
        self.default_config = blocks.default_config
        self.blocks: dict[int, Any] = {}


class LeanSession(SessionState):
    """The state of one session without copies of settings and values."""

    def __init__(self, blocks: Any) -> None:
        super().__init__(_Bare(blocks))  # type: ignore[arg-type]
        self.config_values = _Nothing()

    def _update_config(self, key: int) -> None:
        """Keep nothing."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Keep nothing."""


class LeanSessions(StateHolder):
    """Sessions that keep what events need."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = LeanSession(self.blocks)
        return super().__getitem__(session_id)


class KeepLittle:
    """ASGI middleware that gives the application such sessions, and mailboxes, before the first."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand on, with lean sessions."""
        served = scope.get("app")
        holder = getattr(served, "state_holder", None)
        if holder is not None and not isinstance(holder, LeanSessions):
            lean = LeanSessions()  # type: ignore[no-untyped-call]
            lean.set_blocks(holder.blocks)
            lean.session_data.update(holder.session_data)
            served.state_holder = lean
            keep_few_unread(served)
        await self.app(scope, receive, send)
