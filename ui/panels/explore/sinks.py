"""Sinks: which heads park their attention, on which tokens, and what is special about those."""

from typing import ClassVar

import gradio as gr

from tokenarium.backend import LATER_QUERIES, Sink, TraceResult, find_sinks, sink_rate, sink_scores
from tokenarium.ui.components.table import Cell, Column, Link, table, table_html
from tokenarium.ui.figures.lines import norms
from tokenarium.ui.figures.sinks import sink_grid, sink_layers, sink_norms
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Panel, Values, number
from tokenarium.ui.text import escape, one_line

MOST_ROWS = 40
COLUMNS = (
    Column("token", "Press one to choose it."),
    Column("class", "First, special, punctuation, function word, content word or rare."),
    Column("heads", "Heads that give this token more attention than the threshold, on average."),
    Column("strongest head", "Press it to open that head."),
    Column("its attention", "Mean attention of the queries that see this token, in that head."),
    Column("queries", "Later tokens that this mean rests on; a few dozen say little."),
    Column("value norm", "Its value's norm over the median token's: below 1 the value is drained."),
    Column("key norm", "Its key's norm over the median token's."),
    Column("residual peak", "Largest norm of its residual stream over the median token's."),
    Column("largest dimensions", "The dimensions that carry the peak; massive ones are marked *."),
)


class Sinks(Panel):
    """Sink scores at a threshold and a length of your choice, and every sink of the text."""

    slug, title = "sinks", "Sinks"
    uses: ClassVar[frozenset[str]] = frozenset({"layer", "head"})

    def build(self) -> None:
        """Make the controls, the sentence, the grid, the table and the norms."""
        with gr.Row():
            self.control(
                "sink_threshold_shown",
                gr.Slider(
                    0.05,
                    0.95,
                    value=0.3,
                    step=0.05,
                    label="Threshold",
                    info="Share of attention above which a head counts as parked.",
                    elem_id="sink-threshold",
                ),
            )
            self.control(
                "sink_length",
                gr.Slider(
                    8,
                    1024,
                    value=64,
                    step=8,
                    label="Length (tokens)",
                    info="Sink scores are means over this many queries; 64 in the definition.",
                    elem_id="sink-length",
                ),
            )
        self.parts["sinks_said"] = gr.HTML("", elem_id="sinks-said")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.figure(
                    "sink_grid",
                    "Sink score of every head",
                    "Mean attention to the first token; squares are above the threshold. Click a "
                    "head to choose it.",
                )
                self.figure("sink_layers", "Sink rate of every layer", "Share of its heads.")
            with gr.Column(min_width=320):
                self.figure(
                    "sink_norms",
                    "What a sink looks like inside",
                    "Residual stream, key and value of every token; sinks are marked.",
                )
        self.figure(
            "norms",
            "Norms in the chosen layer",
            "Residual stream after it, and key and value of the chosen head's group.",
        )
        self.parts["sinks_table"] = table("", "sinks")

    def draw(self, scene: TraceScene) -> Values:
        """Return every part."""
        result, chosen = scene.result, scene.chosen
        lines: Values = {"norms": scene.drawn(norms(result, chosen.layer, chosen.head))}
        if scene.before is not None:
            return lines
        threshold, length = threshold_of(scene), length_of(scene)
        found = find_sinks(result, threshold, most=MOST_ROWS)
        return lines | {
            "sinks_said": _said(result, threshold, length),
            "sink_grid": scene.drawn(sink_grid(result, threshold, length)),
            "sink_layers": scene.drawn(sink_layers(result, threshold, length)),
            "sink_norms": scene.drawn(sink_norms(result, found)),
            "sinks_table": _table(result, found, threshold),
        }


def threshold_of(scene: TraceScene) -> float:
    """Return the threshold that the page is set to."""
    return number(scene.settings.get("sink_threshold_shown"), 0.05, 0.95, 0.3)


def length_of(scene: TraceScene) -> int:
    """Return the length in tokens that the page is set to."""
    return int(number(scene.settings.get("sink_length"), 1, 1024, 64))


def _said(result: TraceResult, threshold: float, length: int) -> str:
    scores = sink_scores(result, length)
    heads, used = int((scores > threshold).sum()), min(length, result.length)
    short = (
        f" The text has {result.length} tokens, fewer than the {length} asked for."
        if result.length < length
        else ""
    )
    careful = (
        " Below 64 tokens even uniform attention scores high: do not compare with published rates."
        if used < 64
        else ""
    )
    return (
        f'<p class="tk-sentence">Over the first {used} tokens, <b>{heads} of {scores.size}</b> '
        f"heads give the first token more than {threshold:.0%} of their attention: a sink rate of "
        f"<b>{sink_rate(scores, threshold):.2f}</b>.{escape(short)}{escape(careful)}</p>"
    )


def _table(result: TraceResult, found: tuple[Sink, ...], threshold: float) -> str:
    which = f"The {MOST_ROWS} strongest tokens" if len(found) == MOST_ROWS else "Every token"
    return table_html(
        COLUMNS,
        [_row(result, sink) for sink in found],
        f"{which} that some head gives more than {threshold:.0%} of its attention",
        f"No token with at least {LATER_QUERIES} later ones gets more than {threshold:.0%} of any "
        "head's attention.",
    )


def _row(result: TraceResult, sink: Sink) -> list[Cell]:
    text = one_line(result.token_text[sink.position])
    dimensions = ", ".join(
        f"{d.dim}{'*' if d.massive else ''} ({d.value:+.3g}, {d.times_median:.0f} x median)"
        for d in sink.dimensions
    )
    return [
        Link(f"{sink.position} {text}", {"token": sink.position}),
        sink.token_class,
        str(len(sink.heads)),
        Link(f"layer {sink.layer}, head {sink.head}", {"layer": sink.layer, "head": sink.head}),
        f"{sink.score:.2f}",
        str(sink.queries),
        f"{sink.value_ratio:.2f} x",
        f"{sink.key_ratio:.2f} x",
        f"{sink.residual_ratio:.1f} x entering layer {sink.residual_layer}",
        dimensions,
    ]
