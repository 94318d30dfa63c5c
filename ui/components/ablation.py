"""Parts cut out of a model, in words; all text of a model or visitor is escaped."""

import numpy as np

from tokenarium.backend import AblateEstimate, AblateResult
from tokenarium.ui.components.attribution import target_words, verdict_said
from tokenarium.ui.components.cost_card import card
from tokenarium.ui.text import many
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import notes


def ablation_sentence(result: AblateResult) -> str:
    """Return the parts that matter most, and whether the check agrees, as HTML."""
    head = np.unravel_index(int(np.nanargmax(result.head_nats.mean(0))), result.head_nats.shape[1:])
    mlp, layer = (int(each.mean(0).argmax()) for each in (result.mlp_nats, result.layer_nats))
    layer_, head_ = (int(each) for each in head)
    mean = " on average" if len(result.head_nats) > 1 else ""

    def fall(values: np.ndarray, name: str, *place: int) -> str:
        of = source(f"mean_{name}", *place) if mean else source(name, 0, *place)
        return number(f"{values.mean(0)[place]:+.2f}", of)

    said = (
        f"{target_words(result)} It falls most without head {head_} of layer {layer_} "
        f"({fall(result.head_nats, 'head_nats', layer_, head_)} nats), the MLP of layer {mlp} "
        f"({fall(result.mlp_nats, 'mlp_nats', mlp)}), all of layer {layer} "
        f"({fall(result.layer_nats, 'layer_nats', layer)}){mean}."
    )
    passes = number(many(result.passes, "reading"), source("passes"))
    return (
        f'<p class="tk-sentence">{said} {verdict_said(result.faithfulness, "head", result)}</p>'
        f'<p class="tk-sub">{passes}. {notes(result)}</p>'
    )


def ablation_card(cost: AblateEstimate) -> str:
    """Return what cutting will take, as HTML."""
    time = "not known: nothing was cut out of this model on this machine"
    if cost.total_ms is not None:
        time = f"about {cost.total_ms / 1e3:.1f} s, from runs of this model on this machine"
    facts = (
        ("Text", f"{many(cost.tokens, 'token')} before the target"),
        ("Passes", f"about {many(cost.passes, 'reading')}, each from the part that is cut on"),
        ("Parts", f"{cost.parts} heads, attentions, MLPs and layers, one at a time"),
        ("Time", time),
    )
    return card("What Cut will take", facts, "")
