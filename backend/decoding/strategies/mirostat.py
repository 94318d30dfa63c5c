"""Mirostat: how many tokens to draw from is steered so that the text stays as surprising."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise

MOST_APART = 2.0
"""Factor between ranks up to which the law counts as met: our own line."""
FITTED = 100
"""Likeliest tokens that the exponent of Zipf's law is fitted to, as published."""


class Mirostat(SampledStrategy):
    """The most surprising token that may follow is bounded by mu, which starts at 2 tau.

    After a token of surprisal s, mu falls by rate (s - tau). By Zipf's law with exponent a, fitted
    to the likeliest tokens, tokens up to rank k = (b e^mu / (1 - V^-b))^(1/a) stay, b = a - 1.
    """

    slug = "mirostat"
    title = "Mirostat"
    explanation = (
        "Draws from more tokens where the text became less surprising than a target, and from "
        "fewer where it became more so: neither repetition nor nonsense."
    )
    paper = "Basu et al., 2020, arXiv:2007.14966"
    differs = (
        "the target is a quantile of the model's own entropy on this prompt, in nats; the paper "
        "names it in bits"
    )
    builds_on = "probabilities fall with the rank as Zipf's law has it"
    neutral: ClassVar[dict[str, Any]] = {"target_nats": 20.0, "rate": 0.0}
    published: ClassVar[dict[str, Any]] = {"target_nats": 2.0794, "rate": 1.0}

    quantile: float = Field(
        0.5, ge=0, le=1, description="Quantile of the entropy of plain decoding to aim at."
    )
    target_nats: float = Field(
        0.0, ge=0, le=20, description="Surprisal to aim at, in nats; 0 takes the quantile."
    )
    rate: float = Field(
        0.3, ge=0, le=2, description="Share of a token's error by which the bound moves."
    )
    cut: Literal["zipf", "surprisal"] = Field(
        "zipf",
        description="Which tokens stay: up to a rank by Zipf's law, as published, or those whose "
        "surprisal is not above the bound.",
    )

    def most_premise_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Plain decoding is read once more."""
        return 1

    def premise(self, lane: "Lane") -> "Premise":
        """Compare where Zipf's law cuts with where the surprisal itself passes the bound."""
        import math

        import torch

        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

        tokens = lane.calibration.tokens
        if len(tokens) < LEAST_STEPS:
            return too_short(self.builds_on, len(tokens))
        bound = 2 * (self.target_nats or lane.calibration.entropy(self.quantile))
        lane.stepper.feed(tokens)
        law, counted = list[float](), list[float]()
        for row in lane.stepper.rows_before(len(tokens)):
            logs = torch.log_softmax(row.double(), -1).sort(descending=True, stable=True).values
            counted.append(float(max(1, int((-logs <= bound).sum()))))
            law.append(float(zipf_rank(zipf_exponent(logs[:FITTED].tolist()), bound, len(logs))))
        apart = sorted(abs(math.log(a / b)) for a, b in zip(law, counted, strict=True))
        middle = math.exp(apart[len(apart) // 2])
        steps = [float(step + 1) for step in range(len(tokens))]
        return Premise(
            self.builds_on,
            f"along {len(tokens)} steps of plain decoding the law lets {min(law):,.0f} to "
            f"{max(law):,.0f} tokens stay for a surprisal of {bound:.2f} nats, counted "
            f"{min(counted):,.0f} to {max(counted):,.0f} do; at half of the steps they are more "
            f"than a factor of {middle:.2f} apart",
            middle,
            MOST_APART,
            drawing=Drawing(
                "Tokens that stay along plain decoding",
                "step",
                "log10 of tokens that stay",
                (
                    Series("counted", steps, [math.log10(one) for one in counted]),
                    Series("by Zipf's law", steps, [math.log10(one) for one in law]),
                ),
            ),
        )

    def decode(self, lane: "Lane") -> None:
        """Draw, compare the surprisal with the target, and move the bound."""
        target = lane.line("aims at", self.target_nats or lane.calibration.entropy(self.quantile))
        bound = 2 * target

        def change(logits: "Tensor", _: "Sequence[int]") -> "Tensor":
            import torch

            order = torch.sort(logits, descending=True, stable=True)
            logs = torch.log_softmax(order.values.double(), -1)
            count = self.count(logs.tolist(), bound)
            return logits.index_fill(0, order.indices[count:], -float("inf"))

        lane.add_step("mirostat", change)
        while not lane.ended:
            token = lane.drawn()
            surprisal = -lane.now.log_prob(token)
            lane.take(token, score=bound)
            bound -= self.rate * (surprisal - target)

    def count(self, logs: "Sequence[float]", bound: float) -> int:
        """Return how many of the likeliest tokens stay.

        Args:
            logs: [V] ln p, falling.
            bound: most surprisal that is let through, in nats.
        """
        if self.cut == "surprisal":
            return max(1, sum(-log <= bound for log in logs))
        return zipf_rank(zipf_exponent(logs[:FITTED]), bound, len(logs))


def zipf_exponent(logs: "Sequence[float]") -> float:
    """Return the least-squares exponent a of p ~ rank^-a, by pairs of neighbours in rank."""
    import math
    from itertools import pairwise

    steps = [math.log((rank + 1) / rank) for rank in range(1, len(logs))]
    falls = [before - after for before, after in pairwise(logs)]
    known = [(t, b) for t, b in zip(steps, falls, strict=True) if b < math.inf]
    square = sum(t * t for t, _ in known)
    return sum(t * b for t, b in known) / square if square else 0.0


def zipf_rank(exponent: float, bound: float, vocabulary: int) -> int:
    """Return the rank, from 1, up to which tokens stay so that their surprisal is about a bound."""
    import math

    if exponent <= 1e-6:  # all alike: none is more surprising than the others
        return vocabulary
    over = exponent - 1
    share = 1 / math.log(vocabulary) if abs(over) < 1e-9 else over / (1 - vocabulary**-over)
    log_rank = (math.log(share) + bound) / exponent
    if log_rank >= math.log(vocabulary):
        return vocabulary
    return max(1, round(math.exp(log_rank)))
