"""What of Gradio's routes answers: those that the pages, the named endpoints and MCP use."""

import json
import re
from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import get_route_path  # type: ignore[attr-defined]
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenarium.backend import UserError, address_of
from tokenarium.ui.shell.answers import Shares, words_of
from tokenarium.ui.shell.unread import knows, waits
from tokenarium.ui.shell.visitor import CALLER, COOKIE, is_name, passed_on

API = "gradio_api/"
MCP = f"{API}mcp"
STREAM = f"{API}queue/data"
SENT_BYTES = 10 * 2**20
"""Most that a request may send: a text of 8 MB, and what else a page says."""
HOSTED_SENT_BYTES = 2 * 2**20
"""The same from a visitor: a text of 1 MB."""
_READ = re.compile(
    r"assets/[^/]+|static/.+|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(/\d+)?|theme\.css"
    r"|config|openapi\.json|gradio_api/(theme\.css|info|openapi\.json|startup-events|app_id"
    r"|heartbeat/[^/]+|queue/(data|status)|call/(v2/)?[^/]+/[^/]+|mcp(/.*)?)"
    r"|[\w-]+\.(js|css)"
)
_SENT = re.compile(
    r"gradio_api/(queue/join|run/[^/]+|call/(v2/)?[^/]+|cancel|reset|component_server|mcp(/.*)?)"
)
_ANSWER = re.compile(r"gradio_api/call/(?:v2/)?[^/]+/([^/]+)")
_NOT_HERE = (
    "no answer waits under this event: it was read, or waited too long; ask again and read at once"
)
_NOBODY = "nothing was asked under this session_hash, or all of it was read: join the queue first"
_SIGN_IN = re.compile(r"login/(huggingface|callback)|logout")
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
    'content="width=device-width"><meta name="color-scheme" content="light dark">'
    "<title>Tokenarium: nothing here</title><body><main><h1>Nothing here</h1><p>{words}.</p>"
    '<p><a href="{home}">To the first page</a></p></main></body></html>'
)
"""What somebody sees who typed a wrong address."""
_UPLOAD = re.compile(r"upload|file|process_recording")


