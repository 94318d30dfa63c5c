"""Keep everything, and read what the heads of a layer vote for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Need, Protected, Scope, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView

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
        "the prompt is read with full attention unless it is asked for in parts; a vote is reused "
        "where all heads' queries as one vector are alike; and a head votes with the keys of its "
        "own group, where the authors' kernel takes heads in turn"
    )
    label: ClassVar[Label] = "select"
    when: ClassVar[When] = "never"
    scope: ClassVar[Scope] = "layer"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries"})
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

    reuse: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="Cosine of a step's queries with those of the last vote, from which on what "
        "was voted for then is read again without looking at the keys; left open, every step "
        "votes, as by default in the authors' code, which offers 0.9.",
        json_schema_extra={"since": 6},
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its always read tokens set from the budget."""
        first = max(1, round(FIRST_SHARE * budget)) if self.first is None else self.first
        newest = self.newest or max(1, round(NEWEST_SHARE * budget))
        return self.model_copy(update={"first": first, "newest": newest})

    def smallest_budget(self) -> int:
        """Return the tokens that are always read and one that is voted for."""
        return (1 if self.first is None else self.first) + (self.newest or 1) + 1

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the tokens that are always read."""
        assert self.first is not None
        assert self.newest is not None
        return Protected(self.first, self.newest)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the votes [G, S]; what queries and keys multiply to is left for ``selects``."""
        import torch

        from tokenarium.kernels.gather_attention import rows

        keys = view.keys
        queries = view.queries.mean(1).view(view.groups, -1, keys.shape[2])
        products = rows.products(queries, keys)
        view.memory["products"] = products.flatten(0, 1)
        logits = products * view.scaling if self.scaled else products
        votes = torch.softmax(logits, -1).flatten(0, 1)
        if view.reduction == "mean":  # and a layer's heads share the mean of theirs
            return votes.mean(0, keepdim=True).expand(view.groups, -1)
        return view.per_kv_head(votes)

    def selects(self, view: "LayerView") -> "Choice | None":
        """Return what is voted for, the same in every head."""
        from dataclasses import replace

        from tokenarium.backend.cache.topk import highest

        more = view.queries.shape[1] - 1  # each query beside the first brings an entry of its own
        budget = view.budget + more
        if max(view.counts) <= budget:
            return None
        first, newest = self.protects(view.budget, view.layer, view.prompt)
        if self.reuse is not None and self._alike(view, self.reuse):
            return self._again(view, first, newest + more)
        choice = highest(
            self.scores(view), view, budget, Protected(first, newest + more), self.scope
        )
        products = view.memory.pop("products")
        if not more:  # each key has been read once, and is not read again
            choice = replace(choice, products=products)
        if self.reuse is not None:
            view.memory["query"] = view.queries.float().mean(1).flatten()
            voted = choice.indices[0]
            inside = (voted >= first) & (voted < view.counts[0] - newest - more)
            view.memory["voted"] = voted[inside]
        return choice

    @staticmethod
    def _alike(view: "LayerView", least: float) -> bool:
        """Return whether the step's queries are as those of the last vote."""
        import torch.nn.functional as F

        before = view.memory.get("query")
        if before is None:
            return False
        query = view.queries.float().mean(1).flatten()
        return float(F.cosine_similarity(query, before, dim=0)) >= least

    @staticmethod
    def _again(view: "LayerView", first: int, newest: int) -> "Choice":
        """Return what was voted for before, with the tokens that are now always read."""
        import torch

        from tokenarium.backend.cache.layer_view import Choice

        held, voted = view.counts[0], view.memory["voted"]
        start = torch.arange(first, device=view.device)
        end = torch.arange(held - newest, held, device=view.device)
        chosen = torch.cat((start, voted, end)).unique()
        return Choice([chosen] * view.groups)
