"""Let a prompt's most important tokens alone go on to later layers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PrivateAttr, field_validator

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, Protected, Scope, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.kernels.attention_stats import AttentionStats


class PromptDistill(Policy):
    """After one layer the states of most prompt tokens are dropped: later layers never see them.

    score[k] = mean over query heads of the logit q k of the prompt's last token in that layer.
    """

    slug: ClassVar[str] = "prompt_distill"
    title: ClassVar[str] = "PromptDistill"
    explanation: ClassVar[str] = (
        "Reads the whole prompt in the first layers only; the tokens that its last one looks at "
        "most go on through the others, which makes reading itself cheaper."
    )
    paper: ClassVar[str] = "Jin et al., 2025, arXiv:2503.23274"
    differs: ClassVar[str] = "one layer chooses, where the authors allow several stages"
    when: ClassVar[When] = "prefill"
    scope: ClassVar[Scope] = "model"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries"})
    prunes_prompt: ClassVar[bool] = True
    published: ClassVar[Mapping[str, Any]] = {"layer": 13, "truncate": True}

    layer: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="The last layer that reads the whole prompt, where the choice is made. Left "
        "open, 13/32 of the model's depth; the paper's 13 of 32.",
    )
    kernel: int = Field(
        1,
        ge=1,
        le=63,
        description="Neighbouring tokens that share their scores by mean; odd. 1 shares nothing; "
        "the authors offer 5.",
    )
    truncate: bool = Field(
        True,
        description="Whether the layers that read the whole prompt drop the same tokens after it, "
        "as in the authors' runs; otherwise they hold more than the budget.",
    )

    _budget: int = PrivateAttr(0)

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"kernel={kernel} has no middle: take {kernel - 1} or {kernel + 1}")
        return kernel

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
        own = max(0, min(round(layers * 13 / 32), layers - 2)) if self.layer is None else self.layer
        fitted = self.model_copy(update={"layer": own})
        fitted._budget = budget  # noqa: SLF001 - a copy of its own
        return fitted

    def smallest_budget(self) -> int:
        """Return the prompt's last token and one that is chosen."""
        return 2

    def prompt_length_at(self, layer: int, budget: int, length: int) -> int:
        """Return the budget for the layers after the one that chooses."""
        assert self.layer is not None
        return length if layer <= self.layer else min(budget, length)

    def layer_budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return the budget, and the whole prompt where layers are not to drop it."""
        assert self.layer is not None
        whole = budget if self.truncate else max(budget, length)
        return [whole if layer <= self.layer else budget for layer in range(layers)]

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the prompt's last token."""
        return Protected(newest=1)

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Choose, in the layer that does."""
        if view.layer == self.layer and view.prompt > self._budget:
            view.shared["choice"] = super().kept(view, self._budget)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the last token's logits [G, T]."""
        import torch.nn.functional as F

        keys = view.keys
        last = view.queries[:, -1].view(view.groups, -1, keys.shape[2])
        logits = view.per_kv_head((last @ keys.mT).float().flatten(0, 1)) * view.scaling
        reach = self.kernel // 2
        # Beyond the ends there are no neighbours; a zero is no small logit, so it is not counted.
        return F.avg_pool1d(logits[None], self.kernel, 1, reach, count_include_pad=False)[0]

    def prompt_kept(self, view: "LayerView") -> "Tensor | None":
        """Return what was chosen."""
        choice: Choice | None = view.shared.get("choice")
        return None if choice is None else choice.indices[0]

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Return what was chosen, for the layers that read the whole prompt."""
        choice: Choice = view.shared["choice"]
        return choice
