"""Who is looking: a private name that the visitor's own browser made and keeps."""

import hashlib
import re

import gradio as gr

_NAME = re.compile(r"[0-9a-f]{32}")


def visitor_of(request: gr.Request | None) -> str:
    """Return the visitor's private name, hashed so that the store never holds the secret itself.

    A browser that refuses cookies gets a name that lasts as long as its page.
    """
    if request is None:
        return ""
    told = request.cookies.get("tokenarium_visitor", "")
    secret = told if _NAME.fullmatch(told) else f"session {request.session_hash}"
    return hashlib.sha256(secret.encode()).hexdigest()[:32]