class Guard:
    """Middleware of the application: whatever is not in use is refused in words.

    Gradio keeps its routes open whether or not a page needs them: ``upload`` writes any file to the
    disk, ``run`` calls any function past the queue.

    Args:
        app: what comes after it.
        pages: the routes, the first page's as an empty text.
        sent_bytes: most that a request may send.
        hosted: whether functions of parts, such as exports, are counted by visitor and address.
        behind_proxy: whether X-Forwarded-For has the address.
        sign_in: whether visitors may sign in, whose way there and back then answers.
    """

    def __init__(
        self,
        app: ASGIApp,
        pages: Collection[str],
        sent_bytes: int,
        *,
        hosted: bool = False,
        behind_proxy: bool = False,
        sign_in: bool = False,
    ) -> None:
        self._app, self._pages, self._sent_bytes = app, frozenset(pages), sent_bytes
        self._hosted, self._behind_proxy = hosted, behind_proxy
        self._sign_in = sign_in
        self._shares = Shares()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on that a page, an endpoint or MCP may send; else refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        path, method = get_route_path(scope).strip("/"), scope["method"]
        open_here = path in self._pages or _READ.fullmatch(path)
        signing_in = self._sign_in and _SIGN_IN.fullmatch(path)
        read = method in ("GET", "HEAD") and (open_here or signing_in)
        if read and (called := _ANSWER.fullmatch(path)) and not waits(scope["app"], called[1]):
            await refused(scope, receive, send, 404, _NOT_HERE)
        elif read and path == STREAM and not _listens(scope) and not _known(scope):
            await refused(scope, receive, send, 404, _NOBODY)
        elif read and path == STREAM:
            await self._stream(scope, receive, send)
        elif read or (path == MCP and method == "DELETE"):  # the end of a session
            await self._app(scope, receive, send)
        elif method == "POST" and _SENT.fullmatch(path):
            await self._post(path, scope, receive, send)
        else:
            await refused(scope, receive, send, *_nothing(path))

    async def _post(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        try:
            too_long = not length.isdecimal() or int(length) > self._sent_bytes
            sent = b"" if too_long else await _body(receive, self._sent_bytes)
        except ClientDisconnect:
            return
        if too_long or len(sent) > self._sent_bytes:
            words = (
                f"more than {self._sent_bytes // 2**20} MB were sent, which is the most: "
                "take a shorter text"
            )
            await refused(scope, receive, send, 413, words)
        elif path.startswith(MCP):
            await self._app(self._called(scope, headers), _again(sent, receive), send)
        elif why := _why_not(path, headers.get("content-type", ""), sent, scope):
            await refused(scope, receive, send, *why)
        elif self._hosted and path.rpartition("/")[2] == "component_server":
            name = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
            try:
                async with self._shares.of(
                    name if is_name(name) else "", self._address(scope, headers)
                ):
                    await self._words(scope, _again(sent, receive), send)
            except UserError as error:
                await refused(scope, receive, send, 429, str(error))
        else:
            await self._words(scope, _again(sent, receive), send)

    def _address(self, scope: Scope, headers: Headers) -> str:
        peer = (scope.get("client") or ("",))[0]
        heard = headers.get("x-forwarded-for", "")
        return address_of(peer, heard, behind_proxy=self._behind_proxy)

    def _called(self, scope: Scope, headers: Headers) -> Scope:
        """Return the scope of a call through MCP, which says where it came from."""
        name = CALLER.encode()
        others = [pair for pair in scope["headers"] if pair[0].lower() != name]
        return {**scope, "headers": [*others, passed_on(self._address(scope, headers))]}

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a page its messages; Gradio tells it that a session is gone, and then fails."""
        try:
            await self._app(scope, receive, send)
        except RuntimeError as error:
            cause = error.__cause__
            if not (isinstance(cause, HTTPException) and cause.status_code == 404):
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _words(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what fails before anything is answered is answered in words."""
        began = False

        async def watched(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if began:
                raise
            await refused(scope, receive, send, 422, words_of(error))


async def refused(scope: Scope, receive: Receive, send: Send, status: int, words: str) -> None:
    """Answer with a status and words: as Gradio's own clients read them, or as a person does."""
    answer: Response = JSONResponse({"detail": words, "error": words}, status)
    if scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", ""):
        answer = HTMLResponse(
            _PAGE.format(words=escape(words), home=escape(f"{scope.get('root_path', '')}/")), status
        )
    await answer(scope, receive, send)


def _listens(scope: Scope) -> bool:
    """Return whether a page asks: left and opened again, it may come late, and Gradio ends it."""
    return "text/event-stream" in Headers(scope=scope).get("accept", "")


def _known(scope: Scope) -> bool:
    return knows(scope["app"], _caller(scope))


def _caller(scope: Scope) -> str:
    return QueryParams(scope.get("query_string", b"")).get("session_hash", "")


def _nothing(path: str) -> tuple[int, str]:
    if _UPLOAD.match(path.removeprefix(API)):
        return 404, "no file can be sent or fetched here: send the text itself"
    return 404, "nothing answers here: the pages and gradio_api/openapi.json name what does"


async def _body(receive: Receive, most: int) -> bytes:
    """Return what is sent, or a little more than ``most`` bytes of it."""
    parts, size, more = [], 0, True
    while more and size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(sent: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read already, then what else comes."""
    first = True

    async def handed() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": sent, "more_body": False}
        return await receive()

    return handed


def _why_not(path: str, kind: str, sent: bytes, scope: Scope) -> tuple[int, str] | None:
    """Return status and words where a request calls what is not open, else None."""
    if kind.partition(";")[0].strip().lower() != "application/json":
        return 415, f"content-type={kind[:60]!r} is not read here: send application/json"
    try:
        asked = json.loads(sent)
    except (ValueError, RecursionError):
        return 422, "the request is not JSON: send one object"
    if not isinstance(asked, dict):
        return 422, "the request is not a JSON object: send one"
    route = path.removeprefix(API)
    if route in ("cancel", "reset"):
        return None
    blocks = scope["app"].get_blocks()
    if route == "component_server":
        part = blocks.blocks.get(_number(asked.get("component_id")))
        known = getattr(getattr(part, str(asked.get("fn_name")), None), "_is_server_fn", False)
        if not known:
            return 404, "no part of a page has this function"
        if not isinstance(asked.get("data"), dict):  # what every function of a part takes
            return 422, "data is not a JSON object: send one, as the page does"
        return None
    way, _, name = route.rpartition("/")
    if way.startswith("call"):
        fn = _called(blocks.fns, None, name)
    else:
        fn = _called(blocks.fns, asked.get("fn_index"), name if way == "run" else "")
    if fn is None or not _open(fn, way):
        return 404, "no named endpoint and no event of a page answers here"
    return None


def _number(given: object) -> int:
    return given if isinstance(given, int) and not isinstance(given, bool) else -1


def _called(fns: Mapping[int, Any], index: object, name: str) -> Any:
    """Return the function that Gradio would call: by its index, or else by its name."""
    if index is not None:
        return fns.get(_number(index))
    return next((fn for fn in fns.values() if name and fn.api_name == name), None)


def _open(fn: Any, way: str) -> bool:
    """Return whether a function may be called so.

    Args:
        fn: Gradio's ``BlockFunction``.
        way: ``queue``; ``run``, past the queue, as a page calls only what it registered with
            ``queue=False``; ``call`` or ``call/v2``, as an endpoint.
    """
    if fn.fn is None:
        return False
    endpoint = fn.api_visibility == "public" and not fn.targets
    if way.startswith("call"):
        return endpoint
    if way == "run":
        return bool(fn.targets) and not fn.queue
    return bool(fn.queue) and (endpoint or bool(fn.targets))
