"""Give retrieval heads the whole text; the others one entry for all that they drop."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.cache.role_policy import RolePolicy
from tokenarium.backend.cache.terms import Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tokenarium.backend.cache.head_roles import HeadRoles
    from tokenarium.backend.cache.layer_view import Choice, LayerView

ECHO, INDUCTION = 1, 14
"""The authors' retrieval heads are the top 1 % by echo and the top 14 % by induction."""


class RazorAttention(RolePolicy):
    """What a head without the role drops becomes one entry: its mean, for as many tokens.

    n dropped entries weigh n e^(q mean k) in all, that is a logit of q mean k + ln n.
    """

    slug: ClassVar[str] = "razor_attention"
    title: ClassVar[str] = "RazorAttention"
    explanation: ClassVar[str] = (
        "Keeps the whole text in retrieval heads, and in the others its first and newest tokens "
        "with one compensating entry for all that is dropped."
    )
    paper: ClassVar[str] = "Tang et al., 2024, arXiv:2407.15891"
    differs: ClassVar[str] = (
        "as many heads keep everything as the budget allows, taken by the rank in echo and "
        "induction at which the authors' shares would reach them; a KV head has the best role of "
        "its query heads; what is read after the prompt stays in all heads"
    )
    label: ClassVar[Label] = "merge"
    published: ClassVar[Mapping[str, Any]] = {"first": 4}

    compensate: bool = Field(
        True, description="Whether one entry stands for all that a head has dropped."
    )

    def extra(self) -> int:
        """Return the compensating entry."""
        return int(self.compensate)

    def state_per_token(self) -> int:
        """Return how many tokens an entry is."""
        return 1

    def scores_of_heads(self, roles: "HeadRoles") -> "NDArray[np.float32]":
        """Return [L, G] how early the authors' shares reach a head, as they grow together."""
        import numpy as np

        reached = [
            _rank(roles.of_groups(name)) / share
            for name, share in (("echo", ECHO), ("induction", INDUCTION))
        ]
        return -np.minimum(*reached).astype(np.float32)

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Return what stays; the first entry that a head drops stands for all that it drops."""
        import torch

        from tokenarium.backend.cache.layer_view import Choice

        choice = super().kept(view, budget)
        if not self.compensate:
            return choice
        kept, into = [], []
        for count, own in zip(view.counts, choice.indices, strict=True):
            target = torch.arange(count, device=view.device)
            gone = torch.ones(count, dtype=torch.bool, device=view.device)
            gone[own] = False
            if bool(gone.any()):
                stands = int(gone.nonzero()[0, 0])
                target[gone] = stands
                gone[stands] = False
            kept.append((~gone).nonzero()[:, 0])
            into.append(target)
        return Choice(kept, choice.scores, into)


def _rank(scores: "NDArray[np.float32]") -> "NDArray[np.int64]":
    """Return the place of each of scores [L, G] from the highest, counted from 1."""
    import numpy as np

    order = np.argsort(-scores.ravel(), kind="stable")
    found = np.empty(scores.size, np.int64)
    found[order] = 1 + np.arange(scores.size)
    return found.reshape(scores.shape)
