"""Let only the heads of a layer vote that look things up."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall
from tokenarium.backend.cache.policies.snapkv import SnapKV
from tokenarium.backend.cache.terms import Measurement, Need, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats

SHARE = 1 / 3


class CompressKV(SnapKV):
    """SnapKV with the votes of a few heads; all heads of the layer keep what these look at."""

    slug: ClassVar[str] = "compress_kv"
    title: ClassVar[str] = "CompressKV"
    explanation: ClassVar[str] = (
        "Chooses as SnapKV does, but only the heads of a layer vote that look up earlier tokens, "
        "and all of its heads keep the same."
    )
    paper: ClassVar[str] = "Lin et al., 2025, arXiv:2508.02401"
    differs: ClassVar[str] = (
        "heads are taken by induction and echo, not by attention to a needle that the model "
        "repeats; every layer has the same budget, not one by its error on calibration texts"
    )
    scope: ClassVar[Scope] = "layer"
    needs: ClassVar[frozenset[Need]] = frozenset({"roles"})
    published: ClassVar[Mapping[str, Any]] = {"window": 8, "kernel": 5, "heads": 4}

    heads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Query heads of a layer that vote; 0 takes a third of them.",
    )
    measured: Measurement = Field(
        "probe",
        description="What the heads' roles are taken from: a probe of repeated random tokens, or "
        "the measurement over texts that the Heads page shows.",
    )

    def kvpress(self, compression_ratio: str) -> KVPressCall | None:  # type: ignore[override]
        """Return none: no press lets some heads vote."""
        return None

    def scores_of_heads(self, view: "LayerView") -> "Tensor":
        """Return [H] how much each query head of the layer looks things up."""
        import torch

        own = [
            torch.from_numpy(view.roles.scores[name][view.layer]) for name in ("echo", "induction")
        ]
        return torch.maximum(*own)

    def voters(self, view: "LayerView") -> "Tensor":
        """Return the ascending numbers of the query heads that vote."""
        scores = self.scores_of_heads(view)
        count = min(view.heads, self.heads or max(1, round(SHARE * view.heads)))
        order = scores.argsort(descending=True, stable=True)
        found: Tensor = order[:count].sort().values
        return found.to(view.device)

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Count the votes of the heads that look things up, for the tokens before the window."""
        import torch.nn.functional as F

        assert stats.last is not None
        held = stats.last.shape[1]
        voting = min(self.window, held)
        votes = stats.last[self.voters(view), : held - voting].mean(0, keepdim=True) / voting
        if votes.shape[1]:
            pool = F.avg_pool1d if self.pooling == "mean" else F.max_pool1d
            votes = pool(votes[None], self.kernel, stride=1, padding=self.kernel // 2)[0]
        view.put("votes", F.pad(votes, (0, voting)).expand(view.groups, -1).contiguous())
