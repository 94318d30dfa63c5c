"""What a model reads, as a visitor gives it: a text, or the turns of a conversation."""

from typing import Any

import gradio as gr

from tokenarium.backend import TextRequest
from tokenarium.ui.text import escape

NAME = "turns"
"""Of the control."""
ROLES = ("system", "user", "assistant")
SPECIAL = TextRequest.model_fields["special_tokens"]
TEMPLATE = f"""
<div class="tk-given">
  <div class="tk-choice" role="radiogroup" aria-label="What the model reads">
    <button type="button" role="radio" data-chat="" aria-checked="true">Text</button>
    <button type="button" role="radio" data-chat="1" aria-checked="false">Chat</button>
  </div>
  <label title="{escape(SPECIAL.description or "")}"><input type="checkbox">
    {escape(SPECIAL.title or "")}</label>
</div>
<div class="tk-turns" hidden></div>
<button type="button" class="tk-add-turn" hidden>Add a turn</button>
"""
JS = """
window.tokenarium.turns(element, props, watch, () => trigger('edit'));
"""
PLAIN: dict[str, Any] = {"chat": False, "turns": [], "special_tokens": False}


def turns_editor() -> gr.HTML:
    """Return the component; its event ``edit`` reports every change by the visitor."""
    return gr.HTML(PLAIN, html_template=TEMPLATE, js_on_load=JS, elem_id=NAME)


def given(text: object, turns: object) -> dict[str, Any]:
    """Return what a visitor gives, as fields of a request; a browser may send anything.

    Args:
        text: what the text box says.
        turns: what the editor says.
    """
    told = turns if isinstance(turns, dict) else PLAIN
    found: dict[str, Any] = {"special_tokens": told.get("special_tokens") is True}
    if told.get("chat") is not True:
        return {**found, "text": text}
    rows = told.get("turns")
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    messages = [{name: row.get(name) for name in ("role", "content")} for row in known]
    if messages and messages[-1] == {"role": "assistant", "content": ""}:
        messages.pop()  # the template begins the answer by itself
    return {**found, "messages": messages}


def shown_again(request: TextRequest) -> dict[str, Any]:
    """Return text box and editor as they were when a stored run was asked for, by name."""
    turns = [message.model_dump() for message in request.messages]
    if request.chat_template:  # the same tokens
        turns = [{"role": "user", "content": request.text}]
    told = {"chat": bool(turns), "turns": turns, "special_tokens": request.special_tokens}
    return {"text": "" if turns else request.text, NAME: told}
