"""A figure as a picture by itself: title, what was run and where it is found, dark on white."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from plotly.graph_objects import Figure

from tokenarium.backend import Run
from tokenarium.ui.text import many, one_line, plotly_text

LONGEST_PROMPT = 90
WIDTH = 760
"""Pixels, where the browser does not say how wide a figure is."""
LINE, SIGN = 15, 5.6
"""Pixels of a line of small text, and of one of its characters."""
INK, FAINT = "#1f2937", "#4b5563"


def beginning(request: Any) -> str:
    """Return the beginning of what a model was given to read, on one line; empty if nothing."""
    text = one_line(" ".join(getattr(request, "given_text", "").split()))
    return text if len(text) <= LONGEST_PROMPT else f"{text[: LONGEST_PROMPT - 1]}…"


def credit(request: Any, result: Any, run_id: str | None) -> str:
    """Return model, length, seed and run, as they stand under exported pictures."""
    run = f"run {run_id}" if run_id else "partial run"
    length = getattr(result, "length", None)
    tokens = "" if length is None else f"{many(length, 'token')} · "
    return f"Tokenarium · {request.model} · {tokens}seed {request.seed} · {run}"


def credit_of(runs: Sequence[Run]) -> tuple[str, str]:
    """Return the same of runs beside each other, and the beginnings of their texts."""
    each = (credit(run.request, run.result, run.id).partition(" · ")[2] for run in runs)
    prompts = dict.fromkeys(filter(None, (beginning(run.request) for run in runs)))
    return f"Tokenarium · {' | '.join(each)}", "” and “".join(prompts)


def picture(run: Run, figure: Figure) -> Figure:
    """Return a figure of a run for a picture: its sentence above, prompt, model and run below.

    Args:
        run: that it was drawn of.
        figure: as ``run.figure`` returns it; it is left as it is.
    """
    prompt = beginning(run.request)
    below = [f"Prompt: “{prompt}”"] if prompt else []
    lines = _wrapped([*below, credit(run.request, run.result, run.id)])
    heading = _wrapped([str(figure.layout.meta["label"])])
    found = Figure(figure)
    margin = found.layout.margin
    left, under = margin.l or 48, margin.b or 40
    top, bottom = (margin.t or 8) + LINE * len(heading), under + LINE * (len(lines) + 1)
    tall = found.layout.height + LINE * (len(heading) + len(lines) + 1) + 12
    found.update_layout(
        template="none",
        width=WIDTH,
        height=tall,
        margin={"t": top, "b": bottom, "l": left},
        paper_bgcolor="#fff",
        plot_bgcolor="#fff",
        font={"color": INK},
        title={
            "text": "<br>".join(heading),
            "font": {"size": 13},
            "x": 0.02,
            "xanchor": "left",
            "y": 1 - 12 / tall,
            "yref": "container",
            "yanchor": "top",
        },
    )
    # Titles stand by their numbers, not at the edge of a margin that has grown.
    found.for_each_xaxis(lambda axis: axis.update(title={"standoff": 6}))
    found.for_each_yaxis(lambda axis: axis.update(title={"standoff": 4}, automargin=True))
    found.add_annotation(
        text="<br>".join(lines),
        xref="paper",
        yref="paper",
        x=0,
        y=0,
        xanchor="left",
        yanchor="top",
        align="left",
        xshift=14 - left,
        yshift=-under - 8,
        showarrow=False,
        font={"size": 10, "color": FAINT},
    )
    return found


def _wrapped(texts: Sequence[str]) -> list[str]:
    """Return lines that fit the width, as Plotly shows them."""
    fitting = int((WIDTH - 40) / SIGN)
    return [plotly_text(line) for text in texts for line in wrap(text, fitting)]
