"""Keep the keys that are least like the others."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.policies.knorm import key_lengths
from tokenarium.backend.cache.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_cache import LayerCache
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
    joins: ClassVar[bool] = True

    def remembers(self) -> int:
        """Return one: the length of the key."""
        return 1

    def prefilled(self, held: "LayerCache", stats: "AttentionStats") -> None:
        """Measure the prompt's keys."""
        key_lengths(held)

    def scores(self, held: "LayerCache") -> "Tensor":
        """Return minus the cosine between each key and the mean of the unit keys."""
        inverse = 1 / key_lengths(held).clamp(min=_LEAST)
        if not held.entries.even:
            inverse = inverse.where(held.entries.held(), 0)
        keys = held.entries.rows("keys").float()
        anchor = inverse[:, None] @ keys  # [G, 1, D]
        anchor = anchor / anchor.norm(dim=-1, keepdim=True).clamp(min=_LEAST)
        cosine: Tensor = (anchor @ keys.mT)[:, 0] * inverse
        return -cosine
