"""A layer whose scores are written down, for policies that wrap another's scores."""

import torch
from torch import Tensor

from tests.cache.policies.twin import view
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.layer_view import LayerView
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Protected
from tokenarium.backend.cache.wrapper_policy import Wrapper


class Given(Policy):
    """Gives the scores in the layer's memory, and protects as many entries as it was made with."""

    protected: Protected

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        return self.protected

    def scores(self, view: LayerView) -> Tensor:
        return view.memory["scores"]


def choice(
    wrapper: Wrapper,
    scores: list[list[float]],
    budget: int,
    protects: tuple[int, int] = (0, 0),
    seed: int = 0,
) -> list[list[int]]:
    """What the wrapper keeps of entries at 0, 1, ... with scores [G, S]."""
    wrapper._inner = Given(protected=Protected(*protects))
    groups, length = len(scores), len(scores[0])
    nothing = torch.zeros(groups, length, 2)
    cache = LayerCache(
        layer=0,
        entries=Entries(nothing, nothing, torch.arange(length)),
        heads=groups,
        reduction="mean",
        random=torch.Generator().manual_seed(seed),
        prompt=length,
        budget=budget,
        seen=length,
    )
    cache.memory["scores"] = torch.tensor(scores)
    return [rows.tolist() for rows in wrapper.kept(view(cache, wrapper), budget).indices]
