"""Read a text once and reduce the distributions of its tokens, some rows at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.judging.judgement import Numbers
from tokenarium.backend.judging.measure import Measure
from tokenarium.backend.judging.passage import Rows
from tokenarium.backend.judging.resampling import TIMES
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.residuals import residuals

CHUNK = 64
"""Distributions held at once: over 49,152 tokens they take 13 MB."""


@dataclass(frozen=True)
class Reduced:
    """What is known of n tokens after one reading; see ``Passage``."""

    surprisal: Numbers
    entropy: Numbers
    varentropy: Numbers
    drawn_ids: NDArray[np.int32]
    drawn_log_probs: NDArray[np.float32]
    rows: Mapping[str, Mapping[str, Numbers]]
    """By measure and name."""


def last_states(loaded: LoadedModel, ids: Sequence[int], step: Callable[[int], None]) -> Tensor:
    """Return [T, d] the final-normed states after the last layer.

    Args:
        loaded: the model.
        ids: [T].
        step: called with the number of each layer that is done; may raise to stop.
    """
    kept: dict[str, Tensor] = {}

    def see(layer: int, residual: Tensor) -> None:
        step(layer)
        if layer == len(loaded.layers):
            kept["last"] = residual[0].clone()

    with residuals(loaded.layers, see):
        loaded.body(input_ids=torch.tensor([list(ids)], device=loaded.device), use_cache=False)
    stream = kept["last"]
    return stream if loaded.final_norm is None else loaded.final_norm(stream)


def reduce_rows(
    loaded: LoadedModel,
    states: Tensor,
    ids: Sequence[int],
    places: NDArray[np.int64],
    measures: Sequence[Measure],
    seed: int,
    step: Callable[[int, int], None],
) -> Reduced:
    """Reduce the distributions before the tokens at ``places`` [n].

    Args:
        loaded: the model.
        states: [T, d], final-normed.
        ids: [T].
        places: positions, each at least 1.
        measures: whose ``rows`` are asked.
        seed: of the tokens that are drawn.
        step: called with (done, n).
    """
    count = len(places)
    surprisal, entropy, varentropy = (np.full(count, np.nan) for _ in range(3))
    times = TIMES if any("draws" in measure.needs for measure in measures) else 0
    uniform = np.random.default_rng([seed, 0]).random((count, times))
    drawn = np.full((times, count), -1, np.int32)
    drawn_log = np.full((times, count), np.nan, np.float32)
    found: dict[str, dict[str, Numbers]] = {measure.slug: {} for measure in measures}
    every = torch.as_tensor(ids, device=loaded.device)
    for start in range(0, count, CHUNK):
        at = slice(start, min(start + CHUNK, count))
        where = torch.as_tensor(places[at], device=loaded.device)
        log_probs = torch.log_softmax(loaded.unembed(states[where - 1]).float(), -1)
        rows = Rows(log_probs, every[where], where)
        probs = log_probs.exp()
        surprisal[at] = _numpy(-log_probs.gather(1, rows.ids[:, None])[:, 0])
        known = log_probs.clamp_min(-1e18)  # 0 times infinity would be NaN
        mean = (probs * known).sum(-1)
        entropy[at] = _numpy(-mean)
        varentropy[at] = _numpy((probs * (known - mean[:, None]).square()).sum(-1))
        if times:
            chosen = draw(probs, uniform[at])
            drawn[:, at] = chosen.T.cpu().numpy()
            drawn_log[:, at] = log_probs.gather(1, chosen).T.cpu().numpy()
        for measure in measures:
            for name, values in measure.rows(rows).items():
                kept = found[measure.slug].setdefault(name, np.full(count, np.nan))
                kept[at] = _numpy(values)
        step(at.stop, count)
    return Reduced(surprisal, entropy, varentropy, drawn, drawn_log, found)


def draw(probs: Tensor, uniform: NDArray[np.float64]) -> Tensor:
    """Return ids drawn from each of r distributions by inverting its cumulative sum.

    Args:
        probs: [r, V].
        uniform: [r, D] numbers in [0, 1).
    Returns: [r, D]. No token of probability 0 is drawn.
    """
    cumulative = probs.double().cumsum(-1)
    wanted = torch.as_tensor(uniform, device=probs.device) * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, wanted, right=True)
    return found.clamp_max(probs.shape[-1] - 1)


def _numpy(values: Tensor) -> Numbers:
    array: Numbers = values.double().cpu().numpy()
    return array
