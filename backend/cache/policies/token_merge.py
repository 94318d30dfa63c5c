"""Join neighbouring tokens that have become alike, before a layer reads them."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Protected, Scope, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView

FIRST = "first"
"""Name under which the choice is kept: [T] the token that each has become a part of."""


class TokenMerge(Policy):
    """Runs of neighbours with the most similar states go on as one: their mean, at the first place.

    score[t] = 1 - cos(state of t, state of t - 1) at the input of one layer; the highest begin an
    entry, all others join the one before. Layers below read the whole prompt; their keys and values
    are averaged alike afterwards, and weigh as many tokens as they are.
    """

    slug: ClassVar[str] = "token_merge"
    title: ClassVar[str] = "Token merging"
    explanation: ClassVar[str] = (
        "Averages the states of neighbouring tokens that are most alike at the input of one layer; "
        "later layers read each run of them as one token, which makes reading cheaper too."
    )
    paper: ClassVar[str] = "Bolya et al., 2022, arXiv:2210.09461"
    differs: ClassVar[str] = (
        "made for images; here only neighbours are joined, as a text is read in order, once, and "
        "by states instead of keys; in the layers after it a joined token counts as one"
    )
    label: ClassVar[Label] = "merge"
    when: ClassVar[When] = "prefill"
    scope: ClassVar[Scope] = "layer"
    prunes_prompt: ClassVar[bool] = True

    layer: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="The first layer that reads joined tokens; left open, half of the depth.",
    )
    first: int = Field(1, ge=1, le=256, description="First tokens of the text that stay alone.")
    newest: int = Field(8, ge=1, le=4096, description="Newest tokens that stay alone.")

    _budget: int = PrivateAttr(0)

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its layer set from the model's depth.

        Raises:
            ValueError: if a layer was asked for that the model does not have.
        """
        if self.layer is not None and self.layer >= layers:
            raise ValueError(
                f"layer={self.layer} is no layer of a model of {layers}: choose at most "
                f"{layers - 1}"
            )
        own = self.model_copy(update={"layer": layers // 2 if self.layer is None else self.layer})
        own._budget = budget  # noqa: SLF001 - a copy of its own
        return own

    def smallest_budget(self) -> int:
        """Return what stays alone and one entry."""
        return self.first + self.newest + 1

    def state_per_token(self) -> int:
        """Return how many tokens an entry is."""
        return 1

    def prompt_length_at(self, layer: int, budget: int, length: int) -> int:
        """Return the budget for the layers that read joined tokens."""
        assert self.layer is not None
        return length if layer < self.layer else min(budget, length)

    def chooses_after_prompt(self, layer: int) -> bool:
        """Return whether a layer reads the whole prompt: its entries are joined at the end."""
        assert self.layer is not None
        return layer < self.layer

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return what stays alone."""
        return Protected(self.first, self.newest)

    def scores_of_tokens(self, states: "Tensor") -> "Tensor":
        """Return [T] how unlike each state [T, D] is to the one before; the first has nothing."""
        import torch
        import torch.nn.functional as F

        unit = F.normalize(states.float(), dim=1)
        alike = (unit[1:] * unit[:-1]).sum(1)
        return 1 - torch.cat((alike.new_zeros(1), alike))

    def joins(self, layer: int, states: "Tensor", shared: dict[str, Any]) -> "Tensor | None":
        """Return the first token of each run, once the layer is reached that reads them as one."""
        if layer != self.layer or len(states) <= self._budget:
            return None
        scores = self.scores_of_tokens(states)
        shared["scores"], shared[FIRST] = scores, self._first_of_runs(scores)
        into: Tensor = shared[FIRST]
        return into

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Return what was joined, for the layers that read the whole prompt."""
        from tokenarium.backend.cache.layer_view import Choice

        if FIRST not in view.shared:  # without states all neighbours are equally alike
            scores = self.scores_of_tokens(view.positions[0].new_ones(view.positions.shape[1], 1))
            view.shared["scores"], view.shared[FIRST] = scores, self._first_of_runs(scores)
        into: Tensor = view.shared[FIRST]
        kept = (into == view.positions[0]).nonzero()[:, 0]
        scores = view.shared["scores"].expand(view.groups, -1)
        return Choice([kept] * view.groups, scores, [into] * view.groups)

    def _first_of_runs(self, scores: "Tensor") -> "Tensor":
        """Return [T] the first token of the run in which each lies; there are budget runs."""
        import torch

        from tokenarium.backend.cache.topk import best

        alone = scores.clone()
        alone[: self.first + 1] = float("inf")  # what follows them begins anew
        alone[max(0, len(scores) - self.newest) :] = float("inf")
        begins = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        chosen = best(alone[None], self._budget)[0]
        begins[chosen] = chosen
        return begins.cummax(0).values
