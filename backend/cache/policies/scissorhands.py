"""Drop in bulk the tokens that were seldom looked at lately."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, NullScores, Protected

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.kernels.attention_stats import AttentionStats


class Scissorhands(Policy):
    """Counts over the last steps how often a token got less than an even share of attention.

    When the cache is full, the tokens with the highest count go, half the budget at once. Only the
    steps before that moment are counted, so that nothing older need be remembered.
    """

    slug: ClassVar[str] = "scissorhands"
    title: ClassVar[str] = "Scissorhands"
    explanation: ClassVar[str] = (
        "Drops half of the cache whenever it is full: the tokens that most often got less than an "
        "even share of attention lately."
    )
    paper: ClassVar[str] = "Liu et al., 2023, arXiv:2305.17118"
    differs: ClassVar[str] = (
        "no code was published: the rule is read from the paper, its step counts are shares of the "
        "budget here, the history ends at the last eviction, and a prompt over the budget is "
        "reduced as a full cache is"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"attention", "rows"})
    null_scores: ClassVar[NullScores] = "drawn"
    batches_layers: ClassVar[bool] = True
    published: ClassVar[Mapping[str, Any]] = {"drop_share": 0.5, "history": 400, "recent": 10}

    drop_share: float = Field(
        0.5, gt=0, le=0.9, description="Share of the budget dropped at once; the paper's half."
    )
    history: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Last steps that are counted, at most as many as are dropped; left open, 0.4 "
        "of the budget; the paper's 400.",
    )
    recent: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Newest tokens that always stay; left open, 0.05 of the budget; the paper's "
        "10.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its history and window set from the budget."""
        recent = self.recent or max(1, round(0.05 * budget))
        dropped = max(1, min(round(self.drop_share * budget), budget - recent))
        history = min(self.history or max(1, round(0.4 * budget)), dropped)
        return self.model_copy(update={"history": history, "recent": recent})

    def smallest_budget(self) -> int:
        """Return the newest tokens and one to drop."""
        return (self.recent or 1) + 1

    def state_per_token(self) -> int:
        """Return one: the count."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Count over the prompt's last queries."""
        import torch

        assert self.history is not None
        length = view.seen
        first = max(0, length - self.history)
        shape = (view.heads, length)
        counts = torch.zeros(shape, device=view.device)
        for rows in view.last_rows(length - first):
            counts += _unseen(rows.weights, first + rows.start)
        view.put("unseen", view.per_kv_head(counts))

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Count where the next eviction is near."""
        assert self.history is not None
        queries, size = weights.shape[1:]
        if view.budget + 1 - size >= self.history:
            return
        counts = view.per_kv_head(_unseen(weights, size - queries))
        view.put("unseen", view.state("unseen") + counts)

    def size_after_eviction(self, budget: int) -> int:
        """Return the budget less the share that is dropped at once."""
        assert self.recent is not None
        return budget - max(1, min(round(self.drop_share * budget), budget - self.recent))

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the window of newest tokens."""
        assert self.recent is not None
        return Protected(newest=self.recent)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return minus the count."""
        return -view.state("unseen")

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Return what stays when the share has been dropped, and begin to count anew."""
        import torch

        choice = super().kept(view, self.size_after_eviction(budget))
        view.put("unseen", torch.zeros_like(view.state("unseen")))
        return choice


def _unseen(weights: "Tensor", first: int) -> "Tensor":
    """Return [H, S] float32, how many of n queries give an entry less than an even share.

    Args:
        weights: [H, n, S]; query i sees the first ``first + i + 1`` entries.
    """
    import torch

    queries, size = weights.shape[1:]
    seen = first + 1 + torch.arange(queries, device=weights.device)[:, None]
    below = (weights < 1 / seen).sum(1, dtype=torch.float32)
    ahead = torch.arange(size, device=weights.device) - first  # queries that come before an entry
    return below - ahead.clamp(0, queries)
