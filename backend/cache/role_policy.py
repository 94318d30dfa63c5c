"""Policies that give heads with a role the whole text, and the others its ends."""

from math import ceil
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, PrivateAttr

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Chooses, Measurement, Need, NullScores, Protected, When

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tokenarium.backend.cache.head_roles import HeadRoles
    from tokenarium.backend.cache.layer_view import Choice, LayerView


class RolePolicy(Policy):
    """As many KV heads as the budget allows keep everything: those whose role needs the far past.

    A subclass gives ``scores_of_heads``. The budget is that of all heads together: R of N heads
    keep T tokens of the prompt and the others w, with R T + (N - R) w at most N times the budget;
    what is left after the last whole head is shared out among the others.
    """

    when: ClassVar[When] = "prefill"
    chooses: ClassVar[Chooses] = "recency"
    needs: ClassVar[frozenset[Need]] = frozenset({"roles"})
    null_scores: ClassVar[NullScores] = "same"
    ragged: ClassVar[bool] = True

    measured: Measurement = Field(
        "probe",
        description="What the heads' roles are taken from: a probe of repeated random tokens, or "
        "the measurement over texts that the Heads page shows.",
    )
    streaming: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the budget that a head without the role holds at least; what is "
        "left pays for the heads that keep everything.",
    )
    first: int = Field(
        4, ge=0, le=4096, description="First tokens of the text that the others keep."
    )

    _roles: "HeadRoles | None" = PrivateAttr(None)

    def knowing(self, roles: "HeadRoles") -> Self:
        """Return the policy with the roles of the model's heads."""
        own = self.model_copy()
        own._roles = roles  # noqa: SLF001 - a copy of its own
        return own

    def extra(self) -> int:
        """Return how many entries a head without the role holds that are no single token."""
        return 0

    def smallest_budget(self) -> int:
        """Return the first tokens, one of the newest, and what is no token."""
        return self.first + 1 + self.extra()

    def least_of_others(self, budget: int) -> int:
        """Return how many entries a head without the role holds at least."""
        return min(budget, max(self.smallest_budget(), round(self.streaming * budget)))

    def held_by_others(self, budget: int, length: int) -> int:
        """Return how many entries a head without the role holds of a prompt of ``length``."""
        assert self._roles is not None
        heads = self.scores_of_heads(self._roles).size
        return self.shares_of_heads(budget, heads, length)[-1][0]

    def shares_of_heads(
        self, budget: int, heads: int, length: int
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return what the heads that keep everything hold and how many they are; then the others.

        Which heads they are depends on their roles, how many does not.
        """
        held = self.least_of_others(budget)
        paid = heads if length <= held else (budget - held) * heads // (length - held)
        whole = min(paid, heads)
        others = heads - whole
        left = min(length, (budget * heads - whole * length) // others) if others else length
        return (length, whole), (left, others)

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the first tokens and the newest one, which all heads keep."""
        return Protected(self.first, 1)

    def scores_of_heads(self, roles: "HeadRoles") -> "NDArray[np.float32]":
        """Return [L, G] how much a KV head needs the whole text; higher keeps it."""
        raise NotImplementedError(f"{self.slug} does not override scores_of_heads")

    def whole_heads(self, budget: int, length: int) -> "NDArray[np.bool_]":
        """Return [L, G] which KV heads keep a prompt of ``length`` tokens whole."""
        import numpy as np

        assert self._roles is not None
        scores = self.scores_of_heads(self._roles)
        found = self.shares_of_heads(budget, scores.size, length)[0][1]
        whole = np.zeros(scores.size, np.bool_)
        whole[np.argsort(-scores.ravel(), kind="stable")[:found]] = True
        return whole.reshape(scores.shape)

    def layer_budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return what the heads of each layer hold on average, rounded up.

        Where the model has not been looked at yet, nobody knows: then it is the budget.
        """
        if self._roles is None:
            return [budget] * layers
        held = self.held_by_others(budget, length)
        whole = self.whole_heads(budget, length)
        means = (own.mean() * length + (1 - own.mean()) * held for own in whole)
        return [ceil(round(float(mean), 6)) for mean in means]

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Return everything of the heads with the role, and the ends of the text of the others."""
        import torch

        from tokenarium.backend.cache.layer_view import Choice

        asked, own = view.whole_budget, self.knowing(view.roles)
        whole = own.whole_heads(asked, view.prompt)[view.layer]
        newest = own.held_by_others(asked, view.prompt) - self.first - self.extra()
        kept = []
        for g, count in enumerate(view.counts):
            every = torch.arange(count, device=view.device)
            ends = (every < self.first) | (every >= count - newest)
            kept.append(every if whole[g] else every[ends])
        # The newest go first; what protects the first tokens is declared.
        return Choice(kept, view.positions.float())
