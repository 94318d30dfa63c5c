"""Keep the keys that are least like the others."""

from typing import TYPE_CHECKING, ClassVar

from backend.eviction.policies.knorm import key_lengths
from backend.eviction.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from backend.eviction.held import Held
    from kernels.attention_stats import AttentionStats

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

    def prefilled(self, held: "Held", stats: "AttentionStats") -> None:
        """Measure the prompt's keys."""
        key_lengths(held)

    def scores(self, held: "Held") -> "Tensor":
        """Return minus the cosine between each key and the mean of the unit keys."""
        import torch

        lengths = key_lengths(held)
        found = torch.zeros_like(lengths)
        for g, count in enumerate(held.entries.counts):
            keys = held.entries.head("keys", g).float()
            inverse = 1 / lengths[g, :count].clamp(min=_LEAST)
            anchor = inverse @ keys
            cosine = (keys @ anchor) * inverse / anchor.norm().clamp(min=_LEAST)
            found[g, :count] = -cosine
        return found
