"""Adaptive weighted rejection sampling: a constraint is kept, and the bias of masks weighed out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.next_token import NextToken

SORTED = 64
"""Tokens of a draw that are put in order before any is asked for."""
SHOWN = 12
"""Refused tokens of one draw that stand in the journal."""


@dataclass(frozen=True)
class Draw:
    """A token that keeps the constraint, and its weight."""

    token: int
    """-1 where none does."""
    weight: float
    """Unbiased: over all draws, weight times [token = x] is p(x) where x may follow, else 0."""
    refused: tuple[int, ...] = ()


@dataclass
class _Particle:
    """One text that may be written, with what it weighs."""

    branch: "Branch | None" = None
    """What was read of it; None for the text itself."""
    token: int = -1
    """Its newest token, not read yet."""
    log_weight: float = 0.0
    over: bool = False
    tokens: list[int] = field(default_factory=list)


class Awrs(SampledStrategy):
    """Particles draw tokens without replacement until one is accepted, and are resampled.

    The constraint is asked for the tokens of the draw alone, not for the vocabulary. Weights are
    those of the text under p times the constraint, p the distribution after all other steps.
    """

    slug = "awrs"
    title = "Adaptive weighted rejection sampling"
    explanation = (
        "Draws until a token keeps the constraint, weighs the text by how hard that was, and "
        "continues several texts so that those into which the model was forced are dropped."
    )
    paper = "Lipkin et al., 2025, arXiv:2504.05410"
    differs = (
        "one more token is tried after the accepted one, the simplest of the paper's estimators; "
        "a text that is cut by the length is kept"
    )
    constrained = True
    branches = True
    neutral: ClassVar[dict[str, Any]] = {"particles": 1}

    particles: int = Field(6, ge=1, le=32, description="Texts that are continued at once.")
    resample: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Resample where the effective number of texts is below this share.",
    )

    def most_token_steps(self, new_tokens: int) -> int:
        """Every particle is read."""
        return self.particles * new_tokens

    def decode(self, lane: "Lane") -> None:
        """Continue all particles, then write one, drawn by weight."""
        swarm = [_Particle() for _ in range(self.particles)]
        log_z, room = 0.0, lane.room
        for length in range(room):
            for number, one in enumerate(swarm):
                if not one.over:
                    self._draw(lane, one, number == 0)
            weights = _weights(swarm)
            if not sum(weights):
                lane.stop("no token may follow in any of the texts")
                return
            if 1 / sum(weight**2 for weight in weights) < self.resample * self.particles:
                log_z += _log_mean(swarm)
                swarm = self._resampled(lane, swarm, weights)
            if length + 1 == room or all(one.over for one in swarm):
                break
            self._read(lane, swarm)
        log_z += _log_mean(swarm)
        self._write(lane, swarm, log_z)

    def _draw(self, lane: "Lane", one: _Particle, first: bool) -> None:
        """Draw the next token of a particle, and weigh it."""
        now = lane.now if one.branch is None else one.branch.now
        token = lane.drawn_at(now, len(one.tokens) if first else None)
        allowed = lane.allowed
        if allowed is None:
            made = Draw(token, 1.0)
        else:
            before = allowed.text([*lane.new, *one.tokens])
            probs = now.final.double().cpu().numpy()
            order = self._order(lane, now, token)
            made = weighed(
                lambda key: float(probs[key]), order, lambda key: allowed.may_follow(before, key)
            )
        count = f"{len(made.refused)} tokens were refused"
        for key in made.refused[:SHOWN]:
            lane.event("refuse", count, token=key, branch=one.branch)
        one.token = made.token
        one.log_weight += _log(made.weight)
        if made.weight:
            one.tokens.append(made.token)
            lane.event("consider", token=made.token, score=made.weight, branch=one.branch)
        one.over = not made.weight or made.token in lane.ends

    def _order(self, lane: "Lane", now: "NextToken", first: int) -> Iterable[int]:
        """Return tokens as they are drawn without replacement, after one that was drawn."""
        import numpy as np

        yield first
        probs = now.final.double().cpu().numpy()
        with np.errstate(divide="ignore"):
            times = lane.random.exponential(size=len(probs)) / probs
        times[first] = np.inf
        # Few are asked for: the earliest are sorted first, the others only where those are refused.
        last = -np.inf
        for count in (min(SORTED, len(times)) - 1, len(times) - 1):
            until = np.partition(times, count)[count]
            next_ = np.flatnonzero((times > last) & (times <= until) & np.isfinite(times))
            yield from next_[np.argsort(times[next_], kind="stable")].tolist()
            last = until

    def _resampled(
        self, lane: "Lane", swarm: list[_Particle], weights: list[float]
    ) -> list[_Particle]:
        """Return as many particles, each as often as its weight asks for."""
        import numpy as np

        at = (np.arange(len(swarm)) + lane.random.random()) / len(swarm)
        chosen = np.searchsorted(np.cumsum(weights), at).clip(max=len(swarm) - 1).tolist()
        lane.event("switch", "texts are drawn anew by their weights")
        for number, one in enumerate(swarm):
            if one.branch is not None and number not in chosen:
                lane.drop(one.branch, "its weight is too low")
        return [
            _Particle(one.branch, one.token, 0.0, one.over, [*one.tokens])
            for one in (swarm[number] for number in chosen)
        ]

    def _read(self, lane: "Lane", swarm: list[_Particle]) -> None:
        """Read the newest tokens of all that go on, in one pass."""
        going = [one for one in swarm if not one.over]
        if going[0].branch is None:
            made = lane.fork([one.token for one in going])
        else:
            made = lane.advance([(one.branch, one.token) for one in going if one.branch])
        for one, branch in zip(going, made, strict=True):
            one.branch = branch
            branch.score = one.log_weight

    def _write(self, lane: "Lane", swarm: list[_Particle], log_z: float) -> None:
        """Make one of the particles the text."""
        import numpy as np

        weights = _weights(swarm)
        at = 0.0 if len(swarm) == 1 else float(lane.random.random())
        chosen = swarm[int(np.searchsorted(np.cumsum(weights), at).clip(max=len(swarm) - 1))]
        reason = "ln of the estimated mass of texts that keep the constraint"
        lane.event("consider", reason, score=log_z)
        if chosen.branch is not None:
            lane.keep(chosen.branch, score=chosen.log_weight, reason="drawn by its weight")
        if not lane.ended:
            lane.take(chosen.token, score=chosen.log_weight)


def weighed(
    probability: Callable[[int], float], order: Iterable[int], accepts: Callable[[int], bool]
) -> Draw:
    """Return the first token that is accepted, with its weight.

    Args:
        probability: of each token.
        order: tokens drawn without replacement; read no further than one after the accepted one.
        accepts: whether a token may follow.
    """
    refused: list[int] = []
    left, found, share = 1.0, -1, 0.0
    for token in order:
        good = accepts(token)
        if found >= 0:
            return Draw(found, left if good else left * share, tuple(refused))
        if good:
            found, share = token, probability(token) / left if left > 0 else 1.0
        else:
            refused.append(token)
            left = max(0.0, left - probability(token))
    return Draw(found, left if found >= 0 else 0.0, tuple(refused))


def _log(value: float) -> float:
    import math

    return math.log(value) if value > 0 else -math.inf


def _weights(swarm: list[_Particle]) -> list[float]:
    """Return the weights of particles, of sum 1; all 0 where none has any."""
    import math

    most = max(one.log_weight for one in swarm)
    if most == -math.inf:
        return [0.0] * len(swarm)
    each = [math.exp(one.log_weight - most) for one in swarm]
    return [weight / sum(each) for weight in each]


def _log_mean(swarm: list[_Particle]) -> float:
    import math

    most = max(one.log_weight for one in swarm)
    if most == -math.inf:
        return most
    return most + math.log(sum(math.exp(one.log_weight - most) for one in swarm) / len(swarm))
