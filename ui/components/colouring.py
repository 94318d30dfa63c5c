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

OVER_NEIGHBOURS = Quantity(
    "attention over neighbours",
    "T",
    "times",
    "received attention, mean over layers and heads / its median over up to 32 tokens on either "
    "side (as many before as after, near the end)",
    "Attention received, in multiples of what the tokens around it get.",
)
OVER_NOISE = Quantity(
    "attention over noise",
    "T",
    "times",
    "received attention, mean over layers and heads / the same if every query looked evenly: "
    "mean over i >= j of 1/min(i+1, window)",
    "Attention received, in multiples of what chance would give here.",
    "baseline: see received attention; late tokens are seen by few queries, which spread less",
)
PEAK = Quantity(
    "peak dimension",
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
    """``linear``, ``log`` of 1 + the distance to the lowest, or ``times``: log, from 1 on."""
    of_head: bool = False
    """Whether another head changes it."""
    total: bool = False
    """Whether a word's number is the sum of its tokens'; else it is their mean."""
    button: str = ""
    """What its button says, where that is shorter than the title."""
    over_queries: bool = False
    """Whether it is a mean over later queries: tokens with too few of them are shown hatched."""

    def described(self, result: TraceResult) -> dict[str, Any]:
        """Return what the browser says about it; not its numbers."""
        known = self.definition
        define = result.quantities()[known] if isinstance(known, str) else known
        return {
            "title": self.title,
            "button": self.button or self.title,
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
    "neighbours": Colouring(
        "attention over neighbours",
        OVER_NEIGHBOURS,
        lambda r, *_: over_neighbours(_received(r)),
        "times",
        button="over neighbours",
        over_queries=True,
    ),
    "noise": Colouring(
        "attention over noise",
        OVER_NOISE,
        _over_noise,
        "times",
        button="over noise",
        over_queries=True,
    ),
    "attention": Colouring(
        "received attention",
        "received_mass",
        _received,
        "log",
        button="received",
        over_queries=True,
    ),
    "head": Colouring(
        "received in this head",
        "received_mass",
        lambda r, layer, head: r.received_mass[layer, head],
        "log",
        of_head=True,
        button="in this head",
        over_queries=True,
    ),
    "surprisal": Colouring(
        "surprisal", "surprisal_nats", lambda r, *_: r.surprisal_nats, total=True
    ),
    "entropy": Colouring("entropy", "entropy_nats", lambda r, *_: r.entropy_nats),
    "varentropy": Colouring("varentropy", "varentropy_nats2", lambda r, *_: r.varentropy_nats2),
    "rank": Colouring("rank", "rank", lambda r, *_: np.where(r.rank < 0, np.nan, r.rank), "log"),
    "residual": Colouring(
        "residual norm", "residual_norm", lambda r, *_: r.residual_norm[-1], "log"
    ),
    "peak": Colouring("peak dimension", PEAK, _peak, "log", button="peak"),
    "value": Colouring(
        "value norm",
        "value_norm",
        lambda r, layer, head: r.value_norm[layer, r.kv_head(layer, head)],
        of_head=True,
    ),
    "key": Colouring(
        "key norm",
        "key_norm",
        lambda r, layer, head: r.key_norm[layer, r.kv_head(layer, head)],
        of_head=True,
    ),
}
"""The colourings by the name used in the address; the first is the usual one."""
USUAL = next(iter(COLOURINGS))
