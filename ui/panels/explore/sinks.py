"""Sinks: which heads park their attention, on which tokens, and what is special about those."""

from typing import ClassVar

import gradio as gr

from tokenarium.backend import LATER_QUERIES, Sink, TraceResult, find_sinks, sink_rate, sink_scores
from tokenarium.ui.characters import named
from tokenarium.ui.components.table import (
    Cell,
    Column,
    Link,
    Number,
    Numbers,
    table,
    table_html,
)
from tokenarium.ui.figures.lines import norms
from tokenarium.ui.figures.sinks import sink_grid, sink_layers, sink_norms
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Panel, Values, number
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.answer import opening
from tokenarium.ui.why.number import number as number_of
from tokenarium.ui.why.number import source
from tokenarium.ui.why.views import of_sinks

MOST_ROWS = 40
USUAL_THRESHOLD = 0.3
LENGTH_TOKENS = 64
"""Of Gu et al., 2024, arXiv:2410.10781, whose rates are published."""
WHOLE = 0
WINDOWS = (WHOLE, 8, 16, 32, LENGTH_TOKENS, 128, 256, 512, 1024)
"""Queries that a sink score may be the mean of; the whole text unless something else is chosen."""
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
                    value=USUAL_THRESHOLD,
                    step=0.01,
                    label="Threshold",
                    info="Share of attention above which a head counts as parked.",
                    elem_id="sink-threshold",
                ),
            )
            self.control(
                "sink_length",
                gr.Dropdown(
                    [(_window_title(length), str(length)) for length in WINDOWS],
                    value=str(WHOLE),
                    label="Sink score over",
                    info="The queries that a sink score is the mean of.",
                    elem_id="sink-length",
                ),
            )
        self.parts["sink_threshold_shown"] = self.controls["sink_threshold_shown"]
        self.remembered("sink_threshold_of")
        self.parts["sinks_said"] = gr.HTML("", elem_id="sinks-said")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.figure(
                    "sink_grid",
                    "Sink score of every head",
                    "Mean attention to the first token; outlined heads are above the threshold. "
                    "Click one to choose it.",
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
        told = (threshold, length, MOST_ROWS)
        of = of_sinks(self.lab, scene.runs[0], *told) if scene.runs else None
        if threshold != _shown_threshold(scene):
            lines["sink_threshold_shown"] = gr.Slider(value=threshold)
        return lines | {
            "sink_threshold_of": result.sink_threshold,
            "sinks_said": opening(self.lab, _said(result, threshold, length), of),
            "sink_grid": scene.drawn(sink_grid(result, threshold, length)),
            "sink_layers": scene.drawn(sink_layers(result, threshold, length)),
            "sink_norms": scene.drawn(sink_norms(result, found)),
            "sinks_table": opening(self.lab, _table(result, found, threshold), of),
        }


def threshold_of(scene: TraceScene) -> float:
    """Return the threshold that the page is set to: the run's own until a visitor moves it."""
    of = scene.settings.get("sink_threshold_of")
    own = scene.result.sink_threshold
    return _shown_threshold(scene) if own == (USUAL_THRESHOLD if of is None else of) else own


def length_of(scene: TraceScene) -> int | None:
    """Return how many queries sink scores are the mean of; None for all of the text."""
    told = str(scene.settings.get("sink_length"))
    length = int(told) if told in map(str, WINDOWS) else WHOLE
    return length if WHOLE < length < scene.result.length else None


def _shown_threshold(scene: TraceScene) -> float:
    shown = scene.settings.get("sink_threshold_shown")
    return number(shown, 0.05, 0.95, USUAL_THRESHOLD)


def _window_title(length: int) -> str:
    if length == WHOLE:
        return "the whole text"
    return f"the first {length} tokens" + (" (Gu et al.)" if length == LENGTH_TOKENS else "")


def _said(result: TraceResult, threshold: float, length: int | None) -> str:
    scores = sink_scores(result, length)
    heads, used = int((scores > threshold).sum()), length or result.length
    whole = number_of(f"{used}", source("tokens"))
    over = f"first {used}" if length else f"whole text of {whole}"
    above = number_of(f"{heads}", source("heads_above"))
    rate = number_of(f"{sink_rate(scores, threshold):.2f}", source("rate"))
    careful = (
        f" Below {LENGTH_TOKENS} tokens even uniform attention scores high: do not compare with "
        "published rates."
        if used < LENGTH_TOKENS
        else ""
    )
    return (
        f'<p class="tk-sentence">Over the {over} tokens, <b>{above} of '
        f"{number_of(f'{scores.size}', source('heads'))}</b> heads give the first token more than "
        f"{threshold:.0%} of their attention: a sink rate of <b>{rate}</b>.{escape(careful)}</p>"
    )


def _table(result: TraceResult, found: tuple[Sink, ...], threshold: float) -> str:
    which = f"The {MOST_ROWS} strongest tokens" if len(found) == MOST_ROWS else "Every token"
    return table_html(
        COLUMNS,
        [_row(result, place, sink) for place, sink in enumerate(found)],
        f"{which} that some head gives more than {threshold:.0%} of its attention",
        f"No token with at least {LATER_QUERIES} later ones gets more than {threshold:.0%} of any "
        "head's attention.",
    )


def _row(result: TraceResult, place: int, sink: Sink) -> list[Cell]:
    text = one_line(named(result.token_text)[sink.position])

    def of(shown: str, name: str, *at: int) -> Number:
        return Number(shown, source(name, place, *at))

    dimensions: list[str | Number] = []
    for at, found in enumerate(sink.dimensions):
        dimensions += [", " if at else "", f"{found.dim}{'*' if found.massive else ''} ("]
        dimensions += [of(f"{found.value:+.3g}", "dimension", at), ", "]
        dimensions += [of(f"{found.times_median:.0f}", "dimension_times", at), " x median)"]
    peak = of(f"{sink.residual_ratio:.1f}", "residual_ratio")
    return [
        Link(f"{sink.position} {text}", {"token": sink.position}),
        sink.token_class,
        of(str(len(sink.heads)), "sink_heads"),
        Link(f"layer {sink.layer}, head {sink.head}", {"layer": sink.layer, "head": sink.head}),
        of(f"{sink.score:.2f}", "score"),
        of(str(sink.queries), "queries"),
        Numbers((of(f"{sink.value_ratio:.2f}", "value_ratio"), " x")),
        Numbers((of(f"{sink.key_ratio:.2f}", "key_ratio"), " x")),
        Numbers((peak, f" x entering layer {sink.residual_layer}")),
        Numbers(tuple(dimensions)),
    ]
