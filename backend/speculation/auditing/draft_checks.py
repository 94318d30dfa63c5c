"""Checks that a draft reports the distribution asked for, and drew its tokens from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.auditing.audit import Check
from tokenarium.backend.speculation.auditing.significance import SIGNIFICANCE, kolmogorov_tail
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.tree import Draw

DRAFT_PROBS, DRAFTED_TOKENS = "draft law", "drafted tokens"
"""Names of the checks, as stored with runs."""
PROBS_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.1}
"""Probabilities may differ by this between one pass and another, by format."""
FEWEST = 20
"""Drawn tokens without which their distribution is not tested."""


@dataclass(frozen=True)
class DraftedChildren:
    """Children that were drawn after some tokens."""

    before: tuple[int, ...]
    """All tokens before them, prompt included."""
    tokens: tuple[int, ...]
    """[n] in draw order."""
    reported: tuple[float, ...]
    """[n] the probability q that the draft reports for each, before any was drawn."""
    probs: Tensor | None = None
    """[V] the whole distribution as reported, where it is known."""
    depth: int = 0
    """Drafted tokens at the end of ``before``."""
    source: str = ""
    """Who guessed the first of them."""
    target: tuple[float, ...] = ()
    """[n] the probability p that is recorded of the target for each; NaN where it was not read."""


def check_draft_probs(
    drafted: Sequence[DraftedChildren],
    logits: Callable[[DraftedChildren], Tensor],
    processors: Processors,
    dtype: torch.dtype,
) -> Check:
    """Compare reported probabilities with those of the draft's own logits, processed once.

    Where they differ and whole distributions are known, the evidence names the temperature that
    explains them.

    Args:
        drafted: what was drawn, at any nodes.
        logits: the draft's raw logits [V] at a place, read in one plain pass.
        processors: as asked for.
        dtype: of the draft; says which difference rounding explains.
    """
    known = [place for place in drafted if not np.isnan(place.reported).any()]
    if not known:
        return Check(DRAFT_PROBS, "not applicable", "The drafter reports no probabilities.")
    worst, temperatures = 0.0, list[float]()
    for place in known:
        raw = logits(place)
        probs = processors.soft_probs(raw[None], [place.before])[0]
        if place.probs is not None:
            difference = (place.probs.float().to(probs.device) - probs).abs().max()
            temperatures.append(effective_temperature(raw, place.probs))
        else:
            reported = torch.tensor(place.reported, device=probs.device)
            difference = (probs[list(place.tokens)] - reported).abs().max()
        worst = max(worst, float(difference))
    tolerance = PROBS_TOLERANCE.get(dtype, PROBS_TOLERANCE[torch.float32])
    asked = processors.temperature or 1.0
    numbers = {"places": float(len(known)), "difference": worst, "tolerance": tolerance,
               "temperature": asked}  # fmt: skip
    evidence = (
        f"At {len(known)} places the probabilities that the draft reports differ by at most "
        f"{worst:.2g} from those of its own logits processed once (fails above {tolerance:g})"
    )
    if measured := [temperature for temperature in temperatures if np.isfinite(temperature)]:
        numbers["effective_temperature"] = float(np.median(measured))
        evidence += (
            f"; they are those of temperature {numbers['effective_temperature']:.3g}, and "
            f"{asked:g} was asked for"
        )
    if worst <= tolerance:
        return Check(DRAFT_PROBS, "passed", evidence + ".", numbers)
    meaning = "guesses are worse than they need be, and the text is right only where they were "
    return Check(
        DRAFT_PROBS, "failed", f"{evidence}: {meaning}drawn from what is reported.", numbers
    )


def effective_temperature(raw: Tensor, probs: Tensor) -> float:
    """Return the temperature T at which softmax(raw / T) is closest to a distribution.

    The slope of raw logits over log probabilities, least squares weighted by the probabilities;
    tokens without probability do not count.
    """
    weights = probs.double().cpu()
    x, y = weights.clamp_min(1e-300).log(), raw.double().cpu()
    kept = weights > 0
    weights, x, y = weights[kept], x[kept], y[kept]
    x, y = x - (weights * x).sum() / weights.sum(), y - (weights * y).sum() / weights.sum()
    spread = (weights * x * x).sum()
    return float((weights * x * y).sum() / spread) if spread > 0 else float("nan")


def check_drafted_tokens(
    drafted: Sequence[DraftedChildren],
    probs: Callable[[DraftedChildren], Tensor],
    draw: Draw,
    seed: int = 0,
) -> Check:
    """Test whether drawn tokens are distributed as is reported of them.

    The place of a drawn token in the cumulated distribution, likeliest tokens first and spread at
    random over the token's own width, is uniform if it was drawn from that distribution; a
    Kolmogorov-Smirnov test decides.

    Args:
        drafted: what was drawn, at any nodes.
        probs: the reported distribution [V] at a place.
        draw: how children of one parent are drawn.
        seed: of the spreading.
    """
    if draw == "deterministic":
        return Check(
            DRAFTED_TOKENS, "not applicable", "Nothing is drawn: guesses are a fixed choice."
        )
    random = np.random.default_rng([seed, *b"audit"])  # never the numbers that drew the tokens
    places = [at for place in drafted for at in _uniforms(place, probs(place), draw, random)]
    if len(places) < FEWEST:
        few = f"{len(places)} tokens were drawn, too few to test: at least {FEWEST} are needed."
        return Check(DRAFTED_TOKENS, "not applicable", few)
    distance = uniform_distance(np.array(places))
    probability = kolmogorov_tail(distance, len(places))
    evidence = (
        f"{len(places)} drawn tokens against the law reported for them: Kolmogorov-Smirnov "
        f"distance {distance:.3f}, p = {probability:.2g} (fails below {SIGNIFICANCE:g})."
    )
    numbers = {"tokens": float(len(places)), "distance": distance, "p_value": probability}
    return Check(
        DRAFTED_TOKENS, "passed" if probability >= SIGNIFICANCE else "failed", evidence, numbers
    )


def _uniforms(
    place: DraftedChildren, probs: Tensor, draw: Draw, random: np.random.Generator
) -> list[float]:
    # Likeliest first: a distribution that is too sharp or too flat then shows at the ends.
    ordered, order = probs.double().cpu().sort(descending=True, stable=True)
    left, found = ordered.numpy().copy(), list[float]()
    rank = {token: at for at, token in enumerate(order.tolist())}
    for at in (rank[token] for token in place.tokens):
        total = left.sum()
        if total <= 0:
            break
        found.append(float((left[:at].sum() + random.random() * left[at]) / total))
        if draw == "without_replacement":
            left[at] = 0
    return found


def uniform_distance(values: NDArray[np.float64]) -> float:
    """Return the Kolmogorov-Smirnov distance of a sample [n] from uniformity on [0, 1]."""
    ordered, count = np.sort(values), len(values)
    above = np.arange(1, count + 1) / count - ordered
    below = ordered - np.arange(count) / count
    return float(max(above.max(), below.max()))
