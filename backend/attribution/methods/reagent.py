"""Replace random units again and again, and credit them with what that does to the target."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.attribution.attributor import Attribution, Attributor, Needs
from tokenarium.backend.attribution.sampled import with_interval

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game

CHUNK = 20
"""Steps that are read together; also the first at which a probe may stop."""
TOP = 3
"""The target is still expected where at most two other tokens are likelier."""
NEARLY = 1 - 1e-9


class ReAgent(Attributor):
    """Score of unit i: softmax of the sum over steps of logit(d / 2 + 1/2), minus where i stayed.

    d is the fall of the target's probability in a step.
    """

    slug = "reagent"
    title = "ReAGent"
    explanation = (
        "Replaces a random share of the units by tokens that the model finds likely: units that "
        "were replaced when the target's probability fell gain, until the highest few alone keep "
        "the target among the three likeliest."
    )
    paper = "Zhao & Shan, 2024, arXiv:2402.00794"
    differs = (
        "replacements are drawn from the same model's distribution at each position, by unit; the "
        "stop is first looked at after 20 steps; against another token, p is of the two alone"
    )
    needs: ClassVar[Needs] = "passes"
    signed = False

    steps: int = Field(100, ge=20, le=1000, description="Most steps of a probe.")
    ratio: float = Field(0.3, ge=0.05, le=0.9, description="Share of units replaced in a step.")
    probes: int = Field(3, ge=2, le=8, description="Probes from other starts that are averaged.")
    keep: int = Field(5, ge=1, le=50, description="Highest units that must keep the target.")

    def passes(self, units: int, tokens: int) -> int:  # noqa: ARG002
        """A replaced text and a look at the stop in each step."""
        return 2 * self.steps * self.probes

    def attribute(self, game: "Game") -> Attribution:
        """Return the mean over probes, and how many of them stopped by themselves."""
        game.prepare_replacements(self.steps)
        found = [self._probe(game, number) for number in range(self.probes)]
        stopped = sum(done for _, done in found)
        note = (
            f"{stopped} of {self.probes} probes converged: the {self.keep} highest units kept the "
            "target"
        )
        if not stopped:
            note += "; more steps, or more units kept, may"
        scores = np.stack([scores for scores, _ in found])
        return with_interval(scores, (note, _agreement(scores, self.keep)))

    def _probe(self, game: "Game", number: int) -> tuple[NDArray[np.float64], bool]:
        random = np.random.default_rng([game.seed, number])
        logits = random.random(len(game.units))
        for start in range(0, self.steps, CHUNK):
            draws = range(start, min(start + CHUNK, self.steps))
            after = logits + np.cumsum(self._credits(game, random, draws), 0)
            logits = after[-1]
            looked = after if start else after[-1:]
            keeps = self._keep(game, looked, draws[-len(looked) :])
            if keeps.any():
                return _softmax(looked[int(keeps.argmax())]), True
        return _softmax(logits), False

    def _credits(
        self, game: "Game", random: np.random.Generator, draws: range
    ) -> NDArray[np.float64]:
        """Return [steps, U] what each unit gains in each step."""
        units = len(game.units)
        kept = np.ones((len(draws), units), bool)
        for row in kept:
            row[random.choice(units, max(1, round(self.ratio * units)), replace=False)] = False
        whole = _probability(game, np.array([game.whole]))
        fall = np.clip(whole - _probability(game, game.replaced(kept, draws)), -NEARLY, NEARLY)
        credit = (np.log1p(fall) - np.log1p(-fall))[:, None]
        return np.where(kept, -credit, credit)

    def _keep(self, game: "Game", logits: NDArray[np.float64], draws: range) -> NDArray[np.bool_]:
        """Return by step whether its highest units alone keep the target."""
        kept = np.zeros(logits.shape, bool)
        best = np.argsort(-logits, axis=1, kind="stable")[:, : self.keep]
        np.put_along_axis(kept, best, True, axis=1)
        found: NDArray[np.bool_] = game.ranks(kept, draws) < TOP
        return found


def _agreement(scores: NDArray[np.float64], keep: int) -> str:
    """Return how many of their highest units probes [N, U] from other starts have in common.

    A probe starts from random scores, as published; where its steps add less than these, or it
    stops early, the map is that of its start.
    """
    probes, units = scores.shape
    keep = min(keep, units)
    best = np.zeros(scores.shape, bool)
    np.put_along_axis(best, np.argsort(-scores, 1, "stable")[:, :keep], True, 1)
    shared = (best.astype(int) @ best.T)[np.triu_indices(probes, 1)].mean()
    chance = keep**2 / units
    said = (
        f"of their {keep} highest units two probes have {shared:.1f} in common, {chance:.1f} by "
        "chance"
    )
    if shared < max(keep / 2, chance + 1e-9):
        said += ": mostly the random scores that each starts from; do not rely on them"
    return said


def _probability(game: "Game", values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p of the target; against another token, among the two."""
    if game.target.against is None:
        return np.exp(values)
    return 1 / (1 + np.exp(-values))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.exp(logits - logits.max())
    share: NDArray[np.float64] = found / found.sum()
    return share
