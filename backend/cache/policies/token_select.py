"""Keep everything, and read what the heads of a layer vote for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Scope, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_cache import LayerCache

FIRST_SHARE, NEWEST_SHARE = 128 / 2688, 512 / 2688
"""The paper's first, newest and voted tokens are 128, 512 and 2048."""


class TokenSelect(Policy):
    """Every head gives each token its softmax weight, and a layer reads those with most weight.

    score[k] = sum over query heads h of softmax_k(q_h k), q the mean of the step's queries.
    """

    slug: ClassVar[str] = "token_select"
    title: ClassVar[str] = "TokenSelect"
    explanation: ClassVar[str] = (
        "Keeps every token, but each step reads only the first, the newest, and those that the "
        "heads of a layer vote for."
    )
    paper: ClassVar[str] = "Wu et al., 2024, arXiv:2411.02886"
    differs: ClassVar[str] = (
        "the prompt is read with full attention, not in chunks that select too; a choice is made "
        "anew at every step, not reused while queries stay alike; and a head votes with the keys "
        "of its own group, where the authors' kernel takes heads in turn"
    )
    label: ClassVar[Label] = "select"
    when: ClassVar[When] = "never"
    scope: ClassVar[Scope] = "layer"
    published: ClassVar[Mapping[str, Any]] = {"first": 128, "newest": 512}

    first: int | None = Field(
        None,
        ge=0,
        le=65_536,
        description="First tokens of the text that are always read; left open, 1/21 of the "
        "budget, as the paper's 128 of 2688.",
    )
    newest: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Newest tokens that are always read; left open, 4/21 of the budget, as the "
        "paper's 512 of 2688. Votes choose the rest.",
    )
    scaled: bool = Field(
        False,
        description="Whether votes scale q k as the model's attention does; the authors do not, "
        "which makes votes sharper.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its always read tokens set from the budget."""
        first = max(1, round(FIRST_SHARE * budget)) if self.first is None else self.first
        newest = self.newest or max(1, round(NEWEST_SHARE * budget))
        return self.model_copy(update={"first": first, "newest": newest})

    def smallest_budget(self) -> int:
        """Return the tokens that are always read and one that is voted for."""
        return (1 if self.first is None else self.first) + (self.newest or 1) + 1

    def protects(self, held: "LayerCache") -> tuple[int, int]:
        """Return the tokens that are always read; each of several queries has its own newest."""
        assert self.first is not None
        assert self.newest is not None
        return self.first, self.newest + _more(held)

    def scores(self, held: "LayerCache") -> "Tensor":
        """Return the votes [G, S]."""
        import torch

        assert held.queries is not None
        keys = held.entries.rows("keys")
        queries = held.queries.mean(1).view(held.entries.groups, -1, keys.shape[2])
        logits = (queries @ keys.mT).float()
        if self.scaled:
            logits *= held.scaling
        return held.per_kv_head(torch.softmax(logits, -1).flatten(0, 1))

    def selects(self, held: "LayerCache") -> "Sequence[Tensor] | None":
        """Return what is voted for, the same in every head."""
        budget = held.budget + _more(held)
        if max(held.entries.counts) <= budget:
            return None
        return self.kept(held, budget)


def _more(held: "LayerCache") -> int:
    """Return the queries of this step beside the first: each brings an entry of its own."""
    assert held.queries is not None
    return held.queries.shape[1] - 1
