"""One layer's cache while a text is read and continued, and where the run stands."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.head_roles import HeadRoles
from tokenarium.backend.cache.terms import Reduction
from tokenarium.backend.observe.rotary import Rotary
from tokenarium.kernels.attention_stats import Rows


@dataclass
class LayerCache:
    """One layer's cache; policies see it through a ``LayerView``.

    H query heads share G KV heads; S entries in a head (of the fullest one where heads differ).
    """

    layer: int
    entries: Entries
    heads: int
    """H, query heads."""
    reduction: Reduction
    random: torch.Generator
    """Seeded by the request; one for the whole run."""
    prompt: int
    """Tokens of the prompt."""
    budget: int = 0
    """Entries a head may hold in this layer right after an eviction."""
    seen: int = 0
    """Tokens read so far, those of this step included."""
    step: int = 0
    """Decode steps done; 0 while the prompt is read."""
    queries: Tensor | None = None
    """[H, n, D] of this step (of the whole prompt, while it is read), after position encoding;
    None once the layer is done."""
    scaling: float = 1.0
    """Factor on the logits q k."""
    rotary: Rotary | None = None
    """How queries and keys turn, where the policy needs it; None where they do not turn."""
    roles: HeadRoles | None = None
    """What the model's heads usually do, where the policy needs it."""
    whole_budget: int = 0
    """Entries per head, averaged over the layers."""
    rows: Callable[[int], Iterator[Rows]] | None = None
    """The weights of the prompt's last so many queries, some at a time; while it is read only."""
    surprisal: Tensor | None = None
    """[seen] in nats, where the policy needs it; NaN for the first token."""
    turns: tuple[int, ...] = (0,)
    """Where each turn begins: the prompt, and every later step of several tokens."""
    window: int | None = None
    """Most keys a query of this layer sees by the model's design; what leaves it is freed."""
    acts: bool = True
    """Whether the policy acts in this layer: see ``Policy.acts_within``."""
    stacked: int = 1
    """Layers whose heads these are, one layer's after another's; ``layer`` is the first of them."""
    memory: dict[str, Any] = field(default_factory=dict)
    """The policy's own, per layer."""
    shared: dict[str, Any] = field(default_factory=dict)
    """The policy's own, one for all layers of the run."""

    def per_kv_head(self, values: Tensor) -> Tensor:
        """Reduce query heads [H, ...] that share a KV head to [G, ...], as the request chose."""
        grouped = values.view(self.entries.groups, -1, *values.shape[1:])
        if self.reduction == "max":
            return grouped.amax(1)
        return grouped.sum(1) if self.reduction == "sum" else grouped.mean(1)
