"""Keep every token, with fewer channels of its key."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.cache.storage_form import StorageForm
from tokenarium.backend.cache.storage_plan import StoragePlan
from tokenarium.backend.cache.terms import Label, Need

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView


class ThinK(StorageForm):
    """Channels of keys by which queries tell little apart are dropped, one choice a KV head.

    score[c] = mean over the last queries of q_c^2 x mean over the keys of k_c^2; the lowest go.
    """

    slug: ClassVar[str] = "think"
    title: ClassVar[str] = "ThinK"
    explanation: ClassVar[str] = (
        "Keeps every token, but only those channels of its key that the last queries use most; "
        "values stay whole."
    )
    paper: ClassVar[str] = "Xu et al., 2024, arXiv:2407.21018"
    label: ClassVar[Label] = "reshape"
    published: ClassVar[Mapping[str, Any]] = {"newest": 32}
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries"})

    removed: float = Field(
        0.4, ge=0, lt=1, description="Share of the keys' channels that is dropped."
    )
    window: int = Field(
        32, ge=1, le=65_536, description="Last queries of the prompt that score the channels."
    )
    newest: int = Field(16, ge=0, le=65_536, description="Newest tokens whose keys stay whole.")

    @property
    def short_title(self) -> str:
        """Its title in that of a recipe."""
        return f"{1 - self.removed:.0%} of key channels"

    def scores_of_channels(self, view: "LayerView") -> "Tensor":
        """Return [G, D] how much the last queries use each channel of a KV head's keys."""
        queries = view.queries[:, -self.window :].float().square().mean(1)
        keys = view.keys.float().square().mean(1)
        grouped: Tensor = queries.view(view.groups, -1, queries.shape[1]).mean(1)
        return grouped * keys

    def plan(self, head_size: int) -> StoragePlan:
        """Return how many channels of older keys stay."""
        dropped = self._dropped(head_size)
        return StoragePlan(self.newest, channels=head_size - dropped if dropped else None)

    def channels(self, view: "LayerView") -> "Tensor | None":
        """Return the channels with the highest scores."""
        scores = self.scores_of_channels(view)
        dropped = self._dropped(scores.shape[1])
        if not dropped:
            return None
        return scores.argsort(dim=1, stable=True)[:, dropped:].sort(1).values

    def _dropped(self, head_size: int) -> int:
        return int(self.removed * head_size)
