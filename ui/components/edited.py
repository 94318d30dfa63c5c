"""What an edit of a prompt cost under each cache: a sentence and a table."""

import numpy as np

from tokenarium.backend import EditResult
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.text import escape, many

COLUMNS = (
    Column("cache", "How the cache of the edited prompt was made."),
    Column("KL to reading anew", "Mean divergence along what the model writes, in nats."),
    Column("same choice", "Share of those tokens where both have the same likeliest one."),
    Column("tokens read", "Tokens that the model read after the edit, the last one included."),
    Column("first token", "Time from the edit until the next token is known."),
    Column("would write", "The likeliest token at each place, the written ones being read."),
)
AROUND = 6
"""Tokens shown before and after an edit."""


def edited_table(result: EditResult) -> str:
    """Return one row per cache, and the edited place, as HTML."""
    rows: list[list[Cell]] = [
        [
            result.titles[number],
            f"{float(result.kl_nats[number].mean()):.4f}",
            f"{float(result.top1_agree[number].mean()):.0%}",
            str(int(result.computed_tokens[number])),
            f"{float(result.ready_ms[number]):.0f} ms",
            "".join(result.said_text[number]).replace("\n", " ")[:120],
        ]
        for number in range(len(result.caches))
    ]
    caption = (
        f"{many(len(result.prompt_ids), 'token')} before the edit, {len(result.edited_ids)} after. "
        "One prompt, not the distribution."
    )
    notes = "".join(f'<p class="tk-sub">{escape(note)}</p>' for note in result.notes)
    return place_of_edit(result) + table_html(COLUMNS, rows, caption, "Nothing yet.") + notes


def place_of_edit(result: EditResult) -> str:
    """Return the edited prompt around its new tokens, these bold, as HTML."""
    new = np.flatnonzero(result.origin < 0)
    jumps = np.flatnonzero(np.diff(result.origin) > 1) + 1  # where tokens were deleted
    places = np.concatenate((new, jumps))
    if not len(places):
        return ""
    first = max(0, int(places.min()) - AROUND)
    last = min(len(result.edited_text), int(places.max()) + AROUND + 1)
    shown = [
        f"<b>{escape(text)}</b>" if result.origin[at] < 0 else escape(text)
        for at, text in enumerate(result.edited_text[first:last], first)
    ]
    return f'<p class="tk-sub">Now: … {"".join(shown)} …</p>'


def edited_sentence(result: EditResult) -> str:
    """Return what turning the keys was worth."""
    _, turned, unturned, before = (float(own.mean()) for own in result.kl_nats)
    read, of = int(result.computed_tokens[1]), int(result.computed_tokens[0])
    said = (
        f"Splicing read {many(read, 'token')} instead of {of}: {turned:.3g} nats from reading anew "
        f"with keys turned, {unturned:.3g} without; keeping the old prompt would be {before:.3g}."
    )
    return f'<p class="tk-sentence">{escape(said)}</p>'
