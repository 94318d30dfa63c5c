"""What an edit of a prompt cost under each cache: a sentence and a table."""

import numpy as np

from tokenarium.backend import EditEstimate, EditResult
from tokenarium.ui.components.cost_card import card, size
from tokenarium.ui.components.table import Cell, Column, Number, Numbers, table_html
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.said import NOTE, notes

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


def edited_table(result: EditResult, run_id: str = "") -> str:
    """Return one row per cache, and the edited place, as HTML.

    Args:
        run_id: whose numbers they are, where that is not the run that the page shows.
    """
    rows = [_row(result, place) for place in range(len(result.caches))]
    caption = Numbers(
        (
            Number(many(len(result.prompt_ids), "token"), source("tokens_before")),
            " before the edit, ",
            Number(str(len(result.edited_ids)), source("tokens_after")),
            " after. One prompt, not the distribution.",
        )
    )
    told = place_of_edit(result) + table_html(COLUMNS, rows, caption, "Nothing yet.")
    told += notes(result, tag=NOTE)
    return of_run(told, run_id)


def _row(result: EditResult, place: int) -> list[Cell]:
    same = f"{float(result.top1_agree[place].mean()):.0%}"
    return [
        result.titles[place],
        Number(f"{float(result.kl_nats[place].mean()):.4f}", source("edit_kl", place)),
        Number(same, source("edit_same", place)),
        Number(str(int(result.computed_tokens[place])), source("computed_tokens", place)),
        Number(f"{float(result.ready_ms[place]):.0f} ms", source("ready_ms", place)),
        "".join(result.said_text[place]).replace("\n", " ")[:120],
    ]


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


def edited_sentence(result: EditResult, run_id: str = "") -> str:
    """Return what turning the keys was worth."""
    turned, unturned, before = (
        number(f"{float(result.kl_nats[place].mean()):.3g}", source("edit_kl", place))
        for place in (1, 2, 3)
    )
    read = number(many(int(result.computed_tokens[1]), "token"), source("computed_tokens", 1))
    of = number(str(int(result.computed_tokens[0])), source("computed_tokens", 0))
    said = (
        f"Splicing read {read} instead of {of}: {turned} nats from reading anew with keys turned, "
        f"{unturned} without; keeping the old prompt would be {before}."
    )
    return of_run(f'<p class="tk-sentence">{said}</p>', run_id)


def edit_card(cost: EditEstimate) -> str:
    """Return what an edit will take, as HTML."""
    free = "" if cost.free_bytes is None else f" of {size(cost.free_bytes)} free"
    time = "not known: no prompt was edited with this model on this machine yet"
    if cost.total_ms is not None:
        time = f"about {cost.total_ms / 1e3:.1f} s, from edits with this model on this machine"
    facts = (
        ("Prompt", f"{many(cost.prompt_tokens, 'token')} before, {cost.edited_tokens:,} after"),
        (
            "Read after the edit",
            f"{many(cost.spliced_tokens, 'token')} where the cache is spliced, "
            f"{cost.edited_tokens:,} where it is read anew",
        ),
        ("Caches", f"{size(cost.cache_bytes)} each, {size(cost.held_bytes)} in all{free}"),
        ("Passes", f"{cost.read_tokens:,} tokens read in all, at most"),
        ("Time", time),
    )
    return card("What Edit will take", facts, "")
