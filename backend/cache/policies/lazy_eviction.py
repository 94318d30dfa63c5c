"""Keep the tokens whose attention is due to come back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, NullScores, Protected

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats


class LazyEviction(Policy):
    """Per token the last step t0 at which it was active, and the longest pause m between two.

    score = 2 sigmoid(-(now - t0) / m) x 2 sigmoid(-1 / m), 0 where it was never active again.
    """

    slug: ClassVar[str] = "lazy_eviction"
    title: ClassVar[str] = "LazyEviction"
    explanation: ClassVar[str] = (
        "Waits a window of steps between evictions and keeps the tokens that have not been silent "
        "for longer than they were before coming back."
    )
    paper: ClassVar[str] = "Zhang et al., 2025, arXiv:2506.15969"
    differs: ClassVar[str] = (
        "the paper's two scores are multiplied, the second with its printed sign, so that longer "
        "pauses count for more; of the prompt only the last window is observed; the threshold is "
        "an even share of attention unless it is set"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"attention", "rows"})
    null_scores: ClassVar[NullScores] = "drawn"
    batches_layers: ClassVar[bool] = True
    published: ClassVar[Mapping[str, Any]] = {"window": 175, "threshold": 1e-4}

    window: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Steps between evictions, and newest tokens that always stay; left open, an "
        "eighth of the budget; a reproduction used 175.",
    )
    threshold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Attention from which a token is active; 0 takes 1 / entries, a reproduction "
        "used 0.0001.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its window set from the budget."""
        return self.model_copy(update={"window": self.eviction_interval(budget)})

    def smallest_budget(self) -> int:
        """Return the window and one more token."""
        return (self.window or 1) + 1

    def eviction_interval(self, budget: int) -> int:
        """Return the window in steps."""
        return self.window or max(1, budget // 8)

    def state_per_token(self) -> int:
        """Return two: when a token was last active, and its longest pause."""
        return 2

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Begin with every token active where it stands, and watch the last queries."""
        import torch

        positions = view.positions.float()
        view.put("active_at", positions)
        view.put("pause", torch.zeros_like(positions))
        watched = min(self.eviction_interval(view.budget), view.seen)
        for rows in view.last_rows(watched):
            self._watch(view, rows.weights, view.seen - watched + rows.start)

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Note which tokens the newest queries make active."""
        new = weights.shape[1]
        active_at = view.state("active_at").clone()
        active_at[:, -new:] = view.positions[:, -new:].float()
        view.put("active_at", active_at)
        self._watch(view, weights, view.seen - new)

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the newest window."""
        return Protected(newest=self.eviction_interval(budget))

    def scores(self, view: "LayerView") -> "Tensor":
        """Return how likely each token is to come back."""
        pause = view.state("pause")
        silent = view.seen - 1 - view.state("active_at")
        # Where m is 0 the quotients are infinite or undefined; such tokens have shown no return.
        score = 4 * (-silent / pause).sigmoid() * (-1 / pause).sigmoid()
        return score.where(pause > 0, 0)

    def _watch(self, view: "LayerView", weights: "Tensor", first: int) -> None:
        """Bring last activity and longest pause up to date.

        Args:
            weights: [H, n, S] of the queries at positions from ``first``.
        """
        import torch

        grouped = view.per_kv_head(weights)
        active = grouped >= (self.threshold or 1 / grouped.shape[2])
        before = view.state("active_at")[:, None]
        now = first + torch.arange(grouped.shape[1], device=grouped.device)[:, None].float()
        at = torch.cat((before, now.where(active, before)), 1).cummax(1).values
        pauses = (at[:, 1:] - at[:, :-1]).amax(1)
        view.put("pause", view.state("pause").maximum(pauses))
        view.put("active_at", at[:, -1])
