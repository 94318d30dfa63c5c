"""Heads and attention: who looks at whom."""

import math
from typing import Any

import gradio as gr

from tokenarium.backend import Cancelled, RegionRequest, RegionResult, UserError
from tokenarium.ui.components.sentence import status
from tokenarium.ui.figures.attention import attention_map, region_map
from tokenarium.ui.figures.heads import METRICS, head_grid, metrics_of
from tokenarium.ui.figures.lines import received
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Panel, Values, choice

ZOOM_TILES = 128
POOLINGS = {"mean": "mean of a tile", "max": "highest of a tile"}


class Attention(Panel):
    """Every head in a grid, one head's map with zoom, and who is attended to."""

    slug, title = "attention", "Attention"
    uses = frozenset({"layer", "head"})

    def build(self) -> None:
        """Make grid and map side by side, and the line of received attention under them."""
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.figure("grid", "Heads", "Every head of the model. Click one to open its map.")
                self.control(
                    "grid_metric",
                    gr.Dropdown(
                        [(metric.title, name) for name, metric in METRICS.items()],
                        value="sink",
                        label="Grid shows",
                        container=False,
                        elem_id="grid-metric",
                    ),
                )
            with gr.Column(min_width=320):
                self.figure(
                    "map",
                    "Attention map",
                    "Who looks (rows) at whom (columns). Drag a rectangle for finer tiles, "
                    "double-click to see it whole.",
                )
                self.control(
                    "pooling",
                    gr.Radio(
                        [(title, name) for name, title in POOLINGS.items()],
                        value="mean",
                        label="Map shows",
                        container=False,
                        elem_id="pooling",
                    ),
                )
        self.figure(
            "received",
            "Who is attended to",
            "Mean attention each token receives from the tokens after it; log scale.",
        )

    def draw(self, scene: TraceScene) -> Values:
        """Return map and line, and the grid, which no choice of a head changes."""
        result, layer, head = scene.result, scene.chosen.layer, scene.chosen.head
        found = {
            "map": scene.drawn(attention_map(result, layer, head, _pooling(scene))),
            "received": scene.drawn(received(result, layer, head)),
        }
        if scene.before is None:
            there = metrics_of(result)
            metric = choice(scene.settings.get("grid_metric"), tuple(there), "sink")
            found["grid"] = scene.drawn(head_grid(result, metric))
        return found

    def zoom(self, scene: TraceScene, asked: dict[str, Any]) -> Values:
        """Return the map of a rectangle in finer tiles than the run keeps."""
        result, now, pooling = scene.result, scene.chosen, _pooling(scene)
        if asked.get("reset"):
            return {"map": scene.drawn(attention_map(result, now.layer, now.head, pooling))}
        if result.length <= result.attention_tiles_mean.shape[-1]:
            return {}
        try:
            question = self._region(scene, asked)
            region = self.lab.run(question, visitor=scene.visitor).result
        except (UserError, Cancelled) as error:
            return {"status": status(str(error), "error")}
        assert isinstance(region, RegionResult)
        figure = region_map(region, result, now.layer, now.head, pooling)
        how = f"Finer tiles, at most {ZOOM_TILES} a side: {region.source}."
        return {"map": scene.drawn(figure), "status": status(how)}

    def _region(self, scene: TraceScene, asked: dict[str, Any]) -> RegionRequest:
        length, now = scene.result.length, scene.chosen
        queries, keys = (_span(asked.get(name), length) for name in ("queries", "keys"))
        return self.lab.request(
            RegionRequest,
            **scene.text,
            layer=now.layer,
            head=now.head,
            query_start=queries[0],
            query_stop=queries[1],
            key_start=keys[0],
            key_stop=keys[1],
            tiles=ZOOM_TILES,
        )


def _pooling(scene: TraceScene) -> str:
    return choice(scene.settings.get("pooling"), tuple(POOLINGS), "mean")


def _span(told: object, length: int) -> tuple[int, int]:
    if not isinstance(told, list) or len(told) != 2:
        return 0, length
    start, stop = (int(v) if isinstance(v, int | float) and math.isfinite(v) else 0 for v in told)
    start = max(0, min(start, length - 1))
    return start, max(start + 1, min(stop, length))
