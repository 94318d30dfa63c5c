"""Key space: tokens that follow the likeliest one only because their rows are alike are lowered."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class KeySpace(SampledStrategy):
    """A token's logit is lowered by push times the cosine of its row with the likeliest one's.

    Rows are those of the unembedding; the likeliest token itself, and tokens whose cosine is
    negative, stay. The nearest of the likely tokens are noted with their cosines.
    """

    slug = "key_space"
    title = "Key space"
    explanation = (
        "Draws away from the likeliest token: tokens whose rows in the unembedding are like its "
        "row rank high for that alone, and are lowered."
    )
    paper = "Peng et al., 2024, arXiv:2410.02284"
    differs = (
        "the paper lists what was explored in the prompt, so that the query moves away from those "
        "rows; here the logits of alike rows are lowered, and the prompt stays"
    )
    builds_on = "tokens in the middle of the ranking are there because their rows are alike"
    neutral: ClassVar[dict[str, Any]] = {"push": 0.0}

    push: float = Field(5.0, ge=0, le=100, description="Taken off a logit at cosine 1.")
    noted: int = Field(5, ge=0, le=20, description="Nearest of the 20 likeliest that are noted.")

    def decode(self, lane: "Lane") -> None:
        """Draw at every step."""
        import torch

        keys = torch.nn.functional.normalize(lane.stepper.vocabulary_keys().float(), dim=-1)

        def change(logits: "Tensor", _: "Sequence[int]") -> "Tensor":
            best = int(logits.argmax())
            near = self.cosines(keys, best)[: len(logits)].to(logits.device).clamp_min(0)
            near[best] = 0
            return logits - self.push * near

        if self.push:
            lane.add_step("away from the likeliest key", change)
        while not lane.ended:
            now = lane.now
            best = int(now.logits.argmax())
            if self.push and self.noted:
                near = self.cosines(keys, best)
                likely = [int(token) for token in now.top_ids if token != best]
                likely.sort(key=lambda token: -float(near[token]))
                found = likely[: self.noted]
                words = "cosine of its row with the likeliest one's"
                lane.consider(found, [float(near[token]) for token in found], words)
            lane.take(lane.drawn())

    def premise(self, lane: "Lane") -> "Premise":
        """Compare rows of middle ranks with those of random tokens; one pass."""
        from tokenarium.backend.decoding.alike_rows import alike_rows

        return alike_rows(self.builds_on, lane)

    def most_premise_passes(self, new_tokens: int) -> int:
        """One over the text of plain decoding."""
        return min(1, new_tokens)

    def cosines(self, keys: "Tensor", token: int) -> "Tensor":
        """Return the cosine [V] of every row with that of a token.

        Args:
            keys: [V, hidden] of length 1.
            token: whose row is compared.
        """
        return keys @ keys[token]
