"""Keep everything, and read the blocks whose most attended keys answer the step's queries."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.cache.block_policy import BlockPolicy
from tokenarium.backend.cache.terms import Need, Positions, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.kernels.attention_stats import AttentionStats

ROWS = 128
"""Queries whose local attention is computed at a time."""


class InfLLM(BlockPolicy):
    """A block is known by those of its tokens that got most attention in the window after them.

    score[block] = sum over query heads of q . mean of the keys of its representatives; a token's
    place among them is the local attention that it received, all queries of its window together.
    """

    slug: ClassVar[str] = "infllm"
    title: ClassVar[str] = "InfLLM"
    explanation: ClassVar[str] = (
        "Keeps every token, but each step reads only the first block, the newest ones, and those "
        "whose representative tokens fit its query best, all of these as near as the window is "
        "long."
    )
    paper: ClassVar[str] = "Xiao et al., 2024, arXiv:2402.04617"
    differs: ClassVar[str] = (
        "the prompt is read with full attention unless it is asked for in parts; blocks are "
        "chosen anew at every step; and all of them stay on one device, none is moved away"
    )
    scope: ClassVar[Scope] = "layer"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries"})
    published: ClassVar[Mapping[str, Any]] = {"block": 128, "first": 128, "newest": 4096}

    positions: Positions = Field(
        "capped", description="Where kept keys stand; the paper caps their distance at the window."
    )
    representatives: int = Field(
        4, ge=1, le=256, description="Tokens of a block by whose mean key it is looked up."
    )

    def state_per_token(self) -> int:
        """Return the attention that an entry received in the windows after it."""
        return 1

    def distance_cap(self) -> int | None:
        """Return the window: what is older stands at its edge."""
        return self.newest

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Note the local attention that every token of the prompt received."""
        import torch

        received = torch.zeros(view.positions.shape, device=view.device)
        queries = view.queries.shape[1]
        for start in range(0, queries, ROWS):
            self._add_received(view, view.queries[:, start : start + ROWS], start, received)
        view.put("received", received)

    def selects(self, view: "LayerView") -> "Choice | None":
        """Note what the step's queries attend to nearby, and return the blocks that it reads."""
        received = view.state("received").clone()
        self._add_received(view, view.queries, view.seen - view.queries.shape[1], received)
        view.put("received", received)
        return super().selects(view)

    def scores_of_blocks(self, view: "LayerView") -> "Tensor":
        """Return [G, B] how well the queries fit the mean key of a block's representatives."""
        from tokenarium.backend.cache.blocks import by_block

        block, entries = self.block_size(), view.counts[0]
        received = by_block(view.state("received"), block, float("-inf"))
        places = received.topk(min(self.representatives, block), 2)
        there = places.values.isfinite()
        at = places.indices + block * _numbers(received)[None, :, None]
        keys = view.keys.float()
        at = at.where(there, entries - 1).flatten(1)[..., None].expand(-1, -1, keys.shape[2])
        parts = keys.gather(1, at).unflatten(1, there.shape[1:]) * there[..., None]
        means = parts.sum(2) / there.sum(2, keepdim=True)  # [G, B, D]
        queries = view.queries.float().mean(1).view(view.groups, -1, keys.shape[2])
        return view.per_kv_head((queries @ means.mT).flatten(0, 1))

    def _add_received(
        self, view: "LayerView", queries: "Tensor", first: int, received: "Tensor"
    ) -> None:
        """Add to [G, S] the softmax weights of queries [H, n, D] over the window of each.

        Args:
            first: position of the first query, the index of its own entry.
        """
        import torch

        assert self.newest is not None
        count = queries.shape[1]
        low = max(0, first + 1 - self.newest)
        keys = view.keys[:, low : first + count].float()
        grouped = queries.float().reshape(view.groups, -1, keys.shape[2])
        logits = (grouped @ keys.mT).view(view.heads, count, -1) * view.scaling
        at = torch.arange(first, first + count, device=view.device)[:, None]
        place = torch.arange(low, first + count, device=view.device)
        hidden = (place > at) | (place <= at - self.newest)
        weights = torch.softmax(logits.masked_fill(hidden, float("-inf")), -1).sum(1)
        received[:, low : first + count] += view.per_kv_head(weights)


def _numbers(blocks: "Tensor") -> "Tensor":
    """Return 0, 1, ... as many as there are blocks in [G, B, block]."""
    import torch

    return torch.arange(blocks.shape[1], device=blocks.device)
