"""Keep the keys that are least like the others."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policies.knorm import key_lengths
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats

_LEAST = 1e-12
"""Stands for the length of a key of zeros, which has no direction."""


class KeyDiff(Policy):
    """Keys alone decide: what resembles the mean of all directions is dropped."""

    slug: ClassVar[str] = "keydiff"
    title: ClassVar[str] = "KeyDiff"
    explanation: ClassVar[str] = (
        "Keeps the tokens whose keys point away from the mean direction of all keys."
    )
    paper: ClassVar[str] = "Park et al., 2025, arXiv:2504.15364"
    differs: ClassVar[str] = (
        "the prompt is read whole and then reduced at once, where the paper reduces it block by "
        "block while reading"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"keys"})
    batches_layers: ClassVar[bool] = True

    def smallest_budget(self) -> int:
        """Return two: one kept key and the new one are equally far from their mean."""
        return 2

    def state_per_token(self) -> int:
        """Return one: the length of the key."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Measure the prompt's keys."""
        key_lengths(view)

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        return press("KeyDiffPress", compression_ratio)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return minus the cosine between each key and the mean of the unit keys."""
        inverse = 1 / key_lengths(view).clamp(min=_LEAST)
        if not view.even:
            inverse = inverse.where(view.present, 0)
        keys = view.keys.float()
        anchor = inverse[:, None] @ keys  # [G, 1, D]
        anchor = anchor / anchor.norm(dim=-1, keepdim=True).clamp(min=_LEAST)
        cosine: Tensor = (anchor @ keys.mT)[:, 0] * inverse
        return -cosine
