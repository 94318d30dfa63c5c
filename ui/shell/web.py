"""What stands between the browser and Gradio: scripts in the document's head, old addresses."""

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenarium.ui.shell.scripts import files, head

FOREVER = "public, max-age=31536000, immutable"
BEFORE = b'<script type="module"'
"""Gradio's own script: those that it needs stand before it."""


def served(pages: Collection[str]) -> dict[str, Any]:
    """Return what ``launch`` needs so that pages have their scripts."""
    return {"app_kwargs": {"middleware": [Middleware(Web, pages=pages)]}}


class Web:
    """Middleware of the application.

    Args:
        app: what comes after it.
        pages: the routes, the first page's as an empty text.
    """

    def __init__(self, app: ASGIApp, pages: Collection[str]) -> None:
        self._app, self._pages = app, frozenset(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for a script or an address of old; else let Gradio answer."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        if (script := files().get(path)) is not None:
            packed = "gzip" in Headers(scope=scope).get("accept-encoding", "")
            more = {"content-encoding": "gzip"} if packed else {}
            await Response(
                script.packed if packed else script.text,
                media_type="text/javascript",
                headers={"cache-control": FOREVER, "vary": "accept-encoding", **more},
            )(scope, receive, send)
        elif path not in self._pages:
            await self._app(scope, receive, send)
        elif moved := self._moved(path, scope["query_string"].decode("latin-1")):
            await RedirectResponse(moved, 307)(scope, receive, send)
        else:
            await self._app(scope, receive, _Scripted(send))

    def _moved(self, path: str, query: str) -> str | None:
        """Return where a page is now that was a tab of the first one: ``?tab=cache&run=...``."""
        asked = parse_qsl(query, keep_blank_values=True)
        tab = dict(asked).get("tab")
        if tab is None or path:
            return None
        rest = urlencode([(name, value) for name, value in asked if name != "tab"])
        page = tab if tab in self._pages else "./"
        return f"{page}?{rest}" if rest else page


class _Scripted:
    """Sends a document with the scripts in its head."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        if self._body:
            self._body = self._body.replace(BEFORE, head().encode() + BEFORE, 1)
        kept = [pair for pair in self._start["headers"] if pair[0].lower() != b"content-length"]
        if self._body:
            kept.append((b"content-length", str(len(self._body)).encode()))
        await self._send({**self._start, "headers": kept})
        await self._send({"type": "http.response.body", "body": self._body})
