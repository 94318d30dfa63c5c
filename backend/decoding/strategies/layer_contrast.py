"""Layer contrast (DoLa): what the last layer says beyond an earlier one that disagrees most."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class LayerContrast(Strategy):
    """Logits are ln p - weight ln q, p of the last layer, q of the earlier one that is farthest.

    Farthest by the Jensen-Shannon divergence from p; tokens below a share of the likeliest one's
    p are left out.
    """

    slug = "layer_contrast"
    title = "Layer contrast (DoLa)"
    explanation = (
        "Takes the token whose probability grew most between an earlier layer, the one that "
        "disagrees most, and the last: what late layers add is held to be facts."
    )
    paper = "Chuang et al., 2023, arXiv:2309.03883"
    differs = (
        "the final norm is applied to earlier layers, without which their logits mean little; the "
        "preset leaves it out, as the authors' code does"
    )
    watches = ("layers",)
    builds_on = "earlier layers already say something of the next token, which late layers add to"
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}
    published: ClassVar[dict[str, Any]] = {"normed": False, "repetition_penalty": 1.2}

    layers: Literal["high", "low"] = Field(
        "high", description="Which half of the layers the earlier one is chosen from."
    )
    weight: float = Field(1.0, ge=0, le=2, description="Share of the earlier layer's ln p.")
    least: float = Field(
        0.1, ge=0, le=1, description="Leave out tokens below this share of the likeliest one."
    )
    normed: bool = Field(True, description="Whether earlier states pass through the final norm.")
    repetition_penalty: float = Field(
        1.0, gt=0, le=10, description="Divides logits of tokens of the text; 1 changes nothing."
    )

    def plain(self) -> Strategy:
        """Return greedy decoding with the same penalty."""
        greedy = Strategy.registry.find("greedy")
        return greedy.model_validate({"repetition_penalty": self.repetition_penalty})

    def pipeline(self) -> Any:
        """Return the penalty, which follows the contrast."""
        return self.plain().pipeline()

    def candidates(self, count: int) -> list[int]:
        """Return the layers, from 1, that are compared with the last of ``count``: every other."""
        middle = count // 2
        low, high = range(2, middle, 2), range(middle, count, 2)
        if count > 40:  # as published: a deep model's half would be too wide
            low, high = range(2, 20, 2), range(count - 20, count, 2)
        return [layer for layer in (high if self.layers == "high" else low) if layer > 0] or [1]

    def decode(self, lane: "Lane") -> None:
        """Contrast at every step, and write down the layer."""
        states = lane.stepper.seen().layers
        layers = [] if states is None else self.candidates(len(states))
        chosen = [0]

        def change(logits: "Tensor", _: "Sequence[int]") -> "Tensor":
            early = lane.stepper.early_logits(layers, self.normed).float()
            chosen[0], changed = self.contrast(logits, early)
            return changed

        if self.weight > 0 and states is not None and len(states) > 1:
            lane.add_step("layer contrast", change)
        while not lane.ended:
            token = lane.now.best
            lane.take(token, score=float(layers[chosen[0]]) if layers else float("nan"))

    def premise(self, lane: "Lane") -> "Premise":
        """Count where earlier layers have the likeliest token of the last; one pass."""
        from tokenarium.backend.decoding.layers_agree import layers_agree

        return layers_agree(self.builds_on, lane, self.candidates, self.normed)

    def most_premise_passes(self, new_tokens: int) -> int:
        """One over the text of plain decoding."""
        return min(1, new_tokens)

    def contrast(self, logits: "Tensor", early: "Tensor") -> "tuple[int, Tensor]":
        """Return which of the earlier layers is farthest, and the contrasted logits [V].

        Args:
            logits: [V] of the last layer.
            early: [n, V] of earlier ones.
        """
        import torch

        last, others = torch.log_softmax(logits, -1), torch.log_softmax(early, -1)
        middle = torch.logaddexp(last, others) - torch.log(torch.tensor(2.0))
        far = (last.exp() * (last - middle)).sum(-1) + (others.exp() * (others - middle)).sum(-1)
        row = int(far.argmax())
        kept = last.exp() >= self.least * last.exp().max()
        changed = last - self.weight * others[row]
        return row, changed.masked_fill(~kept, -float("inf"))
