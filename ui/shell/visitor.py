"""Who is looking: a private name that the visitor's own browser made and keeps."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any, TypeGuard

import gradio as gr

from tokenarium.backend import Lab, Visitor

COOKIE = "tokenarium_visitor"
CALLER = "x-tokenarium-caller"
"""Header that says, within this process, where a call through MCP came from."""
GROUP = "tokenarium_class"
"""Cookie with the code of the visitor's class."""
_NAME = re.compile(r"[0-9a-f]{32}")
_SEAL = secrets.token_hex(16)


def visitor_of(lab: Lab, request: gr.Request | None, told: object = None) -> Visitor:
    """Return the visitor's private name, hashed so that the store never holds the secret itself.

    Args:
        lab: who knows which names were seen before, and whether a proxy is in front.
        request: whose cookie has the name, and whose session the account, where one signed in.
        told: a value that the page sent along, whose ``visitor`` is the name, and whose ``group``
            the code of the class, where the browser refuses cookies. Who sends no name gets one
            that lasts as long as its page.
    """
    if request is None:
        return Visitor("")
    sent = told.get("visitor") if isinstance(told, dict) else None
    names = (request.cookies.get(COOKIE, ""), sent)
    right = (name for name in names if is_name(name))
    client: Any = getattr(request, "client", None)
    headers: Any = getattr(request, "headers", {})
    caller = caller_of(headers)
    own = (
        f"session {getattr(request, 'session_hash', None)}"
        if caller is None
        else f"caller {caller}"
    )
    secret = account_of(request) or next(right, own)
    name = _digest(secret)
    group = request.cookies.get(GROUP) or (told.get("group") if isinstance(told, dict) else None)
    if caller is not None:
        return lab.visitor(name, caller)
    return lab.visitor(name, getattr(client, "host", ""), headers.get("x-forwarded-for", ""), group)


def account_of(request: gr.Request) -> str:
    """Return the account that a visitor is signed in with; empty for none.

    It is in the session, a cookie that only this program can sign, as long as Gradio offers that.
    """
    scope: Any = getattr(getattr(request, "request", None), "scope", None) or {}
    known = (scope.get("session") or {}).get("oauth_info")
    if not isinstance(known, dict) or known.get("expires_at", 0) < time.time():
        return ""
    subject = known.get("userinfo", {}).get("sub", "")
    return f"account {subject}" if subject else ""


def hashed(told: object) -> str:
    """Return the private name of a visitor as ``visitor_of`` does, from what the page sent along.

    Empty where it is none that the page made.
    """
    return _digest(told) if is_name(told) else ""


def is_name(value: object) -> TypeGuard[str]:
    """Return whether a value can be the name that a visitor's browser made."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def passed_on(address: str) -> tuple[bytes, bytes]:
    """Return the header by which a call through MCP keeps its address.

    Gradio's MCP server calls the endpoints over HTTP itself, all from this machine and in one
    session, with the headers of who called it. No other program knows the seal.
    """
    return CALLER.encode(), f"{_SEAL} {address}".encode("latin-1", "replace")


def caller_of(headers: Mapping[str, str]) -> str | None:
    """Return the address that ``passed_on`` was given; None where the header is not its own."""
    seal, _, address = headers.get(CALLER, "").partition(" ")
    sealed = hmac.compare_digest(seal.encode("utf-8", "replace"), _SEAL.encode())
    return address if sealed else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:32]
