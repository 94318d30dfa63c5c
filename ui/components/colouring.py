"""The numbers that can colour the strip: one per token, each with its definition."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import (
    LATER_QUERIES,
    Quantity,
    TraceResult,
    over_neighbours,
    received_noise_by_layer,
)

Numbers = NDArray[np.floating[Any]]
ATTENTION, SURPRISE, INSIDE = "Attention", "Surprise", "Inside"

SHARE = Quantity(
    "share of all attention",
    "T",
    "%",
    "100 x sum over queries of the attention to the token / sum over all tokens; mean over layers "
    "and heads",
    "How much of all attention goes to each token: together 100 %.",
    "Xiao et al., 2023, arXiv:2309.17453",
)
OVER_NEIGHBOURS = Quantity(
    "attention beside its neighbours",
    "T",
    "times",
    "received attention, mean over layers and heads / its median over up to 32 tokens on either "
    "side (as many before as after, near the end)",
    "Attention received, in multiples of what the tokens around it get.",
)
OVER_NOISE = Quantity(
    "attention beyond chance",
    "T",
    "times",
    "received attention, mean over layers and heads / the same if every query looked evenly: "
    "mean over i >= j of 1/min(i+1, window)",
    "Attention received, in multiples of what chance would give here.",
    "baseline: see received attention; late tokens are seen by few queries, which spread less",
)
PEAK = Quantity(
    "largest activation",
    "T",
    "",
    "max over layers and dimensions of |h|, h = the residual stream",
    "The largest single activation of this token; massive ones mark sinks.",
    "Sun et al., 2024, arXiv:2402.17762",
)


@dataclass(frozen=True)
class Colouring:
    """One way to colour the strip."""

    title: str
    definition: Quantity | str
    """The definition, or the field of the result that has it."""
    values: Callable[[TraceResult, int, int], Numbers]
    """[T] numbers of a result, for a layer and a head."""
    scale: str = "linear"
    """``linear``, ``share``: from 0 to the highest, ``log`` of 1 + the distance to the lowest, or
    ``times``: log, from 1 on."""
    of_head: bool = False
    """Whether another head changes it."""
    total: bool = False
    """Whether a word's number is the sum of its tokens'; else it is their mean."""
    button: str = ""
    """What its button says, where that is shorter than the title."""
    group: str = ATTENTION
    """What it is about."""
    more: bool = False
    """Whether its button is folded away."""
    over_queries: bool = False
    """Whether it is a mean over later queries: tokens with too few of them are shown hatched."""

    def described(self, result: TraceResult) -> dict[str, Any]:
        """Return what the browser says about it; not its numbers."""
        known = self.definition
        define = result.quantities()[known] if isinstance(known, str) else known
        return {
            "title": self.title,
            "button": self.button or self.title,
            "group": self.group,
            "more": self.more,
            "unit": define.unit,
            "scale": self.scale,
            "meaning": define.meaning,
            "formula": define.formula,
            "total": self.total,
            "few": max(0, result.length - LATER_QUERIES) if self.over_queries else None,
        }


def _received(result: TraceResult, *_: int) -> Numbers:
    if not result.layers_done:
        return np.full(result.length, np.nan, np.float32)
    # A partial result has its first layers.
    return result.received_by_token(result.layers_done)


def attention_share(result: TraceResult) -> Numbers:
    """Return [T] how much of all attention goes to each token, in percent."""
    return np.asarray(100 * _received(result) * np.arange(result.length, 0, -1) / result.length)


def _over_noise(result: TraceResult, *_: int) -> Numbers:
    layers = max(1, result.layers_done)
    heads = np.isfinite(result.sink_score[:layers]).sum(1)
    noise = received_noise_by_layer(result)[:layers]
    alike = not heads.any() or (heads == heads[0]).all()
    return np.asarray(
        _received(result) / (noise.mean(0) if alike else np.average(noise, axis=0, weights=heads))
    )


def _peak(result: TraceResult, *_: int) -> Numbers:
    return np.asarray(np.fmax.reduce(np.abs(result.residual_top_values[:, :, 0])))


COLOURINGS = {
    "share": Colouring(
        "share of all attention",
        SHARE,
        lambda r, *_: attention_share(r),
        "share",
        button="share of attention",
        total=True,
    ),
    "neighbours": Colouring(
        "attention beside its neighbours",
        OVER_NEIGHBOURS,
        lambda r, *_: over_neighbours(_received(r)),
        "times",
        button="stands out",
        over_queries=True,
    ),
    "attention": Colouring(
        "attention of later tokens",
        "received_mass",
        _received,
        "log",
        button="of later tokens",
        over_queries=True,
        more=True,
    ),
    "head": Colouring(
        "attention in this head",
        "received_mass",
        lambda r, layer, head: r.received_mass[layer, head],
        "log",
        of_head=True,
        button="in this head",
        over_queries=True,
        more=True,
    ),
    "noise": Colouring(
        "attention beyond chance",
        OVER_NOISE,
        _over_noise,
        "times",
        button="beyond chance",
        over_queries=True,
        more=True,
    ),
    "surprisal": Colouring(
        "surprisal", "surprisal_nats", lambda r, *_: r.surprisal_nats, total=True, group=SURPRISE
    ),
    "entropy": Colouring("entropy", "entropy_nats", lambda r, *_: r.entropy_nats, group=SURPRISE),
    "varentropy": Colouring(
        "varentropy",
        "varentropy_nats2",
        lambda r, *_: r.varentropy_nats2,
        group=SURPRISE,
        more=True,
    ),
    "rank": Colouring(
        "rank",
        "rank",
        lambda r, *_: np.where(r.rank < 0, np.nan, r.rank),
        "log",
        group=SURPRISE,
        more=True,
    ),
    "residual": Colouring(
        "residual norm", "residual_norm", lambda r, *_: r.residual_norm[-1], "log", group=INSIDE
    ),
    "peak": Colouring("largest activation", PEAK, _peak, "log", group=INSIDE, more=True),
    "value": Colouring(
        "value norm",
        "value_norm",
        lambda r, layer, head: r.value_norm[layer, r.kv_head(layer, head)],
        of_head=True,
        group=INSIDE,
        more=True,
    ),
    "key": Colouring(
        "key norm",
        "key_norm",
        lambda r, layer, head: r.key_norm[layer, r.kv_head(layer, head)],
        of_head=True,
        group=INSIDE,
        more=True,
    ),
}
"""The colourings by the name used in the address; the first is the usual one."""
USUAL = next(iter(COLOURINGS))
