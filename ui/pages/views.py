"""What the Explore page shows for a result and a selection, as values of its components."""

from dataclasses import dataclass
from typing import Any

from plotly.graph_objects import Figure

from backend import TraceRequest, TraceResult
from ui.components.card import token_card
from ui.components.selection import Chosen, selection_value
from ui.components.sentence import sentence
from ui.components.strip import strip_patch, strip_value
from ui.figures.attention import attention_map
from ui.figures.heads import head_grid
from ui.figures.lens import lens_window, logit_lens
from ui.figures.lines import norms, predictability, received
from ui.figures.style import caption


@dataclass(frozen=True)
class Look:
    """How the page is set: not part of the run, not part of the selection."""

    grid_metric: str = "sink"
    pooling: str = "mean"


def everything(
    result: TraceResult, request: TraceRequest, chosen: Chosen, look: Look, **more: Any
) -> dict[str, Any]:
    """Return the value of every view, by name; ``more`` is told to the browser's selection."""
    mark = credit(result, request, chosen)
    return {
        "selection": selection_value(chosen, result, **more),
        "sentence": sentence(result, request.model, partial=chosen.run is None),
        "strip": strip_value(result, chosen.layer, chosen.head),
        "grid": drawn(head_grid(result, look.grid_metric), mark),
        "predictability": drawn(predictability(result), mark),
        **of_head(result, request, chosen, look),
        **of_token(result, request, chosen),
    }


def of_head(
    result: TraceResult, request: TraceRequest, chosen: Chosen, look: Look
) -> dict[str, Any]:
    """Return what another layer or head changes."""
    mark, layer, head = credit(result, request, chosen), chosen.layer, chosen.head
    return {
        "map": drawn(attention_map(result, layer, head, look.pooling), mark),
        "received": drawn(received(result, layer, head), mark),
        "norms": drawn(norms(result, layer, head), mark),
    }


def of_token(result: TraceResult, request: TraceRequest, chosen: Chosen) -> dict[str, Any]:
    """Return what another token changes."""
    mark = credit(result, request, chosen)
    return {
        "card": token_card(result, chosen),
        "lens": drawn(logit_lens(result, chosen.token), mark),
    }


def changed(
    result: TraceResult, request: TraceRequest, before: Chosen, now: Chosen, look: Look
) -> dict[str, Any]:
    """Return only the views that the step from ``before`` to ``now`` changes."""
    found: dict[str, Any] = {"card": token_card(result, now)}
    if (before.layer, before.head) != (now.layer, now.head):
        found |= of_head(result, request, now, look)
        found["strip"] = strip_patch(result, now.layer, now.head)
    if lens_window(result, before.token) != lens_window(result, now.token):
        found["lens"] = of_token(result, request, now)["lens"]
    return found


def credit(result: TraceResult, request: TraceRequest, chosen: Chosen) -> str:
    """Return the line under exported pictures."""
    run = f"run {chosen.run}" if chosen.run else "partial run"
    return f"Tokenarium · {request.model} · {result.length} tokens · seed {request.seed} · {run}"


def drawn(figure: Figure | None, mark: str) -> str | None:
    """Return the figure as the browser reads it, with its caption."""
    return None if figure is None else caption(figure, mark).to_json()
