"""``/runs/ID.json``: a stored run as a plain address, past Gradio's queue and event loop.

What was written once is kept compressed, and a caller who has it is told that it is the same:
opening a run that was opened lately costs a look into the store, whatever else goes on.
"""

import re
from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import get_route_path  # type: ignore[attr-defined]
from starlette.types import ASGIApp, Receive, Scope, Send

from tokenarium.backend import NoAnswer, Packed, UserError
from tokenarium.ui.shell.guard import refused

_PATH = re.compile(r"runs/([\w.-]{1,200})\.json")
AWAY = "the run store does not answer: try again in a moment"
_AT_ONCE = 4
"""Openings that look into the store at once; the others wait."""


class Opened:
    """Middleware of the application: answers for stored runs.

    Args:
        app: what comes after it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(_AT_ONCE, "opening")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the address of a run; else pass the request on."""
        asked = _asked(scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        run_id, everything = asked
        blocks, loop = scope["app"].get_blocks(), get_running_loop()
        open_: Callable[..., Packed] = blocks.packed
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: open_(run_id, everything=everything)
            )
        except NoAnswer:  # which may name an address of the store: not to everybody
            await refused(scope, receive, send, 503, AWAY)
            return
        except UserError as error:
            await refused(scope, receive, send, 404, str(error))
            return
        await _answer(found, Headers(scope=scope))(scope, receive, send)


def _asked(scope: Scope) -> tuple[str, bool] | None:
    """Return the run that is asked for, and whether with large quantities; None for no run."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    found = _PATH.fullmatch(get_route_path(scope).strip("/"))
    if found is None:
        return None
    query: dict[str, Any] = parse_qs(scope["query_string"].decode("latin-1"))
    return found[1], query.get("everything", [""])[0] in ("1", "true")


def _answer(found: Packed, headers: Headers) -> Response:
    # A run can be measured again under its id: whoever keeps one asks whether it is the same.
    said = {"etag": found.tag, "cache-control": "private, no-cache", "vary": "accept-encoding"}
    if found.tag in headers.get("if-none-match", ""):
        return Response(status_code=304, headers=said)
    if "gzip" in headers.get("accept-encoding", ""):
        said["content-encoding"] = "gzip"
        return Response(found.data, media_type="application/json", headers=said)
    return Response(found.text, media_type="application/json", headers=said)
