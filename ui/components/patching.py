"""Activation patching in words; all text of a model or visitor is escaped."""

import numpy as np

from tokenarium.backend import PatchEstimate, PatchResult
from tokenarium.ui.components.cost_card import card
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import notes

NAMES = {"residual": "residual stream", "attention": "attention's output", "mlp": "MLP's output"}


def patch_sentence(result: PatchResult, into: str) -> str:
    """Return what both texts expect, and the cells that recover most, as HTML."""
    own, other = (f"<b>“{_quoted(each)}”</b>" for each in (result.target_text, result.against_text))
    first = number(f"{result.text_nats:+.2f} nats", source("text_nats"))
    second = number(f"{result.other_nats:+.2f}", source("other_nats"))
    base = "the other text" if into == "other" else "the text"
    said = (
        f"ln p({own}) - ln p({other}) is {first} after the text and {second} after the other one. "
        f"Into the reading of {base}: "
    )
    best = "; ".join(_best(result, number_) for number_ in range(len(result.sites)))
    passes = number(many(result.passes, "reading"), source("passes"))
    about = f"{passes}. {notes(result)}"
    return f'<p class="tk-sentence">{said}{best}.</p><p class="tk-sub">{about}</p>'


def _best(result: PatchResult, site: int) -> str:
    shares = result.recovered[site]
    if not np.isfinite(shares).any():
        return f"no {NAMES[result.sites[site]]} has a counterpart"
    layer, unit = np.unravel_index(int(np.nanargmax(shares)), shares.shape)
    share = number(f"{shares[layer, unit]:.0%}", source("recovered", site, int(layer), int(unit)))
    word = _quoted(result.unit_text[int(unit)])
    return f"the {NAMES[result.sites[site]]} of “{word}” at layer {layer} recovers {share}"


def patch_card(cost: PatchEstimate) -> str:
    """Return what patching will take, as HTML."""
    time = "not known: this model was never patched on this machine"
    if cost.total_ms is not None:
        time = f"about {cost.total_ms / 1e3:.1f} s, from runs of this model on this machine"
    facts = (
        ("Text", f"{many(cost.tokens, 'token')} before the target, about {cost.units} units"),
        ("Passes", f"at most {many(cost.passes, 'reading')}, each from the patched layer on"),
        ("Time", time),
    )
    return card("What Patch will take", facts, "")


def _quoted(text: str) -> str:
    said = one_line(text).strip() or one_line(text)
    return escape(said if len(said) <= 60 else f"{said[:59]}…")
