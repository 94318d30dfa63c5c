"""The token strip: the text as tokens, words or sentences, coloured by a number per token."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import TraceResult, word_and_sentence_starts
from tokenarium.ui.characters import readable, written
from tokenarium.ui.components.colouring import COLOURINGS, USUAL, Numbers
from tokenarium.ui.shell.selection import Chosen
from tokenarium.ui.text import visible
from tokenarium.ui.why.colours import BEFORE

TEMPLATE = """
<div class="tk-strip-head">
  <div class="tk-metrics" role="radiogroup" aria-label="Colour tokens by"></div>
  <button type="button" class="tk-more" aria-expanded="false">More</button>
  <div class="tk-modes">
    <div class="tk-choice" role="radiogroup" aria-label="Split the text into"></div>
    <div class="tk-choice" role="radiogroup" aria-label="Density"></div>
  </div>
  <div class="tk-legend"><span class="tk-low"></span><i class="tk-ramp" aria-hidden="true"></i>
    <span class="tk-high"></span>
    <span class="tk-key-few" hidden><i></i>few later tokens</span>
    <span class="tk-key-edge" hidden><i></i>trained up to here</span></div>
</div>
<div class="tk-strip" tabindex="0" aria-label="Tokens of the text"></div>
<div class="tk-foot"><div class="tk-readout" aria-live="polite"></div>
  <div class="tk-meaning"></div></div>
"""
SEPARATOR = "\x7f"
"""No text that is shown has it, and in JSON it is one byte, unlike quotes and a comma."""
JS = "window.tokenarium.strip(element, props, watch);"
TOGETHER_BYTES = 200_000
"""Up to here the numbers of every colouring are sent at once; above, only those shown."""


def strip_value(result: TraceResult, chosen: Chosen) -> dict[str, Any]:
    """Return the whole strip: texts, where words and sentences begin, and the numbers."""
    words, sentences = word_and_sentence_starts(written(result.token_text), result.special)
    texts = readable(result.token_text)
    return {
        "run": chosen.run,
        "texts": packed_texts(texts),
        "characters": _bits(np.array([text is not None for text in texts])),
        "special": np.flatnonzero(result.special).tolist(),
        "words": _bits(words),
        "sentences": _bits(sentences),
        "context": result.context if 0 < result.context < result.length else None,
        "metrics": _metrics(result, chosen, list(COLOURINGS)),
        "usual": USUAL,
    }


def strip_patch(result: TraceResult, chosen: Chosen) -> dict[str, Any]:
    """Return only what another head or colouring changes.

    Numbers of another head that are not sent are known to be out of date by their absence.
    """
    wanted = [name for name, c in COLOURINGS.items() if c.of_head or name == chosen.metric]
    return {"patch": _metrics(result, chosen, wanted)}


def strip(value: dict[str, Any] | None) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=JS,
        elem_id="strip",
        elem_classes="tk-block",
    )


def packed_texts(texts: Sequence[str | None]) -> dict[str, Any]:
    """Return each different text once, as shown, and which one every token has; None shows none.

    A long text repeats its tokens: 32,768 of them take a third of what a plain list would.
    """
    place: dict[str | None, int] = {}
    which = np.asarray([place.setdefault(text, len(place)) for text in texts])
    found: dict[str, Any] = {
        "vocabulary": SEPARATOR.join("" if text is None else visible(text) for text in place)
    }
    if len(place) < len(texts):
        wide = "<u4" if len(place) > 2**16 else "<u2"
        found |= {"which": _text(which.astype(wide)), "wide": wide == "<u4"}
    return found


def packed_numbers(values: Numbers) -> dict[str, Any]:
    """Return numbers in half precision (11 bits, over 3 digits), scaled by a power of two.

    The scale brings the largest below 2^15, so that none overflows: value = half / 2^exponent.
    """
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if len(finite) else 0.0
    exponent = 15 - math.frexp(largest)[1] if largest else 0
    halves = np.ldexp(values.astype(np.float64), exponent).astype("<f2")
    return {"values": _text(halves), "exponent": exponent}


def _metrics(result: TraceResult, chosen: Chosen, names: list[str]) -> dict[str, Any]:
    shown = chosen.metric if chosen.metric in COLOURINGS else USUAL
    every = len(COLOURINGS) * result.length * 2 * 4 / 3 <= TOGETHER_BYTES
    found: dict[str, Any] = {}
    for name in names:
        colouring = COLOURINGS[name]
        found[name] = {**colouring.described(result), "why": f"{BEFORE}{name}"}
        if colouring.of_head:
            found[name]["of"] = [chosen.layer, chosen.head]
        if every or name == shown:
            found[name] |= packed_numbers(colouring.values(result, chosen.layer, chosen.head))
    return found


def _bits(flags: NDArray[np.bool_]) -> str:
    return _text(np.packbits(flags, bitorder="little"))


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
