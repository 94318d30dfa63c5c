"""Keep everything, and find what to read by a search that halves the text again and again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.block_policy import BlockPolicy
from tokenarium.backend.cache.terms import Need, Protected

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView, SearchLevel


@dataclass(frozen=True)
class Level:
    """One level of a search: chunks of as many blocks, and which of them were opened."""

    size: int
    """Blocks in a chunk."""
    starts: "Tensor"
    """[G, n] first block of every chunk that was looked at."""
    scores: "Tensor"
    """[G, n] logit of its middle token; minus infinity where there is none."""
    opened: "Tensor"
    """[G, k] ascending numbers among the n of those that go on."""


class HiP(BlockPolicy):
    """The text is cut into chunks; the best by their middle token are halved, down to a block.

    A level looks at no more than twice as many chunks as there are blocks to be read, so that a
    step of S entries looks at O(log S) keys for each of them, not at all S.
    """

    slug: ClassVar[str] = "hip"
    title: ClassVar[str] = "HiP"
    explanation: ClassVar[str] = (
        "Keeps every token, but each step reads only the blocks that a tree search finds: chunks "
        "whose middle token fits the query are halved, the others are left."
    )
    paper: ClassVar[str] = "Lee et al., 2024, arXiv:2406.09827"
    differs: ClassVar[str] = (
        "written from the paper's text; the prompt is read with full attention unless it is asked "
        "for in parts; the search is done anew at every step, not every few; query heads that "
        "share a KV head search together"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries"})
    published: ClassVar[Mapping[str, Any]] = {"dense": 3}

    dense: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="First layers that read everything; left open, 2, and at most half of the "
        "model's.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its blocks set from the budget, its dense layers from the model.

        Raises:
            ValueError: if all layers are to read everything.
        """
        if self.dense is not None and self.dense >= layers:
            raise ValueError(
                f"dense={self.dense} leaves none of {layers} layers to search in: choose at most "
                f"{layers - 1}"
            )
        dense = min(2, layers // 2) if self.dense is None else self.dense
        return super().fitted(budget, layers, context).model_copy(update={"dense": dense})

    def selects(self, view: "LayerView") -> "Choice | None":
        """Return the blocks that the search finds; None in the first layers."""
        from tokenarium.backend.cache.blocks import count_of
        from tokenarium.backend.cache.layer_view import Choice

        assert self.dense is not None
        if view.layer < self.dense or self.reads_all(view):
            return None
        block, more, entries = self.block_size(), view.queries.shape[1] - 1, view.counts[0]
        first, newest = self.protects(view.budget, view.layer, view.prompt)
        low = count_of(first, block)
        high = max(low, (entries - newest - more) // block)
        every = count_of(entries, block)
        sought = view.budget // block + count_of(more, block) - low - (every - high)
        levels = self.search(view, Protected(low, high), sought)
        chosen = levels[-1].starts.gather(1, levels[-1].opened)
        always = _spans(low, high, every, view.groups, view.device)
        looked = [_of_entries(level, block, high, entries) for level in levels]
        return Choice([*_joined(chosen, always).sort(1).values], block=block, levels=looked)

    def search(self, view: "LayerView", between: Protected, sought: int) -> list[Level]:
        """Return the levels of a search, the last one of single blocks.

        Args:
            view: of the layer.
            between: the blocks ``first`` to ``newest``, the latter not included, are searched.
            sought: blocks to find.
        """
        import torch

        low, high = between
        size = 1
        while -(-(high - low) // size) > 2 * sought:
            size *= 2
        starts = torch.arange(low, high, size, device=view.device).expand(view.groups, -1)
        levels = []
        while True:
            scores = self._of_chunks(view, starts, size, high)
            order = scores.sort(dim=1, descending=True, stable=True).indices
            opened = order[:, :sought].sort(1).values
            levels.append(Level(size, starts, scores, opened))
            if size == 1:
                return levels
            size //= 2
            kept = starts.gather(1, opened)
            starts = torch.stack((kept, kept + size), 2).flatten(1)

    def _of_chunks(self, view: "LayerView", starts: "Tensor", size: int, high: int) -> "Tensor":
        """Return [G, n] the scores of chunks; those that begin at ``high`` or later have none."""
        block = self.block_size()
        ends = (starts + size).clamp(max=high) * block
        first = starts * block
        middle = ((first + ends.clamp(max=view.counts[0])) // 2).clamp(max=view.counts[0] - 1)
        return self.scores_at(view, middle).masked_fill(starts >= high, float("-inf"))

    def scores_at(self, view: "LayerView", at: "Tensor") -> "Tensor":
        """Return [G, n] how well the step's queries fit the keys of the entries ``at`` [G, n]."""
        keys = view.keys
        there = keys.gather(1, at[..., None].expand(-1, -1, keys.shape[2])).float()
        queries = view.queries.float().mean(1).view(view.groups, -1, keys.shape[2])
        return view.per_kv_head((queries @ there.mT).flatten(0, 1))


def _of_entries(level: Level, block: int, high: int, entries: int) -> "SearchLevel":
    """Return a level in entries in place of blocks; chunks end at the block ``high``."""
    import torch

    from tokenarium.backend.cache.layer_view import SearchLevel

    stops = (level.starts + level.size).clamp(max=high).maximum(level.starts)
    opened = torch.zeros_like(level.scores, dtype=torch.bool).scatter_(1, level.opened, value=True)
    first, after = (level.starts * block).clamp(max=entries), (stops * block).clamp(max=entries)
    return SearchLevel(first, after, level.scores, opened)


def _spans(low: int, high: int, every: int, groups: int, device: Any) -> "Tensor":
    """Return [G, n] the blocks before ``low``, and those from ``high`` on."""
    import torch

    ends = (torch.arange(low, device=device), torch.arange(high, every, device=device))
    return torch.cat(ends).expand(groups, -1)


def _joined(one: "Tensor", other: "Tensor") -> "Tensor":
    import torch

    return torch.cat((one, other), 1)
