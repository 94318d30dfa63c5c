"""What every figure shares: size, margins, colours, and the meaning of its axes."""

from typing import Any

from plotly.graph_objects import Figure

SCALE = "Cividis"
AMBER, BLUE, GREEN, GREY, RED = "#d97706", "#3b82f6", "#10b981", "#94a3b8", "#dc2626"


def finish(figure: Figure, height: int, name: str, label: str, **meta: Any) -> Figure:
    """Set the layout common to all figures.

    Args:
        height: pixels.
        name: file name of an exported picture.
        label: one sentence that says what the figure shows, read by screen readers.
        meta: what the axes select: ``x``, ``y`` name fields of the selection; ``columns`` what a
            table of the marks calls them where the axes have no titles.
    """
    figure.update_layout(
        template={},
        height=height,
        margin={"l": 48, "r": 12, "t": 8, "b": 40},
        meta={"name": f"tokenarium-{name}", "label": label, **meta},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        hoverlabel={"align": "left"},
    )
    return figure


def caption(figure: Figure, text: str, prompt: str = "") -> Figure:
    """Add what stands under a picture: model, run, tokens, and the beginning of the text."""
    figure.update_layout(meta={**figure.layout.meta, "caption": text, "prompt": prompt})
    return figure


def opening(figure: Figure, of: str) -> Figure:
    """Say what answers where one of its numbers is pressed: an answer that is kept, or a figure."""
    figure.update_layout(meta={**figure.layout.meta, "of": of})
    return figure


def colour_bar(title: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "side": "right"},
        "thickness": 10,
        "outlinewidth": 0,
        "len": 1.0,
    }
