"""A quality line as a number box; the same line can be dragged on a figure."""

from typing import Any

import gradio as gr

from tokenarium.backend import QUALITY_MEASURES, QualityMeasure, SweepResult, usual_line

JS = "window.tokenarium.qualityBox(element, props, watch, () => trigger('edit'));"
TEMPLATE = (
    '<div class="tk-quality-box"><label for="quality-line">Quality line: '
    '<span class="tk-quality-what"></span></label>'
    '<input id="quality-line" type="number"></div>'
)
MOST = 1e6


def quality_box() -> gr.HTML:
    """Return the component; its event ``edit`` reports every change by the visitor."""
    return gr.HTML(
        None, html_template=TEMPLATE, js_on_load=JS, elem_id="quality", elem_classes="tk-block"
    )


def quality_value(measure: str, line: float) -> dict[str, Any]:
    """Return what the browser draws."""
    chosen = QUALITY_MEASURES[measure]
    low, high = ends(chosen)
    shown = None if chosen.higher is False else high
    told = {"measure": measure, "title": chosen.title, "higher": chosen.higher}
    return {**told, "line": line, "low": low, "high": shown}


def measure_of(value: object, chosen: str) -> str:
    """Return the measure that an address named, as a browser sent it; else the chosen one."""
    wanted = value.get("wanted") if isinstance(value, dict) else None
    return wanted if isinstance(wanted, str) and wanted in QUALITY_MEASURES else chosen


def line_of(value: object, measure: str, result: SweepResult) -> float:
    """Return the line that a browser sent for a measure; the usual one where it sent none."""
    low, high = ends(QUALITY_MEASURES[measure])
    if isinstance(value, dict) and measure in (value.get("wanted"), value.get("measure")):
        line = value.get("line")
        if isinstance(line, int | float) and not isinstance(line, bool) and low <= line <= high:
            return float(line)
    return usual_line(result, measure)


def ends(measure: QualityMeasure) -> tuple[float, float]:
    """Return between what a line may stand."""
    if measure.higher:
        return 0.0, 1.0
    return (1.0, MOST) if measure.field == "perplexity" else (0.0, MOST)
