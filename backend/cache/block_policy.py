"""Policies that keep everything and read blocks of it: what they have in common."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView

BLOCKS = 16
"""Blocks that a budget has at least, where the size of one is left open."""
FIRST_SHARE, NEWEST_SHARE = 1 / 17, 8 / 17


class BlockPolicy(Policy):
    """Reads whole blocks at every step: the first, the newest, and those with the highest scores.

    A subclass gives ``scores_of_blocks``.
    """

    label: ClassVar[Label] = "select"
    when: ClassVar[When] = "never"

    block: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Tokens in a block; left open, the largest power of two of which the budget "
        "holds 16.",
    )
    first: int | None = Field(
        None,
        ge=0,
        le=65_536,
        description="First tokens of the text whose blocks are always read; left open, 1/17 of "
        "the budget.",
    )
    newest: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Newest tokens whose blocks are always read; left open, 8/17 of the budget "
        "where that leaves room for a block.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its blocks set from the budget."""
        from tokenarium.backend.cache.blocks import count_of

        usual = 1 << max(0, (budget // BLOCKS).bit_length() - 1)
        block = usual if self.block is None else self.block
        first = max(1, round(FIRST_SHARE * budget)) if self.first is None else self.first
        room = (budget // block - count_of(first, block) - 2) * block + 1
        newest = self.newest or max(1, min(round(NEWEST_SHARE * budget), room))
        return self.model_copy(update={"block": block, "first": first, "newest": newest})

    def smallest_budget(self) -> int:
        """Return the blocks that are always read, and one that is chosen."""
        from tokenarium.backend.cache.blocks import count_of, most_blocks

        block, first = self.block or 1, 1 if self.first is None else self.first
        return block * (count_of(first, block) + most_blocks(self.newest or 1, block) + 1)

    def block_size(self) -> int:
        """Return the tokens in a block."""
        return self.block or 1

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the tokens whose blocks are always read."""
        assert self.first is not None
        assert self.newest is not None
        return Protected(self.first, self.newest)

    def scores_of_blocks(self, view: "LayerView") -> "Tensor":
        """Return [G, B] float32 scores of the blocks of this step; higher is read."""
        raise NotImplementedError(f"{self.slug} does not override scores_of_blocks")

    def scores(self, view: "LayerView") -> "Tensor":
        """Return [G, S] the scores of the blocks in which the entries lie."""
        from tokenarium.backend.cache.blocks import of_entries

        return of_entries(self.scores_of_blocks(view), self.block_size(), view.counts[0])

    def reads_all(self, view: "LayerView") -> bool:
        """Return whether a step reads everything, as there is no more than the budget."""
        return max(view.counts) <= view.budget + view.queries.shape[1] - 1

    def selects(self, view: "LayerView") -> "Choice | None":
        """Return the blocks that this step reads."""
        from tokenarium.backend.cache.blocks import count_of, highest_blocks

        if self.reads_all(view):
            return None
        block, more = self.block_size(), view.queries.shape[1] - 1
        first, newest = self.protects(view.budget, view.layer, view.prompt)
        budget = view.budget + count_of(more, block) * block  # each query brings its own entry
        scores = self.scores(view)[:, ::block]
        protected = Protected(first, newest + more)
        return highest_blocks(scores, view, budget, protected, block, self.scope)
