"""Let the least attended tokens leave all later layers, and the least telling heads fall silent."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, PrivateAttr

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, Protected, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.kernels.attention_stats import AttentionStats, Want


class SpAtten(Policy):
    """A cascade: what a layer drops, no later layer and no later step sees again.

    importance[k] = sum over layers, heads and queries so far of the attention that token k
    received; a head's is the sum of |its outputs|. Each layer goes on with fewer tokens than the
    one before.
    """

    slug: ClassVar[str] = "spatten"
    title: ClassVar[str] = "SpAtten"
    explanation: ClassVar[str] = (
        "Adds up the attention that each token receives from layer to layer; the least attended "
        "ones leave all later layers and steps, and so can the heads that say least."
    )
    paper: ClassVar[str] = "Wang et al., 2021, arXiv:2012.09852"
    differs: ClassVar[str] = (
        "shares fall linearly over the layers instead of being set for each; the newest tokens "
        "stay, as they have had no time to be attended to; a silent head's keys are not freed; "
        "progressive quantisation belongs to the paper's hardware and is left out"
    )
    scope: ClassVar[Scope] = "layer"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    prunes_prompt: ClassVar[bool] = True

    front: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="Share of the layers, at least one of them, that read the whole prompt before "
        "tokens leave; they are reduced after it.",
    )
    last_share: float = Field(
        0.57,
        gt=0,
        le=1,
        description="Budget of the last layer, of the mean over the layers; the first layer's is "
        "as much above it. Shares of 1 falling to 0.4 give 0.57.",
    )
    recent_share: float = Field(
        0.25, ge=0, lt=1, description="Share of a layer's budget for the newest tokens."
    )
    heads_left: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the query heads that the last layer still uses; falls linearly from "
        "all of them in the first.",
    )

    _budget: int = PrivateAttr(0)
    _layers: int = PrivateAttr(1)

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy knowing its budget and the model's depth."""
        own = self.model_copy()
        own._budget, own._layers = budget, layers  # noqa: SLF001 - a copy of its own
        return own

    def smallest_budget(self) -> int:
        """Return what leaves the last layer two tokens."""
        return max(2, -int(-2 // self.last_share))

    def layer_budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return budgets that fall linearly; none is above the prompt while others could use it."""
        first = min((2 - self.last_share) * budget, max(length, budget))
        last = 2 * budget - first
        steps = max(1, layers - 1)
        if layers == 1:
            return [budget]
        return [round(first + (last - first) * layer / steps) for layer in range(layers)]

    def prompt_length_at(self, layer: int, budget: int, length: int) -> int:
        """Return the whole prompt for the front layers, and the layer's budget for the others."""
        if layer < self._front():
            return length
        return min(length, self.layer_budgets(budget, self._layers, length)[layer])

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the newest tokens, one of them at least."""
        return Protected(newest=max(1, round(self.recent_share * budget)))

    def chooses_after_prompt(self, layer: int) -> bool:
        """Return whether a layer reads the whole prompt: then it is reduced at the end."""
        return layer < self._front()

    def want(self, length: int) -> "Want":
        """Return the column sums of the prompt's attention."""
        from tokenarium.kernels.attention_stats import Want

        return Want(received=True)

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Add what the tokens that have come this far received."""
        assert stats.received is not None
        self._add(view, stats.received.mean(0))

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Add what the step's queries give."""
        self._add(view, weights.sum(1).mean(0))

    def prompt_kept(self, view: "LayerView") -> "Tensor | None":
        """Return the tokens that the next layer reads."""
        following = view.layer + 1
        if not self._front() <= following < self._layers:
            return None
        size = self.prompt_length_at(following, self._budget, view.prompt)
        if size >= view.counts[0]:
            return None
        protected = self.protects(size, following, view.prompt)
        choice = self._chosen(view, size, protected, last_layer=view.layer)
        positions: Tensor = view.positions[0][choice.indices[0]].long()
        return positions

    def scores(self, view: "LayerView") -> "Tensor":
        """Return [G, S] the importance of the entries."""
        positions = view.positions.long()
        importance: Tensor = view.shared["importance"][positions]
        return importance

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Return what stays: first of all what later layers still have, then by importance."""
        protected = self.protects(view.budget, view.layer, view.prompt)
        return self._chosen(view, budget, protected, last_layer=view.layer - 1)

    def outputs(self, view: "LayerView", out: "Tensor") -> "Tensor":
        """Return the outputs with those of silent heads set to 0."""
        import torch

        if self.heads_left == 1 or self._layers == 1:
            return out
        said = view.shared.setdefault("said", torch.zeros(view.heads, device=out.device))
        if view.layer == 0:
            view.shared["speaking"] = torch.ones(view.heads, dtype=torch.bool, device=out.device)
        speaking = view.shared["speaking"]
        share = 1 - (1 - self.heads_left) * view.layer / (self._layers - 1)
        most = max(1, round(share * view.heads))
        order = said.masked_fill(~speaking, -1).argsort(descending=True, stable=True)
        speaking[order[most:]] = False
        out = out * speaking[:, None].to(out.dtype)
        said += out.float().abs().sum((0, 2))
        return out

    def _front(self) -> int:
        return max(1, round(self.front * self._layers))

    def _add(self, view: "LayerView", received: "Tensor") -> None:
        """Add to the importance of a layer's entries, [S]; new tokens begin with nothing."""
        import torch.nn.functional as F

        shared = view.shared
        if "importance" not in shared:
            shared["importance"] = received.new_zeros(0)
            shared["last_layer"] = received.new_zeros(0)
        new = view.seen - len(shared["importance"])
        shared["importance"] = F.pad(shared["importance"], (0, new))
        shared["last_layer"] = F.pad(shared["last_layer"], (0, new), value=self._layers)
        shared["importance"].index_add_(0, view.positions[0].long(), received.float())

    def _chosen(
        self, view: "LayerView", budget: int, protected: Protected, last_layer: int
    ) -> "Choice":
        """Choose ``budget`` entries; the others are in no layer after ``last_layer``."""
        import torch

        from tokenarium.backend.cache.kept_indices import AllBut
        from tokenarium.backend.cache.layer_view import Choice
        from tokenarium.backend.cache.topk import highest

        scores, positions = self.scores(view), view.positions[0].long()
        deepest = view.shared["last_layer"]
        if len(positions) == budget + 1:  # every decode step comes here, so no sort
            gone = self._lowest(scores[0], deepest[positions], protected.newest)
            lost = positions[gone]
            deepest[lost] = deepest[lost].clamp(max=last_layer)
            return Choice(AllBut(gone.expand(view.groups, 1), len(positions)), scores)
        places = scores[0].argsort(descending=True, stable=True).argsort()
        order = (deepest[positions] - places / len(places)).expand_as(scores)
        choice = highest(order, view, budget, protected, self.scope)
        gone = torch.ones(len(positions), dtype=torch.bool, device=view.device)
        gone[choice.indices[0]] = False
        lost = positions[gone]
        deepest[lost] = deepest[lost].clamp(max=last_layer)
        return Choice(choice.indices, scores)

    @staticmethod
    def _lowest(scores: "Tensor", deepest: "Tensor", newest: int) -> "Tensor":
        """Return [1] the least important of [S] entries that leave first, the newest left out.

        Of equal ones the newer leaves.
        """
        free = slice(0, len(scores) - newest)
        own, layers = scores[free], deepest[free]
        own = own.masked_fill(layers > layers.min(), float("inf"))
        return len(own) - 1 - own.flip(0).argmin(0, keepdim=True)
