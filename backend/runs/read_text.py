"""Quantities of every result whose run reads a text or messages: what was read, and its turns.

Each kind names the schema version of its result that first has them.
"""

from typing import Any

import numpy as np

from tokenarium.backend.runs.result import quantity


def text_quantity(since: int) -> Any:
    """Declare the text that was read."""
    return quantity(
        "text",
        "",
        "",
        "as given; of messages, what the model's chat template makes of them",
        "The text in which tokens have their places.",
        since=since,
    )


def turn_quantity(since: int) -> Any:
    """Declare the turn of each token."""
    return quantity(
        "turn",
        "T",
        "",
        "number, from 0, of the message that the token's last character belongs to, the header and "
        "end that the chat template writes included; the next number where the template begins "
        "the answer; -1 for text without turns, BOS, and a system prompt that nobody gave",
        "Which turn of the conversation this token belongs to.",
        since=since,
    )


def role_quantity(since: int) -> Any:
    """Declare who says each turn."""
    return quantity(
        "role of each turn",
        "N",
        "",
        "system, user or assistant, by number of the turn; none for text without turns",
        "Who says each turn.",
        since=since,
    )


def without_turns(length: int) -> dict[str, Any]:
    """Return the quantities of ``length`` tokens of a text that has no turns, by name."""
    return {"turn": np.full(length, -1, np.int32), "turn_role": ()}
