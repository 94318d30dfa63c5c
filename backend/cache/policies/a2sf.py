"""Keep what receives attention, and forget what was received long ago."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, NullScores, Protected

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats, Want


class A2SF(Policy):
    """Accumulated attention in which every query counts less by a factor than the one after it.

    score[k] = sum over queries q of forgetting ** (newest - q) A[q, k].
    """

    slug: ClassVar[str] = "a2sf"
    title: ClassVar[str] = "A2SF"
    explanation: ClassVar[str] = (
        "Keeps the tokens that receive most attention, counting old attention ever less, so that "
        "old tokens have no advantage."
    )
    paper: ClassVar[str] = "Jo and Shin, 2024, arXiv:2407.20485"
    differs: ClassVar[str] = (
        "the factor goes on while decoding, as in the paper; the authors' code stops after the "
        "prompt. Its fixed window of 16 newest tokens is a share of the budget here"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    null_scores: ClassVar[NullScores] = "even"
    batches_layers: ClassVar[bool] = True

    forgetting: float = Field(
        0.95,
        gt=0,
        le=1,
        description="What attention is worth one token later; the authors' example is 0.95, and 1 "
        "forgets nothing.",
    )
    recent_share: float = Field(
        0.0625,
        ge=0,
        lt=1,
        description="Share of the budget for the newest tokens; the authors' 16 of 256.",
    )

    def want(self, length: int) -> "Want":
        """Return the prompt's attention with forgetting."""
        from tokenarium.kernels.attention_stats import Want

        return Want(decay=(self.forgetting,))

    def state_per_token(self) -> int:
        """Return one: the attention received."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Begin with what the prompt's tokens received."""
        assert stats.decayed is not None
        view.put("mass", view.per_kv_head(stats.decayed[:, 0]))

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Let what was received fade, and add what the newest queries give."""
        mass = view.state("mass")
        for given in view.per_kv_head(weights).unbind(1):
            mass = self.forgetting * mass + given
        view.put("mass", mass)

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the window of newest tokens."""
        return Protected(newest=round(self.recent_share * budget))

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the faded attention."""
        return view.state("mass")
