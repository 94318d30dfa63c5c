"""Who is looking: a private name that the visitor's own browser made and keeps."""

import hashlib
import re
from typing import Any

import gradio as gr

from tokenarium.backend import Lab, Visitor

_NAME = re.compile(r"[0-9a-f]{32}")


def visitor_of(lab: Lab, request: gr.Request | None, told: object = None) -> Visitor:
    """Return the visitor's private name, hashed so that the store never holds the secret itself.

    Args:
        lab: who knows which names were seen before, and whether a proxy is in front.
        request: whose cookie has the name.
        told: a value that the page sent along, whose ``visitor`` is the name where the browser
            refuses cookies. One that sends neither gets a name that lasts as long as its page.
    """
    if request is None:
        return Visitor("")
    sent = told.get("visitor") if isinstance(told, dict) else None
    names = (request.cookies.get("tokenarium_visitor", ""), sent)
    right = (name for name in names if isinstance(name, str) and _NAME.fullmatch(name))
    secret = next(right, f"session {request.session_hash}")
    name = hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:32]
    client: Any = getattr(request, "client", None)
    headers: Any = getattr(request, "headers", {})
    return lab.visitor(name, getattr(client, "host", ""), headers.get("x-forwarded-for", ""))
