"""A page with the strip, a map and a lens, over a made-up text of any length: ``?length=32768``."""

from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from tests.ui.hand_made import HEADS, LAYERS, trace
from tokenarium.backend import TraceResult
from tokenarium.ui.components.plot import figure_json, plot
from tokenarium.ui.components.strip import strip, strip_patch, strip_value
from tokenarium.ui.figures.attention import attention_map
from tokenarium.ui.figures.lens import logit_lens
from tokenarium.ui.shell.selection import Chosen, Selection, selection

LONG_WORD, LONG_AT = "uncommonly-long", (2, 13)
"""A guess that has no room in its cell, and where: residual stream and token."""
WORDS = ("The", " old", " king", " un", "believ", "ably", " saw", " it", ".", " “", "Go", "!”")


def long_text(length: int, **changes: object) -> TraceResult:
    """Return a result of a text that repeats a few thousand different tokens, as real ones do.

    Attention falls as that of a real text: the first token takes half of what there is.
    """
    random = np.random.default_rng(0)
    rare = [f" w{n}" for n in range(4000)]
    usual = [WORDS[i % len(WORDS)] for i in range(length)]
    texts = tuple(
        "<|bos|>" if i == 0 else rare[random.integers(4000)] if i % 5 == 0 else word
        for i, word in enumerate(usual)
    )
    even = np.cumsum(1 / np.arange(1, length + 1))
    spread = random.lognormal(0, 1, (LAYERS, HEADS, length)).astype(np.float32)
    received = (even[-1] - even + 1 / length) / np.arange(length, 0, -1) * spread
    received[:, :, 0] = 0.5
    surprisal = random.lognormal(0.5, 1.3, length).astype(np.float32)
    surprisal[0] = np.nan
    return trace(
        length,
        tiles=256,
        token_text=texts,
        received_mass=received.astype(np.float32),
        surprisal_nats=surprisal,
        **changes,
    )


def shown(chosen: Chosen, result: TraceResult) -> dict[str, Any]:
    """Return what the browser is told of a run."""
    sizes = {"tokens": result.length, "layers": result.layers, "heads": result.heads}
    places = {"token": chosen.token, "layer": chosen.layer, "head": chosen.head}
    return {"shown": True, "why": "boot", "section": "run", "run": chosen.run, **places, **sizes}


def build() -> gr.Blocks:
    """Return the page; its results are made when a visitor names their length."""
    results: dict[int, TraceResult] = {}

    def result_of(length: int) -> TraceResult:
        if length not in results:
            found = long_text(length, context=1024)
            assert found.lens_text is not None
            rows = [list(row) for row in found.lens_text]
            rows[LONG_AT[0]][LONG_AT[1]] = LONG_WORD
            results[length] = replace(found, lens_text=tuple(map(tuple, rows)))
        return results[length]

    def load(request: gr.Request) -> tuple[Any, ...]:
        result = result_of(int(request.query_params.get("length", 512)))
        chosen = Selection(run=str(result.length)).within(result)
        lens = logit_lens(result, 0)
        assert lens is not None
        return (
            strip_value(result, chosen),
            shown(chosen, result),
            figure_json(attention_map(result, chosen.layer, chosen.head)),
            figure_json(lens),
        )

    def pick(value: dict[str, Any]) -> dict[str, Any]:
        wanted = Selection.read(value)
        assert wanted.run is not None
        result = result_of(int(wanted.run))
        return strip_patch(result, wanted.within(result))

    with gr.Blocks() as blocks:
        text, chosen = strip(None), selection(None)
        figures = [plot(None, name, name, "") for name in ("map", "lens")]
        loaded = blocks.load(load, None, [text, chosen, *figures], show_progress="hidden")
        loaded.then(None, js="() => window.tokenarium.pressed.arrived()")
        chosen.pick(
            pick, chosen, text, queue=False, trigger_mode="always_last", show_progress="hidden"
        )
    return blocks


if __name__ == "__main__":
    from tokenarium.ui.shell.web import served
    from tokenarium.ui.theme import theme

    build().launch(server_port=7871, theme=theme(), **served([""]))
