"""The text with the clusters of one head in colours, and what a step read of them."""

from collections.abc import Sequence

from tokenarium.backend import PolicyRun
from tokenarium.ui.components.table import Column, Number, Numbers, table_html
from tokenarium.ui.figures.grouping import Cluster, clusters_of
from tokenarium.ui.text import escape, many, visible
from tokenarium.ui.why.number import source

MOST_TOKENS = 2_000
"""Tokens that are shown; of more, the first."""
MOST_ROWS, FEW = 12, 6
TURN = 137.508
"""Degrees between the colours of two clusters, so that neighbours in number differ most."""
COLUMNS = (
    Column("cluster"),
    Column("tokens", "How many of the prefix it holds."),
    Column("this step", "Whether the chosen step reads it."),
    Column("its first tokens"),
)


def clusters_html(run: PolicyRun, step: int, layer: int, head: int) -> str:
    """Return the text, its tokens coloured by cluster, and a table of clusters, those read first.

    Args:
        run: of one policy.
        step: what of them it read is told.
        layer: which.
        head: KV head.
    Returns: HTML; empty where the head has no clusters.
    """
    found = clusters_of(run, step, layer, head)
    if not found:
        return ""
    texts = run.result.prompt_text
    title = run.result.titles[run.number]

    def of(shown: str, name: str, *at: int) -> Number:
        return Number(shown, source(name, run.number, layer, head, *at))

    count = of(f"{sum(bool(own.read) for own in found)}", "clusters_read", step)
    told: tuple[str | Number, ...] = ()
    if found[0].read is not None:
        told = (f"; step {step} reads ", count, ", underlined")
    cut = f" The first {MOST_TOKENS:,} tokens." if len(texts) > MOST_TOKENS else ""
    clusters = of(many(len(found), "cluster"), "cluster_count")
    said = (f"{title}, layer {layer}, KV head {head}: ", clusters, " of keys", *told, f".{cut}")
    head_line = f'<p class="tk-sentence">{Numbers(said).html}</p>'
    rows = [
        (
            str(own.number),
            of(str(len(own.tokens)), "cluster_tokens", own.number),
            _said(own).removeprefix(", ") or "not recorded",
            " · ".join(visible(texts[at]).strip() for at in own.tokens[:FEW]),
        )
        for own in found[:MOST_ROWS]
    ]
    shown = "The clusters" if len(found) <= MOST_ROWS else f"{MOST_ROWS} of the clusters"
    table = table_html(COLUMNS, rows, f"{shown} of this head", "None.")
    return f"{head_line}{_text(found, texts)}{table}"


def _text(found: Sequence[Cluster], texts: Sequence[str]) -> str:
    of = {int(at): own for own in found for at in own.tokens}
    spans = "".join(_span(visible(text), of.get(at)) for at, text in enumerate(texts[:MOST_TOKENS]))
    return (
        '<div class="tk-lane-strip tk-clusters" tabindex="0" role="group" '
        f'aria-label="Tokens by cluster">{spans}</div>'
    )


def _span(text: str, own: Cluster | None) -> str:
    if own is None:
        return f"<span>{escape(text)}</span>"
    said = f"cluster {own.number}, {many(len(own.tokens), 'token')}{_said(own)}"
    read = " data-read" if own.read else ""
    hue = own.number * TURN % 360
    return f'<span{read} style="--hue:{hue:.0f}" title="{said}">{escape(text)}</span>'


def _said(own: Cluster) -> str:
    return "" if own.read is None else ", read" if own.read else ", not read"
