"""Keep the keys that are least like the others."""

from typing import TYPE_CHECKING, ClassVar

from backend.eviction.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from backend.eviction.held import Held


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

    def scores(self, held: "Held") -> "Tensor":
        """Return minus the cosine between each key and the mean of the unit keys."""
        import torch.nn.functional as F

        keys = held.entries.rows("keys").float()
        anchor = F.normalize(keys, dim=-1).mean(1, keepdim=True)
        return -F.cosine_similarity(keys, anchor, dim=-1)
