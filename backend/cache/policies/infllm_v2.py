"""Keep everything; read all of a short text, and of a long one the blocks that fit the query."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.block_policy import BlockPolicy
from tokenarium.backend.cache.terms import Need

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView

DENSE = 4 / 3
"""Budgets of text up to which everything is read, where that is left open."""


class InfLLMV2(BlockPolicy):
    """Dense up to a length, then sparse: blocks are looked up by means of overlapping kernels.

    p = softmax over kernels c of q . mean key of c, summed over the query heads of a KV head;
    score[block] = the largest p among the kernels that touch it.
    """

    slug: ClassVar[str] = "infllm_v2"
    title: ClassVar[str] = "InfLLM-V2"
    explanation: ClassVar[str] = (
        "Keeps every token. A short text is read whole; beyond a length each step reads only the "
        "first block, the newest ones, and those whose mean keys, taken over short stretches that "
        "overlap, fit its query best."
    )
    paper: ClassVar[str] = "Zhao et al., 2025, arXiv:2509.24663"
    differs: ClassVar[str] = (
        "only the selection, without the training on which the paper's quality rests; the prompt "
        "is read with full attention unless it is asked for in parts; blocks follow the budget"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries"})
    published: ClassVar[Mapping[str, Any]] = {
        "block": 64,
        "first": 1,
        "newest": 2048,
        "kernel": 32,
        "stride": 16,
        "dense": 8192,
    }

    kernel: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Tokens whose mean key stands for them; left open, half a block.",
    )
    stride: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Tokens from one such stretch to the next; left open, half a stretch.",
    )
    dense: int | None = Field(
        None,
        ge=0,
        le=10_000_000,
        description="Tokens of a text up to which everything is read, whatever the budget; left "
        "open, 4/3 of the budget, as the authors' 8,192 are of what they read.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with blocks, kernels and the switch set from the budget."""
        own = super().fitted(budget, layers, context)
        kernel = max(1, own.block_size() // 2) if self.kernel is None else self.kernel
        stride = max(1, kernel // 2) if self.stride is None else self.stride
        dense = round(DENSE * budget) if self.dense is None else self.dense
        return own.model_copy(update={"kernel": kernel, "stride": stride, "dense": dense})

    def reads_all(self, view: "LayerView") -> bool:
        """Return whether a step reads everything, as the text is short."""
        assert self.dense is not None
        return super().reads_all(view) or max(view.counts) <= self.dense

    def scores_of_blocks(self, view: "LayerView") -> "Tensor":
        """Return [G, B] the largest share of a kernel that touches the block."""
        import torch

        from tokenarium.backend.cache.blocks import count_of

        assert self.kernel is not None
        assert self.stride is not None
        means = self._means(view)  # [G, n, D]
        queries = view.queries.float().mean(1).view(view.groups, -1, means.shape[2])
        shares = torch.softmax((queries @ means.mT) * view.scaling, -1).sum(1)  # [G, n]
        block, entries = self.block_size(), view.counts[0]
        found = shares.new_zeros(view.groups, count_of(entries, block))
        firsts = torch.arange(means.shape[1], device=view.device) * self.stride
        # A kernel touches every block between that of its first and that of its last token.
        for reach in range(count_of(self.kernel - 1, block) + 1):
            at = torch.minimum(firsts + reach * block, firsts + self.kernel - 1) // block
            at = at.clamp(max=found.shape[1] - 1).expand_as(shares)
            found.scatter_reduce_(1, at, shares, "amax")
        return found

    def _means(self, view: "LayerView") -> "Tensor":
        """Return [G, n, D] the mean keys of all whole kernels; older ones are kept."""
        import torch

        assert self.kernel is not None
        assert self.stride is not None
        whole = max(0, view.counts[0] - self.kernel) // self.stride + 1
        known = view.memory.get("means")
        done = 0 if known is None else known.shape[1]
        if whole > done:
            keys = view.keys[:, done * self.stride :].float()
            size = min(self.kernel, keys.shape[1])
            new = keys.unfold(1, size, self.stride).mean(-1)[:, : whole - done]
            view.memory["means"] = new if known is None else torch.cat((known, new), 1)
        found: Tensor = view.memory["means"]
        return found
