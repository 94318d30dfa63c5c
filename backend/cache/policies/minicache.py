"""Keep every token, and let pairs of layers share the directions of its keys and values."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from tokenarium.backend.cache.storage_form import StorageForm
from tokenarium.backend.cache.storage_plan import StoragePlan
from tokenarium.backend.cache.terms import LAYERS_ALIKE, Label, Need

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.kernels.attention_stats import AttentionStats


class MiniCache(StorageForm):
    """From the middle of the model upwards, layers 2i and 2i + 1 hold one direction for both.

    key = its own length x slerp(direction in the lower layer, in the upper one; t); the same of
    values. Entries whose two directions are furthest apart stay whole.
    """

    slug: ClassVar[str] = "minicache"
    title: ClassVar[str] = "MiniCache"
    explanation: ClassVar[str] = (
        "Keeps every token, but neighbouring layers of the upper half share the directions of its "
        "keys and values; only their lengths are kept for each layer."
    )
    paper: ClassVar[str] = "Liu et al., 2024, arXiv:2405.14366"
    differs: ClassVar[str] = (
        "a fixed share of the tokens stays whole, those with the largest angles, where the paper "
        "sets a threshold between the least and the largest; lengths are kept in float32; no "
        "quantisation follows"
    )
    label: ClassVar[Label] = "reshape"
    at_once: ClassVar[str] = "compares neighbouring layers over a whole prompt"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "values"})
    alone: ClassVar[bool] = True
    published: ClassVar[Mapping[str, Any]] = {"share": 0.6, "from_layer": 0.5}

    share: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Where the shared direction lies: 0 is that of the lower layer, 1 that of the "
        "upper one; the paper's 0.6.",
    )
    apart: float = Field(
        0.05, ge=0, le=1, description="Share of the tokens that stays whole in both layers."
    )
    from_layer: float = Field(
        0.5, ge=0, le=1, description="Share of the layers below the first pair; the paper's half."
    )
    newest: int = Field(0, ge=0, le=65_536, description="Newest tokens that stay whole.")
    _layers: int = PrivateAttr(0)

    @property
    def short_title(self) -> str:
        """Its title in that of a recipe."""
        return f"pairs from {self.from_layer:.0%} up"

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with the number of layers, after which it compares no more."""
        own = super().fitted(budget, layers, context).model_copy()
        own._layers = layers  # noqa: SLF001 - a copy of its own
        return own

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Compare a layer with the one before, as both read the prompt: the method's premise."""
        import torch.nn.functional as F

        layer, before = view.shared.pop("before", (-2, {}))
        own = {"keys": view.keys, "values": view.values}
        if layer == view.layer - 1 and all(before[n].shape == own[n].shape for n in own):
            both = [F.cosine_similarity(before[n].float(), own[n].float(), dim=2) for n in own]
            keys, values = (float(cosine.mean()) for cosine in both)
            view.shared.setdefault("neighbours", []).append((layer, view.layer, keys, values))
        if view.layer < self._layers - 1:
            view.shared["before"] = (view.layer, own)

    def selects(self, view: "LayerView") -> "Choice | None":
        """Read everything; what was compared is no longer needed."""
        view.shared.pop("before", None)
        return None

    def likeness(self, shared: Mapping[str, Any]) -> Sequence[tuple[int, int, float, float]]:
        """Return the mean cosines of all neighbouring layers, over tokens and KV heads."""
        found: Sequence[tuple[int, int, float, float]] = shared.get("neighbours", ())
        return found

    def plan(self, head_size: int) -> StoragePlan:
        """Return how many of the newest entries stay whole, and what share of the others."""
        return StoragePlan(self.newest, apart=self.apart, between=self.share)

    def paired_layers(self, layers: int) -> range:
        """Return the lower layer of every pair."""
        first = int(self.from_layer * layers)
        return range(first, layers - 1, 2)

    def scores_of_tokens(self, lower: "Tensor", upper: "Tensor") -> "Tensor":
        """Return [G, n] the angles between rows [G, n, D] of two layers; the largest stay whole."""
        import torch.nn.functional as F

        from tokenarium.backend.cache.paired_entries import angles

        return angles(F.normalize(lower.float(), dim=2), F.normalize(upper.float(), dim=2))

    def whole_tokens(self, lower: "LayerView", upper: "LayerView") -> "dict[str, Tensor]":
        """Return by ``keys`` and ``values`` the ascending indices [G, a] of what stays whole."""
        from tokenarium.backend.cache.topk import best

        old = self.plan(0).at_once(lower.counts[0])
        count = self.plan(0).whole(old)
        found, likeness = {}, []
        for name in ("keys", "values"):
            below, above = (getattr(view, name)[:, :old] for view in (lower, upper))
            scores = self.scores_of_tokens(below, above)
            likeness.append(float(scores.cos().mean()))
            found[name] = best(scores, count) if count else scores[:, :0].long()
        if old:
            upper.shared.setdefault("likeness", []).append((lower.layer, *likeness))
        return found

    def found(self, shared: Mapping[str, Any]) -> Sequence[str]:
        """Return how alike the layers of the pairs were, and what that means."""
        likeness = shared.get("likeness", [])
        if not likeness:
            return ("nothing is shared: no two neighbouring layers both hold older tokens of all",)
        keys, values = (sum(own[part] for own in likeness) / len(likeness) for part in (1, 2))
        said = (
            f"mean cosine of the two layers of a pair: keys {keys:.2f}, values {values:.2f}, "
            f"{len(likeness)} pairs"
        )
        if min(keys, values) >= LAYERS_ALIKE:
            return (said,)
        return (f"{said}; the method rests on layers that are alike, which these are not",)
