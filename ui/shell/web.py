"""What stands between the browser and Gradio: scripts in the document's head, old addresses."""

from collections.abc import Collection
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenarium.ui.shell.embedding import FRAMED
from tokenarium.ui.shell.scripts import Script, files, foot, gradios, head, packed

FOREVER = "public, max-age=31536000, immutable"
BEFORE = b'<script type="module"'
"""Gradio's own script: those that it needs stand before it."""
END = b"</body>"


def served(pages: Collection[str]) -> dict[str, Any]:
    """Return what ``launch`` needs so that pages have their scripts, and begin to make these."""
    Thread(target=files, daemon=True).start()
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
        packs = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        if (script := _kept(path)) is not None:
            more = {"content-encoding": "gzip"} if packs else {}
            await Response(
                script.packed if packs else script.text,
                media_type=script.kind,
                headers={"cache-control": FOREVER, "vary": "accept-encoding", **more},
            )(scope, receive, send)
        elif path not in self._pages:
            await self._app(scope, receive, send)
        elif moved := self._moved(path, scope["query_string"].decode("latin-1")):
            await RedirectResponse(moved, 307)(scope, receive, send)
        else:
            await self._app(
                scope, receive, _Scripted(send, packs=packs, more=scope.get(FRAMED, b""))
            )

    def _moved(self, path: str, query: str) -> str | None:
        """Return where a page is now that was a tab of the first one: ``?tab=cache&run=...``."""
        asked = parse_qsl(query, keep_blank_values=True)
        tab = dict(asked).get("tab")
        if tab is None or path:
            return None
        rest = urlencode([(name, value) for name, value in asked if name != "tab"])
        page = tab if tab in self._pages else "./"
        return f"{page}?{rest}" if rest else page


def _kept(path: str) -> Script | None:
    """Return the script at a path; of Gradio's own, those that every page needs many of."""
    if path.startswith("assets/"):
        return gradios(path.removeprefix("assets/"))
    return files().get(path)


class _Scripted:
    """Sends a document with the scripts in its head, compressed where the browser takes that."""

    def __init__(self, send: Send, *, packs: bool, more: bytes = b"") -> None:
        self._send, self._packs, self._more = send, packs, more
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = MutableHeaders(raw=list(self._start["headers"]))
        del headers["content-length"]
        if self._body:
            self._body = self._body.replace(BEFORE, self._more + head().encode() + BEFORE, 1)
            self._body = self._body.replace(END, foot().encode() + END, 1)
            if self._packs:
                self._body = packed(self._body, 1)
                headers["content-encoding"] = "gzip"
            headers.add_vary_header("accept-encoding")
            headers["content-length"] = str(len(self._body))
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": self._body})
