"""Under which host names the pages answer, and the safe headers of every answer."""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenarium.backend import Settings
from tokenarium.ui.shell.embedding import FRAMED
from tokenarium.ui.shell.guard import refused

OWN = ("localhost", "127.0.0.1", "[::1]")
SPACES = ("https://huggingface.co", "https://*.hf.space")
"""Sites whose pages show a Space in a frame."""


class Hosts:
    """Middleware of the application: refuses other host names, adds headers.

    Any web page may have a name of its own lead to this machine (DNS rebinding), after which a
    browser lets it read what is served here; only the host name that it sends gives that away.

    Args:
        app: what comes after it.
        names: host names that are answered, as in ``allows``; empty for all.
        frames: sites whose pages may show these in a frame, beside these themselves.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], frames: Collection[str]) -> None:
        self._app, self._names = app, tuple(names)
        self._headers = safe_headers(frames)
        self._embed_headers = safe_headers(["*"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer under the names that are allowed, with safe headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                # Known by the time of an answer; only an embed may stand in any frame.
                headers.update(self._embed_headers if FRAMED in scope else self._headers)
                message = {**message, "headers": headers.raw}
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if not self._names or allows(self._names, host):
            await self._app(scope, receive, headed)
            return
        words = (
            f"host={host[:100]!r} is none that this page answers to: open it by another "
            f"({', '.join(self._names[:5])}), or start it with --allowed-hosts and this name"
        )
        await refused(scope, receive, headed, 403, words)


def hosts_of(settings: Settings) -> dict[str, list[str]]:
    """Return the arguments of ``Hosts``: in hosted mode every name is answered if none is given."""
    names = list(settings.allowed_hosts)
    if not settings.hosted:
        own = settings.host if ":" not in settings.host else f"[{settings.host}]"
        names = list(dict.fromkeys([*OWN, own.lower(), *names]))
    frames = [*SPACES, *settings.frame_ancestors] if settings.hosted else []
    return {"names": names, "frames": frames}


def allows(names: Collection[str], host: str) -> bool:
    """Return whether a host header has one of the names, whatever the port.

    Args:
        names: lower-case, an IPv6 address in brackets; ``*.example.org`` is every name that ends
            so, ``*`` every name.
        host: as sent.
    """
    name = host.strip().lower()
    end = name.find("]") + 1 if name.startswith("[") else name.find(":")
    port = name[end:] if end > 0 else ""
    if port and not (port[0] == ":" and port[1:].isdecimal()):
        return False
    name = (name[:end] if end > 0 else name).rstrip(".")
    return any(
        known == "*" or name == known or (known.startswith("*.") and name.endswith(known[1:]))
        for known in names
    )


def safe_headers(frames: Collection[str]) -> dict[str, str]:
    """Return the headers of every answer.

    Gradio writes its configuration into a script of the document and makes functions of texts, so
    scripts of the page itself cannot be told from others; what is shut is every other host.

    Args:
        frames: sites whose pages may show these in a frame, beside these themselves.
    """
    policy = {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(("'self'", *frames)),
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {of}" for name, of in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
    }
    return headers if frames else {**headers, "x-frame-options": "SAMEORIGIN"}
