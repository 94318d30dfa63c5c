"""``/health`` and ``/ready``, which whatever keeps the program running asks."""

import asyncio
from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.routing import get_route_path  # type: ignore[attr-defined]
from starlette.types import ASGIApp, Receive, Scope, Send

HEALTH, READY = "health", "ready"
PATIENCE_S = 2.0
"""How long the run store may take to answer before requests are better sent elsewhere."""


class Health:
    """Middleware of the application: says whether the process lives and whether it can answer.

    Anybody may ask, so its answers hold nothing of models, runs or visitors.

    Args:
        app: what comes after it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the two addresses; else pass the request on."""
        path = get_route_path(scope).strip("/") if scope["type"] == "http" else ""
        if path not in (HEALTH, READY) or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        why = "" if path == HEALTH else await _why_not(scope["app"].get_blocks().why_not_ready)
        answer = {"status": "not ready", "reason": why} if why else {"status": "ok"}
        await JSONResponse(answer, 503 if why else 200, headers={"cache-control": "no-store"})(
            scope, receive, send
        )


async def _why_not(ask: Callable[[], str]) -> str:
    try:
        return await asyncio.wait_for(asyncio.to_thread(ask), PATIENCE_S)
    except TimeoutError:
        return f"the run store did not answer within {PATIENCE_S:g} s"
