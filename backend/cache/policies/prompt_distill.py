"""Let a prompt's most important tokens alone go on to later layers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PrivateAttr, field_validator

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Scope, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_cache import LayerCache
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
    narrows: ClassVar[bool] = True
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

    def reaches(self, layer: int, budget: int, length: int) -> int:
        """Return the budget for the layers after the one that chooses."""
        assert self.layer is not None
        return length if layer <= self.layer else min(budget, length)

    def budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return the budget, and the whole prompt where layers are not to drop it."""
        assert self.layer is not None
        whole = budget if self.truncate else max(budget, length)
        return [whole if layer <= self.layer else budget for layer in range(layers)]

    def protects(self, held: "LayerCache") -> tuple[int, int]:
        """Return the prompt's last token."""
        return 0, 1

    def prefilled(self, held: "LayerCache", stats: "AttentionStats") -> None:
        """Choose, in the layer that does."""
        if held.layer == self.layer and held.prompt > self._budget:
            held.shared["chosen"] = super().kept(held, self._budget)[0]
            held.shared["scores"] = held.scored

    def scores(self, held: "LayerCache") -> "Tensor":
        """Return the last token's logits [G, T]."""
        import torch.nn.functional as F

        assert held.queries is not None
        keys = held.entries.rows("keys")
        last = held.queries[:, -1].view(held.entries.groups, -1, keys.shape[2])
        logits = held.per_kv_head((last @ keys.mT).float().flatten(0, 1)) * held.scaling
        reach = self.kernel // 2
        # Beyond the ends there are no neighbours; a zero is no small logit, so it is not counted.
        return F.avg_pool1d(logits[None], self.kernel, 1, reach, count_include_pad=False)[0]

    def goes_on(self, held: "LayerCache") -> "Tensor | None":
        """Return what was chosen."""
        return held.shared.get("chosen")

    def kept(self, held: "LayerCache", budget: int) -> "Sequence[Tensor]":
        """Return what was chosen, for the layers that read the whole prompt."""
        held.scored = held.shared["scores"]
        return [held.shared["chosen"]] * held.entries.groups
