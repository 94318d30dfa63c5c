"""Keep the heavy hitters and the newest tokens."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, NullScores, Protected

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats, Want


class H2O(Policy):
    """The running sum of attention that each token has received, while decoding too."""

    slug: ClassVar[str] = "h2o"
    title: ClassVar[str] = "H2O"
    explanation: ClassVar[str] = (
        "Keeps the tokens that have received most attention so far, and the newest ones."
    )
    paper: ClassVar[str] = "Zhang et al., 2023, arXiv:2306.14048"
    differs: ClassVar[str] = (
        "the prompt is read with full attention and then reduced at once; query heads that share a "
        "KV head are joined"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    null_scores: ClassVar[NullScores] = "even"
    batches_layers: ClassVar[bool] = True

    recent_share: float = Field(
        0.5, ge=0, lt=1, description="Share of the budget for the newest tokens; the paper's half."
    )

    def want(self, length: int) -> "Want":
        """Return the column sums of the prompt's attention."""
        from tokenarium.kernels.attention_stats import Want

        return Want(received=True)

    def state_per_token(self) -> int:
        """Return one: the attention received."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Begin with what the prompt's tokens received."""
        assert stats.received is not None
        view.put("mass", view.per_kv_head(stats.received))

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Add what the newest queries give."""
        mass = view.state("mass") + view.per_kv_head(
            weights[:, 0] if weights.shape[1] == 1 else weights.sum(1)
        )
        view.put("mass", mass)

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the window of newest tokens."""
        return Protected(newest=round(self.recent_share * budget))

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        differs = (
            "It needs a model with attn_implementation='eager', takes the mean attention that a "
            "token received where this takes the sum, and protects no newest tokens.",
        )
        return press("ObservedAttentionPress", compression_ratio, differs=differs)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the accumulated attention."""
        return view.state("mass")
