"""A layer whose scores are written down, for policies that wrap another's scores."""

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.wrapper_policy import Wrapper


class Given(Policy):
    """Gives the scores and protects the newest entries as told."""

    def protects(self, held: LayerCache) -> tuple[int, int]:
        return held.memory["protects"]

    def scores(self, held: LayerCache) -> Tensor:
        return held.memory["scores"]


def choice(
    wrapper: Wrapper,
    scores: list[list[float]],
    budget: int,
    protects: tuple[int, int] = (0, 0),
    seed: int = 0,
) -> list[list[int]]:
    """What the wrapper keeps of entries at 0, 1, ... with scores [G, S]."""
    wrapper._inner = Given()
    groups, length = len(scores), len(scores[0])
    nothing = torch.zeros(groups, length, 2)
    held = LayerCache(
        layer=0,
        layers=1,
        entries=Entries(nothing, nothing, torch.arange(length)),
        heads=groups,
        reduction="mean",
        random=torch.Generator().manual_seed(seed),
        prompt=length,
        budget=budget,
        seen=length,
    )
    held.memory |= {"scores": torch.tensor(scores), "protects": protects}
    return [rows.tolist() for rows in wrapper.kept(held, budget)]
